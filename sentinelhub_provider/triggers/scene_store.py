"""
Where a watcher's memory survives: the state store that Airflow 3.3 keeps for each asset.

Two values belong to a watcher: its memory, which the watcher writes, and the highest number that was announced, which
:mod:`sentinelhub_provider.plugins.scene_events` writes in the very transaction that stores the asset event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.polling import wait_after_fault
from sentinelhub_provider.api.scenes.events import announced_key

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

log = logging.getLogger(__name__)

INTERVAL = 60.0
"""Seconds from which on the waits for a store that fails grow more slowly."""


class SceneStore:
    """
    A watcher's memory in the state store of its assets. Each method is repeated until it works.

    Several assets that are watched with the same arguments share one trigger: the memory is written to each of them,
    and the one that got furthest is read.

    :param accessors: one for each asset.
    :param key: names the watcher among the others of an asset.
    :param sleep: waits for so many seconds.
    """

    def __init__(
        self, accessors: list[Any], key: str, *, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
    ) -> None:
        self._accessors = accessors
        self._key = key
        self._sleep = sleep

    async def load(self) -> tuple[Any, int]:
        """Return the memory, ``None`` where there is none yet, and the highest number that was announced."""
        stored = [value for value in await self._get(self._key) if value is not None]
        return max(stored, key=_number, default=None), await self.announced()

    async def save(self, value: dict[str, Any]) -> None:
        """Write the memory."""
        await self._persistently(lambda accessor: accessor.aset(self._key, value))

    async def announced(self) -> int:
        """Return the highest number that was announced; 0 where none was, or nobody stores the numbers."""
        values = await self._get(announced_key(self._key))
        return max((value for value in values if isinstance(value, int)), default=0)

    async def _get(self, key: str) -> list[Any]:
        return await self._persistently(lambda accessor: accessor.aget(key))

    async def _persistently(self, act: Callable[[Any], Awaitable[Any]]) -> list[Any]:
        """Act on each asset until it works: to announce without having written it down might announce twice."""
        faults = 0
        while True:
            try:
                return [await act(accessor) for accessor in self._accessors]
            except Exception as error:
                faults += 1
                pause = wait_after_fault(faults, INTERVAL, 0.0)
                log.warning("%s: the asset state store fails (%s). Next try in %.0f s.", self._key, error, pause)
                await self._sleep(pause)


def open_store(
    accessors: AssetStateStoreAccessors | None, key: str, *, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
) -> SceneStore | None:
    """
    Return the store of a watcher.

    :param accessors: what the triggerer gave to the trigger; Airflow before 3.3 gives nothing.
    :returns: ``None`` where there is no store.
    """
    if accessors is None:
        return None
    # With several assets, the methods of the whole refuse to choose, and there is no public list of its parts.
    names: dict[str, Any] = getattr(accessors, "_by_name", {})
    return SceneStore([names[name] for name in sorted(names)] or [accessors], key, sleep=sleep)


def _number(value: Any) -> int:
    number = value.get("number") if isinstance(value, dict) else None
    return number if isinstance(number, int) else -1

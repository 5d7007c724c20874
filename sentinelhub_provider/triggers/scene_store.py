"""
Where a watcher's memory survives: the state store that Airflow 3.3 keeps for each asset.

Two values belong to a watcher: its memory, which the watcher writes, and the highest number that was announced, which
:mod:`sentinelhub_provider.plugins.scene_events` writes in the very transaction that stores the asset event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.scenes.events import announced_key

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors


class SceneStore:
    """
    A watcher's memory in the state store of its assets.

    Several assets that are watched with the same arguments share one trigger: the memory is written to each of them,
    and the one that got furthest is read.

    :param accessors: one for each asset.
    :param key: names the watcher among the others of an asset.
    """

    def __init__(self, accessors: list[Any], key: str) -> None:
        self._accessors = accessors
        self._key = key

    async def load(self) -> Any:
        """Return the memory, ``None`` where there is none yet."""
        values = [await accessor.aget(self._key) for accessor in self._accessors]
        stored = [value for value in values if value is not None]
        return max(stored, key=_number, default=None)

    async def save(self, value: dict[str, Any]) -> None:
        """Write the memory."""
        for accessor in self._accessors:
            await accessor.aset(self._key, value)

    async def announced(self) -> int:
        """Return the highest number that was announced; 0 where none was, or nobody takes the numbers down."""
        values = [await accessor.aget(announced_key(self._key)) for accessor in self._accessors]
        return max((value for value in values if isinstance(value, int)), default=0)


def open_store(accessors: AssetStateStoreAccessors | None, key: str) -> SceneStore | None:
    """
    Return the store of a watcher.

    :param accessors: what the triggerer gave to the trigger; Airflow before 3.3 gives nothing.
    :returns: ``None`` where there is no store.
    """
    if accessors is None:
        return None
    # With several assets, the methods of the whole refuse to choose, and there is no public list of its parts.
    names: dict[str, Any] = getattr(accessors, "_by_name", {})
    return SceneStore([names[name] for name in sorted(names)] or [accessors], key)


def _number(value: Any) -> int:
    number = value.get("number") if isinstance(value, dict) else None
    return number if isinstance(number, int) else -1

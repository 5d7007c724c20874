"""Announces each new scene once, even if triggerers are killed and watchers of one asset overlap.

Airflow 3.3 keeps a state store for each asset. Each watcher has two values there. The watcher writes its memory.
:mod:`sentinelhub_provider.plugins.scene_events` writes the highest announced number, in the transaction that stores the
asset event.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sentinelhub_provider.api.jobs.polling import wait_after_fault
from sentinelhub_provider.api.scenes.events import announced_key
from sentinelhub_provider.api.scenes.watch import BATCH, SceneLedger, is_under_way

log = logging.getLogger(__name__)

CONFIRMATION_SECONDS = 60.0
"""Seconds to wait for the first confirmation. Airflow stores a hundred events within a few seconds."""

LONGEST_CONFIRMATION_SECONDS = 600.0
"""Seconds to wait for a later confirmation. The listener that confirms is there and may be busy."""

CONFIRMATION_PAUSE = 1.0
"""Seconds between two status checks of a confirmation. The triggerer hands events over once a second."""

SETTLING_SECONDS = 5.0
"""Seconds after which an unconfirmed batch counts as announced. They are enough to hand it over and store it."""

CLAIM_SECONDS = 2.0
"""Seconds after which a written batch must still be there to be announced. A write is faster than that."""

OTHERS_SECONDS = CONFIRMATION_SECONDS + 15.0
"""Seconds to wait for another watcher's batch. They exceed that watcher's own wait, as it may have been killed."""

BATCH_PAUSE = 60.0
"""Seconds between two events of one poll. Airflow makes the run of the first one with or without the second one."""

INTERVAL = 60.0
"""Seconds from which the waits for a failing store grow more slowly."""


Batch = tuple[int, Sequence[Mapping[str, Any]]]


class SceneStore:
    """A watcher's memory in the state store of its assets. Each method is repeated until it works.

    Several assets that are watched with the same arguments share one trigger. The memory is written to each of them,
    and the most advanced one is read.

    :param accessors: one for each asset.
    :param key: name of the watcher among the others of an asset.
    :param sleep: waits for so many seconds.
    """

    def __init__(self, accessors: list[Any], key: str, *, sleep: Callable[[float], Awaitable[Any]]) -> None:
        self._accessors, self._key, self._sleep = accessors, key, sleep

    async def load(self) -> tuple[Any, int]:
        """Return the memory, ``None`` if there is none yet, and the highest announced number."""
        stored = [value for value in await self._persistently("aget", self._key) if value is not None]
        return max(stored, key=_number, default=None), await self.announced()

    async def save(self, value: dict[str, Any]) -> None:
        """Write the memory."""
        await self._persistently("aset", self._key, value)

    async def announced(self) -> int:
        """Return the highest announced number, 0 if there is none or nobody stores the numbers."""
        values = await self._persistently("aget", announced_key(self._key))
        return max((value for value in values if isinstance(value, int)), default=0)

    async def _persistently(self, act: str, *arguments: Any) -> list[Any]:
        """Act on each asset until it works. An announcement that is not written down might be repeated."""
        faults = 0
        while True:
            try:
                return [await getattr(accessor, act)(*arguments) for accessor in self._accessors]
            except Exception as error:
                faults += 1
                pause = wait_after_fault(faults, INTERVAL, 0.0)
                log.warning("%s: the asset state store fails (%s). Next try in %.0f s.", self._key, error, pause)
                await self._sleep(pause)


def open_store(accessors: Any, key: str, *, sleep: Callable[[float], Awaitable[Any]]) -> SceneStore | None:
    """Return a watcher's store from the triggerer's accessors. Before Airflow 3.3 there are none."""
    if accessors is None:
        return None
    # With several assets, the methods of the whole refuse to choose, and there is no public list of the parts.
    names: dict[str, Any] = getattr(accessors, "_by_name", {})
    return SceneStore([names[name] for name in sorted(names)] or [accessors], key, sleep=sleep)


def _number(value: Any) -> int:
    number = value.get("number") if isinstance(value, dict) else None
    return number if isinstance(number, int) else -1


@dataclass
class SceneAnnouncer:
    """Announces the new scenes of one watcher.

    :param store: ``None`` if the memory is lost with the process.
    :param name: name of the watcher, for the log.
    """

    ledger: SceneLedger
    store: SceneStore | None
    name: str
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
    _given_up: Any = None
    _was_confirmed: bool = False
    _is_heard: bool = True

    async def adopt(self) -> int:
        """Load the stored memory when no other watcher is about to announce. Return the highest announced number."""
        if self.store is None:
            return 0
        ends = self.clock() + OTHERS_SECONDS
        stored, announced = await self.store.load()
        while is_under_way(stored, announced, self.ledger.writer) and stored != self._given_up:
            if self.clock() >= ends:
                self._given_up = stored
            else:
                await self.sleep(CONFIRMATION_PAUSE)
                stored, announced = await self.store.load()
        try:
            self.ledger.adopt(stored, announced)
        except ValueError as error:
            log.error("%s: the stored memory cannot be read, so watching starts again: %s", self.name, error)
        self._was_confirmed = self._was_confirmed or announced > 0
        return announced

    async def batches(self, scenes: Sequence[Mapping[str, Any]], now: datetime) -> AsyncIterator[Batch]:
        """Yield the new scenes of a poll in batches, each for one event, with the number of the batch."""
        await self.adopt()
        is_first = self.ledger.is_blank
        new = self.ledger.new_scenes(scenes, now)
        if is_first:
            log.info("%s: the first poll found %d scenes, %d to announce", self.name, len(scenes), len(new))
            await self._save()
        for begin in range(0, len(new), BATCH):
            if begin:
                await self.sleep(BATCH_PAUSE)
            number, batch = await self._claim(new[begin : begin + BATCH])
            if batch:
                yield number, batch
                is_confirmed = await self._confirmed(number)
                self.ledger.commit()
                if not is_confirmed:
                    await self._save()
        if shortened := self.ledger.move_on(now):
            log.warning(
                "%s: too many scenes to remember, so only those sensed since %s are announced. Watch a smaller area, "
                "or set a shorter lookback.",
                self.name,
                shortened,
            )

    async def _claim(self, scenes: Sequence[Mapping[str, Any]]) -> Batch:
        """Write a batch down. Return the part that no other watcher announced or is about to announce."""
        while True:
            await self.adopt()
            number, batch = self.ledger.begin(scenes)
            if self.store is None or not batch:
                return number, batch
            await self._save()
            await self.sleep(CLAIM_SECONDS)
            # The last writer wins. The others find its batch in the place of theirs.
            stored, _ = await self.store.load()
            if stored is not None and stored.get("writer") == self.ledger.writer:
                return number, batch
            self.ledger.commit(is_announced=False)

    async def _save(self) -> None:
        if self.store is not None:
            await self.store.save(self.ledger.to_json())

    async def _confirmed(self, number: int) -> bool:
        """Wait until Airflow has stored the event of this number. Return whether that is known."""
        if self.store is None:
            return True
        was_heard = self._is_heard
        self._is_heard = await self._hear(self.store, number)
        if was_heard and not self._is_heard:
            log.warning(
                "%s: nobody confirms that events are stored. The provider's plugin is not loaded in the triggerer, see "
                "'airflow plugins'. If the triggerer is killed, the last scenes may be announced twice.",
                self.name,
            )
        return self._is_heard

    async def _hear(self, store: SceneStore, number: int) -> bool:
        if not self._is_heard:
            await self.sleep(SETTLING_SECONDS)
            return await store.announced() >= number
        ends = self.clock() + (LONGEST_CONFIRMATION_SECONDS if self._was_confirmed else CONFIRMATION_SECONDS)
        while self.clock() < ends:
            await self.sleep(CONFIRMATION_PAUSE)
            if await store.announced() >= number:
                self._was_confirmed = True
                return True
        self._was_confirmed = False
        return False

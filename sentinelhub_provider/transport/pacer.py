"""Lets requests go in time, together with all who share a connection."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from sentinelhub_provider.transport.pace_stores import MemoryPaceStore, PaceStore
from sentinelhub_provider.transport.pacing import (
    Limits,
    Pace,
    Slot,
    answered,
    first_pace,
    free_slot,
    refused,
    reserve,
    still_holds,
    teaches,
)

log = logging.getLogger(__name__)

PAUSE = 30.0
"""Seconds for which a store that failed is left alone."""

_Result = TypeVar("_Result")


class Pacer:
    """
    Lets requests go in time, and learns from what comes back.

    While the store fails, which costs one warning, the process keeps a pace of its own.

    :param store: where the pace is kept, ``None`` for this process alone.
    :param limits: what the connection says about its account.
    :param clock: seconds since the epoch.
    """

    def __init__(self, store: PaceStore | None, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._own = MemoryPaceStore(first_pace(limits), clock)
        self._shared = store
        self._limits = limits
        self._clock = clock
        self._paused_until = 0.0
        self._warned = False

    @property
    def may_block(self) -> bool:
        """Whether its methods wait for a disk or a network, which an event loop must not."""
        return self._shared is not None

    def reserve(self, previous: Slot | None = None) -> Slot:
        """
        Return leave to start a request.

        :param previous: a slot whose time has come; it is returned without any wait, unless a 429 took it back.
        """
        return self._with_store(lambda store: self._reserve(store, previous))

    def settle(self, slot: Slot, *, status: int, retry_after: float | None, spent: float | None) -> None:
        """
        Learn from an answer.

        :param status: its HTTP status.
        :param retry_after: seconds that a 429 asked to wait, ``None`` where it did not say.
        :param spent: processing units that it cost, ``None`` where it does not say.
        """

        def learn(pace: Pace, now: float) -> Pace:
            if status == 429:
                return refused(pace, self._limits, slot, now, retry_after=retry_after)
            return answered(pace, self._limits, slot, now, spent=spent)

        if teaches(self._limits, slot, status=status):
            self._with_store(lambda store: store.update(learn))

    def _reserve(self, store: PaceStore, previous: Slot | None) -> Slot:
        pace, now = store.read()
        if previous is not None and (pace is None or still_holds(pace, previous)):
            return replace(previous, made=previous.starts)
        if pace is not None and self._lets_go_freely(pace, now):
            return free_slot(pace, now)  # nothing needs to be written
        given: list[Slot] = []

        def give(pace: Pace, now: float) -> Pace:
            pace, slot = reserve(pace, self._limits, now)
            given[:] = [slot]  # a store may have to try more than once
            return pace

        store.update(give)
        return given[0]

    def _lets_go_freely(self, pace: Pace, now: float) -> bool:
        """Tell whether nothing holds requests back: no configured limit, no learnt one, no queue."""
        if self._limits.interval or self._limits.seconds_per_unit:
            return False
        return pace.is_free and pace.next_request <= now

    def _with_store(self, act: Callable[[PaceStore], _Result]) -> _Result:
        """Act on the shared store, or on this process's own while that fails."""
        if self._shared is None or self._clock() < self._paused_until:
            return act(self._own)
        try:
            return act(self._shared)
        except Exception as error:  # a store's back end may raise anything
            self._paused_until = self._clock() + PAUSE
            level = logging.DEBUG if self._warned else logging.WARNING
            self._warned = True
            log.log(level, "the shared pace cannot be kept (%s); this process keeps its own", type(error).__name__)
            return act(self._own)

"""Lets requests start in time, together with all who share an account."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from sentinelhub_provider.transport.rate_limit import (
    Limits,
    RateState,
    Slot,
    free_slot,
    give_back,
    learn,
    reserve,
    still_holds,
    teaches,
)
from sentinelhub_provider.transport.rate_limit_stores import Change, MemoryStateStore, StateStore

log = logging.getLogger(__name__)
STORE_PAUSE = 30.0  # seconds for which a store that failed is left alone
_Result = TypeVar("_Result")


class RateLimiter:
    """
    Lets requests start in time, and learns from what comes back.

    While the store fails, which costs one warning, or where there is none, the limiter keeps a state of its own.
    """

    def __init__(self, store: StateStore | None, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._own = MemoryStateStore(clock)
        self._store = self._own if store is None else store
        self._limits, self._clock = limits, clock
        self._own_until, self._warned = 0.0, False

    @property
    def may_block(self) -> bool:
        """Whether its methods wait for a disk or a network, which an event loop must not."""
        return not isinstance(self._store, MemoryStateStore)

    def reserve(self, previous: Slot | None = None, *, patience: float = math.inf, spends: bool = True) -> Slot:
        """
        Return leave to start a request, or word of when to ask again.

        A previous slot, whose time has come, is returned without any wait, unless a 429 took it back. A slot that is
        further off than ``patience`` is not taken.
        """

        def act(store: StateStore) -> Slot:
            state, now = store.read()
            if previous is not None and still_holds(state, previous):
                return replace(previous, made=previous.starts)
            if state.lets_go_freely(self._limits, now):
                return free_slot(state, now)  # nothing needs to be written
            given: list[Slot] = []

            def give(state: RateState, now: float) -> RateState:
                if previous is not None:
                    state = give_back(state, self._limits, previous, now)
                state, slot = reserve(state, self._limits, now, patience=patience, spends=spends)
                given[:] = [slot]  # a store may have to try more than once
                return state

            store.update(give)
            return given[0]

        return self._with_store(act)

    def give_back(self, slot: Slot) -> None:
        """Let others have a slot that is not used."""
        if slot.taken:
            self._change(lambda state, now: give_back(state, self._limits, slot, now))

    def settle(self, slot: Slot, *, status: int, retry_after: float | None, spent: float | None) -> None:
        """Learn from an answer; see :func:`~sentinelhub_provider.transport.rate_limit.learn`."""
        if teaches(self._limits, slot, status=status):
            self._change(lambda state, now: learn(state, self._limits, slot, now, status, retry_after, spent))

    def _change(self, change: Change) -> None:
        self._with_store(lambda store: store.update(change))

    def _with_store(self, act: Callable[[StateStore], _Result]) -> _Result:
        """Act on the shared store, or on this process's own while that fails."""
        if self._clock() < self._own_until:
            return act(self._own)
        try:
            return act(self._store)
        except Exception as error:  # a store's back end may raise anything
            self._own_until = self._clock() + STORE_PAUSE
            level = logging.DEBUG if self._warned else logging.WARNING
            self._warned = True
            log.log(level, "the rate limit cannot be shared (%s); this process keeps it alone", type(error).__name__)
            return act(self._own)

"""Lets requests start in time, together with all that share an account. The state is in memory, a file, or Redis."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TypeVar

from sentinelhub_provider.transport import rate_limit
from sentinelhub_provider.transport.rate_limit import Limits, RateState, Slot
from sentinelhub_provider.transport.state_stores import Change, Coding, MemoryStateStore, StateStore

log = logging.getLogger(__name__)

STORE_PAUSE = 30.0  # seconds without calls to a store that failed
_Result = TypeVar("_Result")


def _state_from(data: bytes | None) -> RateState:
    """Read a state back. Missing or damaged data gives a new state."""
    with suppress(ValueError, TypeError, AttributeError):
        fields = json.loads(data or b"")
        returned = tuple(fields.pop("returned", ()))
        if all(map(math.isfinite, [*fields.values(), *returned])):
            return RateState(**fields, returned=returned)
    return RateState()


RATE_STATE = Coding(_state_from, lambda state: json.dumps(asdict(state)).encode())
"""The format of a stored rate limit."""


class RateLimiter:
    """Lets requests start in time and learns from answers. While the store fails, it keeps a state of its own."""

    def __init__(
        self, store: StateStore[RateState] | None, limits: Limits, clock: Callable[[], float] = time.time
    ) -> None:
        self._own = MemoryStateStore(RATE_STATE, clock)
        self._store = self._own if store is None else store
        self._limits, self._clock = limits, clock
        self._own_until, self._warned = 0.0, False

    @property
    def may_block(self) -> bool:
        """Whether its methods wait for a disk or a network. An event loop must not call such methods."""
        return not isinstance(self._store, MemoryStateStore)

    def reserve(self, previous: Slot | None = None, *, patience: float = math.inf, spends: bool = True) -> Slot:
        """Return a slot for a request, or the time to ask again."""
        # A previous slot, whose time has come, is returned at once unless a 429 took it back. A slot that is later than
        # ``patience`` is not taken.

        def act(store: StateStore[RateState]) -> Slot:
            state, now = store.read()
            if previous is not None and rate_limit.still_holds(state, previous):
                return replace(previous, made=previous.starts)
            if state.lets_go_freely(self._limits, now):
                return rate_limit.free_slot(state, now)  # there is nothing to write
            given: list[Slot] = []

            def give(state: RateState, now: float) -> RateState:
                if previous is not None:
                    state = rate_limit.give_back(state, self._limits, previous, now)
                state, slot = rate_limit.reserve(state, self._limits, now, patience=patience, spends=spends)
                given[:] = [slot]  # a store may call this more than once
                return state

            store.update(give)
            return given[0]

        return self._with_store(act)

    def give_back(self, slot: Slot) -> None:
        """Let others have an unused slot."""
        if slot.taken:
            self._change(lambda state, now: rate_limit.give_back(state, self._limits, slot, now))

    def settle(self, slot: Slot, *, status: int, retry_after: float | None, spent: float | None) -> float | None:
        """Learn from an answer. See :func:`~sentinelhub_provider.transport.rate_limit.learn`.

        :returns: requests per minute that may start from now on, if the answer taught that.
        """
        if not rate_limit.teaches(self._limits, slot, status=status):
            return None
        learnt = [0.0]

        def learn(state: RateState, now: float) -> RateState:
            state = rate_limit.learn(state, self._limits, slot, now, status, retry_after, spent)
            learnt[0] = state.interval
            return state

        self._change(learn)
        return 60.0 / learnt[0] if learnt[0] > 0 else None

    def _change(self, change: Change[RateState]) -> None:
        self._with_store(lambda store: store.update(change))

    def _with_store(self, act: Callable[[StateStore[RateState]], _Result]) -> _Result:
        """Use the shared store, or this process's own state while the store fails."""
        if 0 < self._own_until - self._clock() <= STORE_PAUSE:  # or the clock was set back
            return act(self._own)
        try:
            return act(self._store)
        except Exception as error:  # a store's back end may raise anything
            self._own_until = self._clock() + STORE_PAUSE
            level = logging.DEBUG if self._warned else logging.WARNING
            self._warned = True
            log.log(level, "the rate limit cannot be shared (%s), so this process keeps it alone", type(error).__name__)
            return act(self._own)

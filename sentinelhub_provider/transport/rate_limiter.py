"""Lets requests start in time, with all who share an account; the state is in this process, a file, or Redis."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from sentinelhub_provider.both_ways import Turns
from sentinelhub_provider.transport import rate_limit
from sentinelhub_provider.transport.rate_limit import Limits, RateState, Slot

log = logging.getLogger(__name__)

STORE_PAUSE = 30.0  # seconds for which a store that failed is left alone
_Result = TypeVar("_Result")
# Seconds to wait for the file: it is held for a millisecond at a time, and a thousand processes may start at once.
LOCK_PATIENCE = 20.0
Change = Callable[[RateState, float], RateState]


class MemoryStateStore:
    """For the threads and coroutines of one process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._state, self._clock, self._turns = RateState(), clock, Turns()

    def read(self) -> tuple[RateState, float]:
        """Return the state, and the time just before: who goes by it does so before whatever changes it."""
        now = self._clock()
        return self._state, now

    def update(self, change: Change) -> None:
        """Replace the state."""
        with self._turns:
            self._state = change(self._state, self._clock())


class FileStateStore:
    """For the processes of one host: a file, whose folder is made anew where it was cleared away."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._turns = Turns()  # or threads would wait for each other by polling the file

    def read(self) -> tuple[RateState, float]:
        """Return the state and the time; what is seen half written counts as damaged."""
        now = self._clock()
        try:
            return _state_from(self._path.read_bytes()), now
        except FileNotFoundError:
            return RateState(), now

    def update(self, change: Change) -> None:
        """Replace the state, in its place: to replace a file makes some file systems wait for the disk each time."""
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        with self._turns, os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
            _lock(file)
            try:
                old = file.read()
                changed = change(_state_from(old), self._clock())
                os.pwrite(file.fileno(), json.dumps(asdict(changed)).encode().ljust(len(old)), 0)
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough: a forked child has it open, too


class RedisStateStore:
    """For all hosts that reach one Redis, by a ``redis.Redis`` and the value's name; times are by its clock."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name
        self._turns = Turns()  # or threads would make each other's transactions fail

    def read(self) -> tuple[RateState, float]:
        """Return the state and Redis's time."""
        with self._client.pipeline(transaction=False) as pipeline:
            moment, data = pipeline.time().get(self._name).execute()
        return _state_from(data), _seconds(moment)

    def update(self, change: Change) -> None:
        """Replace the state; tried again where another was quicker."""

        def attempt(pipeline: Any) -> None:
            data = pipeline.get(self._name)
            now = _seconds(pipeline.time())
            changed = change(_state_from(data), now)
            pipeline.multi()
            pipeline.set(self._name, json.dumps(asdict(changed)), ex=3600)

        with self._turns:
            self._client.transaction(attempt, self._name)


# Keeps one state, and the clock that its times are by. ``update`` is called by one at a time.
StateStore: TypeAlias = MemoryStateStore | FileStateStore | RedisStateStore


def _lock(file: io.FileIO) -> None:
    """Lock a file. The kernel queues those who wait; polled, as ``filelock`` does, a thousand would starve."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # In a thread, since the call itself knows no timeout. If it comes too late, the closed file is free again.
        waiter = threading.Thread(target=fcntl.flock, args=(file.fileno(), fcntl.LOCK_EX), daemon=True)
        waiter.start()
        waiter.join(LOCK_PATIENCE)
        if waiter.is_alive():
            raise TimeoutError(f"{file.name} is locked for too long") from None


def _state_from(data: bytes | None) -> RateState:
    """Read a state back; what is missing or damaged is forgotten."""
    with suppress(ValueError, TypeError, AttributeError):
        fields = json.loads(data or b"")
        returned = tuple(fields.pop("returned", ()))
        if all(map(math.isfinite, [*fields.values(), *returned])):
            return RateState(**fields, returned=returned)
    return RateState()


def _seconds(moment: tuple[int, int]) -> float:
    """Turn Redis's seconds and microseconds into one number."""
    return moment[0] + moment[1] / 1e6


class RateLimiter:
    """Lets requests start in time, and learns from answers. While the store fails, it keeps a state of its own."""

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
        """Return leave to start a request, or word of when to ask again."""
        # A previous slot, whose time has come, is returned without any wait, unless a 429 took it back. A slot that is
        # further off than ``patience`` is not taken.

        def act(store: StateStore) -> Slot:
            state, now = store.read()
            if previous is not None and rate_limit.still_holds(state, previous):
                return replace(previous, made=previous.starts)
            if state.lets_go_freely(self._limits, now):
                return rate_limit.free_slot(state, now)  # nothing needs to be written
            given: list[Slot] = []

            def give(state: RateState, now: float) -> RateState:
                if previous is not None:
                    state = rate_limit.give_back(state, self._limits, previous, now)
                state, slot = rate_limit.reserve(state, self._limits, now, patience=patience, spends=spends)
                given[:] = [slot]  # a store may have to try more than once
                return state

            store.update(give)
            return given[0]

        return self._with_store(act)

    def give_back(self, slot: Slot) -> None:
        """Let others have a slot that is not used."""
        if slot.taken:
            self._change(lambda state, now: rate_limit.give_back(state, self._limits, slot, now))

    def settle(self, slot: Slot, *, status: int, retry_after: float | None, spent: float | None) -> None:
        """Learn from an answer; see :func:`~sentinelhub_provider.transport.rate_limit.learn`."""
        if rate_limit.teaches(self._limits, slot, status=status):
            self._change(
                lambda state, now: rate_limit.learn(state, self._limits, slot, now, status, retry_after, spent)
            )

    def _change(self, change: Change) -> None:
        self._with_store(lambda store: store.update(change))

    def _with_store(self, act: Callable[[StateStore], _Result]) -> _Result:
        """Act on the shared store, or on this process's own while that fails."""
        if 0 < self._own_until - self._clock() <= STORE_PAUSE:  # or the clock was set back
            return act(self._own)
        try:
            return act(self._store)
        except Exception as error:  # a store's back end may raise anything
            self._own_until = self._clock() + STORE_PAUSE
            level = logging.DEBUG if self._warned else logging.WARNING
            self._warned = True
            log.log(level, "the rate limit cannot be shared (%s); this process keeps it alone", type(error).__name__)
            return act(self._own)

"""The stores of the state that all users of an account share: in this process, in a file of the host, or in Redis."""

from __future__ import annotations

import fcntl
import io
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from sentinelhub_provider.both_ways import Turns

State = TypeVar("State")
# Seconds to wait for the file. Each use takes a millisecond, and a thousand processes may start at once.
LOCK_PATIENCE = 20.0
Change: TypeAlias = Callable[[State, float], State]


@dataclass(frozen=True, slots=True)
class Coding(Generic[State]):
    """The byte format of a state. ``load`` makes a new state without bytes. ``lifetime`` is in seconds."""

    load: Callable[[bytes | None], State]
    dump: Callable[[State], bytes]
    lifetime: int = 3600


class StateStore(Protocol[State]):
    """Keeps one state and a clock for its times, in seconds since the epoch. Both methods may block.

    ``place``: the location, for messages.
    """

    place: str

    def read(self) -> tuple[State, float]:
        """Return the state and the time just before it was read."""

    def update(self, change: Change[State]) -> None:
        """Replace the state. One ``change`` runs at a time, and it runs again if another one was quicker."""


class MemoryStateStore(Generic[State]):
    """A store for the threads and coroutines of one process."""

    place = "this process"

    def __init__(self, coding: Coding[State], clock: Callable[[], float] = time.time) -> None:
        self._state, self._clock, self._turns = coding.load(None), clock, Turns()

    def read(self) -> tuple[State, float]:
        """Return the state and the time."""
        now = self._clock()
        return self._state, now

    def update(self, change: Change[State]) -> None:
        """Replace the state."""
        with self._turns:
            self._state = change(self._state, self._clock())


class FileStateStore(Generic[State]):
    """A file for the processes of one host. Its folder is made again if it was removed."""

    def __init__(self, path: Path, coding: Coding[State], clock: Callable[[], float] = time.time) -> None:
        self._path, self._coding, self._clock = path, coding, clock
        self.place = f"the file {path}"
        self._turns = Turns()  # so that threads do not wait for each other by polling the file

    def read(self) -> tuple[State, float]:
        """Return the state and the time. Half-written data counts as damaged."""
        now = self._clock()
        try:
            return self._coding.load(self._path.read_bytes()), now
        except FileNotFoundError:
            return self._coding.load(None), now

    def update(self, change: Change[State]) -> None:
        """Replace the state in its place.

        Replacing the file would make some file systems wait for the disk each time.
        """
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        with self._turns, os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
            _lock(file)
            try:
                old = file.read()
                state = self._coding.load(old)
                changed = change(state, self._clock())
                if changed is not state:
                    self._write(file, self._coding.dump(changed).ljust(len(old)), old)
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough, because a forked child has it open, too

    @staticmethod
    def _write(file: io.FileIO, new: bytes, old: bytes) -> None:
        if (written := os.pwrite(file.fileno(), new, 0)) < len(new):  # the disk is full
            os.pwrite(file.fileno(), old, 0)
            file.truncate(len(old))
            raise OSError(f"{written} of {len(new)} bytes were written")


class RedisStateStore(Generic[State]):
    """A value in Redis for all hosts, by a ``redis.Redis`` and the value's name. Times are by Redis's clock."""

    def __init__(self, client: Any, name: str, coding: Coding[State]) -> None:
        self._client, self._name, self._coding = client, name, coding
        self.place = f"the Redis key {name}"
        self._turns = Turns()  # so that threads do not make each other's transactions fail

    def read(self) -> tuple[State, float]:
        """Return the state and Redis's time."""
        with self._client.pipeline(transaction=False) as pipeline:
            moment, data = pipeline.time().get(self._name).execute()
        return self._coding.load(data), _seconds(moment)

    def update(self, change: Change[State]) -> None:
        """Replace the state. Try again if another change was quicker or the answer was lost."""
        mark, was_tried = uuid.uuid4().bytes, False

        def attempt(pipeline: Any) -> None:
            nonlocal was_tried
            # redis-py takes a lost answer for another client's change, and this change must not be made twice.
            if was_tried and pipeline.get(f"{self._name}:last") == mark:
                return
            was_tried = True
            data = pipeline.get(self._name)
            now = _seconds(pipeline.time())
            state = self._coding.load(data)
            changed = change(state, now)
            if changed is state:
                return
            pipeline.multi()
            pipeline.set(self._name, self._coding.dump(changed), ex=self._coding.lifetime)
            pipeline.set(f"{self._name}:last", mark, ex=60)

        with self._turns:
            self._client.transaction(attempt, self._name)


def _lock(file: io.FileIO) -> None:
    """Lock a file.

    The kernel queues the waiting processes. With polling, as in ``filelock``, a thousand would starve.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # The call has no timeout, so a thread makes it. If the lock comes too late, the closed file is free again.
        waiter = threading.Thread(target=fcntl.flock, args=(file.fileno(), fcntl.LOCK_EX), daemon=True)
        waiter.start()
        waiter.join(LOCK_PATIENCE)
        if waiter.is_alive():
            raise TimeoutError(f"{file.name} is locked for too long") from None


def _seconds(moment: tuple[int, int]) -> float:
    """Turn Redis's seconds and microseconds into one number."""
    return moment[0] + moment[1] / 1e6

"""Where the pace is kept: in this process, in a file for a host, in Redis for a fleet."""

from __future__ import annotations

import json
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from sentinelhub_provider.transport.pacing import Pace

LOCK_PATIENCE = 5.0
"""Seconds to wait for the file: it is held for a millisecond at a time, and a thousand processes may start at once."""

Change = Callable[[Pace, float], Pace]


class PaceStore(Protocol):
    """Keeps one pace, and the clock that its times are by."""

    def read(self) -> tuple[Pace | None, float]:
        """
        Return the pace (``None`` where there is none yet) and the time.

        The time is taken first: who then goes by this pace does so before whatever changes it in the meantime.
        """

    def update(self, change: Change) -> None:
        """Replace the pace by what ``change`` makes of it and the time, as the only one to do so."""


class _Turns:
    """A lock for the threads of one process, which a forked child does not inherit in its locked state."""

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _renew(self) -> None:
        self._lock = threading.Lock()


class MemoryPaceStore:
    """For the threads and coroutines of one process."""

    def __init__(self, first: Pace, clock: Callable[[], float] = time.time) -> None:
        self._pace = first
        self._clock = clock
        self._turns = _Turns()

    def read(self) -> tuple[Pace | None, float]:
        """Return the pace and the time."""
        now = self._clock()
        return self._pace, now

    def update(self, change: Change) -> None:
        """Replace the pace."""
        with self._turns:
            self._pace = change(self._pace, self._clock())


class FilePaceStore:
    """
    For the processes of one host.

    :param path: the file; its folder is made anew where it was cleared away.
    """

    def __init__(self, path: Path, first: Pace, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._first = first
        self._clock = clock
        self._turns = _Turns()  # or threads would wait for each other by polling the file

    def read(self) -> tuple[Pace | None, float]:
        """Return the pace and the time; needs no lock, since the file is replaced whole."""
        now = self._clock()
        try:
            return _pace_from(self._path.read_bytes()), now
        except FileNotFoundError:
            return None, now

    def update(self, change: Change) -> None:
        """Replace the pace."""
        self._path.parent.mkdir(mode=0o700, exist_ok=True)  # else the lock would make it, for all to read
        lock = FileLock(f"{self._path}.lock", mode=0o600, thread_local=False, poll_interval=0.002)
        with self._turns, lock.acquire(timeout=LOCK_PATIENCE):
            pace, now = self.read()
            changed = change(pace or self._first, now)
            handle, part = tempfile.mkstemp(dir=self._path.parent, prefix=".", suffix=".part")
            try:
                with os.fdopen(handle, "w") as file:
                    json.dump(asdict(changed), file)
                Path(part).replace(self._path)
            except BaseException:
                Path(part).unlink(missing_ok=True)
                raise


class RedisPaceStore:
    """
    For all hosts that reach one Redis; times are by its clock.

    :param client: a ``redis.Redis``.
    :param name: the value's name.
    """

    def __init__(self, client: Any, name: str, first: Pace) -> None:
        self._client = client
        self._name = name
        self._first = first
        self._turns = _Turns()  # or threads would make each other's transactions fail

    def read(self) -> tuple[Pace | None, float]:
        """Return the pace and Redis's time."""
        with self._client.pipeline(transaction=False) as pipeline:
            moment, data = pipeline.time().get(self._name).execute()
        return (None if data is None else _pace_from(data)), _seconds(moment)

    def update(self, change: Change) -> None:
        """Replace the pace; tried again where another was quicker."""

        def attempt(pipeline: Any) -> None:
            data = pipeline.get(self._name)
            now = _seconds(pipeline.time())
            pace = None if data is None else _pace_from(data)
            changed = change(pace or self._first, now)
            pipeline.multi()
            pipeline.set(self._name, json.dumps(asdict(changed)), ex=3600)

        with self._turns:
            self._client.transaction(attempt, self._name)


def _pace_from(data: bytes) -> Pace | None:
    """Read a pace back; what is damaged is forgotten."""
    with suppress(ValueError, TypeError, AttributeError):
        fields = json.loads(data)
        if all(map(math.isfinite, fields.values())):
            return Pace(**fields)
    return None


def _seconds(moment: tuple[int, int]) -> float:
    """Turn Redis's seconds and microseconds into one number."""
    return moment[0] + moment[1] / 1e6

"""Where the pace is kept: in this process, in a file for a host, in Redis for a fleet."""

from __future__ import annotations

import json
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

LOCK_PATIENCE = 2.0
"""Seconds to wait for the file: it is held for less than a millisecond at a time."""

Change = Callable[[Pace, float], Pace]


class PaceStore(Protocol):
    """Keeps one pace, and the clock that its times are by."""

    def read(self) -> tuple[Pace | None, float]:
        """Return the pace (``None`` where there is none yet) and the time."""

    def update(self, change: Change) -> None:
        """Replace the pace by what ``change`` makes of it and the time, as the only one to do so."""


class MemoryPaceStore:
    """For the threads and coroutines of one process."""

    def __init__(self, first: Pace, clock: Callable[[], float] = time.time) -> None:
        self._pace = first
        self._clock = clock
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def read(self) -> tuple[Pace | None, float]:
        """Return the pace and the time."""
        return self._pace, self._clock()

    def update(self, change: Change) -> None:
        """Replace the pace."""
        with self._lock:
            self._pace = change(self._pace, self._clock())

    def _after_fork(self) -> None:
        self._lock = threading.Lock()


class FilePaceStore:
    """
    For the processes of one host.

    :param path: the file; its folder exists.
    """

    def __init__(self, path: Path, first: Pace, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._first = first
        self._clock = clock

    def read(self) -> tuple[Pace | None, float]:
        """Return the pace and the time; needs no lock, since the file is replaced whole."""
        try:
            return _pace_from(self._path.read_bytes()), self._clock()
        except FileNotFoundError:
            return None, self._clock()

    def update(self, change: Change) -> None:
        """Replace the pace."""
        lock = FileLock(f"{self._path}.lock", mode=0o600, thread_local=False, poll_interval=0.002)
        with lock.acquire(timeout=LOCK_PATIENCE):
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

    def read(self) -> tuple[Pace | None, float]:
        """Return the pace and Redis's time."""
        with self._client.pipeline(transaction=False) as pipeline:
            data, moment = pipeline.get(self._name).time().execute()
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

        self._client.transaction(attempt, self._name)


def _pace_from(data: bytes) -> Pace | None:
    """Read a pace back; what is damaged is forgotten."""
    with suppress(ValueError, TypeError):
        return Pace(**json.loads(data))
    return None


def _seconds(moment: tuple[int, int]) -> float:
    """Turn Redis's seconds and microseconds into one number."""
    return moment[0] + moment[1] / 1e6

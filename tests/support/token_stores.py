"""Token stores that a test can look into: one in memory, and named values in memory instead of Airflow Variables."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sentinelhub_provider.oauth.stores import Blob


class MemoryTokenStore:
    """The simplest store that keeps its promises."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.kept: dict[str, tuple[bytes, float]] = {}
        self._clock = clock
        self._locks: dict[str, threading.Lock] = {}
        self.reads = 0

    def read(self, key: str) -> Blob | None:
        """Return what is kept."""
        self.reads += 1
        data, until = self.kept.get(key, (b"", 0.0))
        left = until - self._clock()
        return Blob(data, round(left, 3)) if left > 0 else None  # in milliseconds, as Redis says it

    def write(self, key: str, data: bytes, lifetime: float) -> None:
        """Keep it."""
        self.kept[key] = (data, self._clock() + lifetime)

    def lock(self, key: str) -> MemoryLock:
        """Return the key's lock."""
        return MemoryLock(self._locks.setdefault(key, threading.Lock()))


class MemoryLock:
    """A lock among the threads of a process."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._held = False

    def acquire(self, patience: float) -> bool:
        """Take it."""
        self._held = self._lock.acquire(timeout=patience) if patience > 0 else self._lock.acquire(blocking=False)
        return self._held

    def release(self) -> None:
        """Give it back, if held."""
        if self._held:
            self._held = False
            self._lock.release()


class MemoryVariables:
    """Named values in a dict."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return a value."""
        return self.values.get(name, default)

    def set(self, name: str, value: str, description: str | None = None) -> None:
        """Set a value."""
        self.values[name] = value

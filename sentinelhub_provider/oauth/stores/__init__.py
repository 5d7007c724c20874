"""The stores that share tokens between processes. A store may be slow, full, corrupt or gone, and then it raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Blob:
    """Encrypted bytes of a store, and the seconds that are left by its own clock (``None`` if it has no clock)."""

    data: bytes
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class StoreLock:
    """A lock on one key among all that share a store. It becomes free by itself if its holder dies.

    :param acquire: takes the lock. Returns ``False`` if it does not get it within so many seconds (0 does not wait).
    :param release: gives the lock back. It does nothing if the lock is not held.
    """

    acquire: Callable[[float], bool]
    release: Callable[[], None] = lambda: None


class TokenStore(Protocol):
    """Keeps encrypted bytes by key. Every method may block, and may raise what its back end raises."""

    def read(self, key: str) -> Blob | None:
        """Return the bytes under ``key``, ``None`` if there are none."""

    def write(self, key: str, data: bytes, lifetime: float) -> None:
        """Store ``data`` under ``key`` for at least ``lifetime`` seconds. A failed write leaves no part of it."""

    def lock(self, key: str) -> StoreLock:
        """Return the lock of ``key``, not yet taken."""

"""Where tokens are shared beyond one process. A store may be slow, full, corrupt or gone: then it raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Blob:
    """Encrypted bytes as a store keeps them, and for how long still by its own clock, ``None`` where it has none."""

    data: bytes
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class StoreLock:
    """A lock on one key among all that share a store. Held by a process that dies, it becomes free by itself.

    :param acquire: takes it; ``False`` if it is not to be had within so many seconds (0: now or not).
    :param release: gives it back. Does nothing where it is not held.
    """

    acquire: Callable[[float], bool]
    release: Callable[[], None] = lambda: None


class TokenStore(Protocol):
    """Keeps encrypted bytes by key. Every method may block, and may raise what its back end raises."""

    def read(self, key: str) -> Blob | None:
        """Return what is kept under ``key``, ``None`` where there is nothing."""

    def write(self, key: str, data: bytes, lifetime: float) -> None:
        """Keep ``data`` under ``key``, for ``lifetime`` seconds at least; whole or not at all."""

    def lock(self, key: str) -> StoreLock:
        """Return the lock of ``key``, not yet taken."""

"""Where the body of an answer goes."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Protocol

from sentinelhub_provider.transport.answers import EXCERPT_SIZE, Answer


class Receiver(Protocol):
    """Takes a body chunk by chunk. ``restart`` comes before each attempt and drops what an earlier one left."""

    def restart(self) -> None:
        """Forget what was fed so far."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""


class MemoryReceiver:
    """Keeps the body in memory, once."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what was fed so far."""
        self._buffer = BytesIO()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._buffer.write(chunk)

    @property
    def body(self) -> bytes:
        """All bytes that were fed since the last restart; the buffer's own, not a copy."""
        return self._buffer.getvalue()


class Intake:
    """Takes in one answer: a good one's body goes to the receiver, of every one the beginning is kept."""

    def __init__(self, receiver: Receiver, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.excerpt = b""
        self.size = 0
        self._status, self._headers = status, headers or {}
        self._receiver = receiver if status < 300 else MemoryReceiver()
        self._receiver.restart()

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes; tell whether more are wanted, which of a long error are not."""
        if self.size < EXCERPT_SIZE:
            self.excerpt += chunk[: EXCERPT_SIZE - self.size]
        self.size += len(chunk)
        self._receiver.feed(chunk)
        return self._status < 300 or self.size < EXCERPT_SIZE

    @property
    def answer(self) -> Answer:
        """What came."""
        return Answer(self._status, self._headers, self.excerpt, self.size)

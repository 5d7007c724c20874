"""Where the body of a good answer goes."""

from __future__ import annotations

from io import BytesIO
from typing import Protocol

from sentinelhub_provider.transport.answers import EXCERPT_SIZE


class Receiver(Protocol):
    """Takes a body chunk by chunk. ``restart`` comes before each attempt and drops what an earlier one left."""

    def restart(self) -> None:
        """Forget what was fed so far."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""


class MemoryReceiver:
    """Keeps the body in memory, once."""

    def __init__(self) -> None:
        self._buffer = BytesIO()

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
    """Counts one attempt's body and keeps its beginning, on the way to the receiver."""

    def __init__(self, receiver: Receiver) -> None:
        self.excerpt = b""
        self.size = 0
        self._receiver = receiver
        receiver.restart()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self.size < EXCERPT_SIZE:
            self.excerpt += chunk[: EXCERPT_SIZE - self.size]
        self.size += len(chunk)
        self._receiver.feed(chunk)

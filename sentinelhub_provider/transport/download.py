"""Where the body of an answer goes: into memory, or to a file that appears only when it is complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self, TypeAlias

from sentinelhub_provider.exceptions import SentinelHubOutputError
from sentinelhub_provider.transport.answers import EXCERPT_SIZE, Answer
from sentinelhub_provider.transport.targets import Target, is_final


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


@dataclass(frozen=True, slots=True)
class Download:
    """A body that was stored.

    :param path: where, as it was asked for; absolute for local files.
    :param size: bytes.
    :param sha256: of those bytes, hexadecimal.
    :param content_type: media type as the service named it, with its parameters.
    :param processing_units: what the request cost in PU, ``None`` where the service does not say.
    :param url: where it came from, without query.
    """

    path: str
    size: int
    sha256: str
    content_type: str
    processing_units: float | None
    url: str


class DownloadReceiver:
    """Takes a body to a target, which it opens on entering; the file appears with :meth:`complete`, never otherwise."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def __enter__(self) -> Self:
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self._target.discard()

    def restart(self) -> None:
        """Forget what was fed so far."""
        with storing(self._target.path):
            self._target.open()
        self._digest = hashlib.sha256()
        self.size = 0

    def feed(self, chunk: bytes) -> None:
        """Write the next bytes."""
        with storing(self._target.path):
            self._target.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    def complete(self, *, content_type: str, processing_units: float | None, url: str) -> Download:
        """Make the file appear and describe it."""
        with storing(self._target.path):
            self._target.commit()
        return Download(self._target.path, self.size, self._digest.hexdigest(), content_type, processing_units, url)


Receiver: TypeAlias = MemoryReceiver | DownloadReceiver
"""Takes a body chunk by chunk. ``restart`` comes before each attempt and drops what an earlier one left."""


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


_STAYS = (
    "Check that it names a file, that the folder or bucket exists and is writable, that the provider package for that "
    "storage is installed, and the connection."
)
_PASSES = "This may pass: a retry of the task tries again. Check that there is space, and that the storage answers."


@contextmanager
def storing(path: Any, what: str = "output_path") -> Iterator[None]:
    """Turn what a disk or a store says into a :class:`SentinelHubOutputError`, which says whether it stays so.

    :param path: as the user wrote it, in the argument ``what``.
    """
    try:
        yield
    except SentinelHubOutputError:
        raise
    except Exception as error:
        said = str(error).rstrip(".") or type(error).__name__
        when, advice = ("", _STAYS) if is_final(error) else (" for now", _PASSES)
        message = f"{what} {path} cannot be written{when}: {said}. {advice}"
        raise SentinelHubOutputError(message, final=is_final(error)) from error

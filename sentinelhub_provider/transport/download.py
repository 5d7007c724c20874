"""
Streams a body to a file that appears under its name only when it is complete.

Everything that can be wrong with the path is found out before the request is sent: a picture that cannot be stored
would be paid for all the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from sentinelhub_provider.exceptions import SentinelHubOutputError

DEFAULT_MODE = 0o666


@dataclass(frozen=True, slots=True)
class Download:
    """
    A body that was stored.

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


class Target(Protocol):
    """A place for one file. ``open`` fails where nothing can be written; ``commit`` makes the file appear."""

    path: str

    def open(self) -> None:
        """Make ready to write from the start, dropping what was written before."""

    def write(self, chunk: bytes) -> None:
        """Write the next bytes."""

    def commit(self) -> None:
        """Make the file appear under its name, whole."""

    def discard(self) -> None:
        """Leave nothing behind. Does nothing after ``commit``."""


class LocalTarget:
    """A file on this machine: written beside its place under another name, then renamed."""

    def __init__(self, path: str | Path) -> None:
        self._final = Path(path).expanduser().absolute()
        self._names_folder = str(path).endswith("/")
        self.path = str(self._final)
        self._file: IO[bytes] | None = None

    def open(self) -> None:
        """Make ready to write from the start, dropping what was written before."""
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
            return
        if self._names_folder or self._final.is_dir():
            raise IsADirectoryError(f"{self.path} is a folder")
        self._final.parent.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - lives until commit or discard
            dir=self._final.parent, prefix=f".{self._final.name}.", suffix=".part", delete=False
        )

    def write(self, chunk: bytes) -> None:
        """Write the next bytes."""
        if self._file is not None:
            self._file.write(chunk)

    def commit(self) -> None:
        """Make the file appear under its name, whole."""
        if self._file is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        part = Path(self._file.name)
        part.chmod(DEFAULT_MODE & ~_umask())  # a temporary file starts out private
        part.replace(self._final)
        self._file = None

    def discard(self) -> None:
        """Leave nothing behind. Does nothing after ``commit``."""
        if self._file is None:
            return
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)
        self._file = None


class FileSystemTarget:
    """
    An object in a store that fsspec reaches: collected on this machine's disk, uploaded once it is complete.

    Uploading while it arrives would save the disk space, but fsspec's stores do not agree on how to take back a
    half-written object, and some show it.

    :param file_system: an ``fsspec.AbstractFileSystem``.
    :param path: the object's path within it.
    :param shown: the path as the user wrote it.
    """

    def __init__(self, file_system: Any, path: str, *, shown: str) -> None:
        self._file_system = file_system
        self._path = path
        self.path = shown
        self._spool: IO[bytes] | None = None

    def open(self) -> None:
        """Make ready to write from the start, dropping what was written before."""
        if self.path.endswith("/"):
            raise IsADirectoryError("it ends with a slash, so it names a folder")
        if self._spool is None:
            self._spool = tempfile.NamedTemporaryFile(prefix="sentinelhub-", suffix=".part")  # noqa: SIM115
        self._spool.seek(0)
        self._spool.truncate()

    def write(self, chunk: bytes) -> None:
        """Write the next bytes."""
        if self._spool is not None:
            self._spool.write(chunk)

    def commit(self) -> None:
        """Make the object appear, whole."""
        if self._spool is None:
            return
        self._spool.flush()
        self._file_system.put_file(self._spool.name, self._path)
        self.discard()

    def discard(self) -> None:
        """Leave nothing behind. Does nothing after ``commit``."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None


class DownloadReceiver:
    """
    Takes a body to a target; the file appears when :meth:`complete` is called, and never otherwise.

    A context manager: entering opens the target (and finds out whether it can be written), leaving discards what was
    not completed.

    :raises SentinelHubOutputError: where the target cannot be written.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._digest = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        self.restart()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._target.discard()

    def restart(self) -> None:
        """Forget what was fed so far."""
        with self._errors_worded():
            self._target.open()
        self._digest = hashlib.sha256()
        self.size = 0

    def feed(self, chunk: bytes) -> None:
        """Write the next bytes."""
        with self._errors_worded():
            self._target.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    def complete(self, *, content_type: str, processing_units: float | None, url: str) -> Download:
        """Make the file appear and describe it."""
        with self._errors_worded():
            self._target.commit()
        return Download(
            path=self._target.path,
            size=self.size,
            sha256=self._digest.hexdigest(),
            content_type=content_type,
            processing_units=processing_units,
            url=url,
        )

    @contextlib.contextmanager
    def _errors_worded(self) -> Any:
        try:
            yield
        except Exception as error:
            raise SentinelHubOutputError(
                f"output_path {self._target.path} cannot be written: {error}. "
                "Check that it names a file, that the folder or bucket exists and is writable, and that there is space."
            ) from error


def _umask() -> int:
    """Read the process's umask, which can only be read by setting it."""
    current = os.umask(0)
    os.umask(current)
    return current

"""Stores the body of an answer in memory, on a disk, or in an object store.

A file appears in its place whole, or not at all. This module also decides whether an error of a storage may pass,
because storage libraries have no common base of their exceptions.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Self, TypeAlias

from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubOutputError
from sentinelhub_provider.origins import without_query
from sentinelhub_provider.transport.answers import EXCERPT_SIZE, Answer

# Seconds for which a store that does not take an object is tried again: what it is to take is paid for.
STORE_PATIENCE = 120.0
_PART = ".sentinelhub-{}.part"
_STALE = 24 * 3600.0  # age in seconds at which a part belongs to nobody any more

# Codes of S3 that pass, whatever status they come with; an upload that is not there any more is begun anew.
_PASSING_CODES = re.compile(
    "ExpiredToken|InternalError|NoSuchUpload|OperationAborted|RequestExpired|RequestTimeout|RequestTimeTooSkewed"
    "|ServiceUnavailable|SlowDown|Throttling|ThrottlingException|TokenRefreshRequired"
)

_PASSING_STATUSES = frozenset({408, 409, 425, 429})  # client errors (4xx) that pass

_FINAL_KINDS = (
    PermissionError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    ImportError,
    NotImplementedError,
    ValueError,
    TypeError,
)
_FINAL_NUMBERS = frozenset({errno.ENAMETOOLONG, errno.EROFS, errno.EINVAL, errno.ELOOP, errno.ENXIO})
# Airflow's missing connection, and what the libraries of AWS, Google and Azure say of credentials.
_FINAL_NAMES = re.compile(
    "AirflowNotFoundException|ClientAuthenticationError|DefaultCredentialsError|NoCredentialsError"
    "|ParamValidationError|PartialCredentialsError|ProfileNotFound"
)
_STAYS = (
    "Check that it names a file, that the folder or bucket exists and is writable, that the provider package for that "
    "storage is installed, and the connection."
)
_PASSES = "This may pass: a retry of the task tries again. Check that there is space, and that the storage answers."


class MemoryReceiver(BytesIO):
    """Keeps the body in memory once. ``getvalue()`` returns the buffer's own bytes, not a copy."""

    feed = BytesIO.write

    def restart(self) -> None:
        """Forget what was fed so far."""
        self.seek(0)
        self.truncate()


@dataclass(frozen=True, slots=True)
class Download:
    """A body that was stored.

    :param path: path as requested, absolute for local files.
    :param size: bytes.
    :param sha256: hexadecimal digest of those bytes.
    :param content_type: media type as the service named it, with its parameters.
    :param processing_units: cost of the request in PU, ``None`` if the service does not say.
    :param url: URL of the request, without query.
    """

    path: str
    size: int
    sha256: str
    content_type: str
    processing_units: float | None
    url: str


class Target(ABC):
    """Takes a body to the place of one file, which is opened on entering. The file appears only by :meth:`complete`."""

    path: str
    size: int = 0
    _file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def restart(self) -> None:
        """Start again from the first byte. Fails if nothing can be written."""
        with storing(self.path):
            if self._file is None:
                self._file = self._opened()
            elif self.size:
                self._file.seek(0)
                self._file.truncate()
        self._digest = hashlib.sha256()
        self.size = 0

    def feed(self, chunk: bytes) -> None:
        """Write the next bytes."""
        if self._file is not None:
            with storing(self.path):
                self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    def complete(self, *, content_type: str, processing_units: float | None, url: str) -> Download:
        """Make the file appear, whole, and describe it."""
        if self._file is not None:
            with storing(self.path):
                self._commit(self._file)
            Target.discard(self)
        return Download(self.path, self.size, self._digest.hexdigest(), content_type, processing_units, url)

    def discard(self) -> None:
        """Leave nothing behind. Does nothing after :meth:`complete`."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @abstractmethod
    def _opened(self) -> IO[bytes]:
        """Open the file that collects the bytes, on this machine."""

    @abstractmethod
    def _commit(self, file: IO[bytes]) -> None:
        """Make the file appear under its name."""

    def complete_with(self, answer: Answer, url: Any) -> Download:
        """Make the file appear and describe it by the answer that it came with, and where that came from."""
        content_type = answer.header("content-type") or ""
        return self.complete(
            content_type=content_type, processing_units=answer.processing_units, url=without_query(str(url))
        )


class LocalTarget(Target):
    """A local file, written without a name if the file system supports that, so that a kill leaves nothing behind.

    Otherwise it is written to a hidden file beside its place. Hidden files of killed tasks are removed after a day.

    :param path: the file. Of a symbolic link, the target is written.
    """

    def __init__(self, path: str | Path) -> None:
        self._final = Path(path).expanduser().absolute()
        self._names_folder = str(path).endswith("/")
        self.path = str(self._final)
        self._part: Path | None = None

    def _opened(self) -> IO[bytes]:
        # By few calls to the system: threads that store thousands of pictures wait for each other at every one.
        if self._final.is_symlink():
            self._final = Path(os.path.realpath(self._final))
        with suppress(FileNotFoundError):
            mode = self._final.stat().st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(f"{self.path} is a folder")
            if not stat.S_ISREG(mode):
                raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")
        if self._names_folder:
            raise IsADirectoryError(f"{self.path} is a folder")
        try:
            return self._nameless() or self._named()
        except FileNotFoundError:
            existing = next(folder for folder in self._final.parents if folder.exists())
            if len(os.fsencode(self._final.name)) > os.pathconf(existing, "PC_NAME_MAX"):
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)) from None
            self._final.parent.mkdir(parents=True, exist_ok=True)
            return self._nameless() or self._named()

    def _commit(self, file: IO[bytes]) -> None:
        file.flush()
        os.fsync(file.fileno())
        if self._part is None and _link(file, self._final):  # which replaces nothing
            return
        (self._part or self._name_it(file)).replace(self._final)
        self._part = None

    def discard(self) -> None:
        """Leave nothing behind. Does nothing after :meth:`complete`."""
        super().discard()
        if self._part is not None:
            self._part.unlink(missing_ok=True)
            self._part = None

    def _nameless(self) -> IO[bytes] | None:
        """Open a file that has no name yet. Return ``None`` if the system has no such files."""
        if not hasattr(os, "O_TMPFILE"):
            return None
        try:
            number = os.open(self._final.parent, os.O_TMPFILE | os.O_RDWR, 0o666)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC):
                raise
            return None
        return os.fdopen(number, "w+b")

    def _named(self) -> IO[bytes]:
        """Open a hidden part, whose permissions are those of any new file."""
        for left in self._final.parent.glob(_PART.format("*")):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > _STALE:
                    left.unlink()
        part = self._new_part()
        number = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        self._part = part
        return os.fdopen(number, "w+b")

    def _name_it(self, file: IO[bytes]) -> Path:
        """Give a nameless file a name beside its place."""
        self._part = part = self._new_part()
        if not _link(file, part):
            file.seek(0)
            with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), "wb") as copy:
                shutil.copyfileobj(file, copy)
                copy.flush()
                os.fsync(copy.fileno())
        return part

    def _new_part(self) -> Path:
        return self._final.parent / _PART.format(secrets.token_hex(8))


def _link(file: IO[bytes], path: Path) -> bool:
    """Give an open file a name, and tell whether that worked."""
    try:
        # The folder's number makes Python follow the link, as plain link() does not.
        os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=file.fileno(), follow_symlinks=True)
    except OSError:
        return False
    return True


class FileSystemTarget(Target):
    """An object in a store of fsspec. It is collected on the local disk, and uploaded once it is complete.

    An upload while it arrives would need no disk, but fsspec's stores differ in how to abort one, and some show a
    half-written object.

    :param path: the object's path within the file system.
    :param shown: the path as the user wrote it.
    """

    def __init__(
        self,
        file_system: Any,
        path: str,
        *,
        shown: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._file_system, self._path, self.path = file_system, path, shown
        self._clock, self._sleep = clock, sleep

    def _opened(self) -> IO[bytes]:
        if self.path.endswith("/"):
            raise IsADirectoryError("it ends with a slash, so it names a folder")
        prove_writable(self._file_system, self._path)
        # It goes with the process where the system has files without a name.
        has_nameless = Path("/proc/self/fd").is_dir()
        return (tempfile.TemporaryFile if has_nameless else tempfile.NamedTemporaryFile)(prefix="sentinelhub-")

    def _commit(self, file: IO[bytes]) -> None:
        # A store that does not take it for now is tried again for two minutes.
        file.flush()
        ends, wait = self._clock() + STORE_PATIENCE, 1.0
        while True:
            try:
                name = file.name if isinstance(file.name, str) else f"/proc/self/fd/{file.fileno()}"
                self._file_system.put_file(name, self._path)
                return
            except Exception as error:  # of the storage's library, whichever that is
                if is_final(error) or self._clock() + wait > ends:
                    raise
            self._sleep(wait)
            wait = min(2 * wait, 16.0)


Receiver: TypeAlias = MemoryReceiver | Target
"""Takes a body chunk by chunk. ``restart`` comes before each attempt and drops what an earlier one left."""


class Intake:
    """Takes in one answer. The body of a good one goes to the receiver. The beginning of each one is kept."""

    def __init__(self, receiver: Receiver, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.excerpt = b""
        self.size = 0
        self._status, self._headers = status, headers or {}
        self._receiver = receiver if status < 300 else MemoryReceiver()
        self._receiver.restart()

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes, and tell whether more are needed. Of a long error, they are not."""
        if self.size < EXCERPT_SIZE:
            self.excerpt += chunk[: EXCERPT_SIZE - self.size]
        self.size += len(chunk)
        self._receiver.feed(chunk)
        return self._status < 300 or self.size < EXCERPT_SIZE

    @property
    def answer(self) -> Answer:
        """What came."""
        return Answer(self._status, self._headers, self.excerpt, self.size)


def prove_writable(file_system: Any, path: str) -> None:
    """Find out whether an object can be written, and leave nothing behind, not even when killed on the way."""
    # S3 is asked to begin an upload, which is taken back. Other stores are asked whether the bucket is there.
    if hasattr(file_system, "call_s3"):
        bucket, key, _ = file_system.split_path(path)
        begun = file_system.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
        with suppress(Exception):  # the right to take an upload back is another than that to begin it
            file_system.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=begun["UploadId"])
        return
    protocols = file_system.protocol if isinstance(file_system.protocol, tuple) else (file_system.protocol,)
    has_buckets = not {"gs", "gcs", "abfs", "abfss", "az", "adl"}.isdisjoint(protocols)
    places = (path.strip("/").partition("/")[0], path) if has_buckets else (path,)
    for place in places:
        try:
            file_system.info(place)
        except FileNotFoundError:
            if place != path:
                raise
        except PermissionError:  # to look is another right than to write
            continue


def is_final(error: BaseException) -> bool:
    """Tell whether another try must fail again, as for a missing bucket or permission, or an impossible path."""
    # All else passes: a store that does not answer, or answers that it is busy, and a disk that is full.
    code, status = _code(error), _status(error)
    if _PASSING_CODES.fullmatch(code) or status in _PASSING_STATUSES:
        return False
    if isinstance(error, _FINAL_KINDS) or any(_FINAL_NAMES.fullmatch(kind.__name__) for kind in type(error).__mro__):
        return True
    if isinstance(error, OSError) and error.errno in _FINAL_NUMBERS:
        return True
    return status is not None and 400 <= status < 500


def _code(error: BaseException) -> str:
    responses = (getattr(one, "response", None) for one in (error, error.__cause__))
    found = next((response for response in responses if isinstance(response, dict)), None)
    return str((found or {}).get("Error", {}).get("Code"))


def _status(error: BaseException) -> int | None:
    for one in (error, error.__cause__):
        response: Any = getattr(one, "response", None)
        if isinstance(response, dict):
            named = [response.get("ResponseMetadata", {}).get("HTTPStatusCode")]
        else:
            named = [getattr(one, name, None) for name in ("status_code", "status", "code")]
        found = next((value for value in named if value is not None), None)
        if found is not None and not isinstance(found, bool):
            with suppress(TypeError, ValueError):
                return int(found)
    return None


@contextmanager
def storing(path: Any, what: str = "output_path") -> Iterator[None]:
    """Turn what a disk or a store says into a :class:`SentinelHubOutputError`, which says whether it stays so.

    :param path: as the user wrote it, in the argument ``what``.
    """
    try:
        yield
    except SentinelHubError:
        raise
    except Exception as error:
        said = str(error).rstrip(".") or type(error).__name__
        when, advice = ("", _STAYS) if is_final(error) else (" for now", _PASSES)
        message = f"{what} {path} cannot be written{when}: {said}. {advice}"
        raise SentinelHubOutputError(message, final=is_final(error)) from error

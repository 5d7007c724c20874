"""Keeps tokens in files: shared by all processes of a host, and of one user."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from sentinelhub_provider.oauth.stores import Blob

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700


class FileStore:
    """
    One file by key in a folder that only its owner can enter.

    :param folder: made where it is missing; its parent, too.
    :raises OSError: where the folder cannot be made, or belongs to somebody else.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        _refuse_foreign(folder)
        folder.chmod(_FOLDER_MODE)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} cannot be written to")
        self._folder = folder

    def read(self, key: str) -> Blob | None:
        """Return what is kept under ``key``, ``None`` where there is nothing."""
        try:
            return Blob(self._path(key).read_bytes())
        except FileNotFoundError:
            return None

    def write(self, key: str, data: bytes, lifetime: float) -> None:  # noqa: ARG002 - files do not expire
        """Keep ``data`` under ``key``: written beside its place and renamed, so that no reader sees half of it."""
        path = self._path(key)
        handle, part = tempfile.mkstemp(dir=self._folder, prefix=f".{key[:8]}.", suffix=".part")  # made 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(part).replace(path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise

    def delete(self, key: str) -> None:
        """Forget what is kept under ``key``."""
        self._path(key).unlink(missing_ok=True)

    def lock(self, key: str) -> FileStoreLock:
        """Return the lock of ``key``: the kernel frees it when its holder dies."""
        return FileStoreLock(self._folder / f"{key}.lock")

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.token"


class FileStoreLock:
    """A lock on a file."""

    def __init__(self, path: Path) -> None:
        # Taken and released in different threads when the caller is an event loop, hence not local to a thread.
        self._lock = FileLock(path, mode=_FILE_MODE, thread_local=False, is_singleton=False, poll_interval=0.01)

    def acquire(self, patience: float) -> bool:
        """Take the lock; ``False`` if it is not to be had within ``patience`` seconds."""
        try:
            self._lock.acquire(timeout=patience)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that somebody else made, as anybody could below a shared temporary folder."""
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode):
        raise NotADirectoryError(f"{folder} is not a folder")
    if hasattr(os, "getuid") and about.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")


def file_store(preferred: Path, fallback: Path) -> tuple[FileStore | None, str | None]:
    """
    Open the first folder of the two that can be used.

    :returns: the store (``None`` where neither can), and what is to be told about it (``None`` where all is well).
    """
    try:
        return FileStore(preferred), None
    except OSError as error:
        problem = f"tokens cannot be kept in {preferred} ({error})"
    with contextlib.suppress(OSError):
        return FileStore(fallback), f"{problem}; they are kept in {fallback} instead"
    return None, f"{problem}, nor in {fallback}; every process asks for its own"


def fallback_folder() -> Path:
    """Return a folder below the temporary one, of this user's own."""
    owner = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"sentinelhub-{owner}"

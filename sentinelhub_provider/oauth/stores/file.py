"""Keeps tokens in files, which all processes of one user on a host share."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import stat
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

from sentinelhub_provider.oauth.stores import Blob, StoreLock

log = logging.getLogger(__name__)
_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_PART = ".part"
_PART_LIFETIME = 60.0  # seconds; writing takes some thousandths of one


class FileStore:
    """One file by key in a folder that only its owner can enter, from :func:`usable_folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> Blob | None:
        """Return the bytes under ``key``, ``None`` if there are none."""
        try:
            return Blob(self._path(key).read_bytes())
        except FileNotFoundError:
            return None

    def write(self, key: str, data: bytes, lifetime: float) -> None:  # noqa: ARG002 - files do not expire
        """Store ``data`` under ``key``. It is written to a part file and renamed, so that no reader sees half of it."""
        self._make_ready()
        handle, part = tempfile.mkstemp(dir=self._folder, prefix=f".{key[:8]}.", suffix=_PART)  # made 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(part).replace(self._path(key))
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise

    def lock(self, key: str) -> StoreLock:
        """Return the lock of ``key``. The kernel frees it when its holder dies."""
        self._make_ready()
        # The lock is not local to a thread, because an event loop takes and releases it in different threads.
        path = self._folder / f"{key}.lock"
        lock = FileLock(path, mode=_FILE_MODE, thread_local=False, is_singleton=False, poll_interval=0.01)

        def acquire(patience: float) -> bool:
            try:
                return bool(lock.acquire(timeout=patience))
            except Timeout:
                return False

        return StoreLock(acquire, lock.release)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.token"

    def _make_ready(self) -> None:
        """Make the folder again if a cleaner removed it, and delete the parts that killed writers left."""
        self._folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        for part in self._folder.glob(f".*{_PART}"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > _PART_LIFETIME:
                    part.unlink()


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that another user owns or may enter. Anybody could make one below a shared temporary folder."""
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode):
        raise NotADirectoryError(f"{folder} is not a folder")
    if not hasattr(os, "getuid"):  # Windows, where the mode says nothing
        return
    if about.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    if about.st_mode & 0o077:  # the mode is not changed here, because other users may need the folder
        raise PermissionError(f"{folder} is open to others, try chmod 700")


@functools.cache  # one check and one warning for each process and folder
def usable_folder(preferred: Path) -> Path | None:
    """Return ``preferred`` if it is writable, else a temporary folder with a warning, else ``None``."""
    problem = _problem_with(preferred)
    if problem is None:
        return preferred
    owner = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    fallback = Path(tempfile.gettempdir()) / f"sentinelhub-{owner}"
    if _problem_with(fallback) is None:
        log.warning("tokens cannot be kept in %s (%s); they are kept in %s instead", preferred, problem, fallback)
        return fallback
    log.warning("tokens cannot be kept in %s (%s), nor in %s; every process gets its own", preferred, problem, fallback)
    return None


def _problem_with(folder: Path) -> OSError | None:
    """Prepare the folder, or return the error that prevents it."""
    try:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        _refuse_foreign(folder)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error

"""The places for results, in Airflow's terms."""

from __future__ import annotations

import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook, ObjectStoragePath
from filelock import FileLock

from sentinelhub_provider.exceptions import SentinelHubOutputError
from sentinelhub_provider.transport.download import Download, FileSystemTarget, LocalTarget, Target, storing

LOCAL = ("", "file", "local")  # protocols of this machine's disk
CHUNK = 1024 * 1024  # bytes that are copied at a time
LOCK_PATIENCE = 600.0
"""Seconds to wait for others that change the same folder."""


def is_object_path(path: Any) -> bool:
    """Tell whether a path is an ``ObjectStoragePath``, which Airflow 3.1 derives from ``pathlib.Path``.

    ``fs`` connects.
    """
    return hasattr(type(path), "fs")


def place_of(path: Any) -> Path | ObjectStoragePath:
    """Return a local path, or an ``ObjectStoragePath`` for a URL that Airflow's object storage knows."""
    if is_object_path(path):
        location = path
    elif isinstance(path, Path) or "://" not in str(path):
        return Path(path).expanduser().absolute()
    else:
        location = ObjectStoragePath(path)
    return Path(location.path) if location.protocol in LOCAL else location


def beside(path: Any, suffix: str) -> Any:
    """Return ``path`` with ``suffix`` after its name."""
    return f"{path}{suffix}" if isinstance(path, str) else path.with_name(f"{path.name}{suffix}")


def uri_of(path: Any) -> str:
    """Return a path as a URI for catalogs and lineage, absolute with ``file://``, or a URL without the connection."""
    text = str(path)
    if "://" not in text:
        return f"file://{Path(text).expanduser().absolute()}"
    scheme, _, rest = text.partition("://")
    host, slash, key = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{key}"


def parent(path: Any) -> str:
    """Return the folder that a file is in."""
    folder, slash, _ = str(path).rpartition("/")
    return folder or slash or "."


def relative(path: Any, folder: str) -> str:
    """Return where a file is, as seen from a folder: relative within a disk or bucket, else as a URL."""
    if parent(path) == folder:  # without a look at the disk, as for most of a folder's thousands of files
        return f"./{str(path).rpartition('/')[2]}"
    target, start = uri_of(path), uri_of(folder)
    if target.split("/", 3)[:3] != start.split("/", 3)[:3]:  # another storage or bucket
        return target
    found = posixpath.relpath(target, start)
    return found if found.startswith("../") else f"./{found}"


def exists(path: Any) -> bool:
    """Tell whether there is a file. Raises :class:`SentinelHubOutputError` where that cannot be told."""
    with storing(path):
        return bool(place_of(path).exists())


def target_for(path: Any) -> Target:
    """Return the target at a path. See :func:`place_of`. Raises :class:`SentinelHubOutputError`."""
    shown = str(path)
    if not shown.strip():
        raise SentinelHubOutputError("output_path is empty. Give the path of a file, or leave it out.")
    with storing(shown):
        place: Any = place_of(path)
        if not is_object_path(place):
            return LocalTarget(shown if isinstance(path, str) and "://" not in shown else place)
        check_connection(place)
        return FileSystemTarget(place.fs, place.path, shown=shown)


def forget_listings(place: Any) -> None:
    """Make an object storage look again. Its library caches listings, and others may have written since."""
    if is_object_path(place):
        place.fs.invalidate_cache()


def folder_lock(folder: Any, name: str = ".lock") -> AbstractContextManager[Any]:
    """Return the lock of a local folder, a file in it. An object storage has no lock."""
    if is_object_path(folder):
        return nullcontext()
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / name, timeout=LOCK_PATIENCE)


def check_connection(place: Any) -> None:
    """Look up the connection of an ``ObjectStoragePath``. Some storages ignore that it is missing."""
    conn_id = getattr(place, "conn_id", None) or getattr(place, "storage_options", {}).get("conn_id")
    if conn_id is not None:
        BaseHook.get_connection(conn_id)


def check_writable(path: Any) -> None:
    """Check that a file can be written. Leaves no file behind. Raises :class:`SentinelHubOutputError`."""
    with target_for(path):
        pass


def store(body: bytes | Path, path: Any, *, content_type: str) -> Download:
    """Store bytes or a copy of a local file, as a download is stored. Raises :class:`SentinelHubOutputError`."""
    with (
        BytesIO(body) if isinstance(body, bytes) else body.open("rb") as source,
        target_for(path) as receiver,
    ):
        while chunk := source.read(CHUNK):
            receiver.feed(chunk)
        return receiver.complete(content_type=content_type, processing_units=None, url="")


@contextmanager
def local_copy(place: Any) -> Iterator[Path]:
    """Give the path of a local file. For an object storage, it is that of a copy."""
    if not is_object_path(place):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="sentinelhub-") as folder:
        copy = Path(folder) / place.name
        with place.open("rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        yield copy

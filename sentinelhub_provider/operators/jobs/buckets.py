"""Reads the buckets of jobs through Airflow's object storage, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from airflow.providers.common.compat.sdk import BaseHook
from airflow.sdk import ObjectStoragePath

from sentinelhub_provider.api.job_requests.delivery import fixed_folder
from sentinelhub_provider.exceptions import SentinelHubOutputError
from sentinelhub_provider.transport.download import is_final

LIST_PAGE = 1000
"""Objects in one page of S3's listing."""


class Entry(NamedTuple):
    """An object: the part of its URL after the listed folder, and its size in bytes."""

    name: str
    size: int


class BucketError(SentinelHubOutputError):
    """The bucket cannot be used. The message says why, without credentials. A passing fault is not final."""


def open_path(url: str, conn_id: str | None) -> ObjectStoragePath:
    """Return a place in a bucket.

    :param url: ``s3://bucket/key`` or another URL that Airflow's object storage knows.
    :param conn_id: Airflow connection, ``None`` for the worker's own credentials.
    :raises BucketError: if the scheme's provider package or the connection is missing.
    """
    try:
        if conn_id is not None:
            BaseHook.get_connection(conn_id)  # some storages ignore that a connection is missing
        path = ObjectStoragePath(url, conn_id=conn_id)
        path.fs  # noqa: B018 - connects, and so finds out what is missing
    except Exception as error:
        said = f"{url} cannot be opened ({_said(error)}). {_advice(url)}"
        raise BucketError(said, final=is_final(error)) from error
    return path


def find_file_of_job(url: str, job_id: str, name: str, conn_id: str | None) -> ObjectStoragePath:
    """Return a file that a job leaves in its delivery.

    The documentation only says "root folder". So that is searched first, then the job's own folder below. ``url``: the
    job's delivery URL with its placeholders. Raises :class:`BucketError` if the file is missing or the bucket cannot be
    read.
    """
    root = fixed_folder(url)
    folders = [root] if root.endswith(f"/{job_id}") else [root, f"{root}/{job_id}"]
    places = [f"{folder}/{name}" for folder in folders]
    found = next((path for path in (open_path(place, conn_id) for place in places) if exists(path)), None)
    if found is None:
        raise BucketError(f"there is neither {' nor '.join(places)}")
    return found


@contextmanager
def asking(path: ObjectStoragePath, what: str) -> Iterator[None]:
    """Turn a storage's errors into a :class:`BucketError`, which says what failed."""
    try:
        yield
    except Exception as error:  # of the storage's library, whichever that is
        said = f"{shown(path)} cannot be {what} ({_said(error)}). {_advice(str(path))}"
        raise BucketError(said, final=is_final(error)) from error


def exists(path: ObjectStoragePath) -> bool:
    """Tell whether there is such an object. Raises :class:`BucketError` if the bucket cannot be read."""
    with asking(path, "checked"):
        return bool(path.fs.exists(path.path))


def fetch(path: ObjectStoragePath, target: str) -> None:
    """Copy an object into a local file. Raises :class:`BucketError` if it cannot be read."""
    with asking(path, "read"):
        path.fs.get_file(path.path, target)


def read(path: ObjectStoragePath, most: int | None = None) -> bytes:
    """Return an object, or at most its first ``most`` bytes. Raises :class:`BucketError` if it cannot be read."""
    with asking(path, "read"):
        return bytes(path.fs.cat_file(path.path, start=None if most is None else 0, end=most))


def entries(folder: ObjectStoragePath) -> Iterator[Entry]:
    """Yield the objects in and below a folder, page by page. Raises :class:`BucketError` if it cannot be listed."""
    with asking(folder, "listed"):
        yield from _pages_of_s3(folder) if hasattr(folder.fs, "call_s3") else _all_of(folder)


def _pages_of_s3(folder: ObjectStoragePath) -> Iterator[Entry]:
    bucket, _, key = folder.path.strip("/").partition("/")
    prefix = f"{key}/" if key else ""
    more: dict[str, Any] = {}
    while True:
        page = folder.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=LIST_PAGE, **more)
        for found in page.get("Contents") or ():
            yield Entry(found["Key"][len(prefix) :], int(found["Size"]))
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _all_of(folder: ObjectStoragePath) -> Iterator[Entry]:
    root = folder.path.rstrip("/")
    if not folder.fs.exists(root):
        return
    for name, found in folder.fs.find(root, detail=True).items():
        _, _, behind = str(name).partition(f"{root.lstrip('/')}/")
        yield Entry(behind or str(name).rpartition("/")[2], int(found.get("size") or 0))


def shown(path: ObjectStoragePath) -> str:
    """Return the URL of a place without its connection."""
    scheme, _, rest = str(path).partition("://")
    bucket, slash, key = rest.partition("/")
    return f"{scheme}://{bucket.rpartition('@')[2]}{slash}{key}"


def _said(error: BaseException) -> str:
    """Return the safe part of an error, because S3's own texts may hold an access key.

    :return: the kind of error, with the service's code if there is one.
    """
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    kind = type(error).__name__
    if code:
        return f"{kind}: {code}"
    is_plain = isinstance(error, ValueError | ImportError) or kind == "AirflowNotFoundException"
    return f"{kind}: {error}" if is_plain else kind


def _advice(url: str) -> str:
    package = {"s3": "amazon[s3fs]", "gs": "google"}.get(url.partition(":")[0])
    installed = f"that apache-airflow-providers-{package} is installed, and " if package else ""
    return f"Check {installed}that the connection may read that bucket"

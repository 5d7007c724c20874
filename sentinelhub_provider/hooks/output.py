"""Where a downloaded body is stored, in Airflow's terms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubOutputError

if TYPE_CHECKING:
    from sentinelhub_provider.transport.download import Download, Target


def target_for(path: Any) -> Target:
    """
    Return the place that a path names.

    :param path: a local path, a URL that Airflow's object storage knows, or an ``ObjectStoragePath``.
    :raises SentinelHubOutputError: where the path's scheme is unknown or its package or connection is missing.
    """
    from sentinelhub_provider.transport.download import FileSystemTarget, LocalTarget

    shown = str(path)
    if not shown.strip():
        raise SentinelHubOutputError("output_path is empty. Give the path of a file, or leave it out.")
    if isinstance(path, Path) or (isinstance(path, str) and "://" not in path):
        return LocalTarget(path)
    try:
        from airflow.sdk import ObjectStoragePath

        location = path if isinstance(path, ObjectStoragePath) else ObjectStoragePath(path)
        if location.protocol in ("", "file", "local"):
            return LocalTarget(location.path)
        return FileSystemTarget(location.fs, location.path, shown=shown)
    except Exception as error:
        raise SentinelHubOutputError(
            f"output_path {shown} cannot be opened: {error}. "
            "Check its scheme, that the provider package for that storage is installed, and the connection it names."
        ) from error


def store(body: bytes, path: Any, *, content_type: str) -> Download:
    """
    Store bytes that are at hand, in the way downloads are stored.

    :raises SentinelHubOutputError: where the path cannot be written.
    """
    from sentinelhub_provider.transport.download import DownloadReceiver

    with DownloadReceiver(target_for(path)) as receiver:
        receiver.feed(body)
        return receiver.complete(content_type=content_type, processing_units=None, url="")

"""The files that a Batch Process job delivered: how many there are, how large, and the names of the first.

A job may deliver a hundred thousand. They are listed page by page, and no more than what is returned is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sentinelhub_provider.api.job_requests.delivery import fixed_folder
from sentinelhub_provider.operators.arguments import number_of
from sentinelhub_provider.operators.jobs import buckets

FILES_NAMED = 100
"""Files whose URLs are returned; the result goes to Airflow's metadata database."""

DEFAULT = "<requestId>/<tileName>/<outputId>.<format>"
"""Where the service puts pictures below a URL without placeholders."""

_PLACEHOLDER = re.compile(r"<[^<>/]*>")
_REPORT = re.compile(r"(request|featureManifest|execution)-[^/]+\.(json|gpkg|sqlite)")
"""What the service itself keeps of jobs, beside their pictures."""


@dataclass(frozen=True, slots=True)
class DeliveredFiles:
    """What a job delivered: number of files, their size in bytes, their folder, and the URLs of the first of them."""

    count: int
    size: int
    folder: str
    first: tuple[str, ...]

    def __str__(self) -> str:
        return f"{number_of(self.count, 'file')} with {number_of(self.size, 'byte')} in {self.folder}"


def files_of_batch_process(
    url: str, job_id: str, conn_id: str | None = None, *, is_zarr: bool = False, most: int = FILES_NAMED
) -> DeliveredFiles:
    """List the files of a job that is over.

    A file is one whose name the delivery's URL can make; where that has no ``<requestId>``, files of other jobs count
    as well. ``url``: the delivery, with its placeholders. ``conn_id``: Airflow connection that reads the bucket.
    ``is_zarr``: whether there is one Zarr group, whose objects are counted. ``most``: URLs that are returned. Raises
    :class:`~sentinelhub_provider.operators.jobs.buckets.BucketError` where the bucket cannot be listed.
    """
    template = url if "<" in url or is_zarr else f"{url.rstrip('/')}/{DEFAULT}"
    template = template.replace("<requestId>", job_id)
    folder = template.rstrip("/") if is_zarr else fixed_folder(template)
    is_delivered = re.compile(".+" if is_zarr else _pattern(template[len(folder) :].lstrip("/")))
    count = size = 0
    first: list[str] = []
    for entry in buckets.entries(buckets.open_path(folder, conn_id)):
        if is_delivered.fullmatch(entry.name) and not _REPORT.fullmatch(entry.name.rpartition("/")[2]):
            count, size = count + 1, size + entry.size
            if len(first) < most:
                first.append(f"{folder}/{entry.name}")
    return DeliveredFiles(count, size, folder, tuple(first))


def _pattern(template: str) -> str:
    """Return the regular expression of names that a template makes; a placeholder stands for no slash."""
    return "[^/]+".join(map(re.escape, _PLACEHOLDER.split(template)))

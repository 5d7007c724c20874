"""The delivered files of a Batch Process job: their number, their size, and the names of the first ones.

A job may deliver a hundred thousand files. They are listed page by page, and only the returned ones are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sentinelhub_provider.api.job_requests.delivery import fixed_folder
from sentinelhub_provider.operators.arguments import number_of
from sentinelhub_provider.operators.jobs import buckets
from sentinelhub_provider.stac import COLLECTION_FILE, ITEM_SUFFIX

FILES_NAMED = 100
"""Number of returned URLs, because the result goes to Airflow's metadata database."""

DEFAULT = "<requestId>/<tileName>/<outputId>.<format>"
"""The service's names of pictures below a URL without placeholders."""

NAMES = ("tileName", "outputId")
"""Placeholders that identify a file."""

_PLACEHOLDER = re.compile(r"<([^<>/]*)>")
_OTHERS = re.compile(
    r"(.*/)?((request|featureManifest|execution)-[^/]+\.(json|gpkg|sqlite)|"
    rf"{re.escape(COLLECTION_FILE)}|[^/]+{re.escape(ITEM_SUFFIX)})"
)
"""The service's own files about jobs, beside their pictures, and their STAC Items."""


@dataclass(frozen=True, slots=True)
class DeliveredFiles:
    """The delivered files of a job: their number, their size in bytes, their folder, and the URLs of the first ones."""

    count: int
    size: int
    folder: str
    first: tuple[str, ...]

    def __str__(self) -> str:
        return f"{number_of(self.count, 'file')} with {number_of(self.size, 'byte')} in {self.folder}"


def files_of_batch_process(
    url: str,
    job_id: str,
    conn_id: str | None = None,
    *,
    is_zarr: bool = False,
    most: int = FILES_NAMED,
    outputs: tuple[str, ...] = (),
    on_file: Callable[[str, str, str, int], object] = lambda *_: None,
) -> DeliveredFiles:
    """List the files of a job that is over.

    A file counts if the delivery's URL can make its name. Without ``<requestId>`` in it, files of other jobs count as
    well. ``url``: the delivery with its placeholders. ``conn_id``: Airflow connection that reads the bucket.
    ``is_zarr``: whether there is one Zarr group, whose objects are counted. ``most``: number of returned URLs.
    ``outputs``: identifiers of the job's outputs. ``on_file``: gets the tile, the output, the URL and the size in bytes
    of each file if ``outputs`` are given. Raises :class:`~sentinelhub_provider.operators.jobs.buckets.BucketError` if
    the bucket cannot be listed.
    """
    template = url if "<" in url or is_zarr else f"{url.rstrip('/')}/{DEFAULT}"
    template = template.replace("<requestId>", job_id)
    folder = template.rstrip("/") if is_zarr else fixed_folder(template)
    is_delivered = re.compile(".+" if is_zarr else _pattern(template[len(folder) :].lstrip("/"), outputs))
    count = size = 0
    first: list[str] = []
    for entry in buckets.entries(buckets.open_path(folder, conn_id)):
        if (found := is_delivered.fullmatch(entry.name)) and not _OTHERS.fullmatch(entry.name):
            count, size = count + 1, size + entry.size
            named = {**dict.fromkeys(NAMES), **found.groupdict()}
            if outputs and named["tileName"]:
                on_file(named["tileName"], named["outputId"] or outputs[0], f"{folder}/{entry.name}", entry.size)
            if len(first) < most:
                first.append(f"{folder}/{entry.name}")
    return DeliveredFiles(count, size, folder, tuple(first))


def _pattern(template: str, outputs: tuple[str, ...] = ()) -> str:
    """Return the regular expression of the names from a template. A placeholder does not match a slash."""
    first, *others = _PLACEHOLDER.split(template)
    pattern, seen = re.escape(first), set[str]()
    for name, text in zip(others[::2], others[1::2], strict=True):
        one = "|".join(map(re.escape, outputs)) if name == "outputId" and outputs else "[^/]+?"
        is_known = name in NAMES
        group = f"(?P={name})" if is_known and name in seen else f"(?P<{name}>{one})" if is_known else one
        pattern += group + re.escape(text)
        seen.add(name)
    return pattern

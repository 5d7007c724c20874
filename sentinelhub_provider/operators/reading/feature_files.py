"""Features from where users keep them: in the DAG, beside it, on a disk, in a bucket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.geo.features import Features
from sentinelhub_provider.operators.reading.input_files import is_remote, local_file, read_text, reading, remote

if TYPE_CHECKING:
    from sentinelhub_provider.operators.reading.feature_tables import TableFeatures

TABLES = (".gpkg", ".parquet", ".geoparquet", ".pq")
"""Endings of files that are tables; all others are GeoJSON."""


_reading = partial(reading, field="features", what="GeoJSON")


@contextmanager
def open_features(
    value: Any, *, id_property: str | None = None, folders: Iterable[str] = ()
) -> Iterator[Features | TableFeatures]:
    """
    Read features; they are there for as long as the context lasts.

    :param value: GeoJSON as mapping or text, or the path of a GeoJSON, GeoPackage or GeoParquet file: local, or a URL
        that Airflow's object storage knows.
    :param id_property: the property that tells features apart.
    :param folders: where a relative path is looked for, after the working directory.
    :raises SentinelHubRequestError: where there is no such file, or it cannot be read.
    """
    is_text = isinstance(value, str) and value.lstrip("\ufeff \t\r\n\x1e")[:1] in ("{", "[")
    if is_text or not (isinstance(value, str | Path) or hasattr(value, "fs")):
        yield Features(value, id_property=id_property)
    elif not str(value).lower().endswith(TABLES):
        with _reading(value):
            text = read_text(value, folders)
        yield Features(text, id_property=id_property)
    else:
        with tempfile.TemporaryDirectory(prefix="sentinelhub-") as folder:
            with _reading(value):
                features = _table_of(_local(value, folders, Path(folder)), id_property)
            yield features


def _table_of(path: Path, id_property: str | None) -> TableFeatures:
    from sentinelhub_provider.operators.reading.feature_tables import read_geopackage, read_geoparquet

    read = read_geopackage if path.suffix.lower() == ".gpkg" else read_geoparquet
    return read(path, id_property=id_property)


def _local(path: Any, folders: Iterable[str], folder: Path) -> Path:
    """Return a file that a database can open: the path's own, or a copy of the object."""
    if not is_remote(path):
        return local_file(path, folders)
    location = remote(path)
    copy = folder / str(location.name)
    location.fs.get_file(location.path, str(copy))
    return copy

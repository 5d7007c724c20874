"""Features from where users keep them: in the DAG, beside it, on a disk, in a bucket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.features import Features
from sentinelhub_provider.exceptions import SentinelHubRequestError

if TYPE_CHECKING:
    from sentinelhub_provider.operators.feature_tables import TableFeatures

TABLES = (".gpkg", ".parquet", ".geoparquet", ".pq")
"""Endings of files that are tables; all others are GeoJSON."""


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
        yield Features(_text_of(value, folders), id_property=id_property)
    else:
        with tempfile.TemporaryDirectory(prefix="sentinelhub-") as folder:
            with _worded(value):
                features = _table_of(_local(value, folders, Path(folder)), id_property)
            yield features


def _table_of(path: Path, id_property: str | None) -> TableFeatures:
    from sentinelhub_provider.operators.feature_tables import read_geopackage, read_geoparquet

    read = read_geopackage if path.suffix.lower() == ".gpkg" else read_geoparquet
    return read(path, id_property=id_property)


def _local(path: Any, folders: Iterable[str], folder: Path) -> Path:
    """Return a file that a database can open: the path's own, or a copy of the object."""
    if not _is_remote(path):
        found = _found(Path(path).expanduser(), folders)
        if not found.exists():
            raise FileNotFoundError(f"there is no file {found}")
        return found
    from airflow.sdk import ObjectStoragePath

    location = path if hasattr(path, "fs") else ObjectStoragePath(path)
    copy = folder / location.name
    location.fs.get_file(location.path, str(copy))
    return copy


def _is_remote(path: Any) -> bool:
    return not isinstance(path, Path) and (hasattr(path, "fs") or "://" in path)


def _text_of(path: Any, folders: Iterable[str]) -> str:
    with _worded(path):
        if _is_remote(path):
            from airflow.sdk import ObjectStoragePath

            content = (path if hasattr(path, "fs") else ObjectStoragePath(path)).read_bytes()
        else:
            content = _found(Path(path).expanduser(), folders).read_bytes()
        return str(content.decode("utf-8"))


@contextmanager
def _worded(path: Any) -> Iterator[None]:
    """Turn what goes wrong with a file into an error that names it."""
    try:
        yield
    except SentinelHubRequestError:
        raise
    except UnicodeDecodeError as error:
        raise SentinelHubRequestError(
            f"features: {path} is no GeoJSON: it is not text in UTF-8. Convert it, for example with "
            "ogr2ogr fields.geojson and its name.",
            field="features",
        ) from error
    except Exception as error:
        raise SentinelHubRequestError(
            f"features: {path} cannot be read: {error}. Give GeoJSON, the path of a file that the worker can read, or "
            "a URL such as s3://my_conn@my-bucket/fields.geojson.",
            field="features",
        ) from error


def _found(path: Path, folders: Iterable[str]) -> Path:
    places = [path] if path.is_absolute() else [path, *(Path(folder) / path for folder in folders)]
    return next((place for place in places if place.exists()), path)

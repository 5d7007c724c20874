"""Bring the files that arguments name to this machine, and read tables of features from them.

Pyogrio reads the formats of GDAL, pyarrow reads GeoParquet, some thousand rows at a time.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import shapely

from sentinelhub_provider.api.geo.crs import Crs, parse_crs
from sentinelhub_provider.api.values import decode
from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubRequestError, SentinelHubTransportError
from sentinelhub_provider.transport.download import is_final

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

ROWS = 5_000  # Rows that are in memory at a time
ENDINGS = (".shp", ".gpkg", ".fgb", ".kml", ".gml", ".tab", ".geojson", ".json")
"""Files of features that are looked for in a ZIP archive."""
CONVERT = "convert the file to GeoJSON, which needs nothing more"
WORKERS_FILES = "the path of a file that the worker can read or that lies beside the DAG, or a URL"
ABSENT = object()  # Instead of an id
Row = tuple[Any, Any, dict[str, Any]]
"""The file's own id, the geometry (of shapely, a text that says why it cannot be read, or ``None``), the properties."""


def template_folders(operator: BaseOperator) -> list[str]:
    """Return the folders of an operator's templates, with its DAG's folder. Files that it names may lie there."""
    loader = operator.get_template_env().loader
    return [str(folder) for folder in getattr(loader, "searchpath", ())]


def is_remote(path: Any) -> bool:
    """Tell whether a path is a URL, or an ``ObjectStoragePath``, which on Airflow 3.1 is a ``pathlib.Path``, too."""
    return hasattr(type(path), "fs") or (isinstance(path, str) and "://" in path)


@contextmanager
def open_file(path: Any, *, field: str, what: str, folders: Iterable[str] = ()) -> Iterator[Path]:
    """Give a local file. An object of a storage is copied to a local file for as long as the context lasts.

    :func:`naming_file` reports faults of its content.

    :param path: absolute or relative path, also from ``~``, a URL that Airflow's object storage knows, or its
        ``ObjectStoragePath``.
    :param field: name of the argument, for errors.
    :param what: its content, such as ``GeoJSON``.
    :param folders: where a relative path is searched, after the working directory.
    :raises SentinelHubTransportError: if the object storage fails in a way that may pass.
    """
    with tempfile.TemporaryDirectory(prefix="sentinelhub-") as folder:
        try:
            file = _fetch(path, Path(folder)) if is_remote(path) else _find(path, folders)
        except Exception as error:
            raise unreadable(path, error, field, what, is_remote=is_remote(path)) from error
        yield file


@contextmanager
def naming_file(path: Any, *, field: str, what: str) -> Iterator[None]:
    """Turn a library's exception about a broken file into an error that names it. See :func:`open_file`."""
    try:
        yield
    except SentinelHubError:
        raise
    except (OSError, ValueError, LookupError, RuntimeError) as error:
        raise unreadable(path, error, field, what, is_remote=False) from error


def read_text(path: Any, *, field: str, what: str, folders: Iterable[str] = ()) -> str:
    """Read a text in UTF-8, with or without byte order mark. See :func:`open_file`."""
    with open_file(path, field=field, what=what, folders=folders) as file, naming_file(path, field=field, what=what):
        if not (text := decode(file.read_bytes())).strip():
            raise ValueError("it is empty")
        return text


def _find(path: str | Path, folders: Iterable[str]) -> Path:
    path = Path(path).expanduser()
    places = [path] if path.is_absolute() else [path, *(Path(folder) / path for folder in folders)]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise FileNotFoundError(f"there is no file {path}")
    return found


def _fetch(path: Any, folder: Path) -> Path:
    """Copy an object, or all parts of a Shapefile."""
    from airflow.sdk import ObjectStoragePath

    location: Any = path if hasattr(type(path), "fs") else ObjectStoragePath(path)
    keys = [str(location.path)]
    if keys[0].lower().endswith(".shp"):
        beside = location.fs.ls(keys[0].rpartition("/")[0], detail=False)
        stem = PurePosixPath(keys[0]).stem
        keys += [key for key in beside if PurePosixPath(key).stem == stem and PurePosixPath(key).suffix != ".shp"]
    for key in keys:
        location.fs.get_file(key, str(folder / PurePosixPath(key).name))
    return folder / PurePosixPath(keys[0]).name


def unreadable(path: Any, error: Exception, field: str, what: str, *, is_remote: bool) -> SentinelHubError:
    """Return the error about an unreadable file. ``what``: its expected content. ``is_remote``: it is in a storage."""
    said = f"{field} names the file {path}, which cannot be read: {str(error).rstrip('.') or type(error).__name__}."
    if is_remote and not is_final(error):
        return SentinelHubTransportError(f"{said} The object storage may do it later.")
    return SentinelHubRequestError(
        f"{said} Give {what}, {WORKERS_FILES} such as s3://my_conn@my-bucket/fields.geojson.",
        field=field,
    )


def require(module: str, *, what: str = "Parquet", field: str = "features", otherwise: str) -> Any:
    """Return a library that ``what`` needs. ``field`` is the argument, ``otherwise`` the advice if it is missing."""
    extra = {"pyogrio": "vector", "pyarrow": "parquet", "deltalake": "delta"}[module]
    try:
        return import_module(module)
    except ImportError as error:
        raise SentinelHubRequestError(
            f"{field}: {what} needs {module}, which is not installed. Install it where the worker runs: pip install "
            f"'airflow-provider-sentinelhub[{extra}]'; or {otherwise}."
        ) from error


class VectorTable:
    """A layer of a file that GDAL reads. ``folder`` takes a copy if GDAL would write beside the file."""

    def __init__(self, path: Path, name: str, *, layer: str | None, folder: Path) -> None:
        pyogrio = require("pyogrio", what=name, otherwise=CONVERT)
        try:
            self._path = _in_archive(path, name, layer) if zipfile.is_zipfile(path) else str(_quiet(path, folder))
            layers = [str(row[0]) for row in pyogrio.list_layers(self._path) if row[1] is not None]
            self._layer = _chosen(layers, layer, name)
            info = pyogrio.read_info(self._path, layer=self._layer, force_feature_count=True)
        except pyogrio.errors.DataSourceError as error:
            raise ValueError(f"GDAL says {str(error).rstrip('.')}") from error
        self.count = int(info["features"])
        self.columns = [str(column) for column in info["fields"]]
        # A column of whole numbers or booleans comes as floats where a cell of it is empty.
        kinds = {"i": int, "u": int, "b": bool}
        self._kinds = {name: kinds.get(str(kind)[0]) for name, kind in zip(self.columns, info["dtypes"], strict=True)}
        self.crs: Crs | None = parse_crs(str(info["crs"]), f"{name}'s crs") if info["crs"] else None

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """Yield the rows, with the columns that are wanted."""
        from pyogrio.raw import read

        for start in range(0, self.count, ROWS):
            meta, ids, blobs, columns = read(
                self._path,
                layer=self._layer,
                columns=list(wanted),
                skip_features=start,
                max_features=ROWS,
                return_fids=True,
                force_2d=True,
            )
            names = [str(name) for name in meta["fields"]]
            for identifier, shape, *values in zip(ids, _shapes(blobs), *columns, strict=True):
                yield int(identifier), shape, dict(zip(names, map(self._cell, names, values), strict=True))

    def _cell(self, name: str, value: Any) -> Any:
        kind, cell = self._kinds.get(name), plain(value)
        return cell if cell is None or kind is None else kind(cell)


class ParquetTable:
    """GeoParquet whose geometries are WKB. ``name`` is the file's name in messages."""

    def __init__(self, path: Path, name: str) -> None:
        require("pyarrow", what=name, otherwise=CONVERT)
        from pyarrow import parquet

        self._path = path
        with parquet.ParquetFile(path) as file:
            text = (file.schema_arrow.metadata or {}).get(b"geo")
            names, self.count = list(file.schema_arrow.names), int(file.metadata.num_rows)
        geo = json.loads(text) if text else {}
        columns = geo.get("columns") if isinstance(geo, Mapping) else None
        self._geometry = geo.get("primary_column") if isinstance(columns, Mapping) else None
        described = columns.get(self._geometry) if isinstance(columns, Mapping) else None
        if not isinstance(described, Mapping):
            described = {}
        if described.get("encoding") != "WKB" or self._geometry not in names:
            raise SentinelHubRequestError(
                f"features: {name} is no GeoParquet with geometries as WKB. Write it with geopandas' to_parquet, or "
                "with ogr2ogr."
            )
        self.columns = [column for column in names if column != self._geometry]
        system = described.get("crs", "OGC:CRS84")
        # PROJJSON, or WKT in files of before GeoParquet 1.0.
        self.crs: Crs | None = None if system is None else parse_crs(system, f"{name}'s crs")

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """Yield the rows with the wanted columns. Their numbers are their ids."""
        from pyarrow import parquet

        number = 0
        with parquet.ParquetFile(self._path) as file:
            for batch in file.iter_batches(ROWS, columns=[*wanted, self._geometry]):
                shapes = _shapes(batch.column(self._geometry).to_pylist())
                for shape, row in zip(shapes, batch.select(list(wanted)).to_pylist(), strict=True):
                    yield number, shape, {name: plain(value) for name, value in row.items()}
                    number += 1


def plain(value: Any) -> Any:
    """Return a cell as a JSON value, and ``None`` for NaN and NaT."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if value is None or value != value:
        return None
    if isinstance(value, str | int | float | list | tuple | dict):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.hex() if isinstance(value, bytes) else value.isoformat() if hasattr(value, "isoformat") else str(value)


def _shapes(blobs: Any) -> Iterator[Any]:
    for blob, shape in zip(blobs, shapely.from_wkb(blobs, on_invalid="ignore"), strict=True):
        yield "has a geometry that cannot be read" if shape is None and blob is not None else shape


def _chosen(layers: list[str], layer: str | None, name: str) -> str:
    names = ", ".join(layers) or "none"
    if layer is None and len(layers) != 1:
        raise SentinelHubRequestError(
            f"features: {name} must have one layer of features, but has: {names}. Choose one with layer.",
            field="layer" if layers else "features",
        )
    if layer is not None and layer not in layers:
        raise SentinelHubRequestError(f"layer is {layer!r}, but {name} has: {names}.")
    return layers[0] if layer is None else layer


def _in_archive(path: Path, name: str, layer: str | None) -> str:
    """Return how GDAL names the file of features in a ZIP archive, which may lie in a folder there."""
    with zipfile.ZipFile(path) as archive:
        inside = [one for one in archive.namelist() if one.lower().endswith(ENDINGS) and "__MACOSX" not in one]
    if len(inside) > 1:
        stem = _chosen([PurePosixPath(one).stem for one in inside], layer, name)
        inside = [one for one in inside if PurePosixPath(one).stem == stem]
    return "/".join(["/vsizip", str(path.absolute()), *inside])


def _quiet(path: Path, folder: Path) -> Path:
    """Return a file that reading does not change. For a SQLite database in WAL mode, it is a copy."""
    if not path.is_file():
        return path
    with path.open("rb") as file:
        head = file.read(20)
    if not (head.startswith(b"SQLite format 3") and 2 in head[18:20]):
        return path
    for part in (path, path.with_name(f"{path.name}-wal")):
        if part.is_file():
            shutil.copyfile(part, folder / part.name)
    return folder / path.name

"""Features from tables: GeoPackage, which is SQLite, and GeoParquet, which needs pyarrow. Read row by row."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sentinelhub_provider.api.geo.crs import Crs, parse_crs
from sentinelhub_provider.api.geo.features import Feature
from sentinelhub_provider.api.geo.wkb import from_geopackage, from_wkb
from sentinelhub_provider.exceptions import SentinelHubRequestError

ROWS = 1000
"""Rows of GeoParquet that are in memory at a time."""

Rows = Iterator[tuple[Any, bytes | None]]


class TableFeatures:
    """
    The features of a table; can be iterated over more than once.

    :param open_rows: begins to read: identifier and binary geometry of each row.
    :param decode: reads a geometry.
    :param count: how many rows there are.
    :param crs: what the table says of itself.
    :raises SentinelHubRequestError: where there is no row.
    """

    def __init__(
        self,
        open_rows: Callable[[], Rows],
        decode: Callable[[bytes], dict[str, Any] | None],
        *,
        count: int,
        crs: Crs | None,
    ) -> None:
        if not count:
            raise SentinelHubRequestError("features is empty: the table has no row.", field="features")
        self._open_rows, self._decode, self._count, self.crs = open_rows, decode, count, crs

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Feature]:
        for number, (identifier, blob) in enumerate(self._open_rows()):
            is_id = isinstance(identifier, int | str) and not isinstance(identifier, bool) and identifier != ""
            name = identifier if is_id else number
            problem = None if is_id else "has no text or number in the column that id_property names"
            geometry = None
            if problem is None:
                try:
                    geometry = None if blob is None else self._decode(blob)
                except ValueError as error:
                    problem = str(error)
            if geometry is None:
                problem = problem or "has no geometry"
            yield Feature(number, name, geometry, problem=problem)


def read_geopackage(path: Path, *, id_property: str | None = None) -> TableFeatures:
    """
    Read the one table of features that a GeoPackage has.

    :param id_property: column that names features; the table's key by default.
    :raises SentinelHubRequestError: where it has none or several, or no such column.
    """
    with closing(_connect(path)) as database:
        layers = database.execute(
            "SELECT g.table_name, g.column_name, s.organization, s.organization_coordsys_id "
            "FROM gpkg_geometry_columns g LEFT JOIN gpkg_spatial_ref_sys s ON s.srs_id = g.srs_id"
        ).fetchall()
        if len(layers) != 1:
            names = ", ".join(layer[0] for layer in layers) or "none"
            raise SentinelHubRequestError(
                f"features: {path} must have one layer, but has: {names}. Extract one, for example with "
                "ogr2ogr fields.gpkg and its name.",
                field="features",
            )
        table, geometry, organization, code = layers[0]
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({_quoted(table)})")]
        if id_property is not None and id_property not in columns:
            raise _no_column(id_property, columns)
        (count,) = database.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()  # noqa: S608 - quoted
    key = "rowid" if id_property is None else _quoted(id_property)
    query = f"SELECT {key}, {_quoted(geometry)} FROM {_quoted(table)} ORDER BY rowid"  # noqa: S608 - quoted

    def rows() -> Rows:
        with closing(_connect(path)) as database:
            yield from database.execute(query)

    crs = parse_crs(int(code), "features' crs") if str(organization).upper() == "EPSG" else None
    return TableFeatures(rows, from_geopackage, count=count, crs=crs)


def read_geoparquet(path: Path, *, id_property: str | None = None) -> TableFeatures:
    """
    Read GeoParquet whose geometries are WKB.

    :param id_property: column that names features; their number by default.
    :raises SentinelHubRequestError: where it is no GeoParquet, has no such column, or pyarrow is not installed.
    """
    from sentinelhub_provider.operators.statistical.tables import require_pyarrow

    require_pyarrow(field="features", otherwise="give GeoJSON or GeoPackage")
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        text = (file.schema_arrow.metadata or {}).get(b"geo")
        columns = list(file.schema_arrow.names)
        count = file.metadata.num_rows
    geo = json.loads(text) if text else {}
    geometry = geo.get("primary_column")
    described = (geo.get("columns") or {}).get(geometry) or {}
    if described.get("encoding") != "WKB":
        raise SentinelHubRequestError(
            f"features: {path} is no GeoParquet with geometries as WKB. Convert it, for example with ogr2ogr.",
            field="features",
        )
    if id_property is not None and id_property not in columns:
        raise _no_column(id_property, columns)

    def rows() -> Rows:
        number = 0
        wanted = [geometry] if id_property is None else [id_property, geometry]
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS, columns=wanted):
                blobs = batch.column(geometry).to_pylist()
                names = (
                    range(number, number + len(blobs)) if id_property is None else batch.column(id_property).to_pylist()
                )
                number += len(blobs)
                yield from zip(names, blobs, strict=True)

    named = (described.get("crs") or {}).get("id") or {}
    crs = parse_crs(int(named["code"]), "features' crs") if named.get("authority") == "EPSG" else None
    return TableFeatures(rows, from_wkb, count=count, crs=crs)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _no_column(name: str, columns: list[str]) -> SentinelHubRequestError:
    return SentinelHubRequestError(
        f"id_property is {name!r}, but the table has only {', '.join(columns)}.", field="id_property"
    )

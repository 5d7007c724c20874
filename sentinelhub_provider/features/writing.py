"""Writes GeoPackages for Batch Process and Batch Statistics, and STAC items as GeoParquet 1.1."""

from __future__ import annotations

import hashlib
import io
import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape as shape_of

from sentinelhub_provider.api.geo.crs import Crs
from sentinelhub_provider.api.geo.geometry import BBox, Geometry
from sentinelhub_provider.api.values import as_number
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.features.files import ROWS, require

TABLE = "features"
MAX_FEATURES = 700_000  # Features that a GeoPackage may have (documentation of both APIs)

CONTENT_TYPE = "application/vnd.apache.parquet"
TIMES = ("datetime", "start_datetime", "end_datetime", "created", "updated")
NUMBERS = ("gsd", "eo:cloud_cover", "eo:snow_cover", "view:sun_azimuth", "view:sun_elevation", "view:off_nadir")
INTEGERS = ("proj:epsg", "sat:absolute_orbit", "sat:relative_orbit")
TEXTS = ("platform", "constellation", "grid:code", "sat:orbit_state", "sar:instrument_mode", "title")
"""Properties that every table has, even without rows. They are those of STAC and its extensions at Sentinel Hub."""


@dataclass(frozen=True, slots=True)
class Written:
    """The content of a GeoPackage. The digest is that of CRS, identifiers and geometries, not of other bytes."""

    count: int
    digest: str
    bbox: BBox


def write_geopackage(path: Path, features: Iterable[tuple[str, Geometry]], crs: Crs) -> Written:
    """Write a new GeoPackage of identifiers and polygons in one CRS, which get their ids in this order, from 1."""
    otherwise = "give the URL of one that is in a bucket already"
    require("pyogrio", what="the GeoPackage that a job reads", otherwise=otherwise)
    from pyogrio.raw import write

    digest = hashlib.sha256(f"EPSG:{crs.epsg}".encode())
    count, boxes = 0, []
    rest = iter(features)
    while rows := list(islice(rest, min(ROWS, MAX_FEATURES + 1 - count))):
        if count + len(rows) > MAX_FEATURES:
            raise SentinelHubRequestError(
                f"features has more than {MAX_FEATURES:,}, the most that a job takes. Split them up."
            )
        names = np.array([name for name, _ in rows], dtype=object)
        shapes = [shapely.MultiPolygon(geometry.parts) for _, geometry in rows]
        blobs = shapely.to_wkb(np.array(shapes))
        for name, blob in zip(names, blobs, strict=True):
            digest.update(f"{len(name)} {len(blob)} {name}".encode() + blob)
        write(
            str(path),
            blobs,
            [names],
            ["identifier"],
            layer=TABLE,
            driver="GPKG",
            geometry_type="MultiPolygon",
            crs=f"EPSG:{crs.epsg}",
            append=count > 0,
            **({} if count else {"FID": "id", "GEOMETRY_NAME": "geometry", "SPATIAL_INDEX": "NO"}),
        )
        count += len(rows)
        boxes.append(shapely.total_bounds(shapes))
    if not count:
        raise SentinelHubRequestError("features is empty: there is none to process.")
    _refuse_repeated(path)
    box = np.array(boxes)
    return Written(count, digest.hexdigest(), BBox(*map(float, (*box[:, :2].min(axis=0), *box[:, 2:].max(axis=0)))))


def _refuse_repeated(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        repeated = database.execute(
            f"SELECT identifier FROM {TABLE} GROUP BY identifier HAVING count(*) > 1 LIMIT 1"  # noqa: S608 - a name of our own
        ).fetchone()
    if repeated:
        raise SentinelHubRequestError(
            f"features: the identifier {repeated[0]!r} stands for more than one. Choose a property that tells them "
            "apart with id_property."
        )


def require_geoparquet() -> Any:
    """Return pyarrow."""
    return require("pyarrow", field="output_path", otherwise="let output_path end with .json")


def to_geoparquet(items: Sequence[Mapping[str, Any]]) -> bytes:
    """Write items as GeoParquet.

    The columns are ``id``, ``collection``, ``bbox`` (four numbers, degrees) and the properties above, with times as
    timestamps in UTC. Every other property of an item follows as text, or as JSON if it is not text. The last columns
    are ``assets`` and ``links`` as JSON, and ``geometry`` (WKB, longitude and latitude).
    """
    pyarrow = require_geoparquet()
    # It carries no type information.
    parquet = import_module("pyarrow.parquet")
    columns: dict[str, Any] = {
        "id": pyarrow.array([item.get("id") for item in items], pyarrow.string()),
        "collection": pyarrow.array([item.get("collection") for item in items], pyarrow.string()),
        "bbox": pyarrow.array([item.get("bbox") for item in items], pyarrow.list_(pyarrow.float64())),
    }
    known: dict[str, tuple[Any, Any]] = {
        **dict.fromkeys(TIMES, (pyarrow.timestamp("us", tz="UTC"), _time)),
        **dict.fromkeys(NUMBERS, (pyarrow.float64(), _number)),
        **dict.fromkeys(INTEGERS, (pyarrow.int64(), _integer)),
        **dict.fromkeys(TEXTS, (pyarrow.string(), _text)),
    }
    others = dict.fromkeys(name for item in items for name in item.get("properties") or {})
    for name in [*known, *(name for name in others if name not in known)]:
        if name not in ("id", "collection", "bbox", "assets", "links", "geometry"):
            kind, read = known.get(name, (pyarrow.string(), _text))
            values = [(item.get("properties") or {}).get(name) for item in items]
            columns[name] = pyarrow.array([read(value) for value in values], kind)
    for name in ("assets", "links"):
        columns[name] = pyarrow.array([_text(item.get(name)) for item in items], pyarrow.string())
    shapes = [item.get("geometry") for item in items]
    blobs = [None if shape is None else shapely.to_wkb(shapely.force_2d(shape_of(shape))) for shape in shapes]
    columns["geometry"] = pyarrow.array(blobs, pyarrow.binary())
    # Without ``crs``, coordinates are longitude and latitude.
    kinds = sorted({str(shape["type"]) for shape in shapes if shape is not None})
    described = {"geometry": {"encoding": "WKB", "geometry_types": kinds}}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": described}
    table = pyarrow.table(columns).replace_schema_metadata({"geo": json.dumps(geo)})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _number(value: Any) -> float | None:
    number = as_number(value)
    return None if math.isnan(number) else number


def _integer(value: Any) -> int | None:
    number = as_number(value)
    return int(number) if number.is_integer() else None


def _time(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

"""GeoPackages as Batch Process and Batch Statistics read them: multipolygons in one CRS, each with an identifier."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import shapely

from sentinelhub_provider.api.geo.crs import Crs
from sentinelhub_provider.api.geo.geometry import BBox, Geometry
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.features.files import require_pyogrio
from sentinelhub_provider.features.tables import ROWS

TABLE = "features"
MAX_FEATURES = 700_000  # Features that a GeoPackage may have (documentation of both APIs)


@dataclass(frozen=True, slots=True)
class Written:
    """What a GeoPackage holds; the digest is that of CRS, identifiers and geometries, whatever the other bytes are."""

    count: int
    digest: str
    bbox: BBox


def write_geopackage(path: Path, features: Iterable[tuple[str, Geometry]], crs: Crs) -> Written:
    """Write a new GeoPackage of identifiers and polygons in one CRS, which get their ids in this order, from 1."""
    require_pyogrio("the GeoPackage that a job reads", otherwise="give the URL of one that is in a bucket already")
    from pyogrio.raw import write

    digest = hashlib.sha256(f"EPSG:{crs.epsg}".encode())
    count, boxes = 0, []
    rest = iter(features)
    while rows := list(islice(_counted(rest, count), ROWS)):
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


def _counted(features: Iterator[tuple[str, Geometry]], before: int) -> Iterator[tuple[str, Geometry]]:
    for number, feature in enumerate(features, start=before + 1):
        if number > MAX_FEATURES:
            raise SentinelHubRequestError(
                f"features has more than {MAX_FEATURES:,}, the most that a job takes. Split them up."
            )
        yield feature


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

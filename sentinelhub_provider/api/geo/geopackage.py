"""
GeoPackages of polygons (OGC 12-128r19), as Batch Process and Batch Statistics read them.

One table ``features``: ``id`` (1, 2, ...), ``identifier`` (text, unique), ``geometry`` (multipolygons in one CRS).
Only what the standard library has is needed, and features pass one by one.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sentinelhub_provider.api.geo.crs import WGS84, Crs
from sentinelhub_provider.api.geo.geometry import BBox, Geometry
from sentinelhub_provider.api.geo.wkb import to_wkb
from sentinelhub_provider.exceptions import SentinelHubRequestError

TABLE = "features"
MAX_FEATURES = 700_000
"""Features that a GeoPackage may have (documentation of both APIs)."""

APPLICATION_ID = 0x47504B47
USER_VERSION = 10300
"""``GPKG`` in ASCII, and version 1.3 (OGC 12-128r19, 1.1.1.1.1)."""

ROWS = 1000
"""Rows that are written at a time."""

_EPOCH = "2000-01-01T00:00:00.000Z"
"""Time of the last change: always the same, so that the same features make the same file."""

_WGS84_WKT = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],'
    'AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],'
    'UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],AUTHORITY["EPSG","4326"]]'
)

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {USER_VERSION};
CREATE TABLE gpkg_spatial_ref_sys (
  srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT
);
CREATE TABLE gpkg_contents (
  table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '',
  last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
  CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id)
);
CREATE TABLE gpkg_geometry_columns (
  table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL,
  z TINYINT NOT NULL, m TINYINT NOT NULL,
  CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name), CONSTRAINT uk_gc_table_name UNIQUE (table_name),
  CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
  CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id)
);
CREATE TABLE {TABLE} (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, identifier TEXT NOT NULL UNIQUE, geometry MULTIPOLYGON NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Written:
    """
    What a GeoPackage holds.

    :param count: features.
    :param digest: SHA-256 of CRS, identifiers and geometries, as hexadecimal digits: the same for the same features,
        whatever the version of SQLite makes of them.
    :param bbox: the box around all of them.
    """

    count: int
    digest: str
    bbox: BBox


def write_geopackage(path: Path, features: Iterable[tuple[str, Geometry]], crs: Crs) -> Written:
    """
    Write a GeoPackage.

    :param path: a file that is not there yet.
    :param features: identifier and polygon of each, in the order that they get their ids in.
    :param crs: CRS of all of them.
    :raises SentinelHubRequestError: where two have the same identifier, or there are none or too many.
    """
    tally = _Tally(crs)
    with closing(sqlite3.connect(path)) as database:
        # Nobody else reads the file while it is written, and after a crash it is written anew.
        database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        database.executescript(_SCHEMA)
        _add_systems(database, crs)
        rows = tally.rows(features)
        while batch := list(islice(rows, ROWS)):
            before = database.total_changes
            try:
                database.executemany(f"INSERT INTO {TABLE} (identifier, geometry) VALUES (?, ?)", batch)  # noqa: S608 - a name of our own
            except sqlite3.IntegrityError as error:
                raise _repeated(batch[database.total_changes - before][0]) from error
        written = tally.result()
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, last_change, min_x, min_y, max_x, max_y, "
            "srs_id) VALUES (?, 'features', ?, ?, ?, ?, ?, ?, ?)",
            (TABLE, TABLE, _EPOCH, *written.bbox, crs.epsg),
        )
        database.execute(
            "INSERT INTO gpkg_geometry_columns VALUES (?, 'geometry', 'MULTIPOLYGON', ?, 0, 0)", (TABLE, crs.epsg)
        )
        database.commit()
    return written


def to_blob(geometry: Geometry, crs: Crs) -> bytes:
    """Return a polygon as GeoPackage stores it (2.1.3): a header with the box around it, then a WKB multipolygon."""
    box = geometry.bbox
    # Version 0; flags: little-endian, envelope of four numbers.
    header = struct.pack("<2sBBi4d", b"GP", 0, 0b11, crs.epsg, box.min_x, box.max_x, box.min_y, box.max_y)
    parts = [geometry.coordinates] if geometry.type == "Polygon" else geometry.coordinates
    return header + to_wkb({"type": "MultiPolygon", "coordinates": parts})


class _Tally:
    """Turns features into rows, and keeps what is to be known of them all."""

    def __init__(self, crs: Crs) -> None:
        self._crs = crs
        self._count = 0
        self._box: BBox | None = None
        self._digest = hashlib.sha256(f"EPSG:{crs.epsg}".encode())

    def rows(self, features: Iterable[tuple[str, Geometry]]) -> Iterator[tuple[str, bytes]]:
        for identifier, geometry in features:
            self._count += 1
            if self._count > MAX_FEATURES:
                raise SentinelHubRequestError(
                    f"features has more than {MAX_FEATURES:,}, the most that a job takes. Split them up.",
                    field="features",
                )
            box, blob = geometry.bbox, to_blob(geometry, self._crs)
            known = self._box or box
            self._box = BBox(
                min(known.min_x, box.min_x),
                min(known.min_y, box.min_y),
                max(known.max_x, box.max_x),
                max(known.max_y, box.max_y),
            )
            name = identifier.encode()
            self._digest.update(struct.pack("<II", len(name), len(blob)) + name + blob)
            yield identifier, blob

    def result(self) -> Written:
        if self._box is None:
            raise SentinelHubRequestError("features is empty: there is none to process.", field="features")
        return Written(self._count, self._digest.hexdigest(), self._box)


def _repeated(identifier: str) -> SentinelHubRequestError:
    return SentinelHubRequestError(
        f"features: the identifier {identifier!r} stands for more than one. Choose a property that tells them apart "
        "with id_property.",
        field="features",
    )


def _add_systems(database: sqlite3.Connection, crs: Crs) -> None:
    """Add the three systems that every GeoPackage has (1.1.2.1.2), and its own."""
    systems = [
        ("Undefined Cartesian SRS", -1, "NONE", -1, "undefined"),
        ("Undefined geographic SRS", 0, "NONE", 0, "undefined"),
        ("WGS 84", WGS84, "EPSG", WGS84, _WGS84_WKT),
    ]
    if crs.epsg != WGS84:
        systems.append((f"EPSG:{crs.epsg}", crs.epsg, "EPSG", crs.epsg, _definition(crs)))
    database.executemany("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, NULL)", systems)


def _definition(crs: Crs) -> str:
    """Return the WKT of UTM; readers find other systems by their EPSG code."""
    zone = crs.utm_zone
    if zone is None:
        return "undefined"
    return (
        f'PROJCS["WGS 84 / UTM zone {abs(zone)}{"N" if zone > 0 else "S"}",{_WGS84_WKT},'
        'PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],'
        f'PARAMETER["central_meridian",{abs(zone) * 6 - 183}],PARAMETER["scale_factor",0.9996],'
        f'PARAMETER["false_easting",500000],PARAMETER["false_northing",{0 if zone > 0 else 10_000_000}],'
        f'UNIT["metre",1,AUTHORITY["EPSG","9001"]],AXIS["Easting",EAST],AXIS["Northing",NORTH],'
        f'AUTHORITY["EPSG","{crs.epsg}"]]'
    )

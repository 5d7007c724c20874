"""GeoPackages: the features that a job is to process, and the manifest of those that it will."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from sentinelhub_provider.sandbox.world.delivery.wkb import read_geometry, write_geometry

MAX_FEATURES: Final = 700_000
APPLICATION_ID: Final = 0x47504B47
"""``GPKG`` in ASCII."""

_VERSION: Final = 10300
_CORE_TABLES: Final = """
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY,
  organization TEXT NOT NULL, organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
  description TEXT DEFAULT '', last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL UNIQUE REFERENCES gpkg_contents(table_name),
  column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL
  REFERENCES gpkg_spatial_ref_sys(srs_id), z TINYINT NOT NULL, m TINYINT NOT NULL,
  PRIMARY KEY (table_name, column_name));
"""


@dataclass(frozen=True)
class Feature:
    """A polygon to process, in ``EPSG:epsg``. ``properties``: the other columns, by their names in lower case."""

    id: int
    epsg: int
    geometry: Mapping[str, Any]
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identifier(self) -> str | None:
        """The column ``identifier``, if there is one."""
        value = self.properties.get("identifier")
        return None if value is None else str(value)


def read_features(content: bytes) -> list[Feature]:
    """Read the polygons of all feature tables. Raises :class:`ValueError` that says what is wrong with the file."""
    features: list[Feature] = []
    try:
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(_without_log(content))
            for table, column, srs_id in database.execute(
                "SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns ORDER BY table_name"
            ).fetchall():
                features += _read_table(database, table, column, _epsg(database, srs_id, table))
    except sqlite3.Error as error:
        raise ValueError(f"the file is no GeoPackage: {error}") from error
    if not features:
        raise ValueError("the GeoPackage has no features")
    if len(features) > MAX_FEATURES:
        raise ValueError(f"the GeoPackage has {len(features)} features, more than {MAX_FEATURES}")
    return features


def write_features(tables: Mapping[str, Sequence[Feature]], columns: Mapping[str, str]) -> bytes:
    """Write a GeoPackage. ``tables``: by name, each of one CRS; ``columns``: SQL types of the properties, by name."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_CORE_TABLES)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {_VERSION}")
        for srs in ((-1, "NONE", -1, "undefined"), (0, "NONE", 0, "undefined")):
            _add_srs(database, *srs)
        for name, features in tables.items():
            _write_table(database, name, features, columns)
        database.commit()
        return bytes(database.serialize())


def _without_log(content: bytes) -> bytes:
    """Clear the mark of write-ahead logging (bytes 18 and 19): SQLite opens no such database in memory."""
    return content[:18] + b"\x01\x01" + content[20:] if content[18:20] == b"\x02\x02" else content


def _epsg(database: sqlite3.Connection, srs_id: int, table: str) -> int:
    row = database.execute(
        "SELECT organization, organization_coordsys_id FROM gpkg_spatial_ref_sys WHERE srs_id = ?", (srs_id,)
    ).fetchone()
    if row is None or str(row[0]).upper() != "EPSG":
        raise ValueError(f"table {table}: its CRS is not one of EPSG's")
    return int(row[1])


def _read_table(database: sqlite3.Connection, table: str, column: str, epsg: int) -> list[Feature]:
    keys = [row[1] for row in database.execute(f"PRAGMA table_info({_quoted(table)})") if row[5]]
    key = _quoted(keys[0]) if keys else "rowid"
    # Names of the file's own tables cannot be bound as parameters; they are quoted.
    cursor = database.execute(f"SELECT {key} AS gpkg_feature_key, * FROM {_quoted(table)} ORDER BY 1")  # noqa: S608
    names = [each[0] for each in cursor.description][1:]
    features = []
    for number, *values in cursor:
        properties = dict(zip((name.lower() for name in names), values, strict=True))
        blob = properties.pop(column.lower())
        try:
            geometry = read_geometry(bytes(blob or b""))
        except ValueError as error:
            raise ValueError(f"table {table}: the geometry of feature {number} {error}") from error
        features.append(Feature(int(number), epsg, geometry, properties))
    return features


def _write_table(
    database: sqlite3.Connection, name: str, features: Sequence[Feature], columns: Mapping[str, str]
) -> None:
    epsg = features[0].epsg
    _add_srs(database, epsg, "EPSG", epsg, _definition(epsg))
    declared = "".join(f", {_quoted(column)} {kind}" for column, kind in columns.items())
    database.execute(
        f"CREATE TABLE {_quoted(name)} (fid INTEGER PRIMARY KEY AUTOINCREMENT{declared}, geometry GEOMETRY)"
    )
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES (?, 'features', ?, ?)",
        (name, name, epsg),
    )
    database.execute("INSERT INTO gpkg_geometry_columns VALUES (?, 'geometry', 'GEOMETRY', ?, 0, 0)", (name, epsg))
    places = ", ".join("?" * (len(columns) + 2))
    database.executemany(
        f"INSERT INTO {_quoted(name)} VALUES ({places})",  # noqa: S608 - a quoted name of our own
        [
            (None, *(each.properties.get(column) for column in columns), write_geometry(each.geometry, epsg))
            for each in features
        ],
    )


def _add_srs(database: sqlite3.Connection, srs_id: int, organization: str, code: int, definition: str) -> None:
    database.execute(
        "INSERT OR IGNORE INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, NULL)",
        (f"{organization}:{code}", srs_id, organization, code, definition),
    )


def _definition(epsg: int) -> str:
    from rasterio.crs import CRS

    return str(CRS.from_epsg(epsg).to_wkt())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

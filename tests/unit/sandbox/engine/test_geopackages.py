"""GeoPackages of features: those that GDAL and others write are read, those that are written GDAL reads."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import shapely

from sentinelhub_provider.sandbox.world.delivery.geopackage import Feature, read_features, write_features
from sentinelhub_provider.sandbox.world.delivery.wkb import read_geometry, write_geometry

SQUARE: dict[str, Any] = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
PARTS: dict[str, Any] = {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"], SQUARE["coordinates"]]}


def blob(wkb: bytes, *, envelope: int = 0, flags: int = 0) -> bytes:
    """Put well-known binary behind a GeoPackage's header."""
    doubles = (0, 4, 6, 6, 8)[envelope]
    return b"GP" + struct.pack("<BBi", 0, 1 | envelope << 1 | flags, 4326) + b"\0" * 8 * doubles + wkb


@pytest.mark.parametrize("geometry", [SQUARE, PARTS], ids=["polygon", "multipolygon"])
def test_geometries_survive(geometry: dict[str, Any]) -> None:
    """Written and read again."""
    assert read_geometry(write_geometry(geometry, 4326)) == geometry


@pytest.mark.parametrize("envelope", range(5))
def test_envelopes_are_skipped(envelope: int) -> None:
    """All five kinds of the specification."""
    wkb = shapely.to_wkb(shapely.geometry.shape(SQUARE))
    assert read_geometry(blob(wkb, envelope=envelope)) == SQUARE


@pytest.mark.parametrize("order", [0, 1], ids=["big-endian", "little-endian"])
@pytest.mark.parametrize("flavor", ["iso", "extended"])
def test_heights_are_dropped(order: int, flavor: str) -> None:
    """Both ways of well-known binary to write three dimensions, in either byte order."""
    raised = shapely.force_3d(shapely.geometry.shape(PARTS), 7.0)
    wkb = shapely.to_wkb(raised, output_dimension=3, byte_order=order, flavor=flavor)
    assert read_geometry(blob(wkb)) == PARTS


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no GeoPackage geometry"),
        (blob(b"", flags=0b10000), "empty"),
        (blob(shapely.to_wkb(shapely.Point(1, 2))), "neither a POLYGON"),
        (blob(shapely.to_wkb(shapely.geometry.shape(SQUARE))[:30]), "cut off"),
    ],
    ids=["nothing", "empty", "point", "cut"],
)
def test_geometries_that_are_none(content: bytes, reason: str) -> None:
    """The error says what is wrong."""
    with pytest.raises(ValueError, match=reason):
        read_geometry(content)


def test_gdal_reads_what_is_written(tmp_path: Path) -> None:
    """GDAL finds both tables with their CRS and columns."""
    import rasterio

    tables = {
        "feature_32633": [Feature(0, 32633, SQUARE, {"identifier": "a", "width": 5})],
        "feature_4326": [Feature(0, 4326, PARTS, {"identifier": "b", "width": 6})],
    }
    content = write_features(tables, {"identifier": "TEXT", "width": "INTEGER"})
    assert content[:15] == b"SQLite format 3"
    read = read_features(content)
    assert [(each.epsg, each.identifier, each.properties["width"]) for each in read] == [
        (32633, "a", 5),
        (4326, "b", 6),
    ]
    assert read[1].geometry == PARTS
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(content)
        assert database.execute("PRAGMA application_id").fetchone() == (0x47504B47,)
        definition = database.execute("SELECT definition FROM gpkg_spatial_ref_sys WHERE srs_id = 32633").fetchone()[0]
    assert rasterio.crs.CRS.from_wkt(definition).to_epsg() == 32633


def _file(path: Path, script: str) -> bytes:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)
        database.commit()
    return path.read_bytes()


_SRS = """CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT, srs_id INTEGER, organization TEXT,
  organization_coordsys_id INTEGER, definition TEXT);
CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, geometry_type_name TEXT, srs_id INTEGER,
  z INTEGER, m INTEGER);
"""


def test_a_file_with_names_and_numbers_of_its_own(tmp_path: Path) -> None:
    """Any name of table, key and geometry column; numbers of CRSs are looked up; write-ahead logging is no matter."""
    geometry = write_geometry(SQUARE, 99).hex()
    content = _file(
        tmp_path / "own.gpkg",
        f"""PRAGMA journal_mode = WAL; {_SRS}
        INSERT INTO gpkg_spatial_ref_sys VALUES ('x', 99, 'epsg', 3035, '');
        CREATE TABLE "my fields" (number INTEGER PRIMARY KEY, Shape BLOB, Identifier TEXT, WIDTH INTEGER);
        INSERT INTO gpkg_geometry_columns VALUES ('my fields', 'Shape', 'POLYGON', 99, 0, 0);
        INSERT INTO "my fields" VALUES (17, x'{geometry}', 'seventeen', 30);
        PRAGMA wal_checkpoint(TRUNCATE);""",
    )
    assert content[18:20] == b"\2\2"
    assert read_features(content) == [Feature(17, 3035, SQUARE, {"number": 17, "identifier": "seventeen", "width": 30})]


@pytest.mark.parametrize(
    ("organization", "rows", "reason"),
    [("NONE", 1, "not one of EPSG's"), ("EPSG", 0, "no features")],
    ids=["crs", "empty"],
)
def test_files_that_will_not_do(tmp_path: Path, organization: str, rows: int, reason: str) -> None:
    """The error says what is wrong."""
    geometry = write_geometry(SQUARE, 1).hex()
    content = _file(
        tmp_path / "bad.gpkg",
        f"""{_SRS} INSERT INTO gpkg_spatial_ref_sys VALUES ('x', 1, '{organization}', 3035, '');
        CREATE TABLE t (id INTEGER PRIMARY KEY, g BLOB);
        INSERT INTO gpkg_geometry_columns VALUES ('t', 'g', 'POLYGON', 1, 0, 0);"""
        + f"INSERT INTO t VALUES (1, x'{geometry}');" * rows,
    )
    with pytest.raises(ValueError, match=reason):
        read_features(content)


def test_a_file_that_is_no_database() -> None:
    """The error says so."""
    with pytest.raises(ValueError, match="no GeoPackage"):
        read_features(b"not at all")

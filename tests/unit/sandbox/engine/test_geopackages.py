"""GeoPackages of features: those that GDAL and others write are read, those that are written GDAL reads."""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from pyogrio.raw import write

from sentinelhub_provider.sandbox.world.delivery.geopackage import Feature, read_features, write_features

SQUARE: dict[str, Any] = {"type": "Polygon", "coordinates": [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]}
PARTS: dict[str, Any] = {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"], SQUARE["coordinates"]]}


def written(path: Path, geometries: Any, crs: str | None = "EPSG:4326", **columns: Any) -> bytes:
    """Write a GeoPackage with one layer, as GDAL does."""
    write(
        path,
        shapely.to_wkb(np.array(geometries, object)),
        [np.array(values, object if isinstance(values[0], str) else None) for values in columns.values()],
        list(columns),
        layer="my fields",
        driver="GPKG",
        geometry_type="Unknown",
        crs=crs,
    )
    return path.read_bytes()


def test_heights_are_dropped(tmp_path: Path) -> None:
    """A polygon in three dimensions is one of two."""
    raised = shapely.force_3d(shapely.geometry.shape(PARTS), 7.0)
    (read,) = read_features(written(tmp_path / "raised.gpkg", [raised]))
    assert read.geometry == PARTS


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        (shapely.Polygon(), "empty"),
        (None, "empty"),
        (shapely.Point(1, 2), "neither a POLYGON"),
    ],
    ids=["empty", "none", "point"],
)
def test_geometries_that_will_not_do(tmp_path: Path, geometry: Any, reason: str) -> None:
    """The error says what is wrong, and with which feature."""
    content = written(tmp_path / "bad.gpkg", [shapely.geometry.shape(SQUARE), geometry])
    with pytest.raises(ValueError, match=f"table my fields: the geometry of feature 2 is {reason}"):
        read_features(content)


def test_gdal_reads_what_is_written(tmp_path: Path) -> None:
    """GDAL finds both tables with their CRS and columns."""
    import rasterio

    tables = {
        "feature_32633": [Feature(0, 32633, SQUARE, {"identifier": "a", "width": 5})],
        "feature_4326": [Feature(0, 4326, PARTS, {"identifier": "b", "width": 6})],
    }
    content = write_features(tables, {"identifier": str, "width": int})
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


def test_a_file_with_names_and_numbers_of_its_own(tmp_path: Path) -> None:
    """Any name of table and column; numbers of features are kept; write-ahead logging is no matter."""
    path = tmp_path / "own.gpkg"
    written(path, [shapely.geometry.shape(SQUARE)], "EPSG:3035", Identifier=["seventeen"], WIDTH=[30])
    with closing(sqlite3.connect(path)) as database:
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        drops = "".join(f'DROP TRIGGER "{name}";' for (name,) in triggers)
        database.executescript(f"PRAGMA journal_mode = WAL; {drops} UPDATE 'my fields' SET fid = 17;")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    assert content[18:20] == b"\2\2"
    assert read_features(content) == [Feature(17, 3035, SQUARE, {"identifier": "seventeen", "width": 30})]


@pytest.mark.parametrize(
    ("geometries", "crs", "reason"),
    [([shapely.geometry.shape(SQUARE)], None, "not one of EPSG's"), ([], "EPSG:4326", "no features")],
    ids=["crs", "empty"],
)
def test_files_that_will_not_do(tmp_path: Path, geometries: list[Any], crs: str | None, reason: str) -> None:
    """The error says what is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pyogrio's, of a missing CRS
        content = written(tmp_path / "bad.gpkg", geometries, crs)
    with pytest.raises(ValueError, match=reason):
        read_features(content)


def test_a_file_that_is_no_database() -> None:
    """The error says so."""
    with pytest.raises(ValueError, match="no GeoPackage"):
        read_features(b"not at all")

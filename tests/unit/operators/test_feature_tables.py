"""Fields in GeoPackage and GeoParquet, as desktop programs and data frames write them."""

from __future__ import annotations

import json
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import shapely

from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.operators.reading.feature_files import open_features

SQUARES = [shapely.box(number, 0, number + 1, 1) for number in range(3)]


def geopackage(path: Path, shapes: list[Any], *, layers: int = 1, epsg: int = 32634) -> Path:
    """Write the tables of a GeoPackage that matter to a reader."""
    head = struct.pack("<2sBBi", b"GP", 0, 1, epsg)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE gpkg_spatial_ref_sys (srs_id, organization, organization_coordsys_id)")
        database.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (?, 'EPSG', ?)", (epsg, epsg))
        database.execute("CREATE TABLE gpkg_geometry_columns (table_name, column_name, srs_id)")
        for layer in range(layers):
            name = f"my fields {layer}"
            database.execute("INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', ?)", (name, epsg))
            database.execute(f'CREATE TABLE "{name}" (fid INTEGER PRIMARY KEY, geom BLOB, name TEXT)')
            for number, shape in enumerate(shapes):
                blob = None if shape is None else head + shapely.to_wkb(shape)
                database.execute(f'INSERT INTO "{name}" VALUES (?, ?, ?)', (number + 10, blob, f"field {number}"))
    return path


def geoparquet(path: Path, shapes: list[Any], **column: Any) -> Path:
    """Write GeoParquet; keywords change what is said of its geometries."""
    described = {"encoding": "WKB", "geometry_types": ["Polygon"], **column}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": described}}
    blobs = [None if shape is None else shapely.to_wkb(shape) for shape in shapes]
    table = pyarrow.table({"name": [f"field {number}" for number in range(len(shapes))], "geometry": blobs})
    pyarrow.parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    return path


WRITERS = {"fields.gpkg": geopackage, "fields.parquet": geoparquet}


@pytest.fixture(name="write", params=WRITERS.items(), ids=WRITERS)
def fixture_write(request: pytest.FixtureRequest, tmp_path: Path):
    """Write shapes to a file of either kind."""
    name, writer = request.param
    return lambda shapes=SQUARES: writer(tmp_path / name, shapes)


@pytest.mark.parametrize("as_url", [False, True], ids=["path", "object storage"])
def test_a_table_has_its_features(write, as_url: bool):
    """As often as one asks, by the column that names them."""
    path = write()
    with open_features(path.as_uri() if as_url else str(path), id_property="name") as features:
        assert len(features) == 3
        for _ in range(2):
            assert [feature.id for feature in features] == ["field 0", "field 1", "field 2"]
        shapes = [shapely.geometry.shape(feature.geometry) for feature in features]
    assert all(found.equals(expected) for found, expected in zip(shapes, SQUARES, strict=True))


def test_features_have_numbers_without_a_column(tmp_path: Path):
    """The key of a GeoPackage, the place in GeoParquet."""
    with open_features(str(geopackage(tmp_path / "a.gpkg", SQUARES))) as features:
        assert [feature.id for feature in features] == [10, 11, 12]
    with open_features(str(geoparquet(tmp_path / "a.parquet", SQUARES))) as features:
        assert [feature.id for feature in features] == [0, 1, 2]


def test_a_table_names_its_crs(tmp_path: Path):
    """By its EPSG code; longitude and latitude where GeoParquet says nothing."""
    utm = {"crs": {"id": {"authority": "EPSG", "code": 32634}}}
    for path in (geopackage(tmp_path / "a.gpkg", SQUARES), geoparquet(tmp_path / "a.parquet", SQUARES, **utm)):
        with open_features(str(path)) as features:
            assert features.crs is not None
            assert features.crs.epsg == 32634
    with open_features(str(geoparquet(tmp_path / "b.parquet", SQUARES))) as features:
        assert features.crs is None


def test_a_row_without_geometry_is_a_problem_of_its_own(write):
    """The others are read."""
    with open_features(str(write([SQUARES[0], None]))) as features:
        first, second = features
    assert first.problem is None
    assert second.problem == "has no geometry"


def test_an_unknown_column_is_named(write):
    """With those that there are."""
    with pytest.raises(SentinelHubRequestError, match=r"only .*name"), open_features(str(write()), id_property="nme"):
        pass


def test_an_empty_table_is_refused(write):
    """It would look like success."""
    with pytest.raises(SentinelHubRequestError, match="no row"), open_features(str(write([]))):
        pass


def test_several_layers_are_refused(tmp_path: Path):
    """By their names."""
    path = geopackage(tmp_path / "a.gpkg", SQUARES, layers=2)
    with pytest.raises(SentinelHubRequestError, match="my fields 0, my fields 1"), open_features(str(path)):
        pass


@pytest.mark.parametrize("name", ["fields.gpkg", "fields.parquet"])
@pytest.mark.parametrize("content", [None, b"PK something else"], ids=["missing", "foreign"])
def test_an_unreadable_table_is_named(tmp_path: Path, name: str, content: bytes | None):
    """As an error about the argument."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with (
        pytest.raises(SentinelHubRequestError, match=f"features .*{name}, which cannot be read"),
        open_features(str(path)),
    ):
        pass


def test_plain_parquet_is_refused(tmp_path: Path):
    """It has no geometries."""
    path = tmp_path / "plain.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), path)
    with pytest.raises(SentinelHubRequestError, match="no GeoParquet"), open_features(str(path)):
        pass

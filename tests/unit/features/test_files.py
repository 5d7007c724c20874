"""Fields in files as desktop programs and data frames write them."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import geopandas
import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pyogrio
import pyproj
import pytest
import shapely
from airflow.sdk import ObjectStoragePath

from sentinelhub_provider.api.geo.geometry import parse_geometry
from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubTransportError
from sentinelhub_provider.features import files, open_features

SQUARES = [shapely.box(13 + number, 45, 14 + number, 46) for number in range(3)]


def frame(crs: Any = 4326, **columns: Any) -> geopandas.GeoDataFrame:
    """Return three fields."""
    data = {"name": [f"field {number}" for number in range(3)], "crop": ["rye", None, "oats"], "code": [1.0, 2.0, 3.0]}
    return geopandas.GeoDataFrame({**data, **columns}, geometry=SQUARES, crs=crs)


def zipped(fields: geopandas.GeoDataFrame, path: Path) -> Path:
    """Write a zipped Shapefile, in a folder of the archive, as portals deliver it."""
    folder = path.parent / "unzipped"
    folder.mkdir()
    fields.to_file(folder / "fields.shp")
    with zipfile.ZipFile(path, "w") as archive:
        for part in folder.iterdir():
            archive.write(part, f"export/{part.name}")
    return path


def written(path: Path, fields: geopandas.GeoDataFrame | None = None) -> Path:
    """Write fields to a file of the kind that its name says."""
    fields = frame() if fields is None else fields
    if path.suffix == ".zip":
        return zipped(fields, path)
    if path.suffix == ".parquet":
        fields.to_parquet(path)
    elif path.suffix == ".kml":
        pyogrio.write_dataframe(fields.rename(columns={"name": "Name"}), path, driver="KML")
    else:
        # An index would sort the rows of a FlatGeobuf.
        fields.to_file(path, **({"SPATIAL_INDEX": "NO"} if path.suffix == ".fgb" else {}))
    return path


KINDS = ("fields.shp", "fields.zip", "fields.gpkg", "fields.fgb", "fields.geojson", "fields.parquet")


@pytest.mark.parametrize("way", ["path", "url", "object path"])
@pytest.mark.parametrize("name", [*KINDS, "fields.kml"])
def test_each_kind_of_file_is_read(tmp_path: Path, name: str, way: str):
    """From a disk and from an object storage, as often as one asks, by the column that names features."""
    path = written(tmp_path / name)
    value = {"path": str(path), "url": path.as_uri(), "object path": ObjectStoragePath(path.as_uri())}[way]
    column = "Name" if name.endswith("kml") else "name"

    with open_features(value, id_property=column, properties=[column]) as features:
        assert len(features) == 3
        for _ in range(2):
            assert [feature.id for feature in features] == ["field 0", "field 1", "field 2"]
        assert [feature.properties[column] for feature in features] == ["field 0", "field 1", "field 2"]
        shapes = [parse_geometry(feature.geometry).shape for feature in features]
        assert features.crs is None or features.crs.epsg == 4326
    assert all(found.equals(expected) for found, expected in zip(shapes, SQUARES, strict=True))


@pytest.mark.parametrize("name", KINDS)
def test_numbers_and_nulls_of_pandas(tmp_path: Path, name: str):
    """1.0 names feature 1, and what is missing is null."""
    with open_features(str(written(tmp_path / name)), id_property="code", properties=["crop"]) as features:
        assert [feature.id for feature in features] == [1, 2, 3]
        assert [feature.properties["crop"] for feature in features] == ["rye", None, "oats"]


@pytest.mark.parametrize("name", KINDS)
def test_whole_numbers_and_booleans_stay_what_they_are_beside_a_gap(tmp_path: Path, name: str):
    """GDAL's readers make floats of such a column."""
    plots, rented = pandas.array([7, None, 9], dtype="Int64"), pandas.array([True, None, False], dtype="boolean")
    path = written(tmp_path / name, frame(plot=plots, rented=rented))
    with open_features(str(path), properties=["plot", "rented"]) as features:
        cells = [tuple(feature.properties.values()) for feature in features]
    assert [repr(value) for row in cells for value in row] == ["7", "True", "None", "None", "9", "False"]


CELLS = {
    Decimal("1.50"): 1.5,
    Decimal("7.00"): 7,
    Decimal("NaN"): None,
    b"\xff\x00": "ff00",
    timedelta(days=1): "1 day, 0:00:00",
    date(2024, 6, 1): "2024-06-01",
    UUID(int=1): "00000000-0000-0000-0000-000000000001",
    pandas.NaT: None,
    numpy.float64("nan"): None,
    numpy.int16(5): 5,
    SQUARES[0]: SQUARES[0].wkt,
}


@pytest.mark.parametrize(("cell", "expected"), CELLS.items(), ids=repr)
def test_cells_are_what_a_table_can_hold(cell: Any, expected: Any):
    """Whatever a library has them as."""
    found = files.plain(cell)
    assert (found, type(found)) == (expected, type(expected))
    assert files.plain(numpy.array([1, 2])) == [1, 2]


@pytest.mark.parametrize("epsg", [4258, 4269, 31370, 23700, 25832, 32634])
@pytest.mark.parametrize("name", KINDS)
def test_a_file_names_its_crs(tmp_path: Path, name: str, epsg: int):
    """By its EPSG code, also where the file only describes it, as Shapefiles do."""
    with open_features(str(written(tmp_path / name, frame(epsg)))) as features:
        assert features.crs is not None
        assert features.crs.epsg == epsg


def test_a_data_frame_is_read_with_its_crs():
    """Which its GeoJSON does not say."""
    with open_features(frame(25832), id_property="name") as features:
        assert features.crs is not None
        assert features.crs.epsg == 25832
        assert next(iter(features)).id == "field 0"


def test_more_rows_than_are_read_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No row is left out or read twice."""
    monkeypatch.setattr(files, "ROWS", 2)
    for name in KINDS:
        with open_features(str(written(tmp_path / name)), id_property="name") as features:
            assert [feature.id for feature in features] == ["field 0", "field 1", "field 2"]


@pytest.fixture(name="layered")
def fixture_layered(tmp_path: Path) -> Path:
    """Write a GeoPackage with two layers."""
    path = tmp_path / "farm.gpkg"
    frame().to_file(path, layer="fields")
    frame().iloc[:1].to_file(path, layer="barns")
    return path


def test_a_layer_is_chosen(layered: Path):
    """By its name."""
    for layer, count in (("fields", 3), ("barns", 1)):
        with open_features(str(layered), layer=layer) as features:
            assert len(features) == count


@pytest.mark.parametrize("layer", [None, "field"])
def test_layers_are_named(layered: Path, layer: str | None):
    """Where none is chosen, or one that is not there."""
    with (
        pytest.raises(SentinelHubRequestError, match=r"farm\.gpkg .*: fields, barns") as caught,
        open_features(str(layered), layer=layer),
    ):
        pass
    assert caught.value.field == "layer"


def test_a_geopackage_in_wal_mode_is_left_as_it_is(tmp_path: Path):
    """What another program has written but not yet merged is read, and no file appears beside it."""
    path = tmp_path / "fields.gpkg"
    frame().to_file(path, SPATIAL_INDEX="NO")
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("UPDATE fields SET name = 'new' WHERE fid = 1")
        database.commit()
        before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
        with open_features(str(path), id_property="name") as features:
            assert next(iter(features)).id == "new"
        assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_a_file_that_nobody_may_write_is_read(tmp_path: Path):
    """Nor its folder: reading leaves no trace."""
    folder = tmp_path / "exports"
    folder.mkdir()
    path = written(folder / "fields.gpkg")
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    path.chmod(0o400)
    folder.chmod(0o500)
    try:
        before = [(one.name, one.stat().st_mtime_ns) for one in folder.iterdir()]
        with open_features(str(path)) as features:
            assert len(list(features)) == 3
        assert [(one.name, one.stat().st_mtime_ns) for one in folder.iterdir()] == before
    finally:
        folder.chmod(0o700)


def test_features_have_the_files_own_numbers(tmp_path: Path):
    """The key of a GeoPackage, the place in the others."""
    for name, first in (("a.gpkg", 1), ("a.parquet", 0), ("a.shp", 0)):
        with open_features(str(written(tmp_path / name))) as features:
            assert [feature.id for feature in features] == [first, first + 1, first + 2]


@pytest.mark.parametrize("name", ["fields.gpkg", "fields.geojson", "fields.parquet"])
def test_a_row_without_geometry_is_a_problem_of_its_own(tmp_path: Path, name: str):
    """The others are read."""
    with open_features(str(written(tmp_path / name, frame().set_geometry([SQUARES[0], None, SQUARES[2]])))) as features:
        assert [feature.problem for feature in features] == [None, "has no geometry", None]


@pytest.mark.parametrize("name", KINDS)
def test_an_unknown_column_is_named(tmp_path: Path, name: str):
    """With the file and the columns that there are."""
    path = written(tmp_path / name)
    with (
        pytest.raises(SentinelHubRequestError, match=rf"{name} has the property 'nme'. There are: name, crop, code"),
        open_features(str(path), id_property="nme"),
    ):
        pass


@pytest.mark.parametrize("name", [*KINDS, "fields.kml"])
@pytest.mark.parametrize("content", [None, b"", b"\x00\x01 something else", b"{broken", b"PAR1 broken"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes | None):
    """As an error about the argument, with what can be read."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with (
        pytest.raises(
            SentinelHubRequestError, match=rf"features names the file .*{name}, which cannot be read.*GeoJSON"
        ),
        open_features(str(path)),
    ):
        pass


UNICODE = ("utf-16", "utf-16-le", "utf-32")
UTF_8 = "text in UTF-.*Save it as UTF-8"


@pytest.mark.parametrize(
    ("text", "encoding", "words"),
    [
        *(('{"type": "Point", "coordinates": [1, 2]}', encoding, UTF_8) for encoding in UNICODE),
        *(("POINT (1 2)", encoding, UTF_8) for encoding in UNICODE),
        pytest.param(
            '{"type": "Point", "name": "Äcker"}', "latin-1", "not text in UTF-8.*Save it", id="of the nineties"
        ),
    ],
)
def test_another_encoding_is_said(tmp_path: Path, text: str, encoding: str, words: str):
    """With what to do."""
    path = tmp_path / "fields.geojson"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(SentinelHubRequestError, match=rf"fields\.geojson.*{words}"), open_features(str(path)):
        pass


@pytest.mark.parametrize("name", ["fields.shp", "fields.fgb"])
def test_a_file_that_breaks_off_is_named(tmp_path: Path, name: str):
    """Its head is whole, and some feature is not."""
    path = written(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-40])
    with open_features(str(path)) as features, pytest.raises(SentinelHubRequestError, match=rf"{name}, which cannot"):
        list(features)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000], ids=["lists", "objects"])
def test_a_text_that_is_nested_without_end_is_named(tmp_path: Path, text: str):
    """It overflows the JSON parser's stack."""
    path = tmp_path / "fields.geojson"
    path.write_text(text)
    for value in (str(path), text):
        with pytest.raises(SentinelHubRequestError, match="is not GeoJSON"), open_features(value):
            pass


def test_what_fails_where_features_are_used_says_nothing_of_their_file(tmp_path: Path):
    """A user's own fault, or the network's, passes as it is."""
    path = str(written(tmp_path / "fields.geojson"))

    def work(_features: Any) -> None:
        raise error

    for error in (ConnectionError("reset"), ValueError("mine"), OSError(28, "No space left on device")):
        with pytest.raises(type(error)) as caught, open_features(path) as features:
            work(next(iter(features)))
        assert caught.value is error


@pytest.mark.parametrize(
    "described",
    [
        "[]",
        '{"columns": ["geometry"]}',
        '{"columns": {"geometry": 1}}',
        '{"columns": {"x": {"encoding": "WKB"}}, "primary_column": "x"}',
    ],
)
def test_parquet_whose_geometry_is_not_there_is_refused(tmp_path: Path, described: str):
    """Its description may be anything."""
    path = written(tmp_path / "fields.parquet")
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.replace_schema_metadata({"geo": described}), path)
    with pytest.raises(SentinelHubRequestError, match=r"fields\.parquet is no GeoParquet"), open_features(str(path)):
        pass


@pytest.mark.parametrize("name", [pyproj.CRS(32633).to_wkt(), "EPSG:32633"], ids=["WKT", "name"])
def test_parquet_of_before_1_0_names_its_crs_as_text(tmp_path: Path, name: str):
    """Its coordinates are not taken for degrees."""
    path = written(tmp_path / "fields.parquet")
    table = pyarrow.parquet.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    geo["columns"]["geometry"]["crs"] = name
    pyarrow.parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    with open_features(str(path)) as features:
        assert str(features.crs) == "EPSG:32633"


def test_parquet_in_a_crs_that_is_none_is_named(tmp_path: Path):
    """PROJ cannot read it."""
    path = written(tmp_path / "fields.parquet")
    table = pyarrow.parquet.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    geo["columns"]["geometry"]["crs"] = {"name": "mine"}
    pyarrow.parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    with (
        pytest.raises(SentinelHubRequestError, match=r"fields\.parquet's crs is .*, which names no"),
        open_features(str(path)),
    ):
        pass


def test_plain_parquet_is_refused(tmp_path: Path):
    """It has no geometries."""
    path = tmp_path / "plain.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), path)
    with pytest.raises(SentinelHubRequestError, match="no GeoParquet"), open_features(str(path)):
        pass


@pytest.mark.parametrize(("name", "extra"), [("fields.shp", "vector"), ("fields.parquet", "parquet")])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, extra: str):
    """With the file that needs it, and how to install it."""
    path = written(tmp_path / name)
    module = {"vector": "pyogrio", "parquet": "pyarrow"}[extra]
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with (
        pytest.raises(SentinelHubRequestError, match=rf"{name} needs {module}.*sentinelhub\[{extra}\]"),
        open_features(str(path)),
    ):
        pass


class Outage:
    """An object storage that is down."""

    fs: Any = property(lambda self: self)
    path = "bucket/fields.geojson"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __str__(self) -> str:
        return "s3://bucket/fields.geojson"

    def get_file(self, source: str, target: str) -> None:
        """Fail."""
        raise self._error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionError("reset"), SentinelHubTransportError),
        (TimeoutError("read timed out"), SentinelHubTransportError),
        (OSError(16, "Slow down"), SentinelHubTransportError),
        (FileNotFoundError("bucket/fields.geojson"), SentinelHubRequestError),
        (PermissionError("Forbidden"), SentinelHubRequestError),
    ],
)
def test_faults_of_a_storage_that_pass_are_not_final(error: Exception, kind: type[Exception]):
    """What another try meets again is."""
    with pytest.raises(kind, match=r"s3://bucket/fields\.geojson, which cannot be read"), open_features(Outage(error)):
        pass

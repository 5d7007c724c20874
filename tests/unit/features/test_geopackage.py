from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import shapely

from sentinelhub_provider.api.geo.crs import CRS84, Crs, parse_crs
from sentinelhub_provider.api.geo.geometry import BBox, Geometry, parse_geometry
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.features import open_features, writing
from sentinelhub_provider.features.writing import write_geopackage
from sentinelhub_provider.sandbox.world.delivery.geopackage import read_features

FIELD = parse_geometry("POLYGON ((13 45, 13.1 45, 13.1 45.1, 13 45))")
TWO = parse_geometry(
    "MULTIPOLYGON (((1 1, 2 1, 2 2, 1 1)), ((5 5, 6 5, 6 6, 5 5), (5.5 5.1, 5.6 5.1, 5.6 5.2, 5.5 5.1)))"
)


def written(path: Path, features: list[tuple[str, Geometry]], crs: Crs = CRS84) -> Any:
    """Write a GeoPackage."""
    return write_geopackage(path / "features.gpkg", features, crs)


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    """Ask the file."""
    with closing(sqlite3.connect(path / "features.gpkg")) as database:
        return database.execute(statement).fetchall()


def test_features(tmp_path: Path) -> None:
    """All become multipolygons, numbered from 1, each with its identifier."""
    result = written(tmp_path, [("north", FIELD), ("south", TWO)])

    assert rows(tmp_path, "SELECT id, identifier FROM features") == [(1, "north"), (2, "south")]
    with open_features(tmp_path / "features.gpkg", id_property="identifier") as found:
        shapes = [feature.geometry for feature in found]
    assert shapes == [shapely.MultiPolygon([FIELD.shape]), TWO.shape]
    assert (result.count, result.bbox) == (2, BBox(1, 1, 13.1, 45.1))


def test_another_reader_reads_the_same(tmp_path: Path) -> None:
    """The sandbox, which has a reader of its own, finds the features and their CRS."""
    written(
        tmp_path, [("north", parse_geometry("POLYGON ((500000 0, 500100 0, 500100 90, 500000 0))"))], parse_crs(32733)
    )

    (feature,) = read_features((tmp_path / "features.gpkg").read_bytes())

    assert (feature.id, feature.identifier, feature.epsg) == (1, "north", 32733)
    assert feature.geometry["coordinates"][0][0][1] == [500100.0, 0.0]


def test_file_is_a_geopackage(tmp_path: Path) -> None:
    """The tables that the standard asks for are there, and agree."""
    written(tmp_path, [("north", FIELD)], parse_crs(3035))

    assert rows(tmp_path, "PRAGMA application_id") == [(0x47504B47,)]
    assert rows(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    assert rows(tmp_path, "PRAGMA foreign_key_check") == []
    assert rows(tmp_path, "SELECT srs_id FROM gpkg_spatial_ref_sys ORDER BY 1") == [(-1,), (0,), (3035,), (4326,)]
    assert rows(tmp_path, "SELECT * FROM gpkg_geometry_columns") == [
        ("features", "geometry", "MULTIPOLYGON", 3035, 0, 0)
    ]
    assert rows(tmp_path, "SELECT table_name, data_type, min_x, max_y, srs_id FROM gpkg_contents") == [
        ("features", "features", 13.0, 45.1, 3035)
    ]


def test_same_features_have_the_same_digest(tmp_path: Path) -> None:
    """It depends on what the file holds, and on nothing else."""
    for name in "ab":
        (tmp_path / name).mkdir()
    first, again = (written(tmp_path / name, [("north", FIELD), ("south", TWO)]) for name in "ab")

    assert first == again


@pytest.mark.parametrize(
    ("features", "crs"),
    [
        pytest.param([("south", FIELD)], CRS84, id="identifier"),
        pytest.param([("north", TWO)], CRS84, id="geometry"),
        pytest.param([("north", FIELD)], parse_crs(3857), id="crs"),
        pytest.param([("north", FIELD), ("south", FIELD)], CRS84, id="more"),
    ],
)
def test_other_features_have_another_digest(tmp_path: Path, features: list[tuple[str, Geometry]], crs: Crs) -> None:
    """Whatever differs, the digest does."""
    for name in "ab":
        (tmp_path / name).mkdir()

    assert written(tmp_path / "a", [("north", FIELD)]).digest != written(tmp_path / "b", features, crs).digest


@pytest.mark.parametrize("between", [0, 6000], ids=["same-batch", "far-apart"])
def test_identifiers_must_differ(tmp_path: Path, between: int) -> None:
    """The message names the one that stands for two."""
    others = [(str(number), FIELD) for number in range(between)]

    with pytest.raises(SentinelHubRequestError, match="identifier 'north' stands for more than one"):
        written(tmp_path, [("north", FIELD), *others, ("north", FIELD)])


def test_none_and_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job takes at least one and at most so many; more are not read to their end."""
    with pytest.raises(SentinelHubRequestError, match="features is empty"):
        written(tmp_path, [])

    read = []

    def endless() -> Iterator[tuple[str, Geometry]]:
        while True:
            read.append(len(read))
            yield str(len(read)), FIELD

    monkeypatch.setattr(writing, "MAX_FEATURES", 10)
    with pytest.raises(SentinelHubRequestError, match="more than 10"):
        write_geopackage(tmp_path / "other.gpkg", endless(), CRS84)
    assert len(read) == 11

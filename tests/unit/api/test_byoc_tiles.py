"""BYOC tiles: what users write, what is there, and what has to be asked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sentinelhub_provider.api.byoc.tiles import (
    Tile,
    TileState,
    build_tiles,
    by_path,
    plan,
    read_tile,
    spellings,
)
from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubResponseError

TRIANGLE = {"type": "Polygon", "coordinates": [[[14.0, 46.0], [14.1, 46.0], [14.1, 46.1], [14.0, 46.0]]]}
UTM = "SRID=32633;POLYGON ((500000 5000000, 510000 5000000, 510000 5010000, 500000 5000000))"


def tile(path: str, state: str = "INGESTED", **more: Any) -> Tile:
    """A tile that is there; its id is its path."""
    return Tile(path, path, TileState(state), **more)


@pytest.mark.parametrize("value", [["a/(BAND).tif"], ("a/(BAND).tif",), [{"path": "a/(BAND).tif"}]])
def test_a_tile_is_a_path(value: Any):
    """Alone, or in a dict."""
    assert [one.body for one in build_tiles(value)] == [{"path": "a/(BAND).tif"}]


@pytest.mark.parametrize("names", [("coverGeometry", "sensingTime"), ("cover_geometry", "sensing_time")])
def test_a_tile_may_say_where_and_when(names: tuple[str, str]):
    """Under the API's names, or Python's."""
    time = datetime(2024, 6, 1, 10, 0, 0, 123456, tzinfo=UTC)
    (one,) = build_tiles([{"path": "a", names[0]: TRIANGLE, names[1]: time}])

    assert one.body == {"path": "a", "coverGeometry": TRIANGLE, "sensingTime": "2024-06-01T10:00:00.123Z"}


def test_a_cover_names_its_crs_where_it_has_one():
    """The service takes any; what is not named is longitude and latitude."""
    (one,) = build_tiles([{"path": "a", "coverGeometry": UTM}])

    assert one.body["coverGeometry"]["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"


@pytest.mark.parametrize("value", [[], ()])
def test_no_tiles_are_fine(value: Any):
    """A day without files is no mistake."""
    assert build_tiles(value) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "tiles is a NoneType"),
        ("a/(BAND).tif", "tiles is a str. Give a list"),
        ({"path": "a"}, "tiles is a dict"),
        ([5], r"tiles\[0\] is 5"),
        (["a", ""], r"tiles\[1\].path is ''"),
        ([{"sensingTime": "2024-06-01"}], r"tiles\[0\].path is None"),
        (["/a"], r"tiles\[0\].path '/a' begins or ends with a slash"),
        (["a/"], "begins or ends"),
        (["a//b"], "two in a row"),
        (["s3://bucket/a"], r"is the URL 's3://bucket/a'"),
        ([{"path": "a", "date": "2024-06-01"}], r"tiles\[0\] has 'date'"),
        ([{"path": "a", "sensingTime": "noon"}], r"tiles\[0\].sensingTime has 'noon'"),
        ([{"path": "a", "coverGeometry": "POINT (1 1)"}], r"tiles\[0\].coverGeometry: .*has no area"),
        (
            [{"path": "a", "coverGeometry": "POLYGON ((500000 0, 500001 0, 500001 1, 500000 0))"}],
            "coverGeometry: .*-180",
        ),
        (["a", "b", "a"], r"tiles\[0\] and tiles\[2\] are both the tile 'a'"),
        (["a", "a/(BAND).tiff"], r"tiles\[0\] and tiles\[1\] are both"),
    ],
)
def test_bad_tiles_are_named(value: Any, words: str):
    """Which one, and what was wrong about it."""
    with pytest.raises(SentinelHubRequestError, match=words) as error:
        build_tiles(value)

    assert error.value.field == "tiles"


def test_a_path_that_names_one_file_is_warned_about():
    """The service would look for files below it."""
    one, other = build_tiles(["a/B04.TIF", "a/(BAND).tif"])

    assert "names one file" in one.warnings[0]
    assert other.warnings == ()


@pytest.mark.parametrize(
    ("path", "others"), [("a", ["a/(BAND).tiff"]), ("a/(BAND).tiff", ["a"]), ("a/x_(BAND).tif", [])]
)
def test_a_folder_stands_for_its_bands(path: str, others: list[str]):
    """The service writes both."""
    assert spellings(path) == (path, *others)


def test_what_is_written_wins_over_what_is_meant():
    """Two tiles may be there, one of either spelling."""
    folder, files = tile("a"), tile("a/(BAND).tiff")

    for order in ([folder, files], [files, folder]):
        assert by_path(order) == {"a": folder, "a/(BAND).tiff": files}
    assert by_path([files])["a"] is files


@pytest.mark.parametrize(
    ("reingest", "again"),
    [("none", []), ("failed", ["failed"]), ("all", ["failed", "done"])],
)
def test_what_is_ingested_again(reingest: str, again: list[str]):
    """Never what is under way: it comes to its end by itself. What is not there is created."""
    there = by_path([tile("failed", "FAILED"), tile("done"), tile("way", "INGESTING"), tile("alien", "FAILED")])

    planned = plan(build_tiles(["new", "failed", "done", "way"]), there, reingest=reingest)

    assert [one.path for one in planned.create] == ["new"]
    assert [one.path for one in planned.reingest] == again
    assert {one.path for one in planned.keep} == {"failed", "done", "way"} - set(again)
    assert planned.requests == 1 + len(again)


@pytest.mark.parametrize(
    ("there", "warned"),
    [
        ("2024-06-01T10:00:00Z", False),
        ("2024-06-01T12:00:00.000+02:00", False),
        ("2024-06-02T10:00:00Z", True),
        ("nonsense", True),
        (None, True),
    ],
)
def test_another_sensing_time_is_warned_about(there: str | None, warned: bool):
    """The tile keeps its own."""
    wanted = build_tiles([{"path": "a", "sensingTime": "2024-06-01T10:00:00Z"}])

    planned = plan(wanted, by_path([tile("a", sensing_time=there)]), reingest="none")

    assert bool(planned.warnings) is warned


def test_a_tile_is_read_as_the_api_writes_it():
    """With why it failed, and what there is to say about it."""
    document = {
        "id": "1",
        "path": "a",
        "status": "FAILED",
        "sensingTime": None,
        "additionalData": {"failedIngestionCause": "No GeoTIFF.", "warnings": None},
    }

    assert read_tile(document) == Tile("1", "a", TileState.FAILED, cause="No GeoTIFF.")
    assert read_tile({"id": "1", "path": "a", "status": "QUEUED"}).state is TileState.QUEUED


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "no id"),
        ({"id": ""}, "no id"),
        ({"id": "1", "path": "a", "status": "SLEEPING"}, "'SLEEPING'"),
        ({"id": "1", "path": "a"}, "None, a state that is not in its reference"),
        (json.loads("[1]"), "no id"),
    ],
)
def test_what_is_no_tile_is_an_error(document: Any, words: str):
    """An unknown state must not be waited for without a word."""
    with pytest.raises(SentinelHubResponseError, match=words):
        read_tile(document)


def test_only_three_states_are_final():
    """The others are waited for."""
    assert {state for state in TileState if state.is_final} == {"INGESTED", "FAILED", "GONE"}

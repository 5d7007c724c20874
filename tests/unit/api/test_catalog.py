"""Searches of the Catalog, and what is made of their answers."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pendulum
import pytest
import shapely

from sentinelhub_provider.api.catalog import (
    DEFAULT_MEMBERS,
    build_search,
    fields_for,
    one_per,
    sort_items,
    summary,
    tile_of,
)
from sentinelhub_provider.exceptions import SentinelHubRequestError

JUNE = "2024-06-01/2024-06-30"
DAY, TILE, NO_BULK = "properties.datetime", "properties.grid:code", ["geometry", "assets", "links"]
CLEAR = {"op": "<=", "args": [{"property": "eo:cloud_cover"}, 20]}


def built(**changes: Any) -> dict[str, Any]:
    """Build the body of a search that is good, but for the changes."""
    return build_search(**{"collection": "sentinel-2-l2a", "datetime": JUNE, **changes}).body


def item(name: str, when: str | None, cover: float | None = None) -> dict[str, Any]:
    """Make an item with what sorting looks at."""
    return {"id": name, "properties": {"datetime": when, "eo:cloud_cover": cover}, "bbox": [1, 2, 3, 4]}


def test_search():
    """The whole body."""
    assert built(bbox=[13, 45, 14, 46], max_cloud_cover=20, limit=250, fields={"include": ["id"]}) == {
        "collections": ["sentinel-2-l2a"],
        "datetime": "2024-06-01T00:00:00Z/2024-06-30T23:59:59Z",
        "bbox": [13, 45, 14, 46],
        "filter": "eo:cloud_cover <= 20",
        "filter-lang": "cql2-text",
        "fields": {"include": ["id"]},
        "limit": 100,
    }


@pytest.mark.parametrize(("limit", "page"), [(None, 100), (7, 7), (100, 100), (5000, 100)])
def test_page_is_no_larger_than_needed(limit: int | None, page: int):
    """At most 100, and not more than are wanted."""
    assert built(limit=limit)["limit"] == page


@pytest.mark.parametrize("intersects", ["POINT (13 45)", {"type": "Point", "coordinates": [13, 45]}])
def test_any_geometry_can_be_searched(intersects: Any):
    """A point is enough."""
    assert built(intersects=intersects)["intersects"] == {"type": "Point", "coordinates": [13, 45]}


@pytest.mark.parametrize(
    "area",
    [
        {"bbox": [177, -18, -178, -16]},
        {"intersects": "POLYGON ((177 -18, -178 -18, -178 -16, 177 -16, 177 -18))"},
        {"intersects": "POLYGON ((177 -18, 182 -18, 182 -16, 177 -16, 177 -18))"},
        {"intersects": shapely.MultiPolygon([shapely.box(177, -18, 180, -16), shapely.box(-180, -18, -178, -16)])},
    ],
    ids=["box", "jump", "beyond 180", "cut"],
)
def test_both_sides_of_the_antimeridian_are_searched(area: dict[str, Any]):
    """As two areas in one search, whose cost is that of their true size."""
    request = build_search(collection="sentinel-2-l2a", datetime="2024-06-01/2024-06-30", **area)

    assert "bbox" not in request.body
    east, west = shapely.geometry.shape(request.body["intersects"]).geoms
    assert {east.bounds, west.bounds} == {(177, -18, 180, -16), (-180, -18, -178, -16)}
    estimate = request.estimate()
    assert estimate is not None
    assert "118,506 / 1,000,000 km2" in estimate.explanation


@pytest.mark.parametrize(
    "line", ["LINESTRING (179 0, 181 2)", "LINESTRING (179 0, -179 2)", "LINESTRING (-181 0, -179 2)"]
)
def test_lines_across_the_antimeridian_are_cut(line: str):
    """As areas are."""
    found = shapely.geometry.shape(built(intersects=line)["intersects"])
    assert sorted(part.coords[:] for part in found.geoms) == [[(-180, 1), (-179, 2)], [(179, 0), (180, 1)]]


@pytest.mark.parametrize(
    "intersects",
    [
        "POINT (181 5)",
        "POINT (-181 5)",
        "MULTIPOINT ((179 0), (181 1))",
        "LINESTRING (190 0, 200 1)",
        "POLYGON ((179 0, 181 0, 181 95, 179 95, 179 0))",
        "POLYGON ((190 0, 200 0, 200 9, 190 0))",
        "POLYGON ((0 0, 800 0, 800 9, 0 0))",
    ],
)
def test_what_only_lies_beyond_is_refused(intersects: str):
    """A longitude of 200, or a latitude of 95, is a mistake."""
    with pytest.raises(SentinelHubRequestError, match="outside of longitude -180 to 180"):
        built(intersects=intersects)


def test_what_goes_around_a_pole_stays_as_it_is():
    """It crosses 180 degrees once, so that it cannot be cut in two."""
    ring = "POLYGON ((-120 70, 0 60, 120 75, -120 70))"
    assert built(intersects=ring)["intersects"] == json.loads(shapely.to_geojson(shapely.from_wkt(ring)))


def test_another_crs_is_transformed():
    """The Catalog takes only degrees."""
    assert built(intersects="SRID=3857;POINT (0 0)")["intersects"] == {"type": "Point", "coordinates": [0.0, 0.0]}


def test_one_id_is_one():
    """Not its letters."""
    assert built(ids="S2A_1")["ids"] == ["S2A_1"]
    assert built(ids=["a", "b"])["ids"] == ["a", "b"]


COVER = "properties.eo:cloud_cover"


@pytest.mark.parametrize(
    ("fields", "options", "expected"),
    [
        (None, {"whole": True, "sort": "clearest"}, None),
        (None, {}, {"include": ["id", "bbox", DAY, COVER], "exclude": ["geometry", "assets", "links"]}),
        (None, {"one_per": "tile"}, {"include": ["id", "bbox", DAY, COVER, TILE], "exclude": NO_BULK}),
        ({"include": ["id"]}, {}, {"include": ["id"]}),
        ({"include": "id", "exclude": None}, {}, {"include": ["id"]}),
        ({"include": ["id"]}, {"sort": "clearest"}, {"include": ["id", DAY, COVER]}),
        ({"include": ["id", "properties"]}, {"sort": "clearest"}, {"include": ["id", "properties"]}),
        (
            {"exclude": ["assets", COVER]},
            {"sort": "clearest"},
            {"include": [*DEFAULT_MEMBERS, COVER], "exclude": ["assets"]},
        ),
        ({"exclude": ["properties"]}, {"one_per": "day"}, {"include": list(DEFAULT_MEMBERS)}),
    ],
)
def test_no_more_is_asked_for_than_needed(fields: Any, options: dict[str, Any], expected: Any):
    """Whole items where they are stored; what an order goes by comes along, whatever the user chose."""
    assert fields_for(fields, **{"sort": None, "one_per": None, "whole": False, **options}) == expected


def test_own_filter_is_joined_to_the_cloud_limit():
    """As text or as JSON."""
    text = built(filter="platform = 'sentinel-2a'", max_cloud_cover=20)
    json = built(filter={"op": "=", "args": [{"property": "platform"}, "sentinel-2a"]}, max_cloud_cover=20)

    assert text["filter"] == "platform = 'sentinel-2a' and eo:cloud_cover <= 20"
    assert json["filter"] == {
        "op": "and",
        "args": [{"op": "=", "args": [{"property": "platform"}, "sentinel-2a"]}, CLEAR],
    }
    assert json["filter-lang"] == "cql2-json"


@pytest.mark.parametrize(
    ("value", "interval"),
    [
        ("2024-06-01/..", "2024-06-01T00:00:00Z/.."),
        ("../2024-06-01", "../2024-06-01T23:59:59Z"),
        (["2024-06-01", None], "2024-06-01T00:00:00Z/.."),
        (["", date(2024, 6, 1)], "../2024-06-01T23:59:59Z"),
    ],
)
def test_open_end(value: str, interval: str):
    """As STAC writes it."""
    assert built(datetime=value)["datetime"] == interval


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-06-01T09:41:12Z", "2024-06-01T09:41:12Z"),
        (" 2024-06-01t09:41:12.5z ", "2024-06-01T09:41:12.500Z"),
        (["2024-06-01T11:41:12+02:00"], "2024-06-01T09:41:12Z"),
        (datetime(2024, 6, 1, 9, 41, 12, tzinfo=UTC), "2024-06-01T09:41:12Z"),
        (pendulum.datetime(2024, 6, 1, 9, 41, 12), "2024-06-01T09:41:12Z"),
        (pd.Timestamp("2024-06-01 09:41:12"), "2024-06-01T09:41:12Z"),
        (np.datetime64("2024-06-01T09:41:12"), "2024-06-01T09:41:12Z"),
        ("2024-06-01", "2024-06-01T00:00:00Z/2024-06-01T23:59:59Z"),
        (date(2024, 6, 1), "2024-06-01T00:00:00Z/2024-06-01T23:59:59Z"),
        (np.array(["2024-06-01", "2024-06-02"], "datetime64[D]"), "2024-06-01T00:00:00Z/2024-06-02T23:59:59Z"),
    ],
    ids=str,
)
def test_a_moment_is_an_instant_and_a_date_a_day(value: Any, expected: str):
    """In every spelling; its cost is known, too."""
    search = build_search(collection="sentinel-2-l2a", bbox=[13, 45, 14, 46], datetime=value)

    assert search.body["datetime"] == expected
    assert search.estimate().processing_units == 0.01  # type: ignore[union-attr]


def test_an_instant_in_the_future_is_refused():
    """Nothing was seen then yet."""
    with pytest.raises(SentinelHubRequestError, match="in the future") as caught:
        build_search(collection="sentinel-2-l2a", datetime="2024-06-01T00:00:01Z", now=datetime(2024, 6, 1, tzinfo=UTC))
    assert caught.value.field == "datetime"


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"collection": "byoc-2"}, "collection", "no name of an own"),
        ({"bbox": [0, 0, 1, 1], "intersects": "POINT (0 0)"}, "intersects", "both given"),
        ({"bbox": [0, 91, 1, 92]}, "bbox", "swapped"),
        ({"intersects": "POINT (45 130)"}, "intersects", "swapped"),
        ({"intersects": "POINT (500000 5000000)"}, "intersects", "Give degrees"),
        ({"bbox": [14, 45, 13, 46]}, "bbox", "its west is larger than its east"),
        ({"bbox": [177, -18, -181, -16]}, "bbox", "upside down"),
        ({"intersects": "POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))"}, "intersects", "crosses"),
        ({"datetime": "../.."}, "datetime", "at least one end"),
        ({"datetime": "2024-06-30/2024-06-01"}, "datetime", "reversed"),
        ({"max_cloud_cover": 20, "collection": "sentinel-1-grd"}, "max_cloud_cover", "no cloud cover"),
        ({"max_cloud_cover": -1}, "max_cloud_cover", "0 to 100"),
        ({"limit": 0}, "limit", "1 or more"),
        ({"limit": True}, "limit", "1 or more"),
        ({"filter": 5}, "filter", "CQL2"),
        ({"fields": ["id"]}, "fields", "include and exclude"),
        ({"fields": {"include": 5}}, "fields", "include is 5"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], field: str, message: str):
    """Before anything is sent, with the argument's name."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        built(**changes)
    assert caught.value.field == field


def test_summary_fits_into_xcom():
    """Four members, and a distinct value as it is."""
    assert summary(item("a", "2024-06-01T10:00:00Z", 5)) == {
        "id": "a",
        "datetime": "2024-06-01T10:00:00Z",
        "cloud_cover": 5,
        "bbox": [1, 2, 3, 4],
    }
    assert summary("2024-06-01") == "2024-06-01"


ITEMS = [
    item("b", "2024-06-02T10:00:00Z", 30),
    item("d", None, None),
    item("a", "2024-06-02T12:00:00.5+02:00", 10),
    item("c", "2024-06-03T10:00:00Z", 10),
]


@pytest.mark.parametrize(("by", "order"), [("newest", "cabd"), ("oldest", "bacd"), ("clearest", "cabd")])
def test_sorting(by: str, order: str):
    """By real time, whatever the zone; what has no time or cover comes last."""
    assert "".join(found["id"] for found in sort_items(ITEMS, by)) == order


def test_one_per_day_keeps_the_first():
    """So that sorting decides which."""
    assert [found["id"] for found in one_per(sort_items(ITEMS, "clearest"), "day")] == ["c", "a", "d"]


@pytest.mark.parametrize("time", ["", "today", "2024-13-01T00:00:00Z", 5, ["2024-06-01"]], ids=repr)
def test_a_time_that_is_none_counts_as_missing(time: Any):
    """An odd item spoils no result."""
    odd = item("odd", time, 0)
    found = sort_items([odd, *ITEMS], "newest")

    assert [one["id"] for one in found] == ["c", "a", "b", "d", "odd"]
    assert odd in one_per([odd, *ITEMS], "day")


def test_one_per_tile():
    """The tile is what the item or its id says."""
    names = ["S2A_MSIL2A_20240601T100000_N0510_R122_T33TWM_20240601T120000", "S2B_MSIL2A_20240603T1_R1_T33TWM_2"]
    other = {"id": "x", "properties": {"grid:code": "MGRS-33TVM"}}
    items = [*({"id": name} for name in names), other]

    assert one_per(items, "tile") == [items[0], other]
    assert tile_of({"id": "LC08_L1TP_190027_20181225_20200829_02_T1"}) == "190027"


@pytest.mark.parametrize(("function", "field"), [(sort_items, "sort"), (one_per, "one_per")])
def test_unknown_choice_is_refused(function: Any, field: str):
    """With those that there are."""
    with pytest.raises(SentinelHubRequestError, match="Give one of") as caught:
        function([], "best")
    assert caught.value.field == field


def test_estimate():
    """A square degree for a month is little; without an end it is not known."""
    search = {"collection": "sentinel-2-l2a", "bbox": [13, 45, 14, 46]}

    assert build_search(datetime=JUNE, **search).estimate().processing_units == 0.01  # type: ignore[union-attr]
    assert build_search(datetime="2024-01-01/..", **search).estimate() is None
    assert build_search(datetime=JUNE, collection="sentinel-2-l2a").estimate() is None

"""Validation of search requests."""

from __future__ import annotations

from typing import Any

import pytest

from sentinelhub_provider.sandbox.apis.catalog.query import parse_items_params, parse_search, parse_search_params
from sentinelhub_provider.sandbox.errors import ApiError

GOOD: dict[str, Any] = {"collections": ["sentinel-2-l2a"], "datetime": "2024-06-01T00:00:00Z/.."}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"collections": ["a", "b"]}, "collections: exactly one"),
        ({"collections": []}, "collections: exactly one"),
        ({"collections": "sentinel-2-l2a"}, "collections: exactly one"),
        ({"datetime": None}, "datetime: must be given"),
        ({"datetime": 2024}, "datetime: must be a string"),
        ({"bbox": [0, 0, 1]}, "bbox: must be four numbers"),
        ({"bbox": [0, 0, 1, "2"]}, "bbox: must be four numbers"),
        ({"bbox": [0, 2, 1, 1]}, "bbox: south"),
        ({"bbox": [500000, 5000000, 510000, 5010000]}, "bbox: must be within longitude"),
        ({"bbox": [0, 0, 1, 1], "intersects": {"type": "Point", "coordinates": [0, 0]}}, "only one of the two"),
        ({"limit": 0}, "limit: must be an integer between 1 and 100"),
        ({"limit": 101}, "limit: must be an integer between 1 and 100"),
        ({"limit": "10"}, "limit: must be an integer"),
        ({"limit": True}, "limit: must be an integer"),
        ({"next": -1}, "next: must be an integer"),
        ({"next": 10**30}, "next: must be an integer"),
        ({"ids": "a"}, "ids: must be an array"),
        ({"distinct": ["date"]}, "distinct: must be the name"),
        ({"filter-crs": "EPSG:3857"}, "filter-crs"),
        ({"query": {"eo:cloud_cover": {"lt": 10}}}, "query: unknown parameter"),
        ({"sortby": [{"field": "datetime"}]}, "sortby: unknown parameter"),
    ],
)
def test_a_wrong_search_is_refused_by_the_parameters_name(change: dict[str, Any], message: str) -> None:
    """Each mistake is named; nothing is ignored in silence."""
    with pytest.raises(ApiError) as caught:
        parse_search({**GOOD, **change})
    assert caught.value.status == 400
    assert message in caught.value.message


def test_query_and_body_mean_the_same() -> None:
    """A GET search gives the same query as the POST search with the same parameters."""
    params = {
        "collections": "sentinel-2-l2a",
        "datetime": "2024-06-01T00:00:00Z/..",
        "bbox": "13,45,14,46",
        "limit": "5",
        "next": "10",
        "ids": "a,b",
        "fields": "id,-geometry",
        "filter": "eo:cloud_cover < 20",
        "distinct": "date",
    }
    body = {
        **GOOD,
        "bbox": [13, 45, 14, 46],
        "limit": 5,
        "next": 10,
        "ids": ["a", "b"],
        "fields": {"include": ["id"], "exclude": ["geometry"]},
        "filter": "eo:cloud_cover < 20",
        "distinct": "date",
    }
    assert parse_search_params(params) == parse_search(body)


def test_a_get_search_takes_json_where_the_parameter_is_an_object() -> None:
    """``intersects`` and a cql2-json filter come as JSON text."""
    query = parse_search_params(
        {
            "collections": "sentinel-2-l2a",
            "datetime": "2024-06-01T00:00:00Z",
            "intersects": '{"type": "Point", "coordinates": [13, 45]}',
            "filter": '{"op": "<", "args": [{"property": "eo:cloud_cover"}, 20]}',
            "filter-lang": "cql2-json",
        }
    )
    assert query.boxes == ((13.0, 45.0, 13.0, 45.0),)
    assert query.filter is not None


@pytest.mark.parametrize(
    "params", [{"limit": "many"}, {"bbox": "a,b,c,d"}, {"intersects": "{"}, {"colections": "x"}], ids=str
)
def test_a_wrong_query_string_is_refused(params: dict[str, str]) -> None:
    """What cannot be read from a query string is an error of the request."""
    with pytest.raises(ApiError):
        parse_search_params({"collections": "c", "datetime": "2024-06-01T00:00:00Z", **params})


def test_a_bbox_over_the_antimeridian_is_two_boxes() -> None:
    """A west beyond the east crosses 180 degrees, as RFC 7946 has it."""
    query = parse_search({**GOOD, "bbox": [170, -20, -170, -10]})
    assert query.boxes == ((170.0, -20.0, 180.0, -10.0), (-180.0, -20.0, -170.0, -10.0))


def test_heights_of_a_bbox_are_ignored() -> None:
    """Six numbers are a box with heights."""
    assert parse_search({**GOOD, "bbox": [13, 45, 0, 14, 46, 100]}).boxes == ((13.0, 45.0, 14.0, 46.0),)


def test_items_need_neither_area_nor_time() -> None:
    """A collection's items may be listed without any condition."""
    query = parse_items_params("sentinel-2-l2a", {})
    assert (query.interval, query.boxes, query.limit) == ((None, None), (), 10)

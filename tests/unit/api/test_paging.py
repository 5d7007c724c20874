"""How long answers are continued and joined."""

from __future__ import annotations

from typing import Any

import pytest

from sentinelhub_provider.api.paging import NextPage, items_of, joined, next_page


@pytest.mark.parametrize(
    ("answer", "method", "expected"),
    [
        pytest.param({"features": [1], "context": {"next": 10}}, "POST", NextPage(json={"next": 10}), id="search"),
        pytest.param({"features": [1], "context": {"next": 10}}, "get", NextPage(params={"next": 10}), id="search-get"),
        pytest.param({"features": [1], "context": {"next": 0}}, "POST", NextPage(json={"next": 0}), id="token-zero"),
        pytest.param({"features": [1], "context": {}}, "POST", None, id="last-search"),
        pytest.param({"features": [], "context": {"next": 10}}, "POST", None, id="empty-search"),
        pytest.param(
            {"data": [1], "links": {"nextToken": "t"}}, "GET", NextPage(params={"viewtoken": "t"}), id="listing"
        ),
        pytest.param({"data": [1], "links": {}}, "GET", None, id="last-listing"),
        pytest.param({"data": [], "links": {"nextToken": "t"}}, "GET", None, id="empty-listing-with-token"),
        pytest.param({"features": [1], "links": [{"rel": "self"}]}, "GET", None, id="stac-links"),
        pytest.param({"id": 1}, "GET", None, id="one-thing"),
        pytest.param([1, 2], "GET", None, id="list"),
        pytest.param(None, "GET", None, id="nothing"),
    ],
)
def test_next_page(answer: Any, method: str, expected: NextPage | None):
    """A search goes on in its body, a listing in its query; an empty page ends either."""
    assert next_page(answer, method=method) == expected


def test_pages_are_joined_into_one_answer():
    """All items, what else the first page says, and nothing that points at a further page."""
    pages = [
        {"type": "FeatureCollection", "features": [1, 2], "links": [], "context": {"next": 2, "returned": 2}},
        {"type": "FeatureCollection", "features": [3], "links": [], "context": {"returned": 1}},
    ]

    assert joined(pages) == {"type": "FeatureCollection", "features": [1, 2, 3], "context": {"returned": 3}}


def test_listing_is_joined():
    """The same under the other name."""
    pages = [{"data": [{"id": 1}], "links": {"nextToken": "t"}}, {"data": [{"id": 2}], "links": {}}]

    assert joined(pages) == {"data": [{"id": 1}, {"id": 2}]}


def test_answer_without_items_stays_as_it_is():
    """Nothing to join."""
    assert joined([{"id": 1, "links": {}}]) == {"id": 1, "links": {}}
    assert items_of({"data": None}) == []

"""How long answers are continued and joined."""

from __future__ import annotations

from typing import Any

import pytest

from sentinelhub_provider.api.paging import items_of, joined, next_page


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param({"features": [1], "context": {"next": 10}}, {"next": 10}, id="search"),
        pytest.param({"features": [1], "context": {"next": 0}}, {"next": 0}, id="token-zero"),
        pytest.param({"features": [1], "context": {}}, None, id="last-search"),
        pytest.param({"features": [], "context": {"next": 10}}, None, id="empty-search"),
        pytest.param({"data": [1], "links": {"nextToken": "t"}}, {"viewtoken": "t"}, id="listing"),
        pytest.param({"data": [1], "links": {}}, None, id="last-listing"),
        pytest.param({"data": [], "links": {"nextToken": "t"}}, None, id="empty-listing-with-token"),
        pytest.param({"features": [1], "links": [{"rel": "self"}]}, None, id="stac-links"),
        pytest.param({"id": 1}, None, id="one-thing"),
        pytest.param([1, 2], None, id="list"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_next_page(answer: Any, expected: dict[str, Any] | None):
    """A search goes on in its body, a listing in its query; an empty page ends either."""
    assert next_page(answer) == expected


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

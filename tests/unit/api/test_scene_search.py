"""Searches over all pages: what is asked, what is made of odd answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentinelhub_provider.api.scenes.search import search_flow
from sentinelhub_provider.exceptions import SentinelHubResponseError


def page(*names: str, following: int | None = None) -> bytes:
    """Return an answer of the Catalog."""
    features = [
        {"id": name, "bbox": [1, 2, 3, 4], "properties": {"datetime": "2024-06-03T10:00:00Z"}} for name in names
    ]
    return json.dumps({"features": features, "context": {"next": following}}).encode()


def run(*answers: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Feed answers to a search; return what it found and what it asked."""
    flow = search_flow({"collections": ["sentinel-2-l2a"], "limit": 5})
    sent = [next(flow)]
    try:
        for answer in answers:
            sent += [flow.send(answer)]
    except StopIteration as end:
        return end.value, sent
    raise AssertionError("the search asks for more pages than there are answers")


def test_all_pages_are_followed():
    """Full pages, each continued from the one before."""
    found, sent = run(page("a", "b", following=100), page("c"))

    assert [scene["id"] for scene in found] == ["a", "b", "c"]
    assert [(body["limit"], body.get("next")) for body in sent] == [(100, None), (100, 100)]


def test_a_scene_on_two_pages_is_one():
    """A scene that is published between two pages moves the others down."""
    found, _ = run(page("a", "b", following=100), page("b", "c"))

    assert [scene["id"] for scene in found] == ["a", "b", "c"]


def test_the_short_list_is_four_values():
    """What a DAG needs, and no more."""
    found, _ = run(page("a"))

    assert found == [{"id": "a", "datetime": "2024-06-03T10:00:00Z", "cloud_cover": None, "bbox": [1, 2, 3, 4]}]


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        ([b"<html>"], "something other than JSON"),
        ([b'{"code": 200}'], "no list of features"),
        ([b'{"features": [{"type": "Feature"}]}'], "no id"),
        ([page("a", following=100), page("b", following=100)], "from page 2 to itself"),
    ],
    ids=["html", "no features", "no id", "endless"],
)
def test_odd_answers_are_errors(answers, what):
    """None of them passes for an empty result."""
    with pytest.raises(SentinelHubResponseError, match=what):
        run(*answers)

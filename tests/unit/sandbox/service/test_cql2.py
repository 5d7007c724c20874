"""CQL2 filters: both encodings, and what they do not take."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider.sandbox.apis.catalog.cql2 import check_queryables, parse_filter
from sentinelhub_provider.sandbox.errors import ApiError

CLEAR = {"eo:cloud_cover": 5.0, "platform": "sentinel-2a"}
HALF = {"eo:cloud_cover": 50.0, "platform": "sentinel-2b"}


def _op(op: str, *args: Any) -> dict[str, Any]:
    return {"op": op, "args": list(args)}


COVER = {"property": "eo:cloud_cover"}


@pytest.mark.parametrize(
    ("source", "clear", "half"),
    [
        ("eo:cloud_cover < 20", True, False),
        ("eo:cloud_cover<=50", True, True),
        ("eo:cloud_cover > 20", False, True),
        ("eo:cloud_cover = 5", True, False),
        ("eo:cloud_cover <> 5", False, True),
        ("20 > eo:cloud_cover", True, False),
        ("eo:cloud_cover BETWEEN 10 AND 60", False, True),
        ("eo:cloud_cover between 5 and 5 and platform = 'sentinel-2a'", True, False),
        ("eo:cloud_cover NOT BETWEEN 10 AND 60", True, False),
        ("NOT eo:cloud_cover < 20", False, True),
        ("not (eo:cloud_cover < 20 and platform = 'sentinel-2a')", False, True),
        ("\"eo:cloud_cover\" >= 0 AND platform = 'sentinel-2b'", False, True),
        ("eo:cloud_cover < 2e1", True, False),
        (_op("<", COVER, 20), True, False),
        (_op("lte", COVER, 50), True, True),
        (_op("gt", COVER, 20), False, True),
        (_op("eq", {"property": "platform"}, "sentinel-2a"), True, False),
        (_op("between", COVER, 10, 60), False, True),
        (_op("not", _op("<", COVER, 20)), False, True),
        (_op("and", _op(">", COVER, 1), _op("<", COVER, 20)), True, False),
    ],
)
def test_filters_select_by_their_condition(source: Any, clear: bool, half: bool) -> None:
    """Each operator means what CQL2 says, in text and in JSON."""
    expression = parse_filter(source, None)
    assert (expression.matches(CLEAR), expression.matches(HALF)) == (clear, half)


@pytest.mark.parametrize(
    ("source", "language", "message"),
    [
        ("eo:cloud_cover <", None, "at character 17"),
        ("eo:cloud_cover ! 20", None, "character 16"),
        ("eo:cloud_cover < 20 OR platform = 'x'", None, "'or' is not supported"),
        ("(eo:cloud_cover < 20", None, "at character 21"),
        ("eo:cloud_cover LIKE 'a'", None, "'like' is not supported"),
        ("< 20", None, "at character 1:"),
        ("", None, "at character 1:"),
        (_op("or", _op("<", COVER, 20), _op(">", COVER, 30)), None, "'or' is not supported"),
        (_op("<", COVER), None, "exactly two args"),
        (_op("<", COVER, None), None, "neither a number"),
        ({"property": "a"}, None, "must be an object like"),
        (_op("and", _op("<", COVER, 1)), None, "at least two"),
        ("a = 1", "cql-text", "filter-lang"),
        ("a = 1", "cql2-json", "but the filter is text"),
        (_op("<", COVER, 1), "cql2-text", "but the filter is an object"),
        (12, None, "must be a CQL2 text"),
        ("NOT " * 1000 + "a = 1", None, "nested deeper"),
    ],
)
def test_a_wrong_filter_is_refused_with_its_fault(source: Any, language: str | None, message: str) -> None:
    """The error says what is wrong, and where."""
    with pytest.raises(ApiError) as caught:
        parse_filter(source, language)
    assert caught.value.status == 400
    assert message in caught.value.message


def test_a_property_that_cannot_be_filtered_by_is_named() -> None:
    """The error lists the queryables, so that the right name is at hand."""
    with pytest.raises(ApiError) as caught:
        check_queryables(parse_filter("cloud_cover < 20", None), {"eo:cloud_cover"})
    assert caught.value.message == "filter: cloud_cover cannot be filtered by; queryables here are: eo:cloud_cover"


def test_an_item_without_the_property_passes_no_comparison() -> None:
    """A scene of unknown cloud cover is neither below nor above a limit."""
    assert not parse_filter("eo:cloud_cover < 20", None).matches({})
    assert not parse_filter("eo:cloud_cover >= 20", None).matches({})


@given(value=st.floats(0, 100), limit=st.floats(0, 100))
def test_text_and_json_say_the_same(value: float, limit: float) -> None:
    """One condition in both encodings selects the same scenes."""
    text = parse_filter(f"eo:cloud_cover <= {limit!r}", "cql2-text")
    tree = parse_filter(_op("<=", COVER, limit), "cql2-json")
    properties = {"eo:cloud_cover": value}
    assert text.matches(properties) == tree.matches(properties) == (value <= limit)


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(source: str) -> None:
    """No input brings the parser down."""
    with contextlib.suppress(ApiError):
        assert parse_filter(source, "cql2-text").names()

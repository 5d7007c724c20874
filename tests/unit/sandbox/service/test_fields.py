"""The Fields extension, by the documentation's rules."""

from __future__ import annotations

from typing import Any

import pytest

from sentinelhub_provider.sandbox.apis.catalog.fields import parse_fields
from sentinelhub_provider.sandbox.errors import ApiError

ITEM: dict[str, Any] = {
    "id": "a",
    "type": "Feature",
    "stac_version": "1.0.0",
    "geometry": {},
    "bbox": [0, 0, 1, 1],
    "links": [],
    "assets": {},
    "properties": {"datetime": "2024-06-01T00:00:00Z", "eo:cloud_cover": 5},
}
DEFAULT = {"id", "type", "geometry", "bbox", "links", "assets", "properties"}


def _shape(fields: object) -> dict[str, Any]:
    parsed = parse_fields(fields)
    assert parsed is not None
    return parsed.apply(ITEM)


@pytest.mark.parametrize("fields", [{}, {"include": [], "exclude": None}, ""])
def test_empty_fields_give_the_default_set(fields: object) -> None:
    """An empty object is not the same as no ``fields`` at all."""
    shaped = _shape(fields)
    assert set(shaped) == DEFAULT
    assert shaped["properties"] == {"datetime": "2024-06-01T00:00:00Z"}


@pytest.mark.parametrize("fields", [{"include": ["properties.eo:cloud_cover"]}, "properties.eo:cloud_cover"])
def test_include_adds_to_the_default_set(fields: object) -> None:
    """What is included comes on top of the default set."""
    shaped = _shape(fields)
    assert set(shaped) == DEFAULT
    assert set(shaped["properties"]) == {"datetime", "eo:cloud_cover"}


@pytest.mark.parametrize("fields", [{"exclude": ["geometry", "properties.datetime"]}, "-geometry,-properties.datetime"])
def test_exclude_takes_from_the_default_set(fields: object) -> None:
    """What is excluded is missing from the default set."""
    shaped = _shape(fields)
    assert set(shaped) == DEFAULT - {"geometry"}
    assert shaped["properties"] == {}


def test_include_and_exclude_together_leave_out_the_default_set() -> None:
    """With both, only what is included and not excluded is returned."""
    shaped = _shape({"include": ["id", "properties"], "exclude": ["properties.datetime", "geometry"]})
    assert shaped == {"id": "a", "properties": {"eo:cloud_cover": 5}}


def test_shaping_does_not_change_the_item() -> None:
    """The item that the answer is cut from stays whole."""
    _shape({"include": ["properties"], "exclude": ["properties.datetime"]})
    assert set(ITEM["properties"]) == {"datetime", "eo:cloud_cover"}


def test_no_fields_mean_all_attributes() -> None:
    """Without ``fields`` nothing is cut."""
    assert parse_fields(None) is None


@pytest.mark.parametrize("fields", [["id"], {"only": ["id"]}, {"include": "id"}, {"include": [1]}])
def test_wrong_fields_are_refused(fields: object) -> None:
    """Anything but arrays of names is an error of the request."""
    with pytest.raises(ApiError, match="fields"):
        parse_fields(fields)

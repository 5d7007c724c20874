"""GeoJSON in all its forms, one feature at a time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentinelhub_provider.api.geo.features import Feature, Features
from sentinelhub_provider.exceptions import SentinelHubRequestError

POINT = {"type": "Point", "coordinates": [1, 2]}
ONE = {"type": "Feature", "id": 7, "properties": {"name": "a"}, "geometry": POINT}
TWO = {"type": "Feature", "properties": {"name": "b"}, "geometry": POINT}
BOTH = {"type": "FeatureCollection", "features": [ONE, TWO]}


class Frame:
    """What geopandas and shapely have."""

    __geo_interface__ = BOTH


FORMS = {
    "mapping": BOTH,
    "list": [ONE, TWO],
    "text": json.dumps(BOTH),
    "indented": json.dumps(BOTH, indent=2),
    "features first": json.dumps({"features": [ONE, TWO], "type": "FeatureCollection"}),
    "text of a list": json.dumps([ONE, TWO]),
    "newline delimited": f"{json.dumps(ONE)}\n{json.dumps(TWO)}\n",
    "text sequence": f"\x1e{json.dumps(ONE)}\n\x1e{json.dumps(TWO)}\n",
    "byte order mark": f"\ufeff{json.dumps(BOTH)}",
    "geo interface": Frame(),
}


@pytest.mark.parametrize("value", FORMS.values(), ids=FORMS)
def test_every_form_has_the_same_features(value: Any):
    """As often as one asks."""
    features = Features(value)

    expected = [Feature(0, 7, POINT), Feature(1, 1, POINT)]
    assert list(features) == expected
    assert list(features) == expected
    assert len(features) == 2


@pytest.mark.parametrize("value", [POINT, json.dumps(POINT), ONE, json.dumps(ONE)])
def test_a_single_geometry_or_feature_is_one(value: Any):
    """As text, too."""
    (feature,) = Features(value)
    assert feature.geometry == POINT


def test_a_property_names_features():
    """Instead of GeoJSON's id; one that has none says so."""
    nameless = {**TWO, "properties": None}
    found = list(Features([ONE, TWO, nameless], id_property="name"))

    assert [feature.id for feature in found] == ["a", "b", 2]
    assert "no property 'name'" in str(found[2].problem)


@pytest.mark.parametrize(
    ("item", "problem"), [(7, "no GeoJSON feature"), ({**ONE, "geometry": None}, "no geometry")], ids=["number", "null"]
)
def test_a_bad_feature_is_a_problem_of_its_own(item: Any, problem: str):
    """The others are as they were."""
    first, second = Features([item, TWO])
    assert problem in str(first.problem)
    assert second == Feature(1, 1, POINT)


def test_the_collection_names_its_crs():
    """Before or after its features."""
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32634"}}
    before = Features(json.dumps({"crs": named, **BOTH})).crs
    after = Features(json.dumps({**BOTH, "crs": named})).crs
    assert before is not None
    assert before.epsg == 32634
    assert before == after


@pytest.mark.parametrize("text", ["{", '{"features": [1 2]}', "[1", "[] 1", '{"a" 1}', json.dumps(BOTH)[:-1], "{}{"])
def test_what_is_no_json_is_said_at_once(text: str):
    """Not when the last feature is reached."""
    with pytest.raises(SentinelHubRequestError, match="features is no GeoJSON"):
        Features(text)


@pytest.mark.parametrize("value", [[], {**BOTH, "features": []}, "[]"])
def test_nothing_is_refused(value: Any):
    """A table of no features would look like success."""
    with pytest.raises(SentinelHubRequestError, match="no feature"):
        Features(value)


@pytest.mark.parametrize("value", [7, {**BOTH, "features": 7}])
def test_what_is_no_list_is_refused(value: Any):
    """With its type."""
    with pytest.raises(SentinelHubRequestError, match="int"):
        Features(value)

"""GeoJSON in all its forms, one feature at a time."""

from __future__ import annotations

import json
import tracemalloc
from collections import UserList
from pathlib import Path
from typing import Any

import pytest

from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.features import Feature, geojson, open_features

POINT = {"type": "Point", "coordinates": [1, 2]}
ONE = {"type": "Feature", "id": 7, "properties": {"name": "a", "crop": "rye"}, "geometry": POINT}
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


def read(value: Any, **options: Any) -> list[Feature]:
    """Return all features, read twice alike."""
    with open_features(value, **options) as features:
        found = list(features)
        assert list(features) == found
        assert len(features) == len(found)
    return found


@pytest.fixture(name="forms", params=["value", "file"])
def fixture_forms(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return what makes a value of a text: itself, or a file that is read in pieces of a few characters."""
    monkeypatch.setattr(geojson, "CHUNK", 7)

    def form(value: Any) -> Any:
        if request.param == "value" or not isinstance(value, str):
            return value
        path = tmp_path / "fields.geojson"
        path.write_text(value, encoding="utf-8")
        return str(path)

    return form


@pytest.mark.parametrize("value", FORMS.values(), ids=FORMS)
def test_every_form_has_the_same_features(value: Any, forms):
    """As often as one asks, from memory and from a file that is read piece by piece."""
    assert read(forms(value)) == [Feature(0, 7, POINT), Feature(1, 1, POINT)]


@pytest.mark.parametrize("value", [POINT, json.dumps(POINT), ONE, json.dumps(ONE)])
def test_a_single_geometry_or_feature_is_one(value: Any, forms):
    """As text, too."""
    (feature,) = read(forms(value))
    assert feature.geometry == POINT


def test_a_property_names_features():
    """Instead of GeoJSON's id; one that has none says so."""
    nameless = {**TWO, "properties": None}
    found = read([ONE, TWO, nameless], id_property="name")

    assert [feature.id for feature in found] == ["a", "b", 2]
    assert "no value for the property 'name'" in str(found[2].problem)


def test_properties_come_along():
    """Those that are asked for; null where a feature has none."""
    found = read(BOTH, id_property="name", properties=["crop", "name"])

    assert [feature.properties for feature in found] == [{"crop": "rye", "name": "a"}, {"crop": None, "name": "b"}]
    assert read(BOTH, properties="crop")[0].properties == {"crop": "rye"}


@pytest.mark.parametrize("field", ["id_property", "properties"])
def test_a_property_that_no_feature_has_is_named(field: str):
    """With those that there are."""
    with pytest.raises(SentinelHubRequestError, match=r"'crp'\. There are: name, crop") as caught:
        read(BOTH, **{field: "crp"})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("given", "expected"),
    [(1.0, 1), (0, 0), (-3.0, -3), ("a", "a"), ("1.0", "1.0"), (None, 0), (1e15, 1_000_000_000_000_000)],
)
def test_ids_are_texts_and_whole_numbers(given: Any, expected: Any):
    """1.0, which pandas writes, is 1; null is no id."""
    (feature,) = read({**ONE, "id": given})
    assert (feature.id, feature.problem) == (expected, None)


@pytest.mark.parametrize("given", ["", 1.5, True, [1], {"a": 1}, float("nan"), float("inf")])
def test_an_id_that_cannot_be_used_is_its_features_problem(given: Any):
    """Its place never stands for it."""
    problem = read([{**ONE, "id": given}, TWO])[0].problem
    assert problem is not None
    assert "has the id" in problem


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (7, "not a GeoJSON feature"),
        ({**ONE, "geometry": None}, "no geometry"),
        ({**ONE, "geometry": 3}, "a int where its geometry belongs"),
    ],
    ids=["number", "null", "no mapping"],
)
def test_a_bad_feature_is_a_problem_of_its_own(item: Any, problem: str):
    """The others are as they were."""
    first, second = read([item, TWO])
    assert problem in str(first.problem)
    assert second == Feature(1, 1, POINT)


def test_the_collection_names_its_crs(forms):
    """Before or after its features."""
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32634"}}
    for text in (json.dumps({"crs": named, **BOTH}), json.dumps({**BOTH, "crs": named})):
        with open_features(forms(text)) as features:
            assert features.crs is not None
            assert features.crs.epsg == 32634


@pytest.mark.parametrize("text", ["{", '{"features": [1 2]}', "[1", "[] 1", '{"a" 1}', json.dumps(BOTH)[:-1], "{}{"])
def test_what_is_no_json_is_said_at_once(text: str, forms):
    """Not when the last feature is reached, and with the place."""
    with pytest.raises(SentinelHubRequestError, match=r"is not GeoJSON: .* at character \d"):
        read(forms(text))


@pytest.mark.parametrize("value", [[], {**BOTH, "features": []}, "[]"])
def test_nothing_is_refused(value: Any):
    """A table of no features would look like success."""
    with pytest.raises(SentinelHubRequestError, match="no feature"):
        read(value)


@pytest.mark.parametrize("value", [7, {**BOTH, "features": 7}])
def test_what_is_no_list_is_refused(value: Any):
    """With its type."""
    with pytest.raises(SentinelHubRequestError, match="int"):
        read(value)


def test_layers_are_refused():
    """GeoJSON has none."""
    with pytest.raises(SentinelHubRequestError, match="has no layers"):
        read(BOTH, layer="fields")


def test_wkt(forms):
    """One geometry to a line, which may name its CRS."""
    with open_features(
        forms("\ufeffSRID=32633;POLYGON ((0 0, 1 0, 1 1, 0 0))\nPOLYGON ((0 0,\n 9 0, 9 9, 0 0))\n")
    ) as found:
        assert found.crs is not None
        assert found.crs.epsg == 32633
        assert [feature.geometry.bbox[2] for feature in found] == [1, 9]


def test_memory_does_not_grow_with_the_file(tmp_path: Path):
    """Ten times the features, the same peak."""

    def peak(count: int) -> int:
        path = tmp_path / f"{count}.geojson"
        with path.open("w") as file:
            file.write('{"type": "FeatureCollection", "features": [')
            file.write(",".join(json.dumps({**ONE, "id": number}) for number in range(count)))
            file.write("]}")
        tracemalloc.start()
        with open_features(str(path)) as features:
            assert sum(1 for _ in features) == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)
    assert peak(10_000) < peak(1_000) + 1_000_000


def test_results_of_mapped_tasks_are_a_list():
    """Airflow gives them as a sequence of its own, which asks for each item anew."""
    with open_features(UserList([ONE, TWO])) as features:
        assert [feature.id for feature in features] == [7, 1]

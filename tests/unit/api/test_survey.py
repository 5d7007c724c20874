"""What is known of many features before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import shapely

from sentinelhub_provider.api.arguments import StatisticsArguments
from sentinelhub_provider.api.geo.geometry import Feature
from sentinelhub_provider.api.processing_units import total
from sentinelhub_provider.api.statistical.survey import RequestTemplate, survey, template_of_arguments
from sentinelhub_provider.features import geojson, open_features

WANTED = StatisticsArguments(
    collection="sentinel-2-l2a", evalscript="ndvi", time_range="2024-06-01/2024-06-30", resolution=10
)
SIDES = (0.001, 0.02, 0.002, 0.02, 0.01, 0.001)
"""Degrees: some fields are alike, some cost the minimum."""


def template(feature: Feature) -> RequestTemplate:
    """Build the template with a first area."""
    return template_of_arguments(WANTED, feature)


@pytest.fixture(name="fields")
def fixture_fields(tmp_path: Path) -> Path:
    """A file of squares on the equator, and a point, which has no area."""
    squares = [shapely.box(number, 0, number + side, side) for number, side in enumerate(SIDES)]
    shapes = [json.loads(shapely.to_geojson(one)) for one in [*squares, shapely.Point(1, 1)]]
    items = [{"type": "Feature", "id": number, "geometry": shape} for number, shape in enumerate(shapes)]
    path = tmp_path / "fields.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def test_the_cost_of_all_is_that_of_each(fields: Path):
    """Though fields of one size are counted together."""
    with open_features(fields) as features:
        found = survey(features, template)
        requests = [found.template.for_feature(feature) for feature, _ in found.of_use(features)]

    each = [request.estimate() for request in requests]
    assert found.usable == len(each) == len(SIDES)
    assert found.estimate is not None
    assert found.largest is not None
    expected = total(one for one in each if one is not None)
    assert found.estimate.processing_units == pytest.approx(expected.processing_units)
    assert found.estimate.requests == len(SIDES)
    assert found.largest.processing_units == max(one.processing_units for one in each if one is not None)
    assert [problem.id for problem in found.problems] == [len(SIDES)]


def test_each_feature_is_decoded_twice(fields: Path, monkeypatch: pytest.MonkeyPatch):
    """Once to know what there is, and once to look at it: a file of a hundred thousand has to be read fast."""
    decoded = []
    decoder = json.JSONDecoder()

    class Counting:
        def raw_decode(self, text: str, at: int) -> object:
            value, end = decoder.raw_decode(text, at)
            decoded.append(value)
            return value, end

    monkeypatch.setattr(geojson, "_DECODER", Counting())
    with open_features(fields) as features:
        survey(features, template)

    assert sum(isinstance(value, dict) and value.get("type") == "Feature" for value in decoded) == 2 * len(SIDES) + 2

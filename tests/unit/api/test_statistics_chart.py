from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from sentinelhub_provider.api.statistical.chart import POINTS, Chart


def drawn(means: list[Any]) -> list[list[Any]]:
    """Return the points of the line of daily means, whose number of the day is the mean."""
    chart, start = Chart(), datetime(2020, 1, 1, tzinfo=UTC)
    cells = (
        {"feature_id": "f", "interval_from": start + timedelta(day), "mean": mean} for day, mean in enumerate(means)
    )
    for _ in chart.watch(cells):
        pass
    return [point for one in chart.to_json()["series"] for point in one["points"]]


@pytest.mark.parametrize("days", [1, POINTS, POINTS + 1, 1000, 20_000])
def test_a_line_goes_from_the_first_day_to_the_last(days: int):
    """Also where there are more than a page has room for."""
    points = [mean for _, mean in drawn(list(range(days)))]

    assert points[0] == 0
    assert points[-1] > 0.98 * (days - 1) or days == 1
    assert min(days, POINTS // 2) <= len(points) <= POINTS
    assert len({after - before for before, after in pairwise(points)}) <= 1


def test_an_area_without_data_has_no_line():
    """Nor have days without any."""
    assert drawn([None, float("nan")]) == []
    assert [mean for _, mean in drawn([None, 0.5, float("nan")])] == [0.5]


def test_rows_are_short():
    """A property of a feature may be a text of any length."""
    chart = Chart()
    list(chart.watch(iter([{"feature_id": "f", "area": "POLYGON " * 10_000, "mean": 0.5}])))

    assert len(json.dumps(chart.to_json())) < 1000

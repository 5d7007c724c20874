"""The arithmetic of statistics, held against the documentation's own examples; and how time is cut."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from sentinelhub_provider.sandbox.apis.statistical.calculations import Calculation, Histogram, Percentiles
from sentinelhub_provider.sandbox.apis.statistical.intervals import cut, parse_duration
from sentinelhub_provider.sandbox.apis.statistical.numbers import band_statistics, number


def summed(values: Any, calculation: Calculation | None = None, *, whole: bool = False) -> dict[str, Any]:
    """Sum up samples that all count."""
    samples = np.asarray(values, np.float64)
    return band_statistics(samples, np.ones(samples.shape, np.bool_), calculation or Calculation(), "B0", whole=whole)


def histogram(values: Any, wanted: Histogram, *, whole: bool = False) -> dict[str, Any]:
    """Return one histogram of samples."""
    result: dict[str, Any] = summed(values, Calculation(histograms={"default": wanted}), whole=whole)["histogram"]
    return result


def test_the_documented_scene_classification():
    """Histogram, mean and deviation of "Multiple outputs with different dataMasks ...": 810 samples of 8, 9 and 10."""
    values = [8] * 99 + [9] + [10] * 710
    result = summed(values, Calculation({"default": Histogram(bins=tuple(range(12)))}), whole=True)
    stats = result["stats"]
    assert (stats["min"], stats["max"], stats["sampleCount"], stats["noDataCount"]) == (8.0, 10.0, 810, 0)
    assert stats["mean"] == pytest.approx(9.75432098765432, abs=1e-12)
    assert stats["stDev"] == pytest.approx(0.6555648554361158, abs=1e-12)
    assert [each["count"] for each in result["histogram"]["bins"]] == [0] * 8 + [99, 1, 710]
    assert result["histogram"]["bins"][10] == {"lowEdge": 10, "highEdge": 11, "count": 710}


@pytest.mark.parametrize(
    ("wanted", "edges"),
    [
        (Histogram(count=5, low=0.0, high=0.3), [0.0, 0.06, 0.12, 0.18, 0.24, 0.3]),
        (Histogram(count=3, low=0.0, high=0.3), [0.0, 0.09999999999999999, 0.19999999999999998, 0.3]),
        (
            Histogram(width=0.05, low=0.0),
            [number * 0.05 for number in range(12)],
        ),
    ],
    ids=["nBins 5", "nBins 3", "binWidth"],
)
def test_edges_are_the_documented_ones(wanted: Histogram, edges: list[float]):
    """To the last digit, for samples between -0.04 and 0.5338 as in the examples."""
    bins = histogram([-0.04, 0.1, 0.2, 0.5338308215141296], wanted)["bins"]
    assert [bins[0]["lowEdge"], *(each["highEdge"] for each in bins)] == edges


def test_a_bin_holds_its_low_edge_and_the_last_its_high_edge_too():
    """[0, 1), [1, 2]; what lies outside is counted apart."""
    result = histogram([-1, 0, 1, 1, 2, 3, 4], Histogram(bins=(0, 1, 2)), whole=True)
    assert [each["count"] for each in result["bins"]] == [1, 3]
    assert (result["underflowCount"], result["overflowCount"]) == (1, 2)


def test_edges_that_are_not_given_are_those_of_the_data():
    """Lowest and highest sample; a single value gives one bin without width."""
    bins = histogram([2.0, 4.0, 6.0], Histogram(count=2))["bins"]
    assert bins == [{"lowEdge": 2.0, "highEdge": 4.0, "count": 1}, {"lowEdge": 4.0, "highEdge": 6.0, "count": 2}]
    assert histogram([7.0, 7.0], Histogram(count=2))["bins"] == [{"lowEdge": 7.0, "highEdge": 7.0, "count": 2}]


@pytest.mark.parametrize(("edge", "outside"), [({"low": 7.0}, (3, 0)), ({"high": 1.0}, (0, 3))], ids=["low", "high"])
def test_samples_beyond_an_edge_are_counted_where_no_bin_is_left(edge: dict[str, float], outside: tuple[int, int]):
    """An edge that is given lies beyond all samples, and the other one is theirs."""
    for kind in ({"width": 0.4}, {"count": 3}):
        result = histogram([2.0, 4.0, 6.0], Histogram(**kind, **edge))
        assert result["bins"] == []
        assert (result["underflowCount"], result["overflowCount"]) == outside


def test_a_high_edge_ends_the_last_of_bins_of_a_width():
    """No bin reaches beyond it."""
    bins = histogram([0.0, 0.9, 5.0], Histogram(width=0.4, low=0.0, high=1.0))["bins"]
    assert [each["highEdge"] for each in bins] == [0.4, 0.8, 1.0]


@pytest.mark.parametrize(
    ("method", "median"), [("higher", 2.0), ("lower", 1.0), ("midpoint", 1.5), ("linear", 1.5), ("nearest", 2.0)]
)
def test_percentiles_between_two_samples(method: str, median: float):
    """The interpolation decides; without one it is a sample, the higher."""
    stats = summed([0, 1, 2, 3], Calculation(percentiles={"B0": Percentiles((50.0,), method)}))["stats"]
    assert stats["percentiles"]["50.0"] == median
    assert Percentiles((50.0,)).method == "higher"


def test_what_json_has_no_number_for_is_a_string():
    """NaN and the infinities."""
    assert [number(value) for value in (float("nan"), float("inf"), float("-inf"), 1.5)] == [
        "NaN",
        "Infinity",
        "-Infinity",
        1.5,
    ]
    assert summed([1.0, float("inf")])["stats"]["max"] == "Infinity"


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("P1M", ["2024-02-29", "2024-03-31", "2024-04-30"]),
        ("P1Y", ["2025-01-31", "2026-01-31", "2027-01-31"]),
        ("P2W", ["2024-02-14", "2024-02-28", "2024-03-13"]),
        ("P1M1D", ["2024-03-01", "2024-04-02", "2024-05-03"]),
        ("PT36H", ["2024-02-01", "2024-02-03", "2024-02-04"]),
    ],
)
def test_durations_step_from_the_start(text: str, ends: list[str]):
    """Months keep the day of the start where they have it."""
    start = datetime(2024, 1, 31, tzinfo=UTC)
    assert [parse_duration(text).after(start, times).date().isoformat() for times in (1, 2, 3)] == ends


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "1D", "P1.5D", "P-1D", "P1DT1H", "PT23H", "P0D", "PT0S", "p1d", "P99999999999D"]
)
def test_other_durations_are_refused(text: str):
    """Too short, mixed, negative, endless, or none at all."""
    with pytest.raises(ValueError, match=r"must (be|end)"):
        parse_duration(text)


def test_intervals_join_without_gap_up_to_their_limit():
    """Each begins where the one before ends; more than the limit is an error."""
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, tzinfo=UTC)
    days = cut(start, end, parse_duration("P1D"), limit=400)
    assert len(days) == 365
    assert all(left[1] == right[0] for left, right in pairwise(days))
    with pytest.raises(ValueError, match="more than 364 intervals"):
        cut(start, end, parse_duration("P1D"), limit=364)

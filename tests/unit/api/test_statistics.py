"""Requests of the Statistical API, and the rows of its answers."""

from __future__ import annotations

import math
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from request_builders import build_with

from sentinelhub_provider.api.statistical.request import build_statistical_request, read_statistical_request
from sentinelhub_provider.api.statistical.table import Failure, State, column_names, failures, merge, rows
from sentinelhub_provider.api.time_range import TimeRange
from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubResponseError

FIELD = "POLYGON((500000 5000000, 500200 5000000, 500200 5000200, 500000 5000200, 500000 5000000))"
NO_MASK_DECLARED = """//VERSION=3
function setup() { return {input: ["B04", "dataMask"], output: {bands: 1}}; }
function evaluatePixel(s) { return [s.B04 * s.dataMask]; }
"""
TIME = ("2024-06-01T00:00:00Z", "2024-06-22T00:00:00Z")


def built(**changes: Any) -> Any:
    """Build a request whose parts are good, but for the changes."""
    arguments: dict[str, Any] = {
        "collection": "sentinel-2-l2a",
        "evalscript": "ndvi-clear",
        "time_range": TIME,
        "aggregation_interval": "P7D",
        "geometry": FIELD,
        "crs": 32633,
        "resolution": 10,
        "deployment": "copernicus-data-space",
        "now": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return build_with(build_statistical_request, **{**arguments, **changes})


def test_request():
    """The whole body but the script."""
    body = deepcopy(built(percentiles=[10, 50], histogram=5, max_cloud_cover=60).body)

    assert body["aggregation"].pop("evalscript").startswith("//VERSION=3")
    assert body == {
        "input": {
            "bounds": {
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [
                        [
                            [500_000, 5_000_000],
                            [500_200, 5_000_000],
                            [500_200, 5_000_200],
                            [500_000, 5_000_200],
                            [500_000, 5_000_000],
                        ]
                    ],
                },
                "properties": {"crs": "http://www.opengis.net/def/crs/EPSG/0/32633"},
            },
            "data": [{"type": "sentinel-2-l2a", "dataFilter": {"maxCloudCoverage": 60}}],
        },
        "aggregation": {
            "timeRange": {"from": "2024-06-01T00:00:00Z", "to": "2024-06-22T00:00:00Z"},
            "aggregationInterval": {"of": "P7D"},
            "resx": 10,
            "resy": 10,
        },
        "calculations": {
            "default": {
                "statistics": {"default": {"percentiles": {"k": [10, 50]}}},
                "histograms": {"default": {"nBins": 5}},
            }
        },
    }


@pytest.mark.parametrize(
    ("given", "end"),
    [
        (("2024-06-01", "2024-06-07"), "2024-06-08T00:00:00Z"),
        (("2024-06-01T06:00:00Z", "2024-06-08T05:59:59Z"), "2024-06-08T06:00:00Z"),
        (("2024-06-01", "2024-06-08T12:30:00Z"), "2024-06-08T12:30:00Z"),
    ],
    ids=["a date", "a data interval", "a time"],
)
def test_the_last_interval_is_not_a_second_short(given, end: str):
    """Or the service would skip it: a date as the end means that whole day."""
    request = built(time_range=given)

    assert request.body["aggregation"]["timeRange"]["to"] == end
    assert len(request.intervals) == 1


@pytest.mark.parametrize(
    ("histogram", "definition"),
    [
        ([0, 0.5, 1], {"bins": [0, 0.5, 1]}),
        (["0", 0.5, "10"], {"bins": [0, 0.5, 10]}),
        (np.array([0, 1]), {"bins": [0, 1]}),
        (10.0, {"nBins": 10}),
        ("10.0", {"nBins": 10}),
        (np.int64(10), {"nBins": 10}),
        ({"binWidth": 0.1, "lowEdge": 0, "highEdge": 1}, {"binWidth": 0.1, "lowEdge": 0, "highEdge": 1}),
    ],
)
def test_histograms(histogram: Any, definition: dict[str, Any]):
    """A number, edges, or the API's own words; numbers as templates render them and as numpy has them."""
    assert built(histogram=histogram).body["calculations"]["default"]["histograms"]["default"] == definition


@pytest.mark.parametrize(
    ("percentiles", "expected"),
    [(0, [0]), ("0", [0]), (np.array([5, 95]), [5, 95]), (np.float64(50), [50]), (("5.0", 97.5), [5, 97.5])],
    ids=repr,
)
def test_percentiles(percentiles: Any, expected: list[float]):
    """One or several; the least one is a percentile, too."""
    found = built(percentiles=percentiles).body["calculations"]["default"]["statistics"]["default"]
    assert found == {"percentiles": {"k": expected}}


@pytest.mark.parametrize("percentiles", [None, [], (), ""], ids=repr)
def test_no_percentiles(percentiles: Any):
    """Nothing, however it is written, asks for nothing."""
    assert "calculations" not in built(percentiles=percentiles).body


@pytest.mark.parametrize("is_request", [False, True], ids=["argument", "request"])
@pytest.mark.parametrize(
    "calculations",
    [
        "x",
        5,
        {"default": "x"},
        {"default": {"statistics": "x"}},
        {"default": {"statistics": {"default": {"percentiles": [5]}}}},
        {"default": {"statistics": {"default": {"percentiles": {"k": 50}}}}},
        {"default": {"statistics": {"default": {"percentiles": {"k": ["median"]}}}}},
    ],
    ids=repr,
)
def test_calculations_of_another_shape_are_refused(calculations: Any, is_request: bool):
    """Unpaid: the table's columns could not be told from them."""
    body = {**built().body, "calculations": calculations}
    with pytest.raises(SentinelHubRequestError, match=r"calculations is .*Give a mapping by output"):
        read_statistical_request(body) if is_request else built(calculations=calculations)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"time_range": ("2024-06-01", "2024-06-03")}, "time_range", "shorter than one interval"),
        ({"time_range": TIME[::-1]}, "time_range", "reversed"),
        ({"aggregation_interval": "PT1H"}, "aggregation_interval", "shorter than a day"),
        ({"last_interval": "x"}, "last_interval", "SKIP"),
        ({"percentiles": [0.5, 101]}, "percentiles", "0 to 100"),
        ({"histogram": [1, 0]}, "histogram", "rising"),
        ({"histogram": [0, None]}, "histogram", "rising"),
        ({"histogram": ["a", "b"]}, "histogram", "rising"),
        ({"histogram": 0}, "histogram", "1 or more"),
        ({"histogram": True}, "histogram", "number of bins"),
        ({"histogram": {"nBins": 5, "binWidth": 1}}, "histogram", "exactly one"),
        ({"calculations": {}, "percentiles": [5]}, "calculations", "both given"),
        ({"calculations": 5}, "calculations", "mapping by output"),
        ({"resolution": 0.05}, "resolution", "at most 2500"),
        ({"evalscript": "//VERSION=3\nfunction setup() {} function evaluatePixel() {}"}, "evalscript", "dataMask"),
        (
            {"evalscript": NO_MASK_DECLARED},
            "evalscript",
            "outputs default, but no dataMask",
        ),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], field: str, message: str):
    """Before anything is sent, with the argument's name."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        built(**changes)
    assert caught.value.field == field


def test_estimate_counts_each_interval():
    """400 pixels of three bands in three weeks: the least area, times three."""
    assert built().estimate().processing_units == pytest.approx(0.03)
    assert built().estimate(intervals=2).processing_units == pytest.approx(0.02)


def test_plain_request_is_sent_as_it_is():
    """What other clients write passes through, checked."""
    body = built().body
    request = read_statistical_request(deepcopy(body))

    assert request.body == body
    assert request.estimate() == built().estimate()
    assert len(request.intervals) == 3


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("input",), None, "input is missing"),
        (("aggregation",), None, "aggregation is missing"),
        (("aggregation", "timeRange"), None, "aggregation.timeRange is None"),
        (("aggregation", "aggregationInterval"), None, "aggregationInterval is missing"),
        (("aggregation", "aggregationInterval"), {"of": "1d"}, "ISO 8601"),
        (("aggregation", "width"), 5, "Give one pair"),
        (("aggregation", "evalscript"), "x", "no version"),
    ],
)
def test_plain_request_is_checked(path: tuple[str, ...], value: Any, message: str):
    """As far as it is understood."""
    body = deepcopy(built().body)
    place = body if len(path) == 1 else body[path[0]]
    place[path[-1]] = value
    with pytest.raises(SentinelHubRequestError, match=message):
        read_statistical_request(body)


def test_failed_interval_is_asked_for_alone():
    """The same question about that time."""
    request = built()
    again = request.of_interval(request.intervals[1])

    assert again.body["aggregation"]["timeRange"] == {"from": "2024-06-08T00:00:00Z", "to": "2024-06-15T00:00:00Z"}
    assert again.intervals == [request.intervals[1]]
    assert again.body["input"] == request.body["input"]


def entry(day: int, stats: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """Make an interval of an answer, a week from that day of June on."""
    times = {"from": f"2024-06-{day:02d}T00:00:00Z", "to": f"2024-06-{day + 7:02d}T00:00:00Z"}
    if stats is not None:
        members = {"outputs": {"default": {"bands": {"B0": {"stats": stats}}}}}
    return {"interval": times, **members}


GOOD = {
    "min": 0.1,
    "max": 0.9,
    "mean": 0.5,
    "stDev": 0.2,
    "sampleCount": 400,
    "noDataCount": 100,
    "percentiles": {"10.0": 0.15, "97.5": 0.88},
}
CLOUDED = {"min": "NaN", "max": "NaN", "mean": "NaN", "stDev": "NaN", "sampleCount": 400, "noDataCount": 400}
FAILED = {"error": {"type": "EXECUTION_ERROR"}}


def answer(*entries: dict[str, Any], status: str = "OK") -> dict[str, Any]:
    """Make an answer."""
    return {"status": status, "geometryPixelCount": 400, "data": list(entries)}


def only(stats: dict[str, Any]) -> dict[str, Any]:
    """Return the one row of one interval."""
    (row,) = rows(answer(entry(1, stats)), feature_id=7)
    return row


def test_row():
    """All columns of a table."""
    columns = column_names(
        {"calculations": {"default": {"statistics": {"default": {"percentiles": {"k": [10, 97.5]}}}}}}
    )
    row = only(GOOD)
    assert {name: row.get(name) for name in columns} == {
        "feature_id": 7,
        "interval_from": datetime(2024, 6, 1, tzinfo=UTC),
        "interval_to": datetime(2024, 6, 8, tzinfo=UTC),
        "output": "default",
        "band": "B0",
        "state": "ok",
        "min": 0.1,
        "max": 0.9,
        "mean": 0.5,
        "stdev": 0.2,
        "count": 300,
        "sample_count": 400,
        "no_data_count": 100,
        "p10": 0.15,
        "p97.5": 0.88,
        "error": None,
    }


@pytest.mark.parametrize(
    ("stats", "state"),
    [
        (CLOUDED, State.MASKED),
        ({"sampleCount": 0, "noDataCount": 0}, State.MASKED),
        ({**GOOD, "mean": math.nan}, State.NOT_A_NUMBER),
        ({**GOOD, "mean": "NaN"}, State.NOT_A_NUMBER),
        ({**GOOD, "mean": "Infinity"}, State.NOT_A_NUMBER),
        ({**GOOD, "mean": None}, State.NOT_A_NUMBER),
        (GOOD, State.OK),
    ],
)
def test_states_stay_distinguishable(stats: dict[str, Any], state: State):
    """A clouded field is not one without a scene, nor one whose index is not defined."""
    assert only(stats)["state"] == state


def test_statistics_that_are_no_numbers_are_none():
    """In whatever way the answer says so."""
    row = only(CLOUDED)

    assert [row.get(name) for name in ("min", "max", "mean", "stdev")] == [None] * 4
    assert row["count"] == 0


def test_what_the_evalscript_made_of_pixels_stays():
    """NaN is told from nothing."""
    row = only({**GOOD, "mean": "NaN", "max": "Infinity"})

    assert math.isnan(row["mean"])
    assert (row["min"], row["max"]) == (0.1, math.inf)


def test_interval_without_scene_is_a_row():
    """Whether the answer leaves it out or has it without outputs."""
    expected = built().intervals
    found = list(rows(answer(entry(8, GOOD), entry(15, outputs={})), expected=expected))

    assert [(row["interval_from"].day, row["state"]) for row in found] == [
        (1, State.EMPTY),
        (8, State.OK),
        (15, State.EMPTY),
    ]
    assert "mean" not in found[0]


@pytest.mark.parametrize("outputs", [None, {"default": None}, {"default": {"bands": None}}], ids=repr)
def test_outputs_may_be_null(outputs: Any):
    """What is not there is no scene."""
    (row,) = rows(answer(entry(1, outputs=outputs)))
    assert row["state"] == State.EMPTY


def test_a_null_error_is_none():
    """It is not asked for again, which would be paid for."""
    found = answer({**entry(1, GOOD), "error": None})
    assert failures(found) == []
    assert [row["state"] for row in rows(found)] == [State.OK]


def test_failed_interval_is_a_row():
    """With the service's kind of error."""
    (row,) = rows(answer(entry(1, **FAILED), status="FAILED"))

    assert (row["state"], row["error"], row.get("output")) == (State.FAILED, "EXECUTION_ERROR", None)


def test_rows_of_outputs_and_bands():
    """One each; the mask is none of them."""
    band = {"stats": GOOD}
    outputs = {
        "a": {"bands": {"B0": band, "B1": band}},
        "b": {"bands": {"x": band}},
        "dataMask": {"bands": {"B0": band}},
    }
    found = rows(answer(entry(1, outputs=outputs)))

    assert [(row["output"], row["band"]) for row in found] == [("a", "B0"), ("a", "B1"), ("b", "x")]


def test_histogram():
    """As bins with their edges."""
    histogram = {"bins": [{"lowEdge": 0.0, "highEdge": 0.5, "count": 3}], "overflowCount": 1, "underflowCount": 0}
    band = {"stats": GOOD, "histogram": histogram}
    (row,) = rows(answer(entry(1, outputs={"default": {"bands": {"B0": band}}})))

    assert row["histogram"] == [{"low": 0.0, "high": 0.5, "count": 3}]
    assert (row["histogram_under"], row["histogram_over"]) == (0, 1)


def test_failures_are_listed_for_a_second_ask():
    """A bad request would fail again, a time-out may not."""
    bad = {"error": {"type": "BAD_REQUEST"}}
    found = failures(answer(entry(1, GOOD), entry(8, **FAILED), entry(15, **bad), status="PARTIAL"))
    second = TimeRange(datetime(2024, 6, 8, tzinfo=UTC), datetime(2024, 6, 15, tzinfo=UTC))

    assert found[0] == Failure(second, "EXECUTION_ERROR")
    assert [failure.is_repeatable for failure in found] == [True, False]


def test_second_answers_are_put_in():
    """What failed again stays as it was."""
    first = answer(entry(1, GOOD), entry(8, **FAILED), entry(15, **FAILED), status="PARTIAL")
    again = [answer(entry(8, GOOD)), answer(entry(15, **FAILED), status="FAILED")]
    merged = merge(first, again)

    assert [row["state"] for row in rows(merged)] == [State.OK, State.OK, State.FAILED]
    assert merged["status"] == "PARTIAL"
    assert merge(merged, [answer(entry(15, GOOD))])["status"] == "OK"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"error": {"status": 400}},
        {"data": [{}]},
        {"data": [{"interval": {"from": "x", "to": "y"}}]},
        {"data": [], "status": "FAILED"},
    ],
)
def test_what_is_no_answer_is_an_error(body: Any):
    """A 200 is not yet success."""
    with pytest.raises(SentinelHubResponseError):
        failures(body)

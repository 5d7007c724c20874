"""Statistics: the same numbers as from the pixels, in the documentation's shape."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from job_requests import ten_days
from rasterio.io import MemoryFile

from sentinelhub_provider.sandbox.apis.process.render import process
from sentinelhub_provider.sandbox.apis.statistical.handlers import StatisticalResult, statistics
from sentinelhub_provider.sandbox.apis.statistical.state import IntervalErrors
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.evalscripts.engine import Limits
from sentinelhub_provider.sandbox.world.scenes import SyntheticScenes

UTM_33N = "http://www.opengis.net/def/crs/EPSG/0/32633"
BOX = [424_000.0, 5_096_000.0, 424_640.0, 5_096_320.0]
TRIANGLE = {
    "type": "Polygon",
    "coordinates": [[[424_003, 5_096_004], [424_630, 5_096_100], [424_200, 5_096_310], [424_003, 5_096_004]]],
}
NDVI = """//VERSION=3
function setup() {
  return { input: ["B04", "B08", "dataMask"], output: [{ id: "ndvi", bands: 1 }, { id: "dataMask", bands: 1 }] };
}
function evaluatePixel(s) { return { ndvi: [index(s.B08, s.B04)], dataMask: [s.dataMask] }; }
"""
PICTURE = NDVI.replace('{ id: "ndvi", bands: 1 }', '{ id: "ndvi", bands: 1, sampleType: "FLOAT32" }').replace(
    '{ id: "dataMask", bands: 1 }', '{ id: "dataMask", bands: 1, sampleType: "UINT8" }'
)

Ask = Callable[..., StatisticalResult]


@pytest.fixture
def request_body() -> dict[str, Any]:
    """A request of NDVI over a small box in June 2024, ten days at a time."""
    return {
        "input": {
            "bounds": {"bbox": BOX, "properties": {"crs": UTM_33N}},
            "data": [{"type": "sentinel-2-l2a", "dataFilter": {"mosaickingOrder": "leastCC"}}],
        },
        "aggregation": ten_days(31, resx=10, resy=10, evalscript=NDVI),
    }


@pytest.fixture
def ask(source: SyntheticScenes, request_body: dict[str, Any]) -> Ask:
    """Ask for statistics; keywords replace parts of the aggregation, ``bounds`` and ``calculations`` themselves."""

    def call(
        *,
        bounds: Mapping[str, Any] | None = None,
        calculations: Any = None,
        errors: IntervalErrors | None = None,
        limits: Limits | None = None,
        **aggregation: Any,
    ) -> StatisticalResult:
        body = copy.deepcopy(request_body)
        body["aggregation"].update(aggregation)
        if bounds is not None:
            body["input"]["bounds"] = {**bounds, "properties": {"crs": UTM_33N}}
        if calculations is not None:
            body["calculations"] = calculations
        return statistics(body, source=source, errors=errors, limits=limits)

    return call


def pixels(source: SyntheticScenes, bounds: Mapping[str, Any], start: str, end: str) -> tuple[np.ndarray, np.ndarray]:
    """Render the same as a GeoTIFF: NDVI and mask."""

    def image(identifier: str) -> np.ndarray:
        body = {
            "input": {
                "bounds": {**bounds, "properties": {"crs": UTM_33N}},
                "data": [
                    {
                        "type": "sentinel-2-l2a",
                        "dataFilter": {"mosaickingOrder": "leastCC", "timeRange": {"from": start, "to": end}},
                    }
                ],
            },
            "output": {
                "resx": 10,
                "resy": 10,
                "responses": [{"identifier": identifier, "format": {"type": "image/tiff"}}],
            },
            "evalscript": PICTURE,
        }
        with MemoryFile(process(body, accept=None, source=source).content) as memory, memory.open() as tiff:
            return tiff.read(1).astype(np.float64)

    return image("ndvi"), image("dataMask") > 0


@pytest.mark.parametrize("bounds", [{"bbox": BOX}, {"geometry": TRIANGLE}], ids=["box", "geometry"])
def test_statistics_are_those_of_the_pixels(source: SyntheticScenes, ask: Ask, bounds: dict[str, Any]):
    """NumPy computes the same from the GeoTIFF of each interval."""
    k = [0, 5, 33.3, 50, 99, 100]
    wanted = {"default": {"statistics": {"default": {"percentiles": {"k": k, "interpolation": "linear"}}}}}
    answer = ask(bounds=bounds, calculations=wanted).body
    assert answer["status"] == "OK"
    assert [entry["interval"]["from"] for entry in answer["data"]] == [
        f"2024-06-{day}T00:00:00Z" for day in ("01", "11", "21")
    ]
    for entry in answer["data"]:
        last = entry["interval"]["to"]
        ndvi, valid = pixels(source, bounds, entry["interval"]["from"], last)
        stats = entry["outputs"]["ndvi"]["bands"]["B0"]["stats"]
        counted = ndvi[valid]
        expected = [counted.min(), counted.max(), counted.mean(), counted.std(), *np.percentile(counted, k)]
        found = [stats[name] for name in ("min", "max", "mean", "stDev")]
        found += [stats["percentiles"][str(float(each))] for each in k]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        assert (stats["sampleCount"], stats["noDataCount"]) == (ndvi.size, int((~valid).sum()))
        assert answer["geometryPixelCount"] == int(valid.sum())


def test_a_scene_belongs_to_one_interval(source: SyntheticScenes, ask: Ask):
    """With one day an interval, only days of a pass have an entry, and each has its own."""
    answer = ask(aggregationInterval={"of": "P1D"}).body
    days = [entry["interval"]["from"][:10] for entry in answer["data"]]
    passes = {
        scene.datetime.date().isoformat()
        for scene in source.search(
            "sentinel-2-l2a",
            bbox=(14.0, 46.0, 14.05, 46.02),
            start=datetime(2024, 6, 1, tzinfo=UTC),
            end=datetime(2024, 6, 30, 23, 59, 59, tzinfo=UTC),
        )
    }
    assert days == sorted(passes)


def test_an_evalscript_chooses_its_outputs_bands_and_masks(ask: Ask):
    """Named bands, a mask for each output, none for another, histograms of three kinds: the documented example."""
    script = """//VERSION=3
function setup() { return { input: ["B04", "B08", "SCL", "dataMask"], output: [
  { id: "reflectance", bands: ["red", "nir"], sampleType: "FLOAT32" },
  { id: "indices", bands: 1 },
  { id: "scl", bands: 1, sampleType: "UINT8" },
  { id: "dataMask", bands: ["reflectance", "indices"] }] }; }
function evaluatePixel(s) {
  return { reflectance: [s.B04, s.B08], indices: [index(s.B08, s.B04)], scl: [s.SCL],
           dataMask: [s.dataMask, s.B08 > 0.2 ? 1 : 0] };
}"""
    wanted = {
        "reflectance": {
            "histograms": {"nir": {"nBins": 3, "lowEdge": 0.0, "highEdge": 0.3}},
            "statistics": {"red": {"percentiles": {"k": [33, 66, 100]}}},
        },
        "scl": {"histograms": {"default": {"bins": list(range(12))}}},
        "default": {"histograms": {"default": {"binWidth": 0.05, "lowEdge": 0.0}}},
    }
    outputs = ask(evalscript=script, calculations=wanted).body["data"][0]["outputs"]
    red, nir = outputs["reflectance"]["bands"]["red"], outputs["reflectance"]["bands"]["nir"]
    assert set(red["stats"]["percentiles"]) == {"33.0", "66.0", "100.0"}
    assert red["stats"]["percentiles"]["100.0"] == red["stats"]["max"]
    assert "histogram" not in red
    assert [each["highEdge"] for each in nir["histogram"]["bins"]] == [0.09999999999999999, 0.19999999999999998, 0.3]
    scl = outputs["scl"]["bands"]["B0"]
    assert [(each["lowEdge"], each["highEdge"]) for each in scl["histogram"]["bins"]] == [(n, n + 1) for n in range(11)]
    assert scl["stats"]["noDataCount"] == 0
    indices = outputs["indices"]["bands"]["B0"]
    assert 0 < indices["stats"]["noDataCount"] < indices["stats"]["sampleCount"]
    for band in (nir, scl, indices):
        histogram, stats = band["histogram"], band["stats"]
        inside = sum(each["count"] for each in histogram["bins"])
        counted = stats["sampleCount"] - stats["noDataCount"]
        assert inside + histogram["overflowCount"] + histogram["underflowCount"] == counted


def test_an_interval_without_any_valid_pixel_says_nan(ask: Ask):
    """Everything masked: figures are the string NaN, and all samples lack data."""
    script = NDVI.replace("dataMask: [s.dataMask]", "dataMask: [0]")
    wanted = {
        "default": {
            "histograms": {"default": {"nBins": 5}},
            "statistics": {"default": {"percentiles": {"k": [50]}}},
        }
    }
    answer = ask(evalscript=script, calculations=wanted).body
    band = answer["data"][0]["outputs"]["ndvi"]["bands"]["B0"]
    assert band["stats"] == {
        **dict.fromkeys(("min", "max", "mean", "stDev"), "NaN"),
        "sampleCount": 64 * 32,
        "noDataCount": 64 * 32,
        "percentiles": {"50.0": "NaN"},
    }
    assert band["histogram"] == {"bins": [], "overflowCount": 0, "underflowCount": 0}
    assert answer["status"] == "OK"


def test_one_pixel_that_is_no_number_is_not_taken_for_no_data(ask: Ask):
    """A NaN that the mask lets pass spoils the figures, and noDataCount tells it from a masked interval."""
    script = NDVI.replace("[index(s.B08, s.B04)]", "[n++ ? 0.5 : NaN]").replace(
        "function setup", "let n = 0;\nfunction setup"
    )
    stats = ask(evalscript=script).body["data"][0]["outputs"]["ndvi"]["bands"]["B0"]["stats"]
    assert (stats["mean"], stats["noDataCount"]) == ("NaN", 0)


def test_pixels_beyond_the_geometry_count_unless_masked(ask: Ask):
    """The documented trap: a mask that is always 1 counts the whole box."""
    careless = NDVI.replace("dataMask: [s.dataMask]", "dataMask: [1]")
    answer = ask(bounds={"geometry": TRIANGLE}, evalscript=careless).body
    stats = answer["data"][0]["outputs"]["ndvi"]["bands"]["B0"]["stats"]
    assert stats["noDataCount"] == 0
    assert stats["sampleCount"] > answer["geometryPixelCount"]


def test_intervals_without_scenes_are_left_out(ask: Ask):
    """There is an entry only where there are data; none at all is OK too."""
    answer = ask(timeRange={"from": "2015-01-01T00:00:00Z", "to": "2015-02-01T00:00:00Z"})
    assert answer.body == {"data": [], "geometryPixelCount": 64 * 32, "status": "OK"}


@pytest.mark.parametrize(
    ("last", "ends"),
    [
        (None, ["2024-06-13", "2024-06-25"]),
        ("SKIP", ["2024-06-13", "2024-06-25"]),
        ("SHORTEN", ["2024-06-13", "2024-06-25", "2024-07-01"]),
        ("EXTEND", ["2024-06-13", "2024-06-25", "2024-07-07"]),
    ],
)
def test_the_last_interval_is_skipped_shortened_or_extended(ask: Ask, last: str | None, ends: list[str]):
    """As lastIntervalBehavior says, where the range is not a multiple."""
    interval = {"of": "P12D"} | ({"lastIntervalBehavior": last} if last else {})
    assert [entry["interval"]["to"][:10] for entry in ask(aggregationInterval=interval).body["data"]] == ends


def test_an_evalscript_that_throws_on_one_day_spoils_that_interval_only(ask: Ask):
    """The answer is PARTIAL, the interval has an error and no outputs, the others are whole."""
    script = NDVI.replace("input: [", 'mosaicking: "ORBIT", input: [', 1)
    script = script.replace(
        "function evaluatePixel(s) {",
        "function evaluatePixel(samples, scenes) { const s = samples[0]; "
        'if (scenes.orbits.some((o) => o.dateFrom > "2024-06-11" && o.dateFrom < "2024-06-21")) throw new Error("x");',
    )
    answer = ask(evalscript=script).body
    assert answer["status"] == "PARTIAL"
    assert [entry.get("error") for entry in answer["data"]] == [None, {"type": "EXECUTION_ERROR"}, None]
    assert ["outputs" in entry for entry in answer["data"]] == [True, False, True]


def test_an_evalscript_that_always_fails_fails_the_request(ask: Ask):
    """Every interval has an error: FAILED, still with 200 and the least cost."""
    result = ask(evalscript=NDVI.replace("index(s.B08, s.B04)", "s.B08.x.y"))
    assert result.body["status"] == "FAILED"
    assert {entry["error"]["type"] for entry in result.body["data"]} == {"EXECUTION_ERROR"}
    assert result.processing_units == 0.01


def test_an_endless_evalscript_is_a_timeout(ask: Ask):
    """The interval's error says so."""
    script = NDVI.replace("return { ndvi", "for (;;) {} return { ndvi")
    answer = ask(evalscript=script, limits=Limits(seconds=0.3), aggregationInterval={"of": "P30D"}).body
    assert [entry["error"] for entry in answer["data"]] == [{"type": "TIMEOUT"}]


def test_the_evalscript_starts_anew_in_each_interval(ask: Ask):
    """A counter of its own begins at 0 every time."""
    script = NDVI.replace("[index(s.B08, s.B04)]", "[n++]").replace("function setup", "let n = 0;\nfunction setup")
    firsts = [entry["outputs"]["ndvi"]["bands"]["B0"]["stats"]["min"] for entry in ask(evalscript=script).body["data"]]
    assert firsts == [0.0, 0.0, 0.0]


def test_planned_errors_strike_their_interval_so_often(ask: Ask):
    """Once for the one, then it is well: a client that asks again gets its numbers."""
    errors = IntervalErrors()
    errors.add("2024-06-11", kind="TIMEOUT")
    first, second = ask(errors=errors), ask(errors=errors)
    assert [entry.get("error") for entry in first.body["data"]] == [None, {"type": "TIMEOUT"}, None]
    assert (first.body["status"], second.body["status"]) == ("PARTIAL", "OK")
    assert first.processing_units < second.processing_units


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"timeRange": None}, "aggregation->timeRange"),
        ({"timeRange": {"from": "2024-06-01T00:00:00Z"}}, "aggregation->timeRange->to"),
        ({"timeRange": {"from": "2024-06-01", "to": "2024-06-02"}}, "aggregation->timeRange->from"),
        (
            {"timeRange": {"from": "2024-06-02T00:00:00Z", "to": "2024-06-01T00:00:00Z"}},
            "aggregation->timeRange",
        ),
        ({"aggregationInterval": None}, "aggregation->aggregationInterval"),
        ({"aggregationInterval": {}}, "aggregation->aggregationInterval->of"),
        ({"aggregationInterval": {"of": "10D"}}, "aggregation->aggregationInterval->of"),
        ({"aggregationInterval": {"of": "P1DT12H"}}, "aggregation->aggregationInterval->of"),
        ({"aggregationInterval": {"of": "PT12H"}}, "aggregation->aggregationInterval->of"),
        ({"aggregationInterval": {"of": "P"}}, "aggregation->aggregationInterval->of"),
        (
            {"aggregationInterval": {"of": "P1D", "lastIntervalBehavior": "skip"}},
            "aggregation->aggregationInterval->lastIntervalBehavior",
        ),
        ({"evalscript": " "}, "aggregation->evalscript"),
        ({"width": 10}, "aggregation"),
        ({"resx": None, "resy": None, "width": 2501, "height": 10}, "aggregation->width"),
        ({"resx": 0.01}, "aggregation->resx"),
        ({"calculations": []}, "calculations"),
        ({"calculations": {"evi": {}}}, "calculations->evi"),
        ({"calculations": {"dataMask": {}}}, "calculations->dataMask"),
        ({"calculations": {"ndvi": {"histogram": {}}}}, "calculations->ndvi->histogram"),
        (
            {"calculations": {"ndvi": {"histograms": {"B1": {"nBins": 2}}}}},
            "calculations->ndvi->histograms->B1",
        ),
        (
            {"calculations": {"ndvi": {"histograms": {"B0": {"nBins": 2, "binWidth": 0.1}}}}},
            "calculations->ndvi->histograms->B0",
        ),
        (
            {"calculations": {"ndvi": {"histograms": {"B0": {"bins": [0, 2, 1]}}}}},
            "calculations->ndvi->histograms->B0->bins",
        ),
        (
            {"calculations": {"ndvi": {"histograms": {"B0": {"nBins": 0}}}}},
            "calculations->ndvi->histograms->B0->nBins",
        ),
        (
            {"calculations": {"ndvi": {"histograms": {"B0": {"binWidth": -1}}}}},
            "calculations->ndvi->histograms->B0->binWidth",
        ),
        (
            {"calculations": {"ndvi": {"histograms": {"B0": {"nBins": 2, "lowEdge": 1, "highEdge": 0}}}}},
            "calculations->ndvi->histograms->B0->lowEdge",
        ),
        (
            {"calculations": {"ndvi": {"statistics": {"B0": {"percentiles": {"k": [101]}}}}}},
            "calculations->ndvi->statistics->B0->percentiles->k",
        ),
        (
            {"calculations": {"ndvi": {"statistics": {"B0": {"percentiles": {"k": [1], "interpolation": "cubic"}}}}}},
            "calculations->ndvi->statistics->B0->percentiles->interpolation",
        ),
    ],
)
def test_a_malformed_field_is_named(ask: Ask, change: dict[str, Any], parameter: str):
    """The whole request is refused with the field's path."""
    with pytest.raises(ApiError) as caught:
        ask(**change)
    assert (caught.value.status, caught.value.code) == (400, "COMMON_BAD_PAYLOAD")
    assert isinstance(caught.value.errors, list)
    assert caught.value.errors[0]["parameter"] == parameter


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (', { id: "dataMask", bands: 1 }', "", "Output dataMask requested but missing from function setup()"),
        ('{ id: "dataMask", bands: 1 }', '{ id: "dataMask", bands: 2 }', "must have one, or name the output"),
        ('{ id: "dataMask", bands: 1 }', '{ id: "dataMask", bands: ["x"] }', "x, which is not an output"),
        ('"B04", ', '"B99", ', "band 'B99' does not exist"),
        ("//VERSION=3", "//VERSION=2", "must be //VERSION=3"),
        ('id: "ndvi", bands: 1', 'id: "ndvi", bands: ["a", "a"]', "must be different strings"),
    ],
)
def test_an_evalscript_that_cannot_work_is_refused_as_a_whole(ask: Ask, old: str, new: str, message: str):
    """What setup() declares is wrong in every interval: 400, not FAILED."""
    with pytest.raises(ApiError, match=message.replace("(", r"\(").replace(")", r"\)")):
        ask(evalscript=NDVI.replace(old, new))


def test_edges_of_whole_numbers_for_outputs_of_whole_numbers(ask: Ask):
    """A histogram's edges must fit the output's sample type."""
    script = NDVI.replace('{ id: "ndvi", bands: 1 }', '{ id: "ndvi", bands: 1, sampleType: "UINT8" }')
    with pytest.raises(ApiError, match="edges must be whole numbers"):
        ask(evalscript=script, calculations={"default": {"histograms": {"default": {"bins": [0, 0.5]}}}})


def test_a_request_costs_what_its_samples_cost(source: SyntheticScenes, request_body: dict[str, Any]):
    """Area x bands / 3 x samples of all intervals; never less than the minimum."""
    request_body["aggregation"] |= {"resx": 1, "resy": 1}
    three = statistics(request_body, source=source).processing_units
    assert three == pytest.approx(640 * 320 / 512**2 * 2 / 3 * 3)
    request_body["aggregation"] |= {"resx": 10, "resy": 10, "aggregationInterval": {"of": "P30D"}}
    assert statistics(request_body, source=source).processing_units == 0.01

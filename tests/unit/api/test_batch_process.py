from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from request_builders import JUNE_NDVI, alike, build_with, check_json_is_refused

from sentinelhub_provider.api.job_requests.batch_process import (
    BatchProcessRequest,
    build_batch_process,
    read_batch_process,
)
from sentinelhub_provider.api.job_requests.delivery import Access, Location
from sentinelhub_provider.exceptions import SentinelHubRequestError

KEYS = Access("AKIAEXAMPLE", "a-secret-key")
DELIVERY = Location("s3://bucket/results", KEYS)
PACKAGE = Location("s3://bucket/fields.gpkg", KEYS)
BBOX = [13.0, 45.0, 13.5, 45.3]
SCRIPT = """//VERSION=3
function setup() {
  return {input: ["B04", "B08"], output: [%s]};
}
function evaluatePixel(sample) { return {}; }
"""
TWO_OUTPUTS = SCRIPT % '{id: "red", bands: 1, sampleType: "UINT16"}, {id: "ratio", bands: 1, sampleType: "FLOAT32"}'
ARRAY = {"dtype": "<f4", "chunks": [1, 1000, 1000], "order": "C", "fill_value": 0}
COMMON: dict[str, Any] = {**JUNE_NDVI, "delivery": DELIVERY}
GRID: dict[str, Any] = {"bbox": BBOX, "tiling_grid": 0, "resolution": 10}
FEATURES: dict[str, Any] = {"features": PACKAGE, "width": 512, "height": 512}


def build(**changes: Any) -> BatchProcessRequest:
    """Build a request on a grid, with changes."""
    return build_with(build_batch_process, **{**COMMON, **GRID, **changes})


def build_features(**changes: Any) -> BatchProcessRequest:
    """Build a request over features, with changes."""
    return build_with(build_batch_process, **{**COMMON, **FEATURES, **changes})


def test_tiles_of_a_grid() -> None:
    """The size is the grid's, and the delivery has no credentials before the request is sent."""
    body = build(description="fields of June", buffer=[5, 0]).body

    assert body["input"] == {"type": "tiling-grid", "id": 0, "resolution": 10.0, "bufferX": 5, "bufferY": 0}
    assert body["output"] == {"type": "raster", "delivery": {"s3": {"url": "s3://bucket/results"}}}
    assert body["processRequest"]["output"] == {
        "responses": [{"identifier": "default", "format": {"type": "image/tiff"}}]
    }
    assert body["processRequest"]["input"]["bounds"]["bbox"] == BBOX
    assert body["description"] == "fields of June"


def test_features_of_a_package() -> None:
    """Bounds may be left out, and both places get their credentials."""
    request = build_features()

    assert "bounds" not in request.body["processRequest"]["input"]
    assert request.body["input"] == {
        "type": "geopackage",
        "features": {"s3": {"url": "s3://bucket/fields.gpkg"}},
        "defaults": {"width": 512, "height": 512},
    }
    assert request.payload()["input"]["features"]["s3"]["accessKey"] == "AKIAEXAMPLE"
    assert request.payload()["output"]["delivery"]["s3"]["secretAccessKey"] == "a-secret-key"


def test_features_may_say_their_size_themselves() -> None:
    """Then there are no defaults; a resolution is one too."""
    assert "defaults" not in build_features(width=None, height=None).body["input"]
    by_resolution = build_features(width=None, height=None, resolution=0.0001)
    assert by_resolution.body["input"]["defaults"] == {"resolution": 0.0001}


def test_nothing_shows_credentials() -> None:
    """Neither body nor repr has them; only what is sent."""
    request = build()

    assert "a-secret-key" not in repr(request) + str(request.body)
    assert "a-secret-key" in str(request.payload())


def test_raster_options() -> None:
    """Options have the API's names."""
    output = build(
        overwrite=True, skip_existing=False, cog=True, cog_parameters={"blockxsize": 512}, collection_id="abc"
    ).body["output"]

    assert output["overwrite"] is True
    assert output["skipExisting"] is False
    assert output["cogOutput"] is True
    assert output["cogParameters"] == {"blockxsize": 512}
    assert output["collectionId"] == "abc"


def test_zarr() -> None:
    """All outputs become arrays of one group."""
    request = build(
        tiling_grid=6, resolution=50, evalscript=TWO_OUTPUTS, zarr={"arrayParameters": ARRAY, "arrayOverrides": {}}
    )

    assert request.formats == {"red": "zarr/array", "ratio": "zarr/array"}
    assert request.body["output"]["type"] == "zarr"
    assert request.body["output"]["group"] == {"zarr_format": 2}


def test_mark() -> None:
    """A tag is the last word of the description, and makes no other request of it."""
    request = build(description="fields of June")

    description = f"fields of June airflow-1a2b-{request.digest[:8]}"
    assert request.tagged("airflow-1a2b").body["description"] == description
    assert request.tagged("airflow-1a2b").digest == request.digest
    assert build(resolution=20).digest != request.digest


def test_second_job_meets_the_files_of_the_first() -> None:
    """A template without <requestId> is warned of, unless what is there may be replaced or skipped."""
    same = Location("s3://bucket/<tileName>.tif", KEYS)

    assert "no <requestId>" in build(delivery=same).warnings[0]
    assert build(delivery=same, overwrite=True).warnings == ()
    assert build().warnings == ()
    zarr = build(tiling_grid=6, resolution=50, evalscript=TWO_OUTPUTS, zarr={"arrayParameters": ARRAY})
    assert "no <requestId>" in zarr.warnings[0]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        pytest.param({"tiling_grid": None}, "tiling_grid", "both missing", id="neither"),
        pytest.param({"features": PACKAGE}, "tiling_grid", "both given", id="both"),
        pytest.param({"bbox": None}, "bbox", "both missing", id="no-bounds"),
        pytest.param({"tiling_grid": 5}, "tiling_grid", "Give one of 0", id="grid"),
        pytest.param({"resolution": 15}, "resolution", "10, 20, 30, 60 m", id="resolution"),
        pytest.param({"width": 512}, "width", "Give resolution", id="size"),
        pytest.param({"buffer": -1}, "buffer", "Give a whole number of pixels", id="buffer"),
        pytest.param({"outputs": "png"}, "outputs", "Batch delivers TIFF", id="png"),
        pytest.param({"outputs": {"red": "tiff"}}, "outputs", "no output 'red'", id="unknown-output"),
        pytest.param({"delivery": Location("s3://bucket/a")}, "delivery", "has no credentials", id="no-access"),
        pytest.param(
            {"evalscript": TWO_OUTPUTS, "outputs": {"red": "tiff", "ratio": "tiff"},
             "delivery": Location("s3://bucket/<tileName>", KEYS)},
            "delivery", "no <outputId>", id="outputs-in-one-file",
        ),
        pytest.param({"overwrite": "yes"}, "overwrite", "Give true or false", id="overwrite"),
        pytest.param({"cog_parameters": {}}, "cog_parameters", "cog is not true", id="no-cog"),
        pytest.param({"cog": True, "cog_parameters": {"level": 1}}, "cog_parameters", "has level", id="cog"),
        pytest.param(
            {"cog": True, "cog_parameters": {"resamplingAlgorithm": "best"}}, "cog_parameters", "best", id="method"
        ),
        pytest.param({"create_collection": True}, "create_collection", "Cloud Optimized", id="collection"),
        pytest.param(
            {"cog": True, "evalscript": SCRIPT % '{bands: 1, sampleType: "INT8"}'}, "cog", "INT8", id="signed-bytes"
        ),
        pytest.param(
            {"cog": True, "outputs": {"b": "tiff"}, "evalscript": SCRIPT % '{id: "a", bands: 1, sampleType: "INT8"}, '
             '{id: "b", bands: 1, sampleType: "INT8"}'}, "cog", "output 'b'", id="second-signed-bytes",
        ),
        pytest.param({"zarr": {"arrayParameters": ARRAY}}, "zarr", "one CRS", id="zarr-on-utm"),
        pytest.param({"cog": True, "cog_parameters": [1]}, "cog_parameters", "There are overview", id="odd-parameters"),
        pytest.param({"max_cloud_cover": 101}, "max_cloud_cover", "from 0 to 100", id="shared-check"),
    ],
)  # fmt: skip
def test_what_cannot_be(changes: dict[str, Any], field: str, words: str) -> None:
    """It is refused before anything is sent, with the argument's name."""
    with pytest.raises(SentinelHubRequestError, match=words) as refused:
        build(**changes)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"height": None}, "height is None", id="half"),
        pytest.param({"width": 3501}, "whole number of pixels from 1 to 3500", id="large"),
        pytest.param({"resolution": 10}, "both given", id="both"),
        pytest.param({"buffer": 5}, "not of features", id="buffer"),
        pytest.param({"features": Location("s3://bucket/a.gpkg")}, "features has no credentials", id="no-access"),
        pytest.param({"zarr": {"arrayParameters": ARRAY}}, "cannot share|one CRS", id="zarr"),
    ],
)
def test_features_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    """Sizes of features have a limit, and go without what is of grids."""
    with pytest.raises(SentinelHubRequestError, match=words):
        build_features(**changes)


@pytest.mark.parametrize(
    ("zarr", "words"),
    [
        pytest.param({}, "no dtype, chunks, order, fill_value for array 'red'", id="nothing"),
        pytest.param({"arrayParameters": {**ARRAY, "dtype": "float"}}, "dtype 'float'", id="dtype"),
        pytest.param({"arrayParameters": {**ARRAY, "chunks": [1, 700, 700]}}, "divide the 2000 x 2000", id="chunks"),
        pytest.param({"arrayParameters": {**ARRAY, "chunks": [2, 1000, 1000]}}, "chunks", id="time"),
        pytest.param({"arrayParameters": {**ARRAY, "order": "F"}}, "only 'C'", id="order"),
        pytest.param({"arrayParameters": ARRAY, "arrayOverrides": {"blue": {}}}, "for 'blue'", id="unknown-array"),
        pytest.param({"arrayParameters": ARRAY, "group": {"zarr_format": 3}}, "no other version", id="version"),
        pytest.param({"arrays": ARRAY}, "has arrays", id="unknown"),
        pytest.param({"arrayParameters": ARRAY, "arrayOverrides": {"red": 5}}, "must have mappings", id="odd-array"),
    ],
)
def test_zarr_that_cannot_be(zarr: dict[str, Any], words: str) -> None:
    """What a group must have is known beforehand."""
    with pytest.raises(SentinelHubRequestError, match=words):
        build(tiling_grid=6, resolution=50, evalscript=TWO_OUTPUTS, zarr=zarr)


def test_zarr_has_one_band_to_an_array() -> None:
    """An output of more is refused."""
    with pytest.raises(SentinelHubRequestError, match="has 2 bands; an array of Zarr holds one"):
        build(tiling_grid=6, resolution=50, evalscript=SCRIPT % "{bands: 2}", zarr={"arrayParameters": ARRAY})


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(build(description="June", buffer=3, cog=True), id="grid"),
        pytest.param(build_features(bbox=BBOX), id="features"),
        pytest.param(
            build(tiling_grid=6, resolution=50, evalscript=TWO_OUTPUTS, zarr={"arrayParameters": ARRAY}), id="zarr"
        ),
    ],
)
def test_json_is_read_as_it_is_written(request_: BatchProcessRequest) -> None:
    """A body is a request again, with the credentials from the arguments."""
    again = read_batch_process(deepcopy(request_.body), delivery=lambda _: KEYS)

    assert again.body == request_.body
    assert again.payload() == request_.payload()
    assert again.input == request_.input
    assert str(again.estimate()) == str(request_.estimate())


def test_json_with_credentials_is_refused() -> None:
    """They would stand in rendered fields; a connection holds them instead."""
    with pytest.raises(SentinelHubRequestError, match=r"output\.delivery\.s3\.accessKey is a credential"):
        read_batch_process(build().payload(), delivery=lambda _: KEYS)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        pytest.param(("processRequest",), None, "processRequest is missing", id="process"),
        pytest.param(("processRequest", "input"), None, r"processRequest\.input is missing", id="input"),
        pytest.param(("processRequest", "input", "bounds"), None, r"bounds is missing", id="bounds"),
        pytest.param(("input", "type"), "grid", "input.type is 'grid'", id="kind"),
        pytest.param(("input", "resolution"), 15, "10, 20, 30, 60", id="resolution"),
        pytest.param(("output", "type"), "tiff", "output.type is 'tiff'", id="output"),
        pytest.param(("output", "delivery"), None, "output.delivery must be a mapping", id="delivery"),
        pytest.param(("description",), True, "description is True", id="description"),
        pytest.param(("output", "overwrite"), 1, "output.overwrite is 1", id="overwrite"),
    ],
)
def test_json_that_cannot_be(path: tuple[str, ...], value: Any, words: str) -> None:
    """The message names the member of the request."""
    check_json_is_refused(read_batch_process, build().body, path, value, words)


def test_cost_of_tiles() -> None:
    """Tiles are paid for whole, with a third of the price of Process, and 100 PU at the least."""
    estimate = build(bbox=[13.0, 45.0, 14.5, 46.0]).estimate()

    # 118 x 111 km meet 45 tiles on average: 45 x (2004² / 512²) x 2/3 bands x 2 for 32 bit / 3.
    assert estimate is not None
    assert estimate.processing_units == pytest.approx(45 * 2004**2 / 512**2 * 2 / 3 * 2 / 3)
    assert "x tiles 45 (45)" in str(estimate)
    least = build(bbox=[13.0, 45.0, 13.01, 45.01]).estimate()
    assert least is not None
    assert least.processing_units == 100


def test_cost_of_features() -> None:
    """Each feature has a least area, and the discount only where it is large enough."""
    sizes = alike(1000, 512, 512)
    sizes.add(20, 20, 500)

    estimate = build_features().estimate(sizes=sizes)

    assert estimate is not None
    assert estimate.processing_units == pytest.approx((1000 / 3 + 500 * 0.01) * 2 / 3 * 2)
    assert "1,500 features" in str(estimate)
    assert build_features().estimate() is None


def test_cost_that_cannot_be_told() -> None:
    """A script that computes its setup says nothing of its bands."""
    computed = "//VERSION=3\nfunction setup() { return make(); }\nfunction evaluatePixel(s) { return [1]; }"

    assert build(evalscript=computed).estimate() is None

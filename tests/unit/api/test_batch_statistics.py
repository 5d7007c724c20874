from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from request_builders import alike, build_with, check_json_is_refused

from sentinelhub_provider.api.job_requests.batch_statistics import (
    BatchStatisticsRequest,
    build_batch_statistics,
    read_batch_statistics,
)
from sentinelhub_provider.api.job_requests.delivery import Access, Location
from sentinelhub_provider.api.statistical.request import build_statistical_request
from sentinelhub_provider.exceptions import SentinelHubRequestError

KEYS = Access("AKIAEXAMPLE", "a-secret-key")
COMMON: dict[str, Any] = {
    "collection": "sentinel-2-l2a",
    "time_range": "2024-06-01/2024-06-30",
    "evalscript": "ndvi",
    "features": Location("s3://bucket/fields.gpkg", KEYS),
    "delivery": Location("s3://bucket/results", KEYS),
    "resolution": 10,
}


def build(**changes: Any) -> BatchStatisticsRequest:
    """Build a request, with changes."""
    return build_with(build_batch_statistics, **{**COMMON, **changes})


def test_question_is_that_of_the_statistical_api() -> None:
    """Intervals, data and calculations are the same as for one area; places come instead of bounds."""
    asked: dict[str, Any] = {"aggregation_interval": "P5D", "percentiles": [50], "histogram": 10, "max_cloud_cover": 20}
    one = build_with(
        build_statistical_request,
        collection="sentinel-2-l2a",
        evalscript="ndvi",
        time_range=["2024-06-01T00:00:00Z", "2024-07-01T00:00:00Z"],
        bbox=[400_000, 5_000_000, 401_000, 5_001_000],
        crs=32633,
        resolution=10,
        **asked,
    ).body

    body = build(**asked).body

    assert body["aggregation"] == one["aggregation"]
    assert body["calculations"] == one["calculations"]
    assert body["input"] == {
        "features": {"s3": {"url": "s3://bucket/fields.gpkg"}},
        "data": one["input"]["data"],
    }
    assert body["output"] == {"s3": {"url": "s3://bucket/results"}}


def test_credentials_go_to_all_places() -> None:
    """Features, results and the script's file each get those of their own bucket."""
    other = Access("AKIAOTHER", "another-secret")
    request = build(
        evalscript=None,
        evalscript_reference=Location("s3://scripts/ndvi.js", other),
    )

    payload = request.payload()

    assert payload["input"]["features"]["s3"]["accessKey"] == "AKIAEXAMPLE"
    assert payload["output"]["s3"]["secretAccessKey"] == "a-secret-key"
    assert payload["aggregation"]["evalscriptReference"]["s3"]["accessKey"] == "AKIAOTHER"
    assert "secret" not in str(request.body) + repr(request)


def test_tag_is_a_folder() -> None:
    """The API keeps no description, so that the tag goes into the URL of the results."""
    request = build(delivery=Location("s3://bucket/results/<REQUEST_ID>/<ID>.json", KEYS))
    tag = f"airflow-1a2b-{request.digest[:8]}"
    tagged = request.tagged("airflow-1a2b")

    assert tagged.digest == request.digest
    assert tagged.delivery.url == f"s3://bucket/results/{tag}/<REQUEST_ID>/<ID>.json"
    assert tagged.payload()["output"]["s3"]["url"] == tagged.delivery.url
    assert tagged.payload()["output"]["s3"]["accessKey"] == "AKIAEXAMPLE"


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        pytest.param({"evalscript": None}, "evalscript", "both missing", id="no-script"),
        pytest.param({"evalscript_reference": Location("s3://bucket/a.js")}, "evalscript", "both given", id="scripts"),
        pytest.param(
            {"evalscript": f"//VERSION=3\n// dataMask setup evaluatePixel {'x' * 32 * 1024}"},
            "evalscript",
            "must have less than 32,768. Put it into a bucket",
            id="long-script",
        ),
        pytest.param({"resolution": None}, "resolution", "the size is missing", id="no-size"),
        pytest.param({"width": 10, "height": 10}, "resolution", "both given", id="sizes"),
        pytest.param({"resolution": None, "width": 2501, "height": 1}, "width", "from 1 to 2500", id="large"),
        pytest.param({"features_crs": 4326}, "resolution", "looks like metres.*such as 0.000090", id="degrees"),
        pytest.param({"delivery": Location("s3://bucket/<REQUEST_ID>/x")}, "delivery", "<ID> or <IDENT", id="template"),
        pytest.param({"features": Location("s3://bucket/<ID>.gpkg")}, "features", "none here", id="features"),
        pytest.param({"percentiles": [101]}, "percentiles", "from 0 to 100", id="shared-check"),
        pytest.param({"aggregation_interval": "P60D"}, "time_range", "shorter than one interval", id="interval"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], field: str, words: str) -> None:
    """It is refused before anything is sent, with the argument's name."""
    with pytest.raises(SentinelHubRequestError, match=words) as refused:
        build(**changes)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"percentiles": [5, 95]}, id="resolution"),
        pytest.param({"resolution": None, "width": 50, "height": 40}, id="size"),
        pytest.param({"evalscript": None, "evalscript_reference": Location("s3://bucket/a.js", KEYS)}, id="reference"),
    ],
)
def test_json_is_read_as_it_is_written(changes: dict[str, Any]) -> None:
    """A body is a request again, with the credentials from the arguments."""
    written = build(**changes)

    read = read_batch_statistics(deepcopy(written.body), delivery=lambda _: KEYS)

    assert read.payload() == written.payload()
    assert (read.body, read.time) == (written.body, written.time)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        pytest.param(("input",), None, "input is missing", id="input"),
        pytest.param(("input", "features"), None, r"input\.features must be a mapping", id="features"),
        pytest.param(("output",), {"s3": {"url": "x"}}, r"output\.s3\.url is 'x'", id="output"),
        pytest.param(("aggregation", "evalscript"), None, "are both missing", id="script"),
        pytest.param(("aggregation", "aggregationInterval"), None, "aggregationInterval is missing", id="interval"),
        pytest.param(("aggregation", "width"), 10, "has width and resx, resy. Give one pair", id="sizes"),
        pytest.param(("aggregation", "resy"), None, "has resx alone. Give resx and resy", id="half"),
    ],
)
def test_json_that_cannot_be(path: tuple[str, ...], value: Any, words: str) -> None:
    """The message names the member of the request."""
    check_json_is_refused(read_batch_statistics, build().body, path, value, words)


def test_json_without_a_size_has_the_services_own() -> None:
    """The API computes 256 x 256 pixels where nothing is said: nothing is sent, either."""
    body = deepcopy(build().body)
    for name in ("resx", "resy"):
        del body["aggregation"][name]

    assert read_batch_statistics(body, delivery=lambda _: KEYS).body == body


def test_json_with_credentials_is_refused() -> None:
    """They would stand in rendered fields; a connection holds them instead."""
    with pytest.raises(SentinelHubRequestError, match=r"input\.features\.s3\.accessKey is a credential"):
        read_batch_statistics(build().payload(), delivery=lambda _: KEYS)


def test_cost() -> None:
    """Each interval of each feature counts, without a discount, and 100 PU at the least."""
    sizes = alike(1000, 20, 20)

    estimate = build().estimate(sizes=sizes)

    assert estimate is not None
    assert estimate.processing_units == pytest.approx(1000 * 0.01 * 2 / 3 * 30)
    least = build().estimate(sizes=sizes, intervals=6)
    assert least is not None
    assert least.processing_units == 100
    assert build().estimate() is None
    large = build().estimate(sizes=alike(100, 512, 512), intervals=6)
    assert large is not None
    assert large.processing_units == pytest.approx(100 * 2 / 3 * 6)

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from request_builders import build_with

from sentinelhub_provider.api.job_requests.async_process import (
    AsyncProcessRequest,
    build_async_process,
    read_async_process,
)
from sentinelhub_provider.api.job_requests.delivery import Access, Location
from sentinelhub_provider.api.process import build_process_request
from sentinelhub_provider.exceptions import SentinelHubRequestError

KEYS = Access("AKIAEXAMPLE", "a-secret-key")
SCRIPT = Location("s3://scripts/ndvi.js", KEYS)
AUTO = "//VERSION=3\nfunction setup() { return {input: ['B04'], output: {bands: 1}} }\nfunction evaluatePixel() {}"
PICTURE: dict[str, Any] = {
    "collection": "sentinel-2-l2a",
    "time_range": "2024-06-01/2024-06-30",
    "evalscript": "ndvi",
    "bbox": [13.0, 45.0, 13.1, 45.1],
    "resolution": 10,
}


def build(**changes: Any) -> AsyncProcessRequest:
    """Build a request, with changes."""
    return build_with(build_async_process, **{**PICTURE, "delivery": Location("s3://bucket/results", KEYS), **changes})


def test_picture_is_that_of_the_process_api() -> None:
    """The same request, with a place for the result."""
    body = build().body
    delivery = body["output"].pop("delivery")

    assert delivery == {"s3": {"url": "s3://bucket/results"}}
    assert body == build_with(build_process_request, **PICTURE, outputs="tiff").body


def test_pictures_may_be_large() -> None:
    """10,000 pixels a side, and no more."""
    assert build(resolution=None, width=10_000, height=10_000).picture.size.width == 10_000
    with pytest.raises(SentinelHubRequestError, match=r"at most 10000 x 10000\. Take Batch Process"):
        build(resolution=None, width=10_001, height=9)


def test_credentials_come_last() -> None:
    """What is sent has those of all places, nothing else has any."""
    request = build(evalscript=None, evalscript_reference=SCRIPT)

    assert request.payload()["output"]["delivery"]["s3"]["secretAccessKey"] == "a-secret-key"
    assert request.payload()["evalscriptReference"]["s3"]["accessKey"] == "AKIAEXAMPLE"
    assert "evalscript" not in request.body
    assert "a-secret-key" not in str(request.body) + repr(request)


def test_mark_is_a_folder() -> None:
    """A finished job is known by its folder alone."""
    tagged = build().tagged("airflow-1a2b")

    assert tagged.delivery.url == "s3://bucket/results/airflow-1a2b"
    assert tagged.payload()["output"]["delivery"]["s3"] == {
        "url": "s3://bucket/results/airflow-1a2b",
        "accessKey": "AKIAEXAMPLE",
        "secretAccessKey": "a-secret-key",
    }
    assert tagged.payload()["output"]["width"] == build().picture.size.width


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"evalscript": None}, "both missing", id="no-script"),
        pytest.param({"evalscript_reference": SCRIPT}, "both given", id="scripts"),
        pytest.param({"delivery": Location("s3://bucket/<OUTPUT_ID>")}, "Did you mean <OUTPUT>", id="template"),
        pytest.param(
            {"evalscript": None, "evalscript_reference": Location("s3://bucket/<OUTPUT>.js")},
            "none here",
            id="script-url",
        ),
        pytest.param({"bbox": None}, "bbox and geometry are both missing", id="bounds"),
        pytest.param({"outputs": {"red": "tiff"}}, "no output 'red'", id="outputs"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], words: str) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(SentinelHubRequestError, match=words):
        build(**changes)


@pytest.mark.parametrize(
    "changes", [{}, {"evalscript": None, "evalscript_reference": SCRIPT}], ids=["script", "reference"]
)
def test_json_is_read_as_it_is_written(changes: dict[str, Any]) -> None:
    """A body is a request again, with the credentials from the arguments."""
    written = build(**changes)

    read = read_async_process(deepcopy(written.body), delivery=lambda _: KEYS)

    assert read.payload() == written.payload()
    assert read.outputs == written.outputs == ("default",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"evalscript": None}, "are both missing", id="script"),
        pytest.param(
            {"output": {"width": 9, "responses": build().body["output"]["responses"]}},
            r"output\.delivery must be a mapping",
            id="delivery",
        ),
        pytest.param({"input": None}, "input is missing", id="input"),
        pytest.param({"output": None, "evalscript": AUTO}, r"output\.delivery must be a mapping", id="output"),
        pytest.param({"output": {**build().body["output"], "width": 10_001}}, "at most 10000", id="size"),
    ],
)
def test_json_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    """The message names the member of the request."""
    with pytest.raises(SentinelHubRequestError, match=words) as refused:
        read_async_process({**build().body, **changes}, delivery=lambda _: KEYS)
    assert refused.value.field == "request"


def test_json_with_credentials_is_refused() -> None:
    """They would stand in rendered fields; a connection holds them instead."""
    with pytest.raises(SentinelHubRequestError, match="is a credential"):
        read_async_process(build().payload(), delivery=lambda _: KEYS)


def test_cost() -> None:
    """Two thirds of Process, and 10 PU at the least."""
    one = build_with(
        build_process_request, **{**PICTURE, "bbox": [13.0, 45.0, 13.4, 45.4]}, outputs="tiff", max_side=None
    ).estimate()
    cheaper = build(bbox=[13.0, 45.0, 13.4, 45.4]).estimate()

    assert one is not None
    assert cheaper is not None
    assert cheaper.processing_units == pytest.approx(one.processing_units * 2 / 3)
    least = build(resolution=None, width=9).estimate()
    assert least is not None
    assert least.processing_units == 10
    assert build(evalscript=None, evalscript_reference=SCRIPT).estimate() is None

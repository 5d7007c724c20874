"""What the Process API refuses, one mistake at a time, and how it says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sentinelhub_provider.sandbox.apis.process.render import process
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.scenes import SyntheticScenes

Body = Callable[..., dict[str, Any]]
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
RING = [[14.0, 46.0], [14.1, 46.0], [14.1, 46.1], [14.0, 46.0]]
MISSING = object()


def put(request: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Set (or with MISSING, remove) one field of a request; ``path`` is dotted."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    target: Any = request
    for part in parents:
        target = target.setdefault(part, {}) if isinstance(target, dict) else target[part]
    if value is MISSING:
        del target[last]
    else:
        target[last] = value
    return request


@pytest.mark.parametrize(
    ("path", "value", "parameter"),
    [
        ("evalscript", MISSING, "evalscript"),
        ("evalscript", "", "evalscript"),
        ("evalscript", 5, "evalscript"),
        ("evalscript", "[B04]", "evalscript"),
        ("input", MISSING, "input"),
        ("input.bounds", MISSING, "input->bounds"),
        ("input.bounds", {}, "input->bounds"),
        ("input.bounds.properties", 5, "input->bounds->properties"),
        ("input.bounds.bbox", [1, 2, 3], "input->bounds->bbox"),
        ("input.bounds.bbox", [1, 2, 3, "4"], "input->bounds->bbox"),
        ("input.bounds.bbox", [1, 2, 1, 4], "input->bounds->bbox"),
        ("input.bounds.bbox", [1, 2, float("nan"), 4], "input->bounds->bbox"),
        ("input.bounds", {"bbox": [424_000, 5_096_000, 426_560, 5_098_560]}, "input->bounds->bbox"),
        ("input.bounds.properties.crs", "EPSG:32633", "input->bounds->properties->crs"),
        ("input.bounds.properties.crs", 32633, "input->bounds->properties->crs"),
        ("input.bounds.properties.crs", "http://www.opengis.net/def/crs/EPSG/0/9999", "input->bounds->properties->crs"),
        ("input.bounds.geometry", "POLYGON((0 0))", "input->bounds->geometry"),
        ("input.bounds.geometry", {"type": "Point", "coordinates": [1, 2]}, "input->bounds->geometry->type"),
        ("input.bounds.geometry", {"type": "Polygon"}, "input->bounds->geometry->coordinates"),
        (
            "input.bounds.geometry",
            {"type": "Polygon", "coordinates": [RING[:3]]},
            "input->bounds->geometry->coordinates",
        ),
        (
            "input.bounds.geometry",
            {"type": "Polygon", "coordinates": [[*RING[:3], [9, 9]]]},
            "input->bounds->geometry->coordinates",
        ),
        ("input.data", MISSING, "input->data"),
        ("input.data", [], "input->data"),
        ("input.data", [{"type": "sentinel-2-l2a", "id": "twice"}] * 2, "input->data[0]->id"),
        ("input.data.0.type", MISSING, "input->data[0]->type"),
        ("input.data.0.type", "S2L3A", "input->data[0]->type"),
        ("input.data.0.id", 5, "input->data[0]->id"),
        ("input.data.0.dataFilter", [], "input->data[0]->dataFilter"),
        ("input.data.0.dataFilter.mosaickingOrder", "newest", "input->data[0]->dataFilter->mosaickingOrder"),
        ("input.data.0.dataFilter.maxCloudCoverage", 101, "input->data[0]->dataFilter->maxCloudCoverage"),
        ("input.data.0.dataFilter.maxCloudCoverage", "20", "input->data[0]->dataFilter->maxCloudCoverage"),
        ("input.data.0.dataFilter.timeRange", "2024", "input->data[0]->dataFilter->timeRange"),
        ("input.data.0.dataFilter.timeRange.from", "2024-06-01", "input->data[0]->dataFilter->timeRange->from"),
        (
            "input.data.0.dataFilter.timeRange.from",
            "2024-06-01T00:00:00",
            "input->data[0]->dataFilter->timeRange->from",
        ),
        ("input.data.0.dataFilter.timeRange.to", "2024-06-31T00:00:00Z", "input->data[0]->dataFilter->timeRange->to"),
        ("input.data.0.dataFilter.timeRange.to", "2024-05-01T00:00:00Z", "input->data[0]->dataFilter->timeRange"),
        ("input.data.0.processing.upsampling", "nearest", "input->data[0]->processing->upsampling"),
        ("input.data.0.processing.downsampling", "BOX", "input->data[0]->processing->downsampling"),
        ("input.data.0.processing.harmonizeValues", "yes", "input->data[0]->processing->harmonizeValues"),
        ("output", [], "output"),
        ("output.width", 0, "output->width"),
        ("output.width", 2501, "output->width"),
        ("output.height", 2501, "output->height"),
        ("output.height", 12.5, "output->height"),
        ("output.resx", 10, "output"),
        ("output", {"resx": 10}, "output->resy"),
        ("output", {"resx": 0, "resy": 10}, "output->resx"),
        ("output", {"resx": 1, "resy": 1}, "output->resx"),
        ("output.responses", {}, "output->responses"),
        ("output.responses", [], "output->responses"),
        ("output.responses.0", 5, "output->responses[0]"),
        ("output.responses.0.identifier", "", "output->responses[0]->identifier"),
        ("output.responses.0.identifier", "userdata", "output->responses[0]->format->type"),
        ("output.responses.0.format", "image/png", "output->responses[0]->format"),
        ("output.responses.0.format.type", "image/gif", "output->responses[0]->format->type"),
        ("output.responses.0.format.type", "application/json", "output->responses[0]->format->type"),
        ("output.responses.0.format.quality", 101, "output->responses[0]->format->quality"),
    ],
)
def test_a_malformed_field_is_named(source: SyntheticScenes, body: Body, path: str, value: Any, parameter: str):
    """The answer is a 400 COMMON_BAD_PAYLOAD with the field's path in the message and in ``errors``."""
    with pytest.raises(ApiError) as caught:
        process(put(body(), path, value), accept=None, source=source)
    error = caught.value
    assert (error.status, error.code) == (400, "COMMON_BAD_PAYLOAD")
    assert error.message.startswith(f"{parameter}: ")
    assert error.errors[0]["parameter"] == parameter
    assert error.errors[0]["violation"]


def test_a_body_that_is_no_object(source: SyntheticScenes):
    """A list is no request."""
    with pytest.raises(ApiError, match="must be a JSON object"):
        process([], accept=None, source=source)  # type: ignore[arg-type]


def test_a_short_crs_gets_a_hint(source: SyntheticScenes, body: Body):
    """Who writes EPSG:32633 is told the URI."""
    with pytest.raises(ApiError, match=r"write http://www\.opengis\.net/def/crs/EPSG/0/32633"):
        process(put(body(), "input.bounds.properties.crs", "EPSG:32633"), accept=None, source=source)


@pytest.mark.parametrize(
    ("bounds", "output"),
    [
        ({"bbox": [10.0, 40.0, 20.0, 50.0]}, {"width": 256, "height": 256}),
        ({"bbox": [14.0, 46.0, 14.1, 46.1]}, {"resx": 10, "resy": 10}),
    ],
    ids=["too large a box", "metres given as degrees"],
)
def test_too_coarse_a_resolution_is_refused(source: SyntheticScenes, body: Body, bounds: Any, output: Any):
    """Sentinel-2 is rendered up to 1500 m per pixel; the message says so in the service's words."""
    with pytest.raises(ApiError, match=r"meters per pixel exceeds the limit 1500\.00 meters per pixel") as caught:
        process(body(bounds=bounds, output=output), accept=None, source=source)
    assert (caught.value.status, caught.value.code) == (400, "COMMON_EXCEPTION")
    assert "S2L2A" in caught.value.message


def test_a_response_without_an_output_is_refused(source: SyntheticScenes, body: Body):
    """Identifiers are those of setup()."""
    responses = [{"identifier": "ndvi", "format": {"type": "image/tiff"}}]
    with pytest.raises(ApiError, match="Output ndvi requested but missing from function setup") as caught:
        process(body(output={"width": 8, "height": 8, "responses": responses}), accept=None, source=source)
    assert caught.value.code == "COMMON_BAD_PAYLOAD"


def test_several_responses_need_an_archive(source: SyntheticScenes, body: Body):
    """Two files do not fit into an image."""
    two = [{"identifier": "default", "format": {"type": "image/tiff"}}, {"identifier": "userdata"}]
    with pytest.raises(ApiError, match="application/tar"):
        process(body(output={"width": 8, "height": 8, "responses": two}), accept="*/*", source=source)


@pytest.mark.parametrize("accept", ["text/html", "application/octet-stream", "image/png;q=0"])
def test_an_accept_header_that_nothing_fits_is_refused(source: SyntheticScenes, body: Body, accept: str):
    """The header must allow one of the API's types."""
    with pytest.raises(ApiError, match="Accept: must be one of"):
        process(body(), accept=accept, source=source)


def test_a_request_that_would_take_hours_is_refused(source: SyntheticScenes, body: Body):
    """Full size times nine years of dates is more than the sandbox computes."""
    script = body()["evalscript"].replace("output:", 'mosaicking: "ORBIT", output:')
    made = body(
        script.replace("sample.B08, sample.B04", "1, 2"),
        output={"width": 2500, "height": 2500, "responses": [{"format": {"type": "image/tiff"}}]},
        data_filter={"timeRange": {"from": "2016-01-01T00:00:00Z", "to": "2024-12-31T00:00:00Z"}},
    )
    with pytest.raises(ApiError, match="ask for a shorter time range or fewer pixels"):
        process(made, accept=None, source=source)


def test_an_error_of_the_evalscript_reaches_the_caller(source: SyntheticScenes, body: Body):
    """With the JavaScript message and the line."""
    script = body()["evalscript"].replace("sample.B08", "sample.B8.x")
    with pytest.raises(ApiError, match="Cannot read properties of undefined") as caught:
        process(body(script), accept=None, source=source)
    assert "line 9" in caught.value.message

"""Requests of jobs that are refused at once, with the field that is at fault; and where requests say things lie."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import requests
from job_requests import S3, SECRET, async_request, batch_request, polygons_request, statistical_request

from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.server import SandboxServer
from sentinelhub_provider.sandbox.world.delivery.locations import Location, hide_credentials, parse_location
from sentinelhub_provider.sandbox.world.delivery.templates import Template

LEAVE_OUT = object()
BATCH, STATISTICS, ASYNC = "/batch/v2/process", "/statistics/batch/v1", "/async/v1/process"
S3_OF = "output delivery s3"
PNG = [{"identifier": "default", "format": {"type": "image/png"}}]
TWO = [{"identifier": name, "format": {"type": "image/tiff"}} for name in ("a", "b")]


def changed(request: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Set or leave out one field of a copy of a request."""
    request = copy.deepcopy(request)
    *parents, name = path.split()
    place: Any = request
    for each in parents:
        place = place[int(each)] if each.isdecimal() else place[each]
    if value is LEAVE_OUT:
        del place[name]
    else:
        place[name] = value
    return request


CASES: list[tuple[str, Callable[[], dict[str, Any]], str, Any, str]] = [
    (BATCH, batch_request, "processRequest", LEAVE_OUT, "processRequest:"),
    (BATCH, batch_request, "processRequest evalscript", "", "processRequest->evalscript"),
    (BATCH, batch_request, "processRequest input", LEAVE_OUT, "processRequest->input"),
    (BATCH, batch_request, "processRequest input bounds", LEAVE_OUT, "input->bounds"),
    (BATCH, batch_request, "processRequest input data", [], "input->data"),
    (BATCH, batch_request, "processRequest output", LEAVE_OUT, "processRequest->output"),
    (BATCH, batch_request, "processRequest output width", 512, "processRequest->output->width"),
    (BATCH, batch_request, "processRequest output responses", [], "processRequest->output->responses"),
    (BATCH, batch_request, "processRequest output responses", PNG, "format->type"),
    (BATCH, batch_request, "input type", "polygons", "input->type"),
    (BATCH, batch_request, "input", LEAVE_OUT, "input:"),
    (BATCH, batch_request, "input id", 5, "input->id"),
    (BATCH, batch_request, "input resolution", 15, "input->resolution"),
    (BATCH, batch_request, "input bufferX", -1, "input->bufferX"),
    (BATCH, batch_request, "output", LEAVE_OUT, "output:"),
    (BATCH, batch_request, "output type", "tiff", "output->type"),
    (BATCH, batch_request, "output delivery", {}, "output->delivery"),
    (BATCH, batch_request, f"{S3_OF} url", "bucket/out", "output->delivery->s3->url"),
    (BATCH, batch_request, f"{S3_OF} url", "gs://bucket/out", "output->delivery->s3->url"),
    (BATCH, batch_request, f"{S3_OF} url", "s3://bucket/<outputId>.tif", "must contain <tileName>"),
    (BATCH, batch_request, f"{S3_OF} secretAccessKey", LEAVE_OUT, "accessKey and secretAccessKey together"),
    (BATCH, batch_request, f"{S3_OF} iamRoleARN", "arn:aws:iam::1:role/x", "not both"),
    (BATCH, batch_request, "output delivery", {"gs": {"url": "gs://bucket/x", "credentials": "?"}}, "gs->credentials"),
    (BATCH, batch_request, "output overwrite", "yes", "output->overwrite"),
    (BATCH, batch_request, "output createCollection", True, "output->cogOutput"),
    (BATCH, batch_request, "output cogParameters", [], "output->cogParameters"),
    (BATCH, batch_request, "output type", "zarr", "output->group"),
    (BATCH, batch_request, "description", 7, "description"),
    (BATCH, polygons_request, "input features", LEAVE_OUT, "input->features"),
    (BATCH, polygons_request, "input defaults", {"width": 100}, "width and height together"),
    (BATCH, polygons_request, "input defaults", {"width": 100, "height": 3501}, "input->defaults->height"),
    (BATCH, polygons_request, "input defaults", {"resolution": 0}, "input->defaults->resolution"),
    (BATCH, polygons_request, "input defaults", {"resolution": 1, "width": 1, "height": 1}, "Only width and height"),
    (STATISTICS, statistical_request, "input", LEAVE_OUT, "input:"),
    (STATISTICS, statistical_request, "input features s3 url", "fields.gpkg", "input->features->s3->url"),
    (STATISTICS, statistical_request, "input data", LEAVE_OUT, "input->data"),
    (STATISTICS, statistical_request, "aggregation", LEAVE_OUT, "aggregation:"),
    (STATISTICS, statistical_request, "aggregation evalscript", LEAVE_OUT, "aggregation->evalscript"),
    (STATISTICS, statistical_request, "aggregation evalscript", "x" * 32_768, "smaller than 32768 bytes"),
    (STATISTICS, statistical_request, "aggregation timeRange", LEAVE_OUT, "aggregation->timeRange"),
    (STATISTICS, statistical_request, "output", LEAVE_OUT, "output:"),
    (ASYNC, async_request, "output", LEAVE_OUT, "output:"),
    (ASYNC, async_request, "output delivery", LEAVE_OUT, "output->delivery"),
    (ASYNC, async_request, "output width", 10_001, "output->width"),
    (ASYNC, async_request, "evalscript", LEAVE_OUT, "evalscript"),
    (ASYNC, async_request, "evalscriptReference", {"s3": {"url": "s3://bucket/x.js"}}, "evalscript"),
    (ASYNC, async_request, "input bounds", LEAVE_OUT, "input->bounds"),
]


@pytest.mark.parametrize(
    ("path", "request_of", "field", "value", "message"),
    CASES,
    ids=[f"{case[0].split('/')[1]}-{case[2].replace(' ', '.')}-{number}" for number, case in enumerate(CASES)],
)
def test_a_field_that_is_wrong(
    server: SandboxServer,
    bearer: dict[str, str],
    path: str,
    request_of: Callable[[], dict[str, Any]],
    field: str,
    value: Any,
    message: str,
) -> None:
    """400 that names the field; no job is made, no key shown."""
    answer = requests.post(f"{server.url}{path}", json=changed(request_of(), field, value), headers=bearer, timeout=60)
    assert answer.status_code == 400, answer.text
    assert message in answer.json()["error"]["message"]
    assert SECRET not in answer.text
    assert server.control.jobs.all() == []


def test_several_outputs_need_their_names(server: SandboxServer, bearer: dict[str, str]) -> None:
    """A template must tell them apart."""
    request = changed(batch_request(), "processRequest output responses", TWO)
    request["output"]["delivery"]["s3"]["url"] = "s3://bucket/<tileName>.tif"
    answer = requests.post(f"{server.url}{BATCH}", json=request, headers=bearer, timeout=60)
    assert "must contain <outputId>" in answer.json()["error"]["message"]


def test_an_async_picture_may_be_large(server: SandboxServer, bearer: dict[str, str]) -> None:
    """10,000 pixels a side, four times what Process takes."""
    request = changed(changed(async_request(), "output width", 10_000), "output height", 10_000)
    assert requests.post(f"{server.url}{ASYNC}", json=request, headers=bearer, timeout=60).status_code == 200


def test_a_location_hides_what_opens_it() -> None:
    """Neither its repr nor an error shows the keys."""
    location = parse_location({"s3": {"url": "s3://bucket/a/b/", **S3}}, "output")
    assert (location.bucket, location.key, location.url) == ("bucket", "a/b", "s3://bucket/a/b")
    assert location.access.secret_access_key == SECRET
    assert SECRET not in repr(location)
    with pytest.raises(ApiError) as caught:
        parse_location({"s3": {"url": "nonsense", **S3}}, "output")
    assert SECRET not in str(caught.value) + str(caught.value.errors)


def test_kept_bodies_hide_credentials() -> None:
    """Whatever the spacing and escapes, and in forms too; the rest is as it was."""
    body = rb'{"s3": {"accessKey" : "A\"B", "url": "s3://x"}, "gs": {"credentials":"eyJ9"}, "secretAccessKey":"s"}'
    assert hide_credentials(body) == (
        rb'{"s3": {"accessKey" : "(hidden)", "url": "s3://x"}, "gs": {"credentials":"(hidden)"}, '
        rb'"secretAccessKey":"(hidden)"}'
    )


@pytest.mark.parametrize(
    ("key", "root", "filled"),
    [
        ("out", "out", "out/J/T/O.tif"),
        ("", "", "J/T/O.tif"),
        ("a/b/<tileName>.tif", "a/b", "a/b/T.tif"),
        ("a/<requestId>/x-<tileName>/<outputId>", "a", "a/J/x-T/O"),
        ("<tileName>", "", "T"),
    ],
)
def test_templates(key: str, root: str, filled: str) -> None:
    """The folder that is named, and the place of a result."""
    known = ("requestId", "tileName", "outputId", "format")
    template = Template.of(Location("s3", "bucket", key), known, "<requestId>/<tileName>/<outputId>.<format>")
    assert template.root.key == root
    values = {"requestId": "J", "tileName": "T", "outputId": "O", "format": "tif"}
    assert template.fill(values).key == filled

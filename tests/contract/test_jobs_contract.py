"""Requests of jobs that the sandbox takes, and its answers, are what Sentinel Hub's descriptions allow."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from job_requests import SECRET, async_request, batch_request, polygons_request, statistical_request

from sentinelhub_provider.sandbox.server import SandboxServer
from tests.contract.openapi import check

UNKNOWN = "00000000-0000-0000-0000-000000000000"
Call = Callable[..., Any]


@pytest.fixture
def call(server: SandboxServer, bearer: dict[str, str]) -> Call:
    """Call a path, and check the exchange."""
    server.control.jobs.set_durations(analysing=None, processing=None, stopping=0)

    def do(method: str, path: str, body: Any = None, *, status: int, files: Any = None) -> Any:
        url = f"{server.url}{path}"
        answer = requests.request(method, url, json=body, files=files, headers=bearer, timeout=60)
        assert answer.status_code == status, answer.text
        exchange = server.control.exchanges()[-1]
        check(exchange, request=status < 400 and files is None)
        assert SECRET.encode() not in exchange.request_body + exchange.response_body
        return answer.json() if answer.content else None

    return do


def created(call: Call, prefix: str, body: dict[str, Any]) -> str:
    """Create a job, be refused another one, and list them; return the job's id."""
    job: str = call("POST", prefix, body, status=201)["id"]
    call("POST", prefix, {}, status=400)
    call("GET", f"{prefix}?count=1", status=200)
    return job


@pytest.mark.parametrize("prefix", ["/batch/v2/process", "/api/v2/batch/process"])
def test_batch_process(server: SandboxServer, call: Call, prefix: str) -> None:
    """Every operation once, a job in each state, and the refusals."""
    control = server.control.jobs
    job = created(call, prefix, batch_request())
    call("PUT", f"{prefix}/{job}", {"description": "changed"}, status=200)
    call("POST", f"{prefix}/{job}/stop", status=400)
    for action, state in (("analyse", "ANALYSIS_DONE"), ("start", "DONE")):
        call("POST", f"{prefix}/{job}/{action}", status=204)
        call("GET", f"{prefix}/{job}", status=200)
        control.step()
        assert call("GET", f"{prefix}/{job}", status=200)["status"] == state
    stopped = call("POST", prefix, polygons_request(), status=201)["id"]
    call("POST", f"{prefix}/{stopped}/start", status=204)
    control.step()
    call("PUT", f"{prefix}/{stopped}", {"description": "late"}, status=409)
    call("POST", f"{prefix}/{stopped}/stop", status=204)
    assert call("GET", f"{prefix}/{stopped}", status=200)["stoppedStatusReason"] == "USER_ACTION"
    control.inject(kind="fail", at=0)
    failed = call("POST", prefix, batch_request(), status=201)["id"]
    call("POST", f"{prefix}/{failed}/start", status=204)
    control.step()
    assert call("GET", f"{prefix}/{failed}", status=200)["status"] == "FAILED"
    call("GET", f"{prefix}?count=2&sort=status", status=200)
    call("GET", f"{prefix}?sort=created:desc", status=200)
    for method, path in (("GET", ""), ("POST", "/start"), ("POST", "/analyse"), ("POST", "/stop")):
        call(method, f"{prefix}/{UNKNOWN}{path}", status=404)
    call("PUT", f"{prefix}/{UNKNOWN}", {"description": "x"}, status=404)


@pytest.mark.parametrize("prefix", ["/batch/v2", "/api/v2/batch"])
def test_tiling_grids(call: Call, prefix: str) -> None:
    """The list, one, and one that is not there."""
    assert [grid["id"] for grid in call("GET", f"{prefix}/tilinggrids", status=200)["data"]] == [0, 1, 2, 3, 6, 7]
    call("GET", f"{prefix}/tilinggrids?count=2", status=200)
    assert call("GET", f"{prefix}/tilinggrids/3", status=200)["properties"]["unit"] == "DEGREE"
    call("GET", f"{prefix}/tilinggrids/5", status=400)


@pytest.mark.parametrize("prefix", ["/batch/v2/process", "/api/v2/batch/process"])
def test_other_requests_of_batch_process(server: SandboxServer, call: Call, prefix: str) -> None:
    """Zarr, COG, and the form with the evalscript in a part of its own."""
    cog = batch_request()
    cog["output"] |= {"cogOutput": True, "cogParameters": {"blockxsize": 512}, "overwrite": True}
    call("POST", prefix, cog, status=201)
    zarr = batch_request(input={"type": "tiling-grid", "id": 6, "resolution": 100.0, "bufferX": 2})
    zarr["output"] = {
        "type": "zarr",
        "delivery": {"s3": {"url": "s3://bucket/<requestId>", "iamRoleARN": "arn:aws:iam::1:role/x"}},
        "group": {"zarr_format": 2},
        "arrayParameters": {"dtype": "<u2", "order": "C", "chunks": [1, 1000, 1000], "fill_value": 0},
    }
    zarr["processRequest"]["output"]["responses"][0]["format"]["type"] = "zarr/array"
    call("POST", prefix, zarr, status=201)
    parts = batch_request()
    script = parts["processRequest"].pop("evalscript")
    form = {"request": (None, json.dumps(parts)), "evalscript": (None, script)}
    made = call("POST", prefix, status=201, files=form)
    assert made["request"]["processRequest"]["evalscript"] == script


def test_google_buckets(call: Call) -> None:
    """Described for the current scheme only."""
    credentials = base64.b64encode(b'{"type": "service_account"}').decode()
    delivery = {"gs": {"url": "gs://bucket/out/<requestId>/<tileName>.tif", "credentials": credentials}}
    output = {"type": "raster", "delivery": delivery}
    assert credentials not in str(call("POST", "/batch/v2/process", batch_request(output=output), status=201))


@pytest.mark.parametrize("prefix", ["/statistics/batch/v1", "/api/v1/statistics/batch"])
def test_batch_statistical(server: SandboxServer, call: Call, prefix: str) -> None:
    """Every operation once, and the refusals."""
    control = server.control.jobs
    job = created(call, prefix, statistical_request())
    call("POST", f"{prefix}/{job}/analyse", status=204)
    call("POST", f"{prefix}/{job}/analyse", status=400)
    control.step()
    call("GET", f"{prefix}/{job}/status", status=200)
    call("POST", f"{prefix}/{job}/start", status=204)
    call("GET", f"{prefix}/{job}", status=200)
    call("POST", f"{prefix}/{job}/stop", status=204)
    assert call("GET", f"{prefix}/{job}", status=200)["status"] == "STOPPED"
    call("POST", f"{prefix}/{job}/stop", status=400)
    done = call("POST", prefix, statistical_request(calculations={"default": {}}), status=201)["id"]
    call("POST", f"{prefix}/{done}/start", status=204)
    control.step()
    control.step()
    assert call("GET", f"{prefix}/{done}/status", status=200)["costPu"] == 100
    call("GET", f"{prefix}?sort=status:desc", status=200)
    for method, path in (("GET", ""), ("GET", "/status"), ("POST", "/start"), ("POST", "/stop")):
        call(method, f"{prefix}/{UNKNOWN}{path}", status=404)
    server.control.jobs.set_balance(server.client_id, 10)
    call("POST", prefix, statistical_request(), status=403)


@pytest.mark.parametrize("prefix", ["/async/v1/process", "/api/v1/async/process"])
def test_async_process(server: SandboxServer, call: Call, prefix: str) -> None:
    """Taken, running, over, refused, too many."""
    job = call("POST", prefix, async_request(), status=200)["id"]
    call("GET", f"{prefix}/{job}", status=200)
    call("POST", prefix, {}, status=400)
    server.control.jobs.set_concurrency(1)
    call("POST", prefix, async_request(), status=429)
    server.control.jobs.step()
    call("GET", f"{prefix}/{job}", status=404)

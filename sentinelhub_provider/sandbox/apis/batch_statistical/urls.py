"""Routes of Batch Statistical, in both path schemes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.jobs.model import Job
from sentinelhub_provider.sandbox.apis.jobs.showing import show_page, show_status, show_task
from sentinelhub_provider.sandbox.apis.jobs.states import BATCH_STATISTICS, Action
from sentinelhub_provider.sandbox.apis.jobs.store import not_found
from sentinelhub_provider.sandbox.apis.process.urls import MISSING_EXTRA
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.access import SandboxDep, allowed, base_url
from sentinelhub_provider.sandbox.gateway.bodies import MULTIPART, read_request_with_evalscript
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.settings import ClientSettings

PREFIXES = ("/statistics/batch/v1", "/api/v1/statistics/batch")
COST = "costPu"

router = APIRouter()
_routes = APIRouter()
Caller = Annotated[ClientSettings, Depends(allowed("batch-statistical"))]


@_routes.post("")
async def create(request: Request, sandbox: SandboxDep, caller: Caller) -> Response:
    """Create a job; nothing is done before it is told to analyse or to start."""
    body = await read_request_with_evalscript(request)
    if request.headers.get("content-type", "").lower().startswith(MULTIPART):
        evalscript = body.pop("evalscript")
        if isinstance(body.get("aggregation"), dict):
            body = {**body, "aggregation": {**body["aggregation"], "evalscript": evalscript}}
    job = await run_in_threadpool(_create, sandbox, caller, body)
    return json_response(show_task(job, COST), status=201)


@_routes.get("")
def list_jobs(request: Request, sandbox: SandboxDep, caller: Caller) -> Response:
    """List the caller's jobs, oldest first unless ``sort`` says otherwise."""
    url = f"{base_url(request)}{PREFIXES[0]}"
    params = dict(request.query_params)
    return json_response(
        show_page(
            sandbox.jobs, BATCH_STATISTICS, caller.client_id, params, url=url, show=lambda job: show_task(job, COST)
        )
    )


@_routes.get("/{job_id}")
def get_job(job_id: str, sandbox: SandboxDep, caller: Caller) -> Response:
    """Return one job."""
    return json_response(show_task(_job(sandbox, caller, job_id), COST))


@_routes.get("/{job_id}/status")
def get_status(job_id: str, sandbox: SandboxDep, caller: Caller) -> Response:
    """Return where one job is, without its request."""
    return json_response(show_status(_job(sandbox, caller, job_id), COST))


@_routes.post("/{job_id}/analyse")
def analyse(job_id: str, sandbox: SandboxDep, caller: Caller) -> Response:
    """Analyse a job."""
    return _act(sandbox, caller, job_id, "ANALYSE")


@_routes.post("/{job_id}/start")
def start(job_id: str, sandbox: SandboxDep, caller: Caller) -> Response:
    """Start a job, or go on with one that was stopped."""
    return _act(sandbox, caller, job_id, "START")


@_routes.post("/{job_id}/stop")
def stop(job_id: str, sandbox: SandboxDep, caller: Caller) -> Response:
    """Stop a job, which takes effect a little later."""
    return _act(sandbox, caller, job_id, "STOP")


def _create(sandbox: Sandbox, caller: ClientSettings, body: dict[str, Any]) -> Job:
    try:
        # Loaded on first use: numpy, rasterio and V8 would take most of the time that a start may take.
        from sentinelhub_provider.sandbox.apis.batch_statistical.handlers import create as make

        return make(sandbox, caller.client_id, body)
    except ModuleNotFoundError as error:
        raise ApiError(500, "COMMON_EXCEPTION", MISSING_EXTRA.format(name=error.name)) from error


def _act(sandbox: Sandbox, caller: ClientSettings, job_id: str, action: Action) -> Response:
    job = _job(sandbox, caller, job_id)
    if action != "STOP":
        sandbox.jobs.require_reserve(caller.client_id)
    sandbox.jobs.act(job, action)
    return Response(status_code=204)


def _job(sandbox: Sandbox, caller: ClientSettings, job_id: str) -> Job:
    job = sandbox.jobs.find(BATCH_STATISTICS, caller.client_id, job_id)
    if job is None:
        raise not_found(BATCH_STATISTICS, job_id)
    return job


for _prefix in PREFIXES:
    router.include_router(_routes, prefix=_prefix)

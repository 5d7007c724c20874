"""Routes of Batch Process, version 2, in both path schemes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.batch.descriptions import GRIDS
from sentinelhub_provider.sandbox.apis.jobs.model import Job
from sentinelhub_provider.sandbox.apis.jobs.showing import show_page, show_task
from sentinelhub_provider.sandbox.apis.jobs.states import BATCH_PROCESS, Action
from sentinelhub_provider.sandbox.apis.jobs.store import not_found
from sentinelhub_provider.sandbox.apis.process.urls import MISSING_EXTRA
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.access import SandboxDep, allowed, base_url
from sentinelhub_provider.sandbox.gateway.bodies import MULTIPART, read_json, read_request_with_evalscript
from sentinelhub_provider.sandbox.gateway.paging import MAX_COUNT, page
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.settings import ClientSettings

PREFIXES = ("/batch/v2", "/api/v2/batch")

router = APIRouter()
_routes = APIRouter()
Caller = Annotated[ClientSettings, Depends(allowed("batch"))]


@_routes.post("/process")
async def create(request: Request, sandbox: SandboxDep, caller: Caller) -> Response:
    """Create a job; nothing is done before it is told to analyse or to start."""
    body = await read_request_with_evalscript(request)
    if request.headers.get("content-type", "").lower().startswith(MULTIPART):
        evalscript = body.pop("evalscript")
        if isinstance(body.get("processRequest"), dict):
            body = {**body, "processRequest": {**body["processRequest"], "evalscript": evalscript}}
    job = await run_in_threadpool(_create, sandbox, caller, body)
    return json_response(_show(job), status=201)


@_routes.get("/process")
def list_jobs(request: Request, sandbox: SandboxDep, caller: Caller) -> Response:
    """List the caller's jobs, oldest first unless ``sort`` says otherwise."""
    url = f"{base_url(request)}{PREFIXES[0]}/process"
    params = dict(request.query_params)
    return json_response(show_page(sandbox.jobs, BATCH_PROCESS, caller.client_id, params, url=url, show=_show))


@_routes.get("/process/{job_id}")
def get_job(job_id: str, sandbox: SandboxDep, caller: Caller) -> Response:
    """Return one job."""
    return json_response(_show(_job(sandbox, caller, job_id)))


@_routes.put("/process/{job_id}")
async def update_job(job_id: str, request: Request, sandbox: SandboxDep, caller: Caller) -> Response:
    """Change a job's description; the answer is its request."""
    body = await read_json(request)
    return json_response(await run_in_threadpool(_update, sandbox, caller, job_id, body))


@_routes.post("/process/{job_id}/analyse")
def analyse(job_id: str, sandbox: SandboxDep, caller: Caller) -> Response:
    """Analyse a job."""
    return _act(sandbox, caller, job_id, "ANALYSE")


@_routes.post("/process/{job_id}/start")
def start(job_id: str, sandbox: SandboxDep, caller: Caller) -> Response:
    """Start a job, or go on with one that was stopped."""
    return _act(sandbox, caller, job_id, "START")


@_routes.post("/process/{job_id}/stop")
def stop(job_id: str, sandbox: SandboxDep, caller: Caller) -> Response:
    """Stop a job, which takes effect a little later."""
    return _act(sandbox, caller, job_id, "STOP")


@_routes.get("/tilinggrids")
def list_grids(request: Request, caller: Caller) -> Response:
    """List the tiling grids."""
    del caller
    url = f"{base_url(request)}{PREFIXES[0]}/tilinggrids"
    part, links = page(list(GRIDS.values()), dict(request.query_params), url=url, default_count=MAX_COUNT)
    return json_response({"data": [grid.show() for grid in part], "links": links})


@_routes.get("/tilinggrids/{grid_id}")
def get_grid(grid_id: str, caller: Caller) -> Response:
    """Return one tiling grid."""
    del caller
    grid = GRIDS.get(int(grid_id)) if grid_id.isdecimal() else None
    if grid is None:
        known = ", ".join(map(str, GRIDS))
        raise ApiError(400, "COMMON_BAD_PAYLOAD", f"id: {grid_id!r} is no tiling grid; there are {known}")
    return json_response(grid.show())


def _create(sandbox: Sandbox, caller: ClientSettings, body: dict[str, Any]) -> Job:
    try:
        # Loaded on first use: numpy, rasterio and V8 would take most of the time that a start may take.
        from sentinelhub_provider.sandbox.apis.batch.handlers import create as make

        return make(sandbox, caller.client_id, body)
    except ModuleNotFoundError as error:
        raise ApiError(500, "COMMON_EXCEPTION", MISSING_EXTRA.format(name=error.name)) from error


def _update(sandbox: Sandbox, caller: ClientSettings, job_id: str, body: Any) -> dict[str, Any]:
    from sentinelhub_provider.sandbox.apis.batch.bodies import parse_description

    job = _job(sandbox, caller, job_id)
    description = parse_description(body)
    return job.request if description is None else sandbox.jobs.describe(job, description).request


def _act(sandbox: Sandbox, caller: ClientSettings, job_id: str, action: Action) -> Response:
    sandbox.jobs.act(_job(sandbox, caller, job_id), action)
    return Response(status_code=204)


def _job(sandbox: Sandbox, caller: ClientSettings, job_id: str) -> Job:
    job = sandbox.jobs.find(BATCH_PROCESS, caller.client_id, job_id)
    if job is None:
        raise not_found(BATCH_PROCESS, job_id)
    return job


def _show(job: Job) -> dict[str, Any]:
    return show_task(job, "costPU")


for _prefix in PREFIXES:
    router.include_router(_routes, prefix=_prefix)

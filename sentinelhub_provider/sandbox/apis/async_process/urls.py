"""Routes of Async Process, in both path schemes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.jobs.model import Job
from sentinelhub_provider.sandbox.apis.jobs.states import ASYNC_PROCESS
from sentinelhub_provider.sandbox.apis.jobs.store import not_found
from sentinelhub_provider.sandbox.apis.process.urls import MISSING_EXTRA
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.access import SandboxDep, allowed
from sentinelhub_provider.sandbox.gateway.bodies import read_json
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.settings import ClientSettings

PATHS = ("/async/v1/process", "/api/v1/async/process")

router = APIRouter()
Caller = Annotated[ClientSettings, Depends(allowed("async"))]


@router.post(PATHS[0])
@router.post(PATHS[1])
async def create(request: Request, sandbox: SandboxDep, caller: Caller) -> Response:
    """Take a request and begin to work on it."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise ApiError(400, "COMMON_BAD_PAYLOAD", "The request must be a JSON object.")
    return json_response(_show(await run_in_threadpool(_create, sandbox, caller, body)))


@router.get(PATHS[0] + "/{job_id}")
@router.get(PATHS[1] + "/{job_id}")
def get_job(job_id: str, sandbox: SandboxDep, caller: Caller) -> Response:
    """Say that a request runs; one that is over is not known any more, whether it went well or not."""
    job = sandbox.jobs.find(ASYNC_PROCESS, caller.client_id, job_id)
    if job is None or not job.active:
        raise not_found(ASYNC_PROCESS, job_id)
    return json_response(_show(job))


def _create(sandbox: Sandbox, caller: ClientSettings, body: dict[str, Any]) -> Job:
    try:
        # Loaded on first use: numpy, rasterio and V8 would take most of the time that a start may take.
        from sentinelhub_provider.sandbox.apis.async_process.handlers import create as make

        return make(sandbox, caller.client_id, body)
    except ModuleNotFoundError as error:
        raise ApiError(500, "COMMON_EXCEPTION", MISSING_EXTRA.format(name=error.name)) from error


def _show(job: Job) -> dict[str, Any]:
    return {"id": job.id, "status": "RUNNING"}

"""Routes of Async Process, in both path schemes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.jobs.model import Job
from sentinelhub_provider.sandbox.apis.jobs.states import ASYNC_PROCESS
from sentinelhub_provider.sandbox.apis.jobs.store import JobStore, not_found
from sentinelhub_provider.sandbox.gateway import extra
from sentinelhub_provider.sandbox.gateway.access import CallerDep, SandboxDep, allowed
from sentinelhub_provider.sandbox.gateway.bodies import read_object
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox

PATHS = ("/async/v1/process", "/api/v1/async/process")

router = APIRouter(dependencies=[Depends(allowed("async"))])


@router.post(PATHS[0])
@router.post(PATHS[1])
async def create(request: Request, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Take a request and begin to work on it."""
    body = await read_object(request)
    return _answer(await run_in_threadpool(_create, sandbox, caller.client_id, body))


@router.get(PATHS[0] + "/{job_id}")
@router.get(PATHS[1] + "/{job_id}")
def get_job(job_id: str, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Report a running request. A request that has ended gives 404, whether or not it succeeded."""
    job = JobStore.of(sandbox).find(ASYNC_PROCESS, caller.client_id, job_id)
    if job is None or not job.active:
        raise not_found(ASYNC_PROCESS, job_id)
    return _answer(job)


def _create(sandbox: Sandbox, owner: str, body: dict[str, Any]) -> Job:
    with extra.needed():
        from .handlers import create as make

        return make(sandbox, owner, body)


def _answer(job: Job) -> Response:
    return json_response({"id": job.id, "status": "RUNNING"})

"""Routes of Batch Process, version 2, in both path schemes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.jobs.model import Job
from sentinelhub_provider.sandbox.apis.jobs.routes import JobApi, job_routes
from sentinelhub_provider.sandbox.apis.jobs.states import BATCH_PROCESS
from sentinelhub_provider.sandbox.apis.jobs.store import JobStore
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.access import CallerDep, SandboxDep, allowed, base_url
from sentinelhub_provider.sandbox.gateway.bodies import read_json
from sentinelhub_provider.sandbox.gateway.paging import MAX_COUNT, page
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox

from .descriptions import GRIDS

PREFIXES = ("/batch/v2", "/api/v2/batch")


def _make(sandbox: Sandbox, owner: str, body: dict[str, Any]) -> Job:
    from .handlers import create

    return create(sandbox, owner, body)


API = JobApi(BATCH_PROCESS, f"{PREFIXES[0]}/process", "costPU", "processRequest", _make)
_routes = job_routes(API)
_grids = APIRouter()


@_routes.put("/{job_id}")
async def update_job(job_id: str, request: Request, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Change a job's description, and answer with its request."""
    body = await read_json(request)

    def update() -> Any:
        from .bodies import parse_description

        job = API.find(sandbox, caller, job_id)
        description = parse_description(body)
        return job.request if description is None else JobStore.of(sandbox).describe(job, description).request

    return json_response(await run_in_threadpool(update))


@_grids.get("/tilinggrids")
def list_grids(request: Request) -> Response:
    """List the tiling grids."""
    url = f"{base_url(request)}{PREFIXES[0]}/tilinggrids"
    part, links = page(list(GRIDS.values()), dict(request.query_params), url=url, default_count=MAX_COUNT)
    return json_response({"data": [grid.show() for grid in part], "links": links})


@_grids.get("/tilinggrids/{grid_id}")
def get_grid(grid_id: str) -> Response:
    """Return one tiling grid."""
    grid = GRIDS.get(int(grid_id)) if grid_id.isdecimal() else None
    if grid is None:
        known = ", ".join(map(str, GRIDS))
        raise ApiError(400, "COMMON_BAD_PAYLOAD", f"id: {grid_id!r} is no tiling grid; there are {known}")
    return json_response(grid.show())


router = APIRouter(dependencies=[Depends(allowed("batch"))])
for _prefix in PREFIXES:
    router.include_router(_routes, prefix=f"{_prefix}/process")
    router.include_router(_grids, prefix=_prefix)

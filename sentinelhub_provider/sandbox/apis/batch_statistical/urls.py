"""Routes of Batch Statistical, in both path schemes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.jobs.answers import show_status
from sentinelhub_provider.sandbox.apis.jobs.model import Job
from sentinelhub_provider.sandbox.apis.jobs.routes import JobApi, job_routes
from sentinelhub_provider.sandbox.apis.jobs.states import BATCH_STATISTICS
from sentinelhub_provider.sandbox.gateway.access import CallerDep, SandboxDep, allowed
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox

PREFIXES = ("/statistics/batch/v1", "/api/v1/statistics/batch")


def _make(sandbox: Sandbox, owner: str, body: dict[str, Any]) -> Job:
    from .handlers import create

    return create(sandbox, owner, body)


API = JobApi(BATCH_STATISTICS, PREFIXES[0], "costPu", "aggregation", _make)
_routes = job_routes(API)


@_routes.get("/{job_id}/status")
def get_status(job_id: str, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Return the status of one job, without its request."""
    return json_response(show_status(API.find(sandbox, caller, job_id), API.cost_field))


router = APIRouter(dependencies=[Depends(allowed("batch-statistical"))])
for _prefix in PREFIXES:
    router.include_router(_routes, prefix=_prefix)

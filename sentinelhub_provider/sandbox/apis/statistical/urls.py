"""Routes of the Statistical API, in both path schemes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sentinelhub_provider.sandbox.gateway import extra
from sentinelhub_provider.sandbox.gateway.access import CallerDep, SandboxDep, allowed, charged
from sentinelhub_provider.sandbox.gateway.bodies import read_request_with_script_in
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox

from .state import IntervalErrors

PATHS = ("/statistics/v1", "/api/v1/statistics")

router = APIRouter(dependencies=[Depends(allowed("statistical"))])


@router.post(PATHS[0])
@router.post(PATHS[1])
async def statistics(request: Request, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Run an evalscript over every interval and return statistics of what it makes."""
    body = await read_request_with_script_in(request, "aggregation")
    answer, units = await run_in_threadpool(_statistics, body, sandbox)
    return json_response(answer, headers=charged(sandbox, caller, units))


def _statistics(body: dict[str, Any], sandbox: Sandbox) -> tuple[dict[str, Any], float]:
    with extra.needed():
        from .handlers import statistics as compute

        result = compute(body, source=sandbox.scenes, errors=IntervalErrors.of(sandbox))
    return result.body, result.processing_units

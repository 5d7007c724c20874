"""Routes of the Statistical API, in both path schemes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.process.urls import MISSING_EXTRA, SPENT_HEADER
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.access import SandboxDep, allowed, spend
from sentinelhub_provider.sandbox.gateway.bodies import MULTIPART, read_request_with_evalscript
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.settings import ClientSettings

PATHS = ("/statistics/v1", "/api/v1/statistics")

router = APIRouter()
Caller = Annotated[ClientSettings, Depends(allowed("statistical"))]


@router.post(PATHS[0])
@router.post(PATHS[1])
async def statistics(request: Request, sandbox: SandboxDep, caller: Caller) -> Response:
    """Run an evalscript over every interval and return statistics of what it makes."""
    body = await read_request_with_evalscript(request)
    if request.headers.get("content-type", "").lower().startswith(MULTIPART):
        body = _with_evalscript(body)
    answer, units = await run_in_threadpool(_statistics, body, sandbox)
    spend(sandbox, caller, units)
    return json_response(answer, headers={SPENT_HEADER: repr(units)})


def _with_evalscript(body: dict[str, Any]) -> dict[str, Any]:
    """Put the part ``evalscript`` of a form where the request has its own."""
    evalscript = body.pop("evalscript")
    aggregation = body.get("aggregation")
    if isinstance(aggregation, dict):
        body = {**body, "aggregation": {**aggregation, "evalscript": evalscript}}
    return body


def _statistics(body: dict[str, Any], sandbox: Sandbox) -> tuple[dict[str, Any], float]:
    try:
        # Loaded on first use: numpy, rasterio and V8 would take most of the time that a start may take.
        from sentinelhub_provider.sandbox.apis.statistical.handlers import statistics as compute

        result = compute(body, source=sandbox.scenes, errors=sandbox.interval_errors)
    except ModuleNotFoundError as error:
        raise ApiError(500, "COMMON_EXCEPTION", MISSING_EXTRA.format(name=error.name)) from error
    return result.body, result.processing_units

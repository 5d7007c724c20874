"""Control of the Statistical API, with errors for single intervals. Mounted with the control surface."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.statistical.state import ErrorType, IntervalErrors
from sentinelhub_provider.sandbox.gateway.access import SandboxDep
from sentinelhub_provider.sandbox.gateway.responses import json_response

router = APIRouter(prefix="/sandbox/control/interval-errors")


class PlannedError(BaseModel):
    """An error to plan. See :class:`.state.IntervalError`."""

    model_config = ConfigDict(extra="forbid")

    interval: str = ""
    type: ErrorType = "EXECUTION_ERROR"
    times: int | None = Field(default=1, ge=1)


@router.post("")
def plan(error: PlannedError, sandbox: SandboxDep) -> Response:
    """Plan an error."""
    planned = IntervalErrors.of(sandbox).add(error.interval, kind=error.type, times=error.times)
    return json_response(asdict(planned), status=201)


@router.get("")
def planned(sandbox: SandboxDep) -> Response:
    """List the errors that are still to come."""
    return json_response([asdict(each) for each in IntervalErrors.of(sandbox).planned()])


@router.delete("")
def clear(sandbox: SandboxDep) -> Response:
    """Remove all planned errors."""
    IntervalErrors.of(sandbox).reset()
    return Response(status_code=204)

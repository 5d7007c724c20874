"""Control of the BYOC API's speed and failures of ingestion. It is mounted with the control surface."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.byoc.ingestion import Durations, Failure, Remark
from sentinelhub_provider.sandbox.control.byoc import ByocControl
from sentinelhub_provider.sandbox.gateway.access import SandboxDep
from sentinelhub_provider.sandbox.gateway.responses import json_response

router = APIRouter(prefix="/sandbox/control/byoc")


class FailureBody(BaseModel):
    """Paths that fail. See :class:`.ingestion.Failure`."""

    model_config = ConfigDict(extra="forbid")

    pattern: str = Field(min_length=1)
    cause: str = Failure("").cause


class RemarkBody(BaseModel):
    """Paths with a warning. See :class:`.ingestion.Remark`."""

    model_config = ConfigDict(extra="forbid")

    pattern: str = Field(min_length=1)
    warning: str = Field(min_length=1)


class IngestionBody(BaseModel):
    """The ingestion of new tiles. See :class:`.ingestion.Durations`."""

    model_config = ConfigDict(extra="forbid")

    waiting: float | None = Field(default=Durations().waiting, ge=0)
    ingesting: float | None = Field(default=Durations().ingesting, ge=0)
    failures: list[FailureBody] = []
    warnings: list[RemarkBody] = []


@router.put("/ingestion")
def set_ingestion(body: IngestionBody, sandbox: SandboxDep) -> Response:
    """Set how new tiles are ingested."""
    ByocControl(sandbox).set_ingestion(
        waiting=body.waiting,
        ingesting=body.ingesting,
        failures=[Failure(each.pattern, each.cause) for each in body.failures],
        warnings=[Remark(each.pattern, each.warning) for each in body.warnings],
    )
    return json_response(body.model_dump())


@router.post("/step")
def step(sandbox: SandboxDep) -> Response:
    """Move every tile on by one state."""
    return json_response({"moved": ByocControl(sandbox).step()})

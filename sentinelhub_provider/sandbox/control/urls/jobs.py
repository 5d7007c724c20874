"""Control of jobs by HTTP, with their list, speed, and failures. It is mounted with the control surface."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.jobs.rules import Durations, FailureKind, InjectedFailure
from sentinelhub_provider.sandbox.apis.jobs.states import StopReason
from sentinelhub_provider.sandbox.control.jobs import JobsControl
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.responses import json_response

router = APIRouter()
_jobs = APIRouter(prefix="/sandbox/control/jobs")

KindName = Literal["async-process", "batch-process", "batch-statistics"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DurationsBody(_Body):
    """See :class:`.rules.Durations`. A missing one returns to its default."""

    analysing: float | None = Field(default=Durations.analysing, ge=0)
    processing: float | None = Field(default=Durations.processing, ge=0)
    starting: float = Field(default=Durations.starting, ge=0)
    stopping: float = Field(default=Durations.stopping, ge=0)
    restart_after_stop: float = Field(default=Durations.restart_after_stop, ge=0)
    restart_after_out_of_pu: float = Field(default=Durations.restart_after_out_of_pu, ge=0)


class FailureBody(_Body):
    """See :class:`.rules.InjectedFailure`."""

    kind: FailureKind
    at: float = Field(default=InjectedFailure.at, ge=0, le=100)
    reason: StopReason = InjectedFailure.reason
    names: str = InjectedFailure.names
    share: float = Field(default=InjectedFailure.share, gt=0, le=1)
    cause: str | None = None
    job: str | None = None
    times: int | None = Field(default=1, ge=1)


class StepBody(_Body):
    """The job to move on, ``None`` for all."""

    job: str | None = None


class BalanceBody(_Body):
    """PU in an account, ``None`` for no limit."""

    processing_units: float | None = None


class DeliveryBody(_Body):
    """The target of the jobs' deliveries, ``None`` for nowhere."""

    where: str | None = None


class OptionsBody(_Body):
    """See ``set_concurrency``, ``set_rasters`` and ``set_simulated_features`` of :class:`.handlers.JobsControl`."""

    concurrent: int | None = Field(default=None, ge=0)
    rasters: bool = True
    simulated_features: int = Field(default=10, ge=1)


async def get_control(request: Request) -> JobsControl:
    """Return the control over the jobs of the sandbox that serves this request."""
    return JobsControl(request.app.state.sandbox)


ControlDep = Annotated[JobsControl, Depends(get_control)]


@_jobs.get("")
def list_jobs(control: ControlDep, kind: KindName | None = None) -> Response:
    """Return all jobs ever made, oldest first."""
    return json_response([dataclasses.asdict(job) for job in control.all(kind)])


@_jobs.delete("/{job_id}")
def delete_job(job_id: str, control: ControlDep) -> Response:
    """Delete a job."""
    if not control.delete(job_id):
        raise ApiError(404, "COMMON_NOT_FOUND", f"There is no job {job_id}")
    return Response(status_code=204)


@_jobs.put("/pace")
def set_durations(body: DurationsBody, control: ControlDep) -> Response:
    """Set the durations of new phases."""
    return json_response(dataclasses.asdict(control.set_durations(**body.model_dump())))


@_jobs.post("/step")
def step(control: ControlDep, body: StepBody | None = None) -> Response:
    """Move jobs on by one state."""
    return json_response({"moved": control.step(body.job if body is not None else None)})


@_jobs.post("/settle")
def settle(control: ControlDep) -> Response:
    """Wait until all due work is done."""
    return json_response({"settled": control.settle()})


@_jobs.put("/options")
def set_options(body: OptionsBody, control: ControlDep) -> Response:
    """Set options other than times and failures."""
    control.set_concurrency(body.concurrent)
    control.set_rasters(body.rasters)
    control.set_simulated_features(body.simulated_features)
    return json_response(body.model_dump())


@_jobs.put("/delivery")
def set_delivery(body: DeliveryBody, control: ControlDep) -> Response:
    """Set the target of the deliveries of new jobs."""
    try:
        control.set_delivery(body.where)
    except ValueError as error:
        raise ApiError(400, "COMMON_BAD_PAYLOAD", f"where: {error}") from error
    return json_response(body.model_dump())


@_jobs.put("/accounts/{client_id}")
def set_balance(client_id: str, body: BalanceBody, control: ControlDep) -> Response:
    """Fill or empty a client's account."""
    control.set_balance(client_id, body.processing_units)
    return json_response({"client_id": client_id, "processing_units": control.balance(client_id)})


@_jobs.get("/accounts/{client_id}")
def get_balance(client_id: str, control: ControlDep) -> Response:
    """Return the PU left in a client's account."""
    return json_response({"client_id": client_id, "processing_units": control.balance(client_id)})


_failures = APIRouter(prefix="/sandbox/control/job-failures")


@_failures.post("")
def inject(body: FailureBody, control: ControlDep) -> Response:
    """Inject a failure."""
    fields: dict[str, Any] = body.model_dump()
    return json_response({"id": control.inject(**fields)}, status=201)


@_failures.get("")
def list_injected(control: ControlDep) -> Response:
    """Return the injected failures that are still to come."""
    return json_response([dataclasses.asdict(each) for each in control.injected()])


@_failures.delete("")
def clear_injected(control: ControlDep) -> Response:
    """Remove all injected failures."""
    control.clear_injected()
    return Response(status_code=204)


router.include_router(_jobs)
router.include_router(_failures)

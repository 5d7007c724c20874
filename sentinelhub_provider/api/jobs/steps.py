"""The steps of a job's life, which both flows yield. The driver takes each step and sends back its result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypeAlias, TypeVar, dataclass_transform

from sentinelhub_provider.api.jobs.job import Job
from sentinelhub_provider.exceptions import (
    SentinelHubBadRequestError,
    SentinelHubNotFoundError,
    SentinelHubQuotaExceededError,
    SentinelHubResponseError,
    SentinelHubServerError,
    SentinelHubTransportError,
)

UNCLEAR = (SentinelHubTransportError, SentinelHubServerError, SentinelHubResponseError)
"""Errors that leave it unclear whether the service acted."""

REFUSALS = (SentinelHubBadRequestError, SentinelHubNotFoundError, SentinelHubQuotaExceededError)
"""Errors that say that an action was not done. The job's state tells whether it was still needed."""

MAX_ATTEMPTS = 3
"""How often one attempt of a task sends a request that has no effect. Then it is left to the task's retries."""

Action: TypeAlias = Literal["analyse", "start", "stop"]
T = TypeVar("T")


@dataclass_transform(frozen_default=True)
class Step:
    """A request of a flow to its driver. Nothing is sent back unless a step says so."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)


Flow: TypeAlias = Generator[Step, Any, T]
Clock: TypeAlias = Callable[[], datetime]  # Returns the time with its time zone


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing. ``token`` asks for the next page, and is ``None`` on the last."""

    jobs: tuple[Job, ...]
    token: str | None = None


class Delivered(StrEnum):
    """The content of a job's output folder, which is all outputs, an error report or neither. Or it is unreadable."""

    OUTPUTS = "delivered"
    ERROR = "failed"
    NOTHING = "nothing"
    UNREADABLE = "unreadable"


IS_OVER = (Delivered.OUTPUTS, Delivered.ERROR)


@dataclass(frozen=True, slots=True)
class Record:
    """A stored record of a job, with its id, if known, and the time of the worker's clock when it was found or sent.

    A record without an id is the intent to send an Async Process job. ``digest`` is that of its request.
    """

    written: datetime
    job_id: str | None = None
    digest: str | None = None


class CheckStatus(Step):
    """Check a job's status. The driver sends back the :class:`Job`, in state ``GONE`` if the service has none."""

    job_id: str


class AwaitEnd(Step):
    """Poll a job until it ends or ``until`` has come. The driver sends back the :class:`Job` as it is then."""

    job: Job
    until: datetime


class WaitUntil(Step):
    """Wait until ``moment``. A flow that starts anew after a deferral gets ``job``'s id, and ``waited``."""

    moment: datetime
    reason: str
    job: Job | None = None
    waited: bool = False


class Warn(Step):
    """Log a warning."""

    text: str


class LoadRecord(Step):
    """Read the record of the task's job. The driver sends back a :class:`Record` or ``None``."""


class SaveRecord(Step):
    """Write the record of the task's job, and its id to XCom. ``job`` is the job, if the service described it."""

    record: Record
    job: Job | None = None


class DeleteRecord(Step):
    """Delete the record, as nothing was sent or the job is given up."""


class Create(Step):
    """Create the job, which also starts an Async Process job. The driver sends back the :class:`Job`, or the error."""


# --- steps of jobs that are listed: Batch Process, Batch Statistics ---


class ListJobs(Step):
    """List jobs, the newest first. The driver sends back a :class:`Page`."""

    token: str | None = None


class Act(Step):
    """Send an action to a job. The driver sends back ``None``, or an error of :data:`UNCLEAR` or :data:`REFUSALS`."""

    action: Action
    job: Job


class Analysed(Step):
    """Check the cost of the analysed job before it is started. The driver raises if that is too much."""

    job: Job


# --- a step of Async Process jobs ---


class CheckOutputs(Step):
    """List the folder of the job's outputs. The driver sends back :class:`Delivered`."""

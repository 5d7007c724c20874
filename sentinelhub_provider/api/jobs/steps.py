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
"""Errors after which nobody can tell whether the service acted."""

REFUSALS = (SentinelHubBadRequestError, SentinelHubNotFoundError, SentinelHubQuotaExceededError)
"""Errors that say that an action was not done; the job's state tells whether it was still needed."""

MAX_ATTEMPTS = 3
"""How often one attempt of a task repeats a request that had no effect; the rest is left to the task's retries."""

Action: TypeAlias = Literal["analyse", "start", "stop"]
T = TypeVar("T")


@dataclass_transform(frozen_default=True)
class Step:
    """A request of a flow to its driver. Nothing is sent back unless a step says so."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)


Flow: TypeAlias = Generator[Step, Any, T]
Clock: TypeAlias = Callable[[], datetime]  # Tells the time, aware


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing. ``token`` asks for the next page; it is ``None`` on the last."""

    jobs: tuple[Job, ...]
    token: str | None = None


class Delivered(StrEnum):
    """The content of a job's output folder: all outputs, an error report or neither. Or it cannot be read."""

    OUTPUTS = "delivered"
    ERROR = "failed"
    NOTHING = "nothing"
    UNREADABLE = "unreadable"


IS_OVER = (Delivered.OUTPUTS, Delivered.ERROR)


@dataclass(frozen=True, slots=True)
class Record:
    """A kept record of a job: when it was found or sent, by the worker's clock, and its id once it is known.

    One without an id is the intent to send an Async Process job. ``digest``: of its request.
    """

    written: datetime
    job_id: str | None = None
    digest: str | None = None


class CheckStatus(Step):
    """Check a job's status. Sent back: the :class:`Job`, in state ``GONE`` where the service does not know it."""

    job_id: str


class AwaitEnd(Step):
    """Poll a job until it ends or ``until`` has come. Sent back: the :class:`Job` as it is then."""

    job: Job
    until: datetime


class WaitUntil(Step):
    """Wait, then go on. A flow that is begun anew after a deferral gets ``job``'s id, and ``waited``."""

    moment: datetime
    reason: str
    job: Job | None = None
    waited: bool = False


class Warn(Step):
    """Log a warning."""

    text: str


class LoadRecord(Step):
    """Read the record of the task's job. Sent back: :class:`Record` or ``None``."""


class SaveRecord(Step):
    """Write the record of the task's job, and its id to XCom. ``job``: the job, where it was described."""

    record: Record
    job: Job | None = None


class DeleteRecord(Step):
    """Delete the record: nothing was sent, or the job is given up."""


class Create(Step):
    """Create the job; an Async Process job is sent by that. Sent back: the :class:`Job`, or the error."""


# --- steps of jobs that are listed: Batch Process, Batch Statistics ---


class ListJobs(Step):
    """List jobs, the newest first. Sent back: :class:`Page`."""

    token: str | None = None


class Act(Step):
    """Tell a job to do something. Sent back: ``None``, or an error of :data:`UNCLEAR` or :data:`REFUSALS`."""

    action: Action
    job: Job


class Analysed(Step):
    """The job is analysed: check what it will cost before it is started. Raises where that is too much."""

    job: Job


# --- a step of Async Process jobs ---


class CheckOutputs(Step):
    """List the folder of the job's outputs. Sent back: :class:`Delivered`."""

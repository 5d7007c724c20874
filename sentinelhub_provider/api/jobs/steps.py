"""The steps of a job's life, which both flows yield. The driver takes each step and sends back its result."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
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
    """What a flow asks its driver for. Nothing is sent back unless a step says so."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)


Flow: TypeAlias = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing. ``token`` asks for the next page; it is ``None`` on the last."""

    jobs: tuple[Job, ...]
    token: str | None = None


Delivered = Enum("Delivered", ["OUTPUTS", "ERROR", "NOTHING", "UNREADABLE"])
"""What is in the folder of a job's outputs: outputs, an error report, nothing; or it cannot be read from here."""

IS_OVER = (Delivered.OUTPUTS, Delivered.ERROR)


@dataclass(frozen=True, slots=True)
class Intent:
    """The record of an Async Process job: when it was sent, by the worker's clock; its id once it is known."""

    sent: datetime
    job_id: str | None = None
    digest: str | None = None


# --- steps of every job ---


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


# --- steps of jobs that are listed: Batch Process, Batch Statistics ---


class LoadJobId(Step):
    """Read the job's id from the job store. Sent back: the id or ``None``."""


class SaveJobId(Step):
    """Write the job's id to the job store, and to XCom."""

    job: Job


class ListJobs(Step):
    """List jobs, the newest first. Sent back: :class:`Page`."""

    token: str | None = None


class Create(Step):
    """Create the job with its job tag. Sent back: the :class:`Job`, or an error of :data:`UNCLEAR`."""


class Act(Step):
    """Tell a job to do something. Sent back: ``None``, or an error of :data:`UNCLEAR` or :data:`REFUSALS`."""

    action: Action
    job: Job


class Analysed(Step):
    """The job is analysed: check what it will cost before it is started. Raises where that is too much."""

    job: Job


# --- steps of Async Process jobs ---


class LoadIntent(Step):
    """Read the record of the job. Sent back: :class:`Intent` or ``None``."""


class SaveIntent(Step):
    """Write the record of the job."""

    intent: Intent


class DeleteIntent(Step):
    """Delete the record: nothing was sent, or the job is given up."""


class Send(Step):
    """Send the job. Sent back: the :class:`Job`, or the error."""


class CheckOutputs(Step):
    """List the folder of the job's outputs. Sent back: :class:`Delivered`."""

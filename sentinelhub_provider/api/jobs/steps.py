"""
The steps of a job's life, which both flows yield. The driver takes each step and sends back its result.

The flows are in :mod:`~sentinelhub_provider.api.jobs.lifecycle` and
:mod:`~sentinelhub_provider.api.jobs.async_lifecycle`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Literal, TypeAlias, TypeVar

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


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing. ``token`` asks for the next page; it is ``None`` on the last."""

    jobs: tuple[Job, ...]
    token: str | None = None


class Delivered(Enum):
    """What is in the folder of a job's outputs."""

    OUTPUTS = "outputs"
    ERROR = "an error report"
    NOTHING = "nothing"
    UNREADABLE = "unreadable"
    """The folder cannot be read from here."""


@dataclass(frozen=True, slots=True)
class Intent:
    """
    The record of an Async Process job.

    :param sent: when, by the worker's clock.
    :param job_id: ``None`` until the answer is there.
    :param digest: of its request, ``None`` where that is not known.
    """

    sent: datetime
    job_id: str | None = None
    digest: str | None = None


# --- steps of every job ---


@dataclass(frozen=True, slots=True)
class CheckStatus:
    """Check a job's status. Sent back: the :class:`Job`, in state ``GONE`` where the service does not know it."""

    job_id: str


@dataclass(frozen=True, slots=True)
class AwaitEnd:
    """Poll a job until it ends or ``until`` has come. Sent back: the :class:`Job` as it is then."""

    job: Job
    until: datetime


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """
    Wait, then go on.

    :param reason: a text for the log.
    :param job: the job that was found, ``None`` before there is one.
    :param waited: what a flow that is begun anew after a deferral gets as ``waited``.
    """

    moment: datetime
    reason: str
    job: Job | None = None
    waited: bool = False


@dataclass(frozen=True, slots=True)
class Warn:
    """Log a warning."""

    text: str


# --- steps of jobs that are listed: Batch Process, Batch Statistics ---


@dataclass(frozen=True, slots=True)
class LoadJobId:
    """Read the job's id from the job store. Sent back: the id or ``None``."""


@dataclass(frozen=True, slots=True)
class SaveJobId:
    """Write the job's id to the job store, and to XCom."""

    job: Job


@dataclass(frozen=True, slots=True)
class ListJobs:
    """List jobs, the newest first. Sent back: :class:`Page`."""

    token: str | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """Create the job with its job tag. Sent back: the :class:`Job`, or an error of :data:`UNCLEAR`."""


@dataclass(frozen=True, slots=True)
class Act:
    """Tell a job to do something. Sent back: ``None``, or an error of :data:`UNCLEAR` or :data:`REFUSALS`."""

    action: Action
    job: Job


@dataclass(frozen=True, slots=True)
class Analysed:
    """The job is analysed: check what it will cost before it is started. Raises where that is too much."""

    job: Job


# --- steps of Async Process jobs ---


@dataclass(frozen=True, slots=True)
class LoadIntent:
    """Read the record of the job. Sent back: :class:`Intent` or ``None``."""


@dataclass(frozen=True, slots=True)
class SaveIntent:
    """Write the record of the job."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class DeleteIntent:
    """Delete the record: nothing was sent, or the job is given up."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send the job. Sent back: the :class:`Job`, or the error."""


@dataclass(frozen=True, slots=True)
class CheckOutputs:
    """List the folder of the job's outputs. Sent back: :class:`Delivered`."""


Step: TypeAlias = (
    CheckStatus | AwaitEnd | WaitUntil | Warn
    | LoadJobId | SaveJobId | ListJobs | Create | Act | Analysed
    | LoadIntent | SaveIntent | DeleteIntent | Send | CheckOutputs
)  # fmt: skip
Flow: TypeAlias = Generator[Step, Any, T]

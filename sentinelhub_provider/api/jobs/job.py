"""The three kinds of remote jobs, the states they pass through, and what each state means to a pipeline.

Batch Process and Batch Statistics::

    CREATED ──> ANALYSING ──> ANALYSIS_DONE ──> PROCESSING ──> DONE | FAILED | STOPPED
                                                     ^                            │
                                                     └──────────── start ─────────┘

An Async Process job has one state, ``RUNNING``. The service answers 404 for a finished one, and for deleted others.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from sentinelhub_provider.api.time_range import format_time, parse_time, time_or_none
from sentinelhub_provider.api.values import as_number, shortened
from sentinelhub_provider.exceptions import SentinelHubJobError, SentinelHubRequestError, SentinelHubResponseError

# Reasons why a job was stopped (``stoppedStatusReason``)
USER_ACTION = "USER_ACTION"
OUT_OF_PU = "OUT_OF_PU"
UNHEALTHY = "UNHEALTHY"
REST_AFTER_USER_STOP = timedelta(minutes=30)
REST_AFTER_OUT_OF_PU = timedelta(minutes=60)
"""Time for which a stopped job cannot be started again (documentation, Batch V2 and Batch Statistical API)."""

_ERROR_SIZE = 2000


class UnknownJobStateError(SentinelHubResponseError):
    """A job is in a state that this package does not know, so that waiting may be pointless."""


class JobState(StrEnum):
    """The state of a job. ``GONE`` stands for a 404, as the job was deleted, or an Async Process job is over."""

    CREATED = "CREATED"
    ANALYSING = "ANALYSING"
    ANALYSIS_DONE = "ANALYSIS_DONE"
    PROCESSING = "PROCESSING"
    DONE = "DONE"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    RUNNING = "RUNNING"
    GONE = "GONE"


_TERMINAL = frozenset({JobState.DONE, JobState.PARTIAL, JobState.FAILED, JobState.STOPPED, JobState.GONE})
_BATCH_STATES = frozenset(JobState) - {JobState.RUNNING, JobState.GONE}


@dataclass(frozen=True, slots=True)
class JobKind:
    """An API that runs jobs. Arguments and events use its ``name``, and sentences its ``title``.

    With ``actions``, its jobs are listed, and can be analysed, started and stopped. Without, they run as soon as they
    exist. With ``light_status``, ``/{id}/status`` returns a job's state without its request.
    """

    name: str
    title: str
    path: str
    actions: bool = True
    light_status: bool = False

    @property
    def states(self) -> frozenset[JobState]:
        """The states that its API documents."""
        return _BATCH_STATES if self.actions else frozenset({JobState.RUNNING})

    def job_path(self, job_id: str) -> str:
        """Return the path of one job."""
        return f"{self.path}/{quote(job_id, safe='')}"

    def status_path(self, job_id: str) -> str:
        """Return the path of the smallest answer that has a job's state."""
        return f"{self.job_path(job_id)}/status" if self.light_status else self.job_path(job_id)

    def action_path(self, job_id: str, action: str) -> str:
        """Return the path to which ``analyse``, ``start`` or ``stop`` is posted. Raise if there are no actions."""
        if not self.actions:
            raise SentinelHubRequestError(f"{self.title} jobs cannot be told to {action}.", field="action")
        return f"{self.job_path(job_id)}/{action}"

    def __str__(self) -> str:
        return self.title


BATCH_PROCESS = JobKind("batch-process", "Batch Process", "/batch/v2/process")
BATCH_STATISTICS = JobKind("batch-statistics", "Batch Statistics", "/statistics/batch/v1", light_status=True)
ASYNC_PROCESS = JobKind("async-process", "Async Process", "/async/v1/process", actions=False)
KINDS: Mapping[str, JobKind] = {kind.name: kind for kind in (BATCH_PROCESS, BATCH_STATISTICS, ASYNC_PROCESS)}


def kind_of(name: Any) -> JobKind:
    """Return a kind by its name."""
    found = name if isinstance(name, JobKind) else KINDS.get(name) if isinstance(name, str) else None
    if found is None:
        raise SentinelHubRequestError(f"kind is {name!r}. Give one of {', '.join(KINDS)}.")
    return found


def check_job_id(value: Any, field: str = "job_id") -> str:
    """Check and return a job's id."""
    text = value.strip() if isinstance(value, str) else ""
    if text in ("", "None") or not text.isprintable() or "/" in text:
        raise SentinelHubRequestError(f"{field} is {value!r}. Give the id of a job, as the service names it.")
    return text


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the service last described it, without its request. Members that the service leaves out are ``None``.

    ``reason`` says why it is stopped. ``cost`` counts processing units so far, and ``completion`` is in per cent.
    ``user_action`` is the last action of a user, ``NONE``, ``ANALYSE``, ``START`` or ``STOP``. ``output_type`` is
    ``raster`` or ``zarr`` for Batch Process. ``collection_id`` is the BYOC collection that its results go into.
    """

    id: str
    kind: JobKind
    state: JobState
    reason: str | None = None
    error: str | None = None
    cost: float | None = None
    completion: float | None = None
    description: str | None = None
    delivery_url: str | None = None
    output_type: str | None = None
    collection_id: str | None = None
    created: datetime | None = None
    user_action: str | None = None
    user_action_updated: datetime | None = None
    last_updated: datetime | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether its state stays the same until a user acts. A stopped job that was started again is not terminal."""
        return self.state in _TERMINAL and not self.is_restarting

    @property
    def is_restarting(self) -> bool:
        """Whether it was told to start again, but is still ``STOPPED``, as an action may take effect late."""
        if self.state is not JobState.STOPPED or self.user_action != "START":
            return False
        if self.reason == USER_ACTION:
            return True  # the user stopped it first, and then started it
        told, stopped = self.user_action_updated, self.last_updated
        return told is not None and stopped is not None and told > stopped

    def to_dict(self) -> dict[str, Any]:
        """Return its members as plain JSON values, without those that are ``None``."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {name: format_time(value) if isinstance(value, datetime) else value for name, value in values.items()}
        return {name: value for name, value in {**plain, "kind": self.kind.name}.items() if value is not None}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Job:
        """Read what :meth:`to_dict` wrote."""
        try:
            values = {each.name: plain[each.name] for each in fields(cls) if plain.get(each.name) is not None}
            times = {name: parse_time(values[name], name) for name in _TIMES if name in values}
            named = {"id": str(plain["id"]), "kind": kind_of(plain["kind"]), "state": JobState(plain["state"])}
            return cls(**{**values, **times, **named})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SentinelHubRequestError(f"This is not a job: {error}.", field="job") from error

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        completion = f", {self.completion:g} %" if self.completion is not None else ""
        return f"{self.kind} job {self.id}: {self.state}{reason}{completion}"


_TIMES = ("created", "user_action_updated", "last_updated")


def job_of(kind: JobKind, document: Any) -> Job:
    """Read a job from an answer or an item of a listing. Raises :class:`UnknownJobStateError` for an unknown state."""
    job_id = document.get("id") if isinstance(document, Mapping) else None
    if not isinstance(job_id, str) or not job_id:
        shown = sorted(document) if isinstance(document, Mapping) else type(document).__name__
        raise SentinelHubResponseError(f"The service described a {kind} job without an id: {shortened(shown, 200)}.")
    status = document.get("status")
    state = _word(status)
    if state not in kind.states:
        known = ", ".join(sorted(kind.states))
        raise UnknownJobStateError(
            f"{kind} job {job_id} is in state {status!r}, which is not one of {known}. Look at it in the dashboard, "
            "and see whether a newer version of this provider knows the state."
        )
    state = JobState(state)
    request = document.get("request")
    request = request if isinstance(request, Mapping) else {}
    output = request["output"] if isinstance(request.get("output"), Mapping) else {}
    user_action = _word(document.get("userAction"))
    stopped = USER_ACTION if user_action == "STOP" else None
    return Job(
        id=job_id,
        kind=kind,
        state=state,
        # A job that was started again still names the reason of its earlier stop.
        reason=(_word(document.get("stoppedStatusReason")) or stopped) if state is JobState.STOPPED else None,
        error=shortened(_text(document.get("error")) or "", _ERROR_SIZE) or None,
        cost=next((cost for cost in map(_number, map(document.get, ("costPU", "costPu"))) if cost is not None), None),
        completion=_number(document.get("completionPercentage")),
        description=_text(request.get("description") or document.get("description")),
        delivery_url=_delivery_url(request),
        output_type=_text(output.get("type")),
        collection_id=_text(output.get("collectionId")),
        created=time_or_none(document.get("created")),
        user_action=user_action,
        user_action_updated=time_or_none(document.get("userActionUpdated")),
        last_updated=time_or_none(document.get("lastUpdated")),
    )


def gone(kind: JobKind, job_id: str) -> Job:
    """Return the job that a 404 stands for."""
    return Job(job_id, kind, JobState.GONE)


def problem_of(job: Job) -> SentinelHubJobError | None:
    """Return the error that a job ended with, ``None`` if it runs, is done, or is an Async Process job that is over."""
    if not job.is_terminal or job.state is JobState.DONE:
        return None
    said = f": {job.error}" if job.error else ""
    match job.state:
        case JobState.GONE if not job.kind.actions:
            return None
        case JobState.GONE:
            what = (
                "is not known to the service (404): it was deleted, as idle jobs are after 7 to 30 days, or it "
                "belongs to another account or deployment. Check the id and the connection"
            )
        case JobState.PARTIAL:
            what = f"is done in part{said}. Some features failed: see their files in the bucket"
        case JobState.FAILED:
            what = f"failed{_at(job)}{said}. Look at the job in the dashboard, correct the request and start a new one"
        case _:
            what = f"was stopped{_at(job)}{_WHY_STOPPED.get(job.reason or '', _STOPPED)}{said}"
    return SentinelHubJobError(
        f"{job.kind} job {job.id} {what}.",
        job_status=job.state.value,
        reason=job.reason,
        endpoint=f"GET {job.kind.job_path(job.id)}",
    )


_STOPPED = ", the service does not say why. Look at the job in the dashboard"
_WHY_STOPPED = {
    USER_ACTION: " by a user. It can be started again 30 minutes after that, and goes on from where it was",
    OUT_OF_PU: (
        " because the account ran out of processing units. Buy more or wait for the next period; it can be started "
        "again 60 minutes after the stop while the account has at least 1,000, and goes on from where it was"
    ),
    UNHEALTHY: (
        " because too many of its parts failed. Look at the first errors in its result database; once their cause is "
        "gone it can be started again"
    ),
}


def restart_not_before(job: Job) -> datetime | None:
    """Return when a stopped job may be started again, ``None`` if at once, or if it is not stopped."""
    if job.state is not JobState.STOPPED or job.is_restarting:
        return None
    if job.reason == USER_ACTION:
        stopped = job.user_action_updated or job.last_updated
        return None if stopped is None else stopped + REST_AFTER_USER_STOP
    if job.reason == OUT_OF_PU and job.kind is BATCH_STATISTICS and job.last_updated is not None:
        return job.last_updated + REST_AFTER_OUT_OF_PU
    return None


DIGEST_SIZE = 8  # Digits of a request's digest that follow a job tag


def job_tag(dag_id: str, task_id: str, run_id: str, map_index: int, clears: int) -> str:
    """Return the job tag of a task instance, an idempotency key that its retries share until ``clears`` grows."""
    named = json.dumps([dag_id, task_id, run_id, map_index, clears])
    return f"airflow-{hashlib.sha256(named.encode()).hexdigest()[:20]}"


def full_tag(tag: str, digest: str) -> str:
    """Return a job's tag with the first digits of its request's digest."""
    return f"{tag}-{digest[:DIGEST_SIZE]}"


def tagged(description: str | None, tag: str) -> str:
    """Return a description with a job tag at its end."""
    return f"{(description or '').strip()} {tag}".strip()


def has_tag(job: Job, tag: str) -> bool:
    """Tell whether a job has a job tag, as a word of its description or as a folder of its delivery URL."""
    return _full_tag_of(job, tag) is not None


def digest_of(job: Job, tag: str) -> str | None:
    """Return the digits of its request's digest that follow a job's tag, ``None`` if there are none."""
    return (_full_tag_of(job, tag) or tag)[len(tag) + 1 :] or None


def _full_tag_of(job: Job, tag: str) -> str | None:
    words = [*(job.description or "").split(), *(job.delivery_url or "").split("/")]
    return next((word for word in words if word == tag or word.startswith(f"{tag}-")), None)


def _delivery_url(request: Mapping[str, Any]) -> str | None:
    """Find the URL that results go to, which batch and async jobs nest differently."""
    found: Any = request.get("output")
    if isinstance(found, Mapping) and isinstance(found.get("delivery"), Mapping):
        found = found["delivery"]
    for store in ("s3", "gs"):
        target = found.get(store) if isinstance(found, Mapping) else None
        if isinstance(target, Mapping):
            return _text(target.get("url"))
    return None


def _at(job: Job) -> str:
    return f" at {job.completion:g} %" if job.completion is not None and job.completion < 100 else ""


def _text(value: Any) -> str | None:
    return (value.strip() or None) if isinstance(value, str) else None


def _word(value: Any) -> str | None:
    return None if (text := _text(value)) is None else text.upper()


def _number(value: Any) -> float | None:
    number = as_number(value)
    return number if math.isfinite(number) else None

"""The life of a job, as pure rules of states and time.

A job goes on in tasks. :func:`due` moves it as far as time alone does and returns the next task. :func:`perform` does
the task, which may take a while. :func:`record` notes the outcome. Call :func:`due` and :func:`record` under one lock.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sentinelhub_provider.sandbox.apis.jobs.model import Job, JobError, Outcome, Part
from sentinelhub_provider.sandbox.apis.jobs.rules import InjectedFailure
from sentinelhub_provider.sandbox.apis.jobs.states import RESERVE, Status, StopReason

log = logging.getLogger(__name__)

_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class Situation:
    """The injected failures that are still to come, and the PU left in the owner's account (``None`` for no limit)."""

    injected: Sequence[InjectedFailure] = ()
    balance: float | None = None


@dataclass(frozen=True)
class Analyse:
    """Analyse the job. The analysis ends at ``at``."""

    at: float


@dataclass(frozen=True)
class Process:
    """Do a part, or let it fail for ``cause``. ``matches`` are the ids of injected failures that match its name."""

    part: Part
    cause: str | None
    matches: tuple[int, ...] = ()


@dataclass(frozen=True)
class Report:
    """Publish that ``done`` parts are done."""

    done: int


@dataclass(frozen=True)
class Finish:
    """End the job at ``at``. ``failure`` is the injected failure that ends it, if any."""

    at: float
    status: Status
    reason: StopReason | None = None
    error: str | None = None
    failure: InjectedFailure | None = None


Task = Analyse | Process | Report | Finish
Result = list[Part] | Outcome | JobError | None


def due(job: Job, now: float, situation: Situation) -> Task | None:
    """Move a job on as far as time alone does. Return the task that it needs to go on, or ``None``."""
    while not job.deleted:
        if job.failure is not None:
            return Finish(now, "FAILED", error=job.failure)
        match job.status:
            case "ANALYSING":
                return _due_analysis(job, now)
            case "PROCESSING":
                return _due_processing(job, now, situation)
        if job.pending_at is None or not (job.forced or job.pending_at <= now):
            return None
        at = now if job.forced else job.pending_at
        if job.action == "STOP":
            return Finish(at, "STOPPED", "USER_ACTION")
        _enter(job, "ANALYSING" if job.status == "CREATED" else "PROCESSING", at)
    return None


def perform(job: Job, task: Task) -> Result:
    """Do a task. Return an error instead of raising it."""
    try:
        match task:
            case Analyse():
                return job.work.analyse()
            case Process(part, cause):
                return job.work.process(part) if cause is None else job.work.fail_part(part, cause)
            case Report():
                job.work.report(job.parts or [])
            case Finish():
                job.work.report(job.parts or [])
                job.work.finish(task.status, task.error, job.cost)
    except JobError as error:
        return error
    except Exception as error:
        log.exception("Job %s: the sandbox failed", job.id)
        return JobError(f"The sandbox failed: {type(error).__name__}. Its log has the details.")
    return None


def record(job: Job, task: Task, result: Result, now: float, charge: Callable[[float], None]) -> None:
    """Note the outcome of a task. ``charge`` takes PU from the account."""
    if job.deleted:
        return
    if isinstance(result, JobError):
        if isinstance(task, Finish):
            _end(job, Finish(now, "FAILED", error=task.error or str(result)))
        else:
            job.failure = str(result)
        return
    match task:
        case Analyse():
            assert isinstance(result, list)  # noqa: S101 - what analysing returns
            job.parts = result
            _leave_analysis(job, task.at)
        case Process():
            assert isinstance(result, Outcome)  # noqa: S101 - what processing returns
            _take(job, task, result, charge)
            job.updated = max(job.updated, _moment_of(job, job.next_part / len(job.parts or [task.part]), now))
        case Report():
            job.reported = task.done
        case Finish():
            _end(job, task)


def _due_analysis(job: Job, now: float) -> Task | None:
    seconds = job.durations.analysing
    end = math.inf if seconds is None else job.phase_started + seconds
    if not job.forced and now < end:
        return None
    # The processing begins at the planned end, even if the analysis takes longer.
    return Analyse(min(now, end))


def _leave_analysis(job: Job, at: float) -> None:
    if not job.parts:
        _end(job, Finish(at, "FAILED", error="There is nothing to process: no feature intersects the area of interest"))
    elif job.action == "STOP":
        _end(job, Finish(at, "STOPPED", "USER_ACTION"))
    elif job.action == "START":
        _enter(job, "PROCESSING", at)
    else:
        job.status, job.updated, job.forced, job.pending_at = "ANALYSIS_DONE", at, False, None


def _due_processing(job: Job, now: float, situation: Situation) -> Task | None:
    parts = job.parts or []
    stop_at = job.pending_at if job.action == "STOP" else None
    stopping = stop_at is not None and (job.forced or stop_at <= now)
    moment = now if stop_at is None else min(now, stop_at)
    progress = 1.0 if job.forced and not stopping else _progress(job, moment)
    failure = _ending(job, situation.injected)
    limit = progress if failure is None else min(progress, failure.at / 100)
    ready = math.floor(limit * len(parts) + _ROUNDING)
    if job.next_part < len(parts) and _is_exhausted(job, situation.balance):
        return Finish(_moment_of(job, job.shown_progress, now), "STOPPED", "OUT_OF_PU")
    if job.next_part < ready:
        return _process(job, parts[job.next_part], situation.injected)
    job.shown_progress = max(job.shown_progress, limit)
    if failure is not None and progress >= failure.at / 100:
        at = _moment_of(job, failure.at / 100, now)
        if failure.kind == "fail":
            return Finish(at, "FAILED", error=failure.text, failure=failure)
        return Finish(at, "STOPPED", failure.reason, error=failure.cause, failure=failure)
    if progress >= 1.0:
        return Finish(_moment_of(job, 1.0, now), "DONE")
    if stopping and stop_at is not None:
        return Finish(now if job.forced or job.work.live else stop_at, "STOPPED", "USER_ACTION")
    return Report(job.next_part) if job.reported < job.next_part and job.work.live else None


def _is_exhausted(job: Job, balance: float | None) -> bool:
    return balance is not None and balance < (RESERVE if job.kind.reserve else _ROUNDING)


def _progress(job: Job, moment: float) -> float:
    seconds = job.durations.processing
    if seconds is None:
        return job.progress
    if seconds == 0:
        return 1.0
    return min(1.0, job.progress + max(0.0, moment - job.phase_started) / seconds)


def _moment_of(job: Job, progress: float, now: float) -> float:
    """Return when a job reached a progress. It follows from the durations, but is now for live and stepped jobs."""
    seconds = job.durations.processing
    if job.forced or job.work.live or seconds is None:
        return now
    return min(now, job.phase_started + max(0.0, progress - job.progress) * seconds)


def _ending(job: Job, injected: Sequence[InjectedFailure]) -> InjectedFailure | None:
    """Return the first injected failure that ends a job."""
    chosen = [p for p in injected if p.kind != "features" and p.concerns(job.id) and p.id not in job.ended_by]
    return min(chosen, key=lambda failure: failure.at, default=None)


def _process(job: Job, part: Part, injected: Sequence[InjectedFailure]) -> Process:
    matching = [
        failure
        for failure in injected
        if failure.kind == "features" and failure.concerns(job.id) and failure.names_feature(part.name)
    ]
    causes = (failure.text for failure in matching if failure.fails_feature(job.matched.get(failure.id, 0)))
    return Process(part, next(causes, None), tuple(failure.id for failure in matching))


def _enter(job: Job, status: Status, at: float) -> None:
    """Begin a phase. A stopped job goes on where it stopped."""
    job.status, job.updated, job.phase_started = status, at, at
    job.pending_at, job.reason, job.error, job.forced = None, None, None, False
    job.progress = job.shown_progress


def _end(job: Job, task: Finish) -> None:
    job.status, job.updated, job.reason, job.error = task.status, task.at, task.reason, task.error
    job.pending_at, job.forced, job.failure = None, False, None
    if task.failure is not None:
        job.ended_by.add(task.failure.id)
    if task.status == "DONE":
        job.shown_progress = 1.0
    if task.reason == "USER_ACTION":
        job.restart_at = (job.action_at or task.at) + job.durations.restart_after_stop
    elif task.reason == "OUT_OF_PU" and job.kind.reserve:
        job.restart_at = task.at + job.durations.restart_after_out_of_pu


def _take(job: Job, task: Process, outcome: Outcome, charge: Callable[[float], None]) -> None:
    part = task.part
    for failure_id in task.matches:
        job.matched[failure_id] = job.matched.get(failure_id, 0) + 1
    part.status, part.error, part.delivered = outcome.status, outcome.error, outcome.delivered
    if outcome.cost is not None:
        part.cost = outcome.cost
    job.next_part += 1
    job.shown_progress = max(job.shown_progress, job.next_part / len(job.parts or [part]))
    if outcome.status == "DONE":
        job.spent += part.cost
        cost = max(job.kind.minimum, job.spent)
        charge(cost - job.cost)
        job.cost = cost

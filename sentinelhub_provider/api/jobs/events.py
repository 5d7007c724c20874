"""The event by which a trigger tells its task about a job. It holds plain values, which the task checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sentinelhub_provider import exceptions
from sentinelhub_provider.api.jobs.job import Job, JobKind, problem_of
from sentinelhub_provider.exceptions import (
    SentinelHubError,
    SentinelHubJobError,
    SentinelHubRequestError,
    SentinelHubResponseError,
)


class Outcome(StrEnum):
    """How the wait ended, which is by a terminal state, by the deadline, or because status checks are impossible."""

    FINISHED = "finished"
    TIMEOUT = "timeout"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A checked event, with the job as last seen, or the error that rules out further status checks."""

    kind: JobKind
    job_id: str
    outcome: Outcome
    job: Job | None = None
    error: SentinelHubError | None = None

    def problem(self) -> SentinelHubError | None:
        """Return the error that a task should raise, ``None`` for a job that is done."""
        if self.outcome is Outcome.ERROR:
            return self.error
        if self.outcome is Outcome.FINISHED and self.job is not None:
            return problem_of(self.job)
        seen = f"last seen as {self.job.state}" if self.job else "never seen"
        return SentinelHubJobError(
            f"{self.kind} job {self.job_id} did not end before the deadline ({seen}). Look at it in the dashboard; "
            "allow more time if it only is slow.",
            job_status=self.job.state.value if self.job else "UNKNOWN",
            reason="TIMEOUT",
        )


def event_of(
    kind: JobKind, job_id: str, outcome: Outcome, *, job: Job | None = None, error: SentinelHubError | None = None
) -> dict[str, Any]:
    """Return the event as plain JSON values. The errors of this package contain no secrets."""
    public = (one.__name__ for one in type(error).__mro__ if one.__module__ == exceptions.__name__)
    return {
        "kind": kind.name,
        "id": job_id,
        "outcome": outcome.value,
        "state": job.state.value if job else None,
        "reason": job.reason if job else None,
        "cost": job.cost if job else None,
        "error": str(error) if error else job.error if job else None,
        "error_type": next(public, None),
        "error_field": getattr(error, "field", None),
        "job": job.to_dict() if job else None,
    }


def validated_event(event: Any, kind: JobKind, job_id: str) -> JobEvent:
    """Read the event that resumes a task. Raises :class:`SentinelHubResponseError` if it is not about this job."""
    if not isinstance(event, Mapping) or not event:
        raise _refused(kind, job_id, f"{'nothing' if not event else f'a {type(event).__name__}'} instead of an event")
    if event.get("kind") != kind.name or event.get("id") != job_id:
        raise _refused(kind, job_id, f"an event about {event.get('kind')!r} job {event.get('id')!r}")
    if event.get("outcome") not in list(Outcome):
        raise _refused(kind, job_id, f"an event with the outcome {event.get('outcome')!r}")
    outcome = Outcome(event["outcome"])
    try:
        job = Job.from_dict(event["job"]) if event.get("job") else None
    except SentinelHubRequestError as error:
        raise _refused(kind, job_id, "an event whose job cannot be read") from error
    if job is not None and (job.id != job_id or job.kind is not kind):
        raise _refused(kind, job_id, f"an event that describes {job.kind} job {job.id}")
    if outcome is Outcome.FINISHED and (job is None or not job.is_terminal):
        raise _refused(kind, job_id, f"an event that calls it finished in state {job.state if job else None}")
    return JobEvent(kind, job_id, outcome, job, _error_from(event) if outcome is Outcome.ERROR else None)


def _refused(kind: JobKind, job_id: str, what: str) -> SentinelHubResponseError:
    return SentinelHubResponseError(
        f"The task was to reconnect to {kind} job {job_id}, but was given {what}. Nothing was done; a retry "
        "checks the job anew. Check that the triggerer runs the same version of this provider as the workers."
    )


def _error_from(event: Mapping[str, Any]) -> SentinelHubError:
    message = str(event.get("error") or "The triggerer could not check the job any more, and did not say why.")
    found = getattr(exceptions, str(event.get("error_type")), None)
    kind = found if isinstance(found, type) and issubclass(found, SentinelHubError) else SentinelHubError
    about = {"field": event.get("error_field")} if issubclass(kind, ValueError) else {}
    if issubclass(kind, SentinelHubJobError):
        about = {"job_status": str(event.get("state")), "reason": event.get("reason")}
    return kind(message, **about)

"""The life of an Async Process job as a pure flow, so that a task pays for one job.

Sending the request costs at once, and the API lists no jobs. So :func:`async_flow` stores the intent before it sends
the request, and the job's id after. An attempt that finds an intent without an id cannot know whether the request
arrived. It lists the task's own output folder for as long as its plan says. It sends again only if the plan says so.

The steps and their driver are those of :mod:`~sentinelhub_provider.api.jobs.lifecycle`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sentinelhub_provider.api.jobs import steps
from sentinelhub_provider.api.jobs.job import ASYNC_PROCESS, Job, JobState
from sentinelhub_provider.api.jobs.lifecycle import UNKNOWN_AT_FIRST, Plan, changed_request, check_known, too_late
from sentinelhub_provider.api.jobs.steps import Clock, Flow
from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubJobError, SentinelHubRateLimitError

IF_UNCLEAR = ("wait", "fail", "resend")
"""The choices of an attempt that cannot know whether the job was sent. See :class:`.Plan`."""

CONCURRENCY_WAIT = timedelta(minutes=2)
"""Pause between attempts to send a job while the account has too many. The service does not say how long."""

SHORTEST_CHECK = timedelta(seconds=70)
LONGEST_CHECK = timedelta(minutes=5)
"""Pauses between two checks for the outputs of a job that may have been sent. Each is worth a deferral."""

UNKNOWN = "UNKNOWN"  # The ``job_status`` of an error about a job that may or may not exist


def async_flow(plan: Plan, *, clock: Clock, known: str | None = None, waited: bool = False) -> Flow[Job | None]:
    """Follow a job until it is over. Only the bucket shows whether it succeeded.

    :param known: the job's id, if this attempt found it before it waited.
    :param waited: whether this attempt waited, and knows that nothing was sent yet.
    :returns: the job in state ``GONE``, or ``None`` if its outputs were found, but not its id.
    :raises SentinelHubJobError: if it takes too long, or if it is unclear whether it was sent.
    """
    job_id, ends, since = plan.job_id or known, plan.began + plan.timeout, plan.began
    if job_id is None:
        # Load it after a wait, too, so that a flow that is resumed twice does not send twice.
        intent: steps.Record | None = yield steps.LoadRecord()
        if intent is not None and plan.digest is not None and intent.digest not in (None, plan.digest):
            raise changed_request(Job(intent.job_id or "of unknown id", ASYNC_PROCESS, JobState.RUNNING))
        if intent is None and not waited:
            yield from _check_memory(plan)
        for _ in range(steps.MAX_ATTEMPTS):
            if intent is None:
                intent = yield from _send(plan, clock)
            ends, since, job_id = intent.written + plan.timeout, intent.written, intent.job_id
            if job_id is not None:
                break
            if (yield from _resolve(plan, intent, clock)):
                return None
            intent = None
        if job_id is None:
            raise unclear(f"an Async Process job was sent {steps.MAX_ATTEMPTS} times, and no answer came")
    young_until = since + UNKNOWN_AT_FIRST
    job = yield from check_known(job_id, young_until, clock, has_outputs=plan.job_id is None)
    while job.state is not JobState.GONE:
        if clock() >= ends:
            advice = f"Give job_id={job.id!r} to wait for it, or clear the task"
            raise too_late(plan, job, ends, f"It cannot be stopped: it goes on, and is paid for. {advice}")
        job = yield steps.AwaitEnd(job, ends)
        if job.state is JobState.GONE:
            job = yield from check_known(job_id, young_until, clock, has_outputs=plan.job_id is None)
    return job


def _check_memory(plan: Plan) -> Flow[None]:
    """Raise if an earlier attempt may have sent a job, unless the user accepted that risk."""
    if plan.remembers:
        return
    if plan.is_first_attempt:
        yield steps.Warn(
            "the job's id is kept nowhere: there is no task state store (Airflow 3.3), and the bucket cannot be "
            "written from here. If this attempt dies, the next one cannot tell whether the job was sent"
        )
    elif plan.if_unclear == "resend":
        yield steps.Warn(
            "an earlier attempt may have sent a job; nobody can tell, so it is sent again (if_unclear='resend')"
        )
    else:
        raise unclear("an earlier attempt of this task may have sent an Async Process job, and left no note")


def _send(plan: Plan, clock: Clock) -> Flow[steps.Record]:
    """Store the intent, send the job and store its id. After an unclear answer, the intent stays without an id."""
    while True:
        intent = steps.Record(clock(), digest=plan.digest)
        yield steps.SaveRecord(intent)
        answer: Job | SentinelHubError = yield steps.Create()
        if isinstance(answer, Job):
            intent = replace(intent, job_id=answer.id)
            yield steps.SaveRecord(intent)
            return intent
        if isinstance(answer, steps.UNCLEAR):
            yield steps.Warn(f"the answer to the job was lost ({type(answer).__name__}): {answer}")
            return intent
        yield steps.DeleteRecord()
        if not isinstance(answer, SentinelHubRateLimitError):
            raise answer
        moment = clock() + max(CONCURRENCY_WAIT, timedelta(seconds=answer.retry_after or 0))
        if moment >= plan.began + min(plan.timeout, plan.max_wait):
            raise answer
        yield steps.WaitUntil(moment, f"nothing was started: {answer}", waited=True)


def _resolve(plan: Plan, intent: steps.Record, clock: Clock) -> Flow[bool]:
    """Tell whether a job that may have been sent is over. Raise if it is not, and may not be sent again."""
    ends = intent.written + plan.unclear_wait
    while True:
        found: steps.Delivered = yield steps.CheckOutputs()
        if found in steps.IS_OVER:
            return True
        now = clock()
        if found is steps.Delivered.UNREADABLE or plan.if_unclear == "fail" or now >= ends:
            break
        pause = min(LONGEST_CHECK, max(SHORTEST_CHECK, (now - intent.written) / 4))
        yield steps.WaitUntil(min(ends, now + pause), "the job may have been sent: its outputs are awaited")
    since = intent.written.isoformat(timespec="seconds")
    seen = "its outputs cannot be checked from here" if found is steps.Delivered.UNREADABLE else "there are no outputs"
    if plan.if_unclear != "resend":
        raise unclear(f"an Async Process job may have been sent at {since}; no answer came, and {seen}")
    yield steps.Warn(f"a job may have been sent at {since}, but {seen}: it is sent again (if_unclear='resend')")
    yield steps.DeleteRecord()
    return False


def unclear(what: str) -> SentinelHubJobError:
    """Return the error for a job that may or may not have been sent."""
    return SentinelHubJobError(
        f"Unclear: {what}. A second one would be paid for again, so none was sent. Look for its outputs in the bucket "
        "and for its cost in the dashboard; then give job_id= to reconnect to it, or clear the task for a new job. "
        "Tasks that had rather pay twice than fail take if_unclear='resend'.",
        job_status=UNKNOWN,
    )

"""The life of a batch job as a pure flow, which creates, finds, starts and awaits it, so that a task pays for one job.

:func:`job_flow` is a generator that yields one step at a time and is sent its result. Its driver may be killed between
any two steps. Creating a job is free, and starting it costs. So each attempt of a task creates at most one job, and
lists the jobs with the task's job tag. It starts the job that every other attempt would start, which is one that was
told to start, or else the oldest. After an unclear answer, a status check decides whether to send a request again.

Async Process jobs have a flow of their own in :mod:`~sentinelhub_provider.api.jobs.async_lifecycle`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sentinelhub_provider.api.jobs import steps
from sentinelhub_provider.api.jobs.job import (
    OUT_OF_PU,
    REST_AFTER_OUT_OF_PU,
    USER_ACTION,
    Job,
    JobKind,
    JobState,
    digest_of,
    has_tag,
    problem_of,
    restart_not_before,
)
from sentinelhub_provider.api.jobs.steps import Clock, Flow
from sentinelhub_provider.exceptions import (
    SentinelHubBadRequestError,
    SentinelHubError,
    SentinelHubJobError,
    SentinelHubNotFoundError,
    SentinelHubQuotaExceededError,
    SentinelHubResponseError,
)

LISTING_DELAY = timedelta(seconds=5)
"""Pause before jobs are listed again after a lost answer, as a created job may take a moment to be listed."""

UNKNOWN_AT_FIRST = timedelta(seconds=30)
"""Time after its creation in which the service may answer 404 to a job's start or status check."""

SHORTEST_CHECK = timedelta(seconds=5)
YOUNG = timedelta(seconds=20)
SHORTER_CHECK = timedelta(seconds=70)
LONGEST_CHECK = timedelta(minutes=5)
"""
Pauses between two status checks of a job that is analysed, or is slow to start again. The shortest is for its first
seconds. The others are long enough to be worth a deferral to the triggerer.
"""

RESTART_MARGIN = timedelta(seconds=30)
"""Added to the time that a stopped job must rest, as the service's clock may differ from the worker's."""

RESTART_PATIENCE = timedelta(minutes=5)
MAX_RESTART_PATIENCE = timedelta(minutes=30)
"""Interval and total time of restarts that the service refuses although the job has rested long enough."""

SLACK = timedelta(hours=1)
"""A job that is older than the task's run by more than this cannot be the task's, even if clocks differ."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A task's plan for its job, which has the job tag ``tag`` and may take ``timeout`` from its creation.

    :param digest: the first digits of the request's digest, if a job of another request is refused.
    :param not_before: the time before which no job of the task was created.
    :param earlier_tags: tags of the task's jobs from before a user cleared it.
    :param job_id: reconnect to this job, which somebody else created. Its ``timeout`` counts from ``began``.
    :param analyse: whether its cost is checked before it is started.
    :param if_unclear: for an Async Process job that may or may not have been sent. ``wait`` awaits its outputs for
        ``unclear_wait`` and then fails. ``fail`` fails at once. ``resend`` waits and then risks to pay twice.
    :param remembers: whether the record of an Async Process job survives this attempt.
    :param max_wait: limit of all waits until the account may send an Async Process job.
    """

    kind: JobKind
    tag: str
    timeout: timedelta
    began: datetime
    digest: str | None = None
    not_before: datetime | None = None
    earlier_tags: frozenset[str] = frozenset()
    job_id: str | None = None
    analyse: bool = False
    if_unclear: str = "wait"
    unclear_wait: timedelta = timedelta(hours=1)
    remembers: bool = True
    is_first_attempt: bool = True
    max_wait: timedelta = timedelta(hours=24)

    def deadline(self, job: Job) -> datetime:
        """Return the time by which a job has to be over."""
        created = self.began if self.job_id or job.created is None else job.created
        return created + self.timeout


def job_flow(plan: Plan, *, clock: Clock, known: str | None = None, waited: bool = False) -> Flow[Job]:
    """Follow a job until it is done, wholly or in part.

    :param known: the job's id, if this attempt found it before it waited.
    :param waited: whether this attempt has started the job or waited for it. If so, a stopped job stays stopped.
    :raises SentinelHubJobError: if the job ends otherwise, is gone, or takes too long.
    """
    job, young_until = yield from _find(plan, known, clock)
    while True:
        if job.is_terminal and (job.state is not JobState.STOPPED or waited):
            return _outcome(job)
        deadline = plan.deadline(job)
        if clock() >= deadline:
            yield from _give_up(plan, job)
        if job.is_terminal:
            job, waited = yield from _restart(job, deadline, clock)
        elif job.is_restarting:
            # A poll reads the light status, which is the same for a job that stays stopped.
            job = yield from _check_later(job, "the job was told to start, and still says STOPPED", clock, waited=True)
            waited = True
        elif was_started(job) and job.user_action == "STOP" and not waited:
            # The end of the attempt before told it so. Where it stops only now, that must not cost another attempt.
            job = yield from _check_later(job, "the job was told to stop, and has not done so", clock)
        elif was_started(job):
            job = yield steps.AwaitEnd(job, deadline)
            waited = True
            if job.state is JobState.GONE:
                job = yield from check_known(job.id, young_until, clock)
        elif job.state is JobState.ANALYSING or (
            plan.analyse and job.user_action == "ANALYSE" and job.state is JobState.CREATED
        ):
            job = yield from _check_later(job, "the job is analysed", clock)
        elif plan.analyse and job.state is JobState.CREATED:
            job = yield from _act("analyse", job, clock, young_until)
        else:
            if plan.analyse:
                yield steps.Analysed(job)
            job = yield from _act("start", job, clock, young_until)
            waited = True


def was_started(job: Job) -> bool:
    """Tell whether a job was told to start, so that it has a cost, or will have one."""
    if job.state in (JobState.CREATED, JobState.ANALYSIS_DONE):
        return job.user_action == "START"
    return job.state is not JobState.ANALYSING or job.user_action not in ("ANALYSE", "NONE", None)


def is_running(job: Job) -> bool:
    """Tell whether a job's cost grows until it ends or is stopped."""
    return was_started(job) and not job.is_terminal and job.user_action != "STOP"


def first_of(jobs: Iterable[Job]) -> Job | None:
    """Return the oldest of the started jobs, or else of all jobs, so that every attempt chooses the same one."""
    return min(jobs, key=lambda job: (not was_started(job), job.created or _NEVER, job.id), default=None)


_NEVER = datetime.max.replace(tzinfo=UTC)


def _find(plan: Plan, known: str | None, clock: Clock) -> Flow[tuple[Job, datetime]]:
    """Find or create the task's job. Return it with the time until which the service may not know it yet."""
    job_id = plan.job_id or known
    if job_id is None:
        record: steps.Record | None = yield steps.LoadRecord()
        job_id = None if record is None else record.job_id
    young_until = plan.began + (timedelta(0) if plan.job_id else UNKNOWN_AT_FIRST)
    if job_id is not None:
        job = yield from check_known(job_id, young_until, clock)
        if plan.job_id or (_is_usable(plan, job) and was_started(job)):
            return job, young_until
        # The job is not started yet, and another attempt that is still alive may have chosen another job since.
        found = yield from _search(plan, extra=job if _is_usable(plan, job) else None)
    else:
        found = yield from _search(plan)
    if found is None:
        found = yield from _create(plan, clock)
    yield steps.SaveRecord(steps.Record(clock(), found.id), found)
    return found, clock() + UNKNOWN_AT_FIRST


def check_known(job_id: str, young_until: datetime, clock: Clock, *, has_outputs: bool = False) -> Flow[Job]:
    """Check the status of a job that the service has named. A single 404 may pass, and does not end the job.

    :param has_outputs: whether outputs in the task's own folder confirm that it is over.
    """
    young_until = max(young_until, clock() + LISTING_DELAY)
    while True:
        seen: Job = yield steps.CheckStatus(job_id)
        if seen.state is not JobState.GONE or clock() >= young_until:
            return seen
        if has_outputs and (yield steps.CheckOutputs()) in steps.IS_OVER:
            return seen
        yield steps.WaitUntil(clock() + LISTING_DELAY, _NOT_KNOWN_YET)


_NOT_KNOWN_YET = "the service does not know the job, which may be new (404)"


def _search(plan: Plan, extra: Job | None = None) -> Flow[Job | None]:
    """Choose among ``extra`` and the jobs with the tag. Stop jobs that a cleared attempt left running."""
    found = {} if extra is None or extra.state is JobState.GONE else {extra.id: extra}
    token: str | None = None
    tokens: list[str] = []
    while True:
        page: steps.Page = yield steps.ListJobs(token)
        for job in page.jobs:
            if has_tag(job, plan.tag):
                if _is_usable(plan, job):
                    found[job.id] = job
            elif any(has_tag(job, tag) for tag in plan.earlier_tags) and is_running(job):
                said = yield steps.Act("stop", job)
                how = "told to stop" if said is None else f"could not be told to stop: {said}"
                yield steps.Warn(f"{job} was started by this task before it was cleared; {how}")
        token, oldest = page.token, page.jobs[-1].created if page.jobs else None
        is_past = plan.not_before is not None and oldest is not None and oldest < plan.not_before - SLACK
        if token is None or is_past:  # later pages are too old
            return first_of(found.values())
        if token in tokens:
            raise SentinelHubResponseError(f"The listing of {plan.kind} jobs points back to a former page.")
        tokens.append(token)


def _is_usable(plan: Plan, job: Job) -> bool:
    """Tell whether a job of the task belongs to this attempt's request. Raise if another request started it."""
    digest = digest_of(job, plan.tag)
    if plan.digest is None or digest is None or digest == plan.digest:
        return True
    if not was_started(job) or job.state is JobState.FAILED:
        return False
    raise changed_request(job)


def changed_request(job: Job) -> SentinelHubJobError:
    """Return the error for a job that an earlier attempt started with another request."""
    return SentinelHubJobError(
        f"{job} was started by an earlier attempt of this task with another request. Its results are not those of the "
        "request as it is now, and a second job would be paid for. Clear the task for a new job, which stops this one "
        f"where that is possible; or give job_id={job.id!r} to use it.",
        job_status=job.state.value,
        final=True,
    )


def _create(plan: Plan, clock: Clock) -> Flow[Job]:
    """Create the job, or find the one that was created although the answer was lost."""
    lost: SentinelHubError | None = None
    for _ in range(steps.MAX_ATTEMPTS):
        answer: Job | SentinelHubError = yield steps.Create()
        if isinstance(answer, SentinelHubError) and not isinstance(answer, steps.UNCLEAR):
            raise answer
        found = yield from _search(plan, extra=answer if isinstance(answer, Job) else None)
        if found is None and isinstance(answer, SentinelHubError):
            lost = answer
            reason = f"the answer to the job's creation was lost ({type(answer).__name__}); listing jobs once more"
            yield steps.WaitUntil(clock() + LISTING_DELAY, reason)
            found = yield from _search(plan)
        if found is not None:
            return found
    assert lost is not None  # noqa: S101 - a job that was created is found
    raise lost


def _check_later(job: Job, reason: str, clock: Clock, *, waited: bool = False) -> Flow[Job]:
    """Check the status of a job in a passing state again, after a pause that grows with the age of that state."""
    now = clock()
    age = now - (job.user_action_updated or job.last_updated or job.created or now)
    pause = SHORTEST_CHECK if age < YOUNG else max(SHORTER_CHECK, min(LONGEST_CHECK, age / 4))
    yield steps.WaitUntil(now + pause, reason, job, waited)
    seen: Job = yield steps.CheckStatus(job.id)
    return seen


def _act(action: steps.Action, job: Job, clock: Clock, young_until: datetime | None = None) -> Flow[Job]:
    """Send an action to a job, and return the job. Send it again only if a status check shows that it had no effect."""
    problem: SentinelHubError | None = None
    young_until, attempts = young_until or clock(), 0
    while attempts < steps.MAX_ATTEMPTS:
        problem = yield steps.Act(action, job)
        seen = yield from check_known(job.id, young_until, clock)
        if problem is None:
            return _told(action, seen, clock())
        if _took_effect(action, job, seen):
            return seen
        if isinstance(problem, SentinelHubNotFoundError) and clock() < young_until:
            yield steps.WaitUntil(clock() + LISTING_DELAY, _NOT_KNOWN_YET, job)
            continue
        if not isinstance(problem, steps.UNCLEAR):
            break
        attempts += 1
    assert problem is not None  # noqa: S101 - without one, the loop returns
    if action == "start" and job.state is JobState.STOPPED and isinstance(problem, SentinelHubQuotaExceededError):
        # This error allows a retry, as the error for the stop itself does.
        raise SentinelHubJobError(
            f"{job.kind} job {job.id} cannot be started again: {problem}",
            job_status=job.state.value,
            reason=OUT_OF_PU,
            endpoint=problem.endpoint,
        )
    raise problem


def _told(action: steps.Action, job: Job, now: datetime) -> Job:
    """Return a job with the action that it accepted, as the service may show an action late."""
    if action == "start" and not was_started(job):
        return replace(job, user_action="START", user_action_updated=now)
    if action == "start" and job.state is JobState.STOPPED and job.user_action != "START":
        return replace(job, user_action="START", user_action_updated=now, reason=USER_ACTION)
    if action == "analyse" and job.state is JobState.CREATED and job.user_action != "ANALYSE":
        return replace(job, user_action="ANALYSE", user_action_updated=now)
    return job


def _took_effect(action: steps.Action, before: Job, seen: Job) -> bool:
    if action == "start":
        if before.state is JobState.STOPPED:
            return seen.is_restarting or seen.state is not JobState.STOPPED
        return was_started(seen)
    return seen.state is not before.state or seen.user_action != before.user_action


def _restart(job: Job, deadline: datetime, clock: Clock) -> Flow[tuple[Job, bool]]:
    """Start a job that an earlier attempt left stopped, or wait until it may be. Return whether it was started."""
    rested = restart_not_before(job)
    if rested is None or clock() >= rested + RESTART_MARGIN:
        yield steps.Warn(f"{job} was left stopped: it is started again, and goes on from where it was")
        try:
            return (yield from _act("start", job, clock)), True
        except SentinelHubBadRequestError:
            # The rest of a Batch Process job after OUT_OF_PU is not documented. Assume that of Batch Statistics.
            rested = rested or (job.last_updated or clock()) + REST_AFTER_OUT_OF_PU
            if clock() >= rested + MAX_RESTART_PATIENCE or job.reason not in (USER_ACTION, OUT_OF_PU):
                raise
        moment = clock() + RESTART_PATIENCE
    else:
        moment = rested + RESTART_MARGIN
    if moment >= deadline:
        raise SentinelHubJobError(
            f"{job} may not be started again before {_shown(moment)}, but it has to be over by {_shown(deadline)}. "
            "Give a longer job_timeout; or clear the task when it has failed, for a new job.",
            job_status=job.state.value,
            reason=job.reason,
            final=True,
        )
    yield steps.WaitUntil(moment, f"{job} was left stopped, and may be started again only then", job)
    return (yield steps.CheckStatus(job.id)), False


def _outcome(job: Job) -> Job:
    """Return a job that has results. Raise for any other job."""
    problem = problem_of(job)
    if problem is None or job.state is JobState.PARTIAL:
        return job
    if job.reason == USER_ACTION:
        # Perhaps it was not stopped by a person, but by the end of an attempt that was taken for dead.
        raise SentinelHubJobError(
            f"{problem} A retry of this task will do so; to keep it stopped, mark the task as failed.",
            job_status=job.state.value,
            reason=job.reason,
            endpoint=problem.endpoint,
        )
    raise problem


def _give_up(plan: Plan, job: Job) -> Flow[None]:
    """Stop a job that takes too long, and raise."""
    if not was_started(job) or job.is_terminal:
        how = "It does not run"
    else:
        said = yield steps.Act("stop", job)
        how = "It was told to stop" if said is None else f"It could not be told to stop ({said}): see the dashboard"
    advice = "Give it more time, or ask for less at once, and clear the task"
    raise too_late(plan, job, plan.deadline(job), f"{how}. {advice}")


def too_late(plan: Plan, job: Job, deadline: datetime, advice: str) -> SentinelHubJobError:
    """Return the error for a job that was not over in time. ``advice`` ends with how to get a new one."""
    return SentinelHubJobError(
        f"{job} was not over by {_shown(deadline)}, when its job_timeout of {plan.timeout.total_seconds():g} s had "
        f"passed. {advice} for a new job.",
        job_status=job.state.value,
        reason=job.reason,
        final=True,
    )


def _shown(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")

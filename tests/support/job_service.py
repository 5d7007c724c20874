"""A batch service in a few lines, and attempts at a task that die and lose answers, for tests of the lifecycle."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sentinelhub_provider.api.jobs import lifecycle, steps
from sentinelhub_provider.api.jobs.job import BATCH_PROCESS, Job, JobState, gone, tagged
from sentinelhub_provider.exceptions import SentinelHubBadRequestError, SentinelHubTransportError

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAG = "airflow-0123456789abcdef0123"
PAGE = 2
"""Jobs on a page of the listing."""

IDLE = (JobState.CREATED, JobState.ANALYSIS_DONE, JobState.STOPPED)


@dataclass
class Service:
    """Jobs that take a minute, and a record of which were started.

    :param next_tag: what the next job that is created has as its job tag.
    :param ends: how jobs end, one after another, each time one is started; ``DONE`` when they are used up.
    """

    ends: list[str] = field(default_factory=list)
    now: datetime = START
    jobs: dict[str, Job] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    next_tag: str = TAG
    late: list[Callable[[], Any]] = field(default_factory=list)
    """Requests that are still under way when their sender has given up."""
    _ids: Any = field(default_factory=lambda: itertools.count(1))
    _end_at: dict[str, tuple[datetime, str]] = field(default_factory=dict)

    def clock(self) -> datetime:
        """Return the time."""
        return self.now

    def pass_time(self, seconds: float = 0.001) -> None:
        """Let time pass, and jobs come to their end."""
        self.now += timedelta(seconds=seconds)
        for job_id, (moment, end) in list(self._end_at.items()):
            if self.now >= moment and job_id in self.jobs:
                del self._end_at[job_id]
                state, _, reason = end.partition(":")
                told = {"user_action": "STOP", "user_action_updated": self.now} if reason == "USER_ACTION" else {}
                self.change(job_id, state=JobState(state), reason=reason or None, last_updated=self.now, **told)

    def change(self, job_id: str, **values: Any) -> None:
        """Change a job."""
        self.jobs[job_id] = replace(self.jobs[job_id], **values)

    def create(self, tag: str | None = None) -> Job:
        """Create a job that ends with a job tag."""
        self.pass_time()
        job = Job(
            f"job-{next(self._ids)}",
            BATCH_PROCESS,
            JobState.CREATED,
            description=tagged("a job", tag or self.next_tag),
            created=self.now,
            user_action="NONE",
        )
        self.jobs[job.id] = job
        return job

    def act(self, action: str, job_id: str) -> None:
        """Do what a user tells a job."""
        self.pass_time()
        job = self.jobs.get(job_id)
        if job is None:
            raise SentinelHubBadRequestError("no such job", status=404)
        if action == "stop":
            if job.state is not JobState.PROCESSING:
                raise SentinelHubBadRequestError("it does not run", status=400)
            self._end_at.pop(job_id, None)
            changed = {"state": JobState.STOPPED, "reason": "USER_ACTION", "user_action": "STOP"}
        elif action == "analyse":
            if job.state is not JobState.CREATED:
                raise SentinelHubBadRequestError("it is analysed", status=400)
            changed = {"state": JobState.ANALYSING, "user_action": "ANALYSE"}
            self._end_at[job_id] = (self.now + timedelta(seconds=20), "ANALYSIS_DONE")
        else:
            rested = job.reason != "USER_ACTION" or self.now >= job.last_updated + timedelta(minutes=30)
            if job.state not in IDLE or not rested:
                raise SentinelHubBadRequestError("it cannot be started", status=400)
            changed = {"state": JobState.PROCESSING, "reason": None, "user_action": "START"}
            self.started.add(job_id)
            self._end_at[job_id] = (self.now + timedelta(seconds=60), self.ends.pop(0) if self.ends else "DONE")
        self.change(job_id, **changed, user_action_updated=self.now, last_updated=self.now)

    def page(self, token: str | None) -> steps.Page:
        """Return a page of all jobs, the newest first."""
        newest = sorted(self.jobs.values(), key=lambda job: job.created, reverse=True)
        first = int(token or 0)
        more = str(first + PAGE) if first + PAGE < len(newest) else None
        return steps.Page(tuple(newest[first : first + PAGE]), more)

    def look(self, job_id: str) -> Job:
        """Return a job."""
        return self.jobs.get(job_id) or gone(BATCH_PROCESS, job_id)


class Attempt:
    """One attempt at a task, which goes one step at a time.

    :param store: what survives an attempt; ``None`` where nothing does.
    :param known: id of the job that it found before it waited.
    """

    def __init__(
        self, service: Service, plan: lifecycle.Plan, store: dict[str, str] | None, *, known: str | None = None
    ) -> None:
        self._service = service
        self._store = store
        self._flow: Generator[Any, Any, Job] = lifecycle.job_flow(plan, clock=service.clock, known=known)
        self._answer: Any = None
        self.result: Job | None = None
        self.error: Exception | None = None
        self.seen: list[Any] = []

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.result is not None or self.error is not None

    def advance(self, fault: str = "none", only: type = object) -> None:
        """Do one step.

        :param fault: ``lost``: the request never arrives; ``unheard``: it is done, but the answer is lost; ``late``: it
            arrives when the sender has given up. All others go well.
        :param only: the kind of step that the fault affects.
        """
        try:
            step = self._flow.send(self._answer)
        except StopIteration as end:
            self.result = end.value
            return
        except Exception as error:  # whatever it is, the test says
            self.error = error
            return
        self.seen.append(step)
        self._answer = self._do(step, fault if isinstance(step, only) else "none")

    def run(self) -> None:
        """Go on to the end."""
        for _ in range(1000):
            if self.is_over:
                return
            self.advance()
        raise AssertionError(f"it does not end: {self.seen[-10:]}")

    def _do(self, step: Any, fault: str) -> Any:
        service = self._service
        match step:
            case steps.LoadRecord():
                job_id = (self._store or {}).get("id")
                return None if job_id is None else steps.Record(service.now, job_id)
            case steps.SaveRecord(record):
                if self._store is not None:
                    self._store["id"] = record.job_id
                return None
            case steps.ListJobs(token):
                return service.page(token)
            case steps.CheckStatus(job_id):
                service.pass_time()
                return service.look(job_id)
            case steps.AwaitEnd(job, until):
                return self._wait(job, until)
            case steps.WaitUntil(moment):
                service.pass_time(max(0.0, (moment - service.now).total_seconds()))
                return None
            case steps.Create():
                return self._send(service.create, fault)
            case steps.Act(action, job):
                return self._send(lambda: service.act(action, job.id), fault)
            case _:
                return None

    def _wait(self, job: Job, until: datetime) -> Job:
        service = self._service
        for _ in range(100_000):
            seen = service.look(job.id)
            if seen.is_terminal or service.now >= until:
                return seen
            service.pass_time(10)
        raise AssertionError(f"{job} is never over")

    def _send(self, request: Callable[[], Any], fault: str) -> Any:
        if fault == "late":
            self._service.late.append(request)
        if fault in ("lost", "late"):
            return SentinelHubTransportError("the connection broke")
        try:
            answer = request()
        except steps.REFUSALS as error:
            return error
        return SentinelHubTransportError("the connection broke") if fault == "unheard" else answer

"""Whatever is done to a job and whenever, it keeps to its rules: found by trying many orders of actions and times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sentinelhub_provider.sandbox.apis.jobs.model import Job, JobError, Outcome, Part
from sentinelhub_provider.sandbox.apis.jobs.rules import Durations
from sentinelhub_provider.sandbox.apis.jobs.states import ALLOWED, BATCH_PROCESS, BATCH_STATISTICS, Action, Kind, Status
from sentinelhub_provider.sandbox.apis.jobs.store import JobStore
from sentinelhub_provider.sandbox.errors import ApiError

PARTS = 4
PRICE = 60.0
OWNER = "somebody"


@dataclass
class CountingWork:
    """Work that remembers what it was told; it does not take long, unless told that it does."""

    live: bool = False
    done: list[int] = field(default_factory=list)
    analyses: int = 0
    finished: list[Status] = field(default_factory=list)
    broken: str | None = None

    def analyse(self) -> list[Part]:
        """Divide the job."""
        self.analyses += 1
        return [Part(number, f"part-{number}", PRICE) for number in range(1, PARTS + 1)]

    def process(self, part: Part) -> Outcome:
        """Note the part."""
        if self.broken is not None:
            raise JobError(self.broken)
        self.done.append(part.id)
        return Outcome()

    def fail_part(self, part: Part, cause: str) -> Outcome:
        """Note the part."""
        self.done.append(part.id)
        return Outcome("FATAL", cause, delivered=False)

    def report(self, parts: Sequence[Part]) -> None:
        """Publish nothing."""

    def finish(self, status: Status, error: str | None, cost: float) -> None:
        """Note the end."""
        self.finished.append(status)


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def make(
    kind: Kind = BATCH_PROCESS, durations: Durations | None = None, **work: Any
) -> tuple[JobStore, Clock, CountingWork, str]:
    """Make a store with one job."""
    clock, done = Clock(), CountingWork(**work)
    store = JobStore(clock=clock)
    store.set_durations(durations or Durations(analysing=10, processing=100, stopping=5))
    return store, clock, done, store.create(kind, OWNER, {"output": {}}, lambda _job_id: done).id


class Jobs(RuleBasedStateMachine):
    """A job, its user, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.store, self.clock, self.work, self.id = make()
        self.percent = 0
        self.ended: Job | None = None

    def job(self) -> Job:
        """Return the job as it is now."""
        found = self.store.find(BATCH_PROCESS, OWNER, self.id)
        assert found is not None
        return found

    @rule(seconds=st.floats(0, 200))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds

    @rule(action=st.sampled_from(["ANALYSE", "START", "STOP"]))
    def act(self, action: Action) -> None:
        """What is allowed is noted, what is not is refused and changes nothing."""
        before = self.job()
        asked_again = action == "STOP" and before.action == "STOP" and before.pending_at is not None
        allowed = asked_again or (
            before.status in ALLOWED[action]
            and before.pending_at is None
            and not (action == "START" and self.clock.now < before.restart_at)
        )
        if allowed:
            self.store.act(before, action)
            assert self.job().action == action
        else:
            with pytest.raises(ApiError, match=r"not allowed|cannot be restarted"):
                self.store.act(before, action)
            assert self.job().status == before.status

    @rule()
    def step(self) -> None:
        """Move on by one state."""
        before = self.job()
        assert self.store.step() == int(before.active)

    @rule(at=st.integers(0, 100), kind=st.sampled_from(["fail", "stop"]))
    @precondition(lambda self: len(self.store.injected()) < 2)
    def trouble(self, at: int, kind: str) -> None:
        """Inject a failure."""
        self.store.inject(kind=kind, at=float(at))

    @invariant()
    def it_keeps_to_its_rules(self) -> None:
        """Parts in their order and once, progress that never falls, a cost for what was done, an end that stays."""
        job = self.job()
        assert self.work.done == list(range(1, len(self.work.done) + 1))
        assert self.work.analyses <= 1
        assert job.next_part == len(self.work.done)
        assert job.cost == (max(100.0, PRICE * job.next_part) if job.next_part else 0.0)
        percent = round(job.shown_progress * 100)
        assert percent >= self.percent
        self.percent = percent
        assert job.next_part / PARTS <= job.shown_progress + 1e-9
        assert (job.status == "STOPPED") == (job.reason is not None)
        assert job.status != "DONE" or (job.next_part == PARTS and self.work.finished[-1] == "DONE")
        assert job.updated <= self.clock.now
        if self.ended is not None:
            assert (job.status, job.updated) == (self.ended.status, self.ended.updated)
        if job.status in ("DONE", "FAILED"):
            self.ended = job


TestJobs = Jobs.TestCase
TestJobs.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("live", [False, True], ids=["dry", "live"])
def test_work_that_fails_ends_the_job(live: bool) -> None:
    """FAILED with the reason, and the work is told of the end."""
    store, clock, work, job_id = make(live=live, broken="The bucket burns")
    store.act(store.listed(BATCH_PROCESS, OWNER)[0], "START")
    clock.now = 60
    assert store.settle()
    job = store.find(BATCH_PROCESS, OWNER, job_id)
    assert job is not None
    assert (job.status, job.error) == ("FAILED", "The bucket burns")
    assert work.finished == ["FAILED"]


def done_with_balance(units: float) -> tuple[Any, Any, Any]:
    """Let a job run to its end with an account of so many PU; return it, the store, and the work."""
    store, clock, work, job_id = make()
    store.set_balance(OWNER, units)
    store.act(store.listed(BATCH_PROCESS, OWNER)[0], "START")
    clock.now = 1000
    job = store.find(BATCH_PROCESS, OWNER, job_id)
    assert job is not None
    return job, store, work


def test_a_job_is_paid_part_by_part() -> None:
    """It stops with the part that empties the account, at the moment that this part was done."""
    job, store, work = done_with_balance(150)
    assert (job.status, job.reason, job.cost) == ("STOPPED", "OUT_OF_PU", 180)
    assert job.updated == pytest.approx(10 + 75)
    assert work.done == [1, 2, 3]
    assert store.balance(OWNER) == -30


def test_the_last_part_may_empty_the_account() -> None:
    """What is done is done."""
    job, store, _ = done_with_balance(200)
    assert (job.status, job.cost, store.balance(OWNER)) == ("DONE", 240, -40)


def test_a_reserve_is_not_touched() -> None:
    """Batch Statistical stops below 1,000 PU before it does anything."""
    store, clock, work, job_id = make(BATCH_STATISTICS)
    store.set_balance(OWNER, 999)
    store.act(store.listed(BATCH_STATISTICS, OWNER)[0], "START")
    clock.now = 50
    job = store.find(BATCH_STATISTICS, OWNER, job_id)
    assert job is not None
    assert (job.status, job.cost, work.done) == ("STOPPED", 0, [])


def test_jobs_take_turns() -> None:
    """None waits until all of another is done."""
    order: list[str] = []

    class Named(CountingWork):
        name = ""

        def process(self, part: Part) -> Outcome:
            order.append(self.name)
            return Outcome()

    clock = Clock()
    store = JobStore(clock=clock)
    store.set_durations(Durations(analysing=0, processing=0))
    for name in ("a", "b"):
        work = Named(live=True)
        work.name = name
        store.create(BATCH_PROCESS, OWNER, {"output": {}}, lambda _job_id, work=work: work, runs_at_once=False)
    with store._changed:  # the thread gets them both at once
        for job in store.listed(BATCH_PROCESS, OWNER):
            store.act(job, "START")
    assert store.settle()
    assert order == ["a", "b"] * PARTS

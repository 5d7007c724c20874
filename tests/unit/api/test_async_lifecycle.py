"""An Async Process job is not sent twice, whatever dies and whatever answer is lost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_service import START

from sentinelhub_provider.api.jobs import steps
from sentinelhub_provider.api.jobs.async_lifecycle import async_flow
from sentinelhub_provider.api.jobs.job import ASYNC_PROCESS, Job, JobState, gone
from sentinelhub_provider.api.jobs.lifecycle import Plan
from sentinelhub_provider.api.jobs.steps import AwaitEnd, CheckStatus, Delivered, Record, WaitUntil, Warn
from sentinelhub_provider.exceptions import (
    SentinelHubBadRequestError,
    SentinelHubJobError,
    SentinelHubRateLimitError,
    SentinelHubTransportError,
)

PLAN = Plan(ASYNC_PROCESS, "", timeout=timedelta(hours=24), began=START)
LASTS = timedelta(minutes=10)


@dataclass
class Service:
    """A service whose jobs take ten minutes, and a bucket.

    :param full: how many requests are refused because too many jobs run.
    """

    now: datetime = START
    sent: list[datetime] = field(default_factory=list)
    is_readable: bool = True
    full: int = 0
    store: Record | None = None

    def clock(self) -> datetime:
        """Return the time."""
        return self.now

    def look(self, job_id: str) -> Job:
        """Return a job, known for as long as it runs."""
        begun = self.sent[int(job_id)]
        return Job(job_id, ASYNC_PROCESS, JobState.RUNNING) if self.now < begun + LASTS else gone(ASYNC_PROCESS, job_id)


class Attempt:
    """One attempt, which goes one step at a time. ``waited``: it goes on after a wait for leave to send."""

    def __init__(self, service: Service, plan: Plan = PLAN, *, remembers: bool = True, waited: bool = False) -> None:
        self.service = service
        self.remembers = remembers
        plan = replace(plan, remembers=remembers, began=service.now)
        self.flow = async_flow(plan, clock=service.clock, waited=waited)
        self.answer: Any = None
        self.seen: list[Any] = []
        self.result: Any = None
        self.error: Exception | None = None
        self.is_over = False

    def advance(self, fault: str = "none") -> None:
        """Do one step; ``lost``: the job never arrives; ``unheard``: it does, but the answer is lost."""
        try:
            step = self.flow.send(self.answer)
        except StopIteration as end:
            self.result, self.is_over = end.value, True
            return
        except Exception as error:  # whatever it is, the test says
            self.error, self.is_over = error, True
            return
        self.seen.append(step)
        self.answer = self._do(step, fault)

    def run(self) -> Attempt:
        """Go on to the end."""
        for _ in range(1000):
            if self.is_over:
                return self
            self.advance()
        raise AssertionError(f"it does not end: {self.seen[-5:]}")

    def names(self) -> list[str]:
        """Return what was done, in order."""
        return [type(step).__name__ for step in self.seen]

    def _do(self, step: Any, fault: str) -> Any:
        service = self.service
        match step:
            case steps.LoadRecord():
                return service.store if self.remembers else None
            case steps.SaveRecord(record):
                service.store = record
            case steps.DeleteRecord():
                service.store = None
            case steps.Create():
                return self._send(fault)
            case steps.CheckOutputs():
                if not service.is_readable:
                    return Delivered.UNREADABLE
                over = any(service.now >= sent + LASTS for sent in service.sent)
                return Delivered.OUTPUTS if over else Delivered.NOTHING
            case CheckStatus(job_id):
                return service.look(job_id)
            case AwaitEnd(job, until):
                service.now = min(until, service.sent[int(job.id)] + LASTS)
                return service.look(job.id)
            case WaitUntil(moment):
                service.now = max(service.now, moment)
        return None

    def _send(self, fault: str) -> Any:
        service = self.service
        service.now += timedelta(seconds=1)
        if service.full:
            service.full -= 1
            return SentinelHubRateLimitError("too many concurrent requests", status=429)
        if fault == "lost":
            return SentinelHubTransportError("the connection broke")
        service.sent.append(service.now)
        if fault == "unheard":
            return SentinelHubTransportError("the connection broke")
        return Job(str(len(service.sent) - 1), ASYNC_PROCESS, JobState.RUNNING)


def upto(service: Service, kind: type, **options: Any) -> Attempt:
    """Return an attempt right after its first step of a kind."""
    one = Attempt(service, **options)
    while not one.seen or not isinstance(one.seen[-1], kind):
        assert not one.is_over, one.names()
        one.advance()
    return one


def sent_with(service: Service, fault: str, **options: Any) -> Attempt:
    """Return an attempt whose sending met a fault."""
    one = upto(service, steps.SaveRecord, **options)
    one.advance(fault)
    return one


def test_what_goes_on_twice_after_a_wait_sends_once():
    """Airflow may begin the piece after a wait again, where its worker died in it: that has kept its intent."""
    service = Service(store=None)
    died = Attempt(service, waited=True)
    while "Create" not in died.names():
        died.advance("unheard")

    again = Attempt(service, waited=True).run()

    assert len(service.sent) == 1
    assert "Create" not in again.names()
    assert "WaitUntil" in again.names()


def test_the_intent_is_kept_before_and_the_id_after_sending():
    """The order of a life without trouble."""
    service = Service()

    one = Attempt(service).run()

    sent = ["LoadRecord", "SaveRecord", "Create", "SaveRecord"]
    assert one.names() == [*sent, "CheckStatus", "AwaitEnd", "CheckStatus", "CheckOutputs"]
    assert service.store == Record(START, "0")
    assert one.result.state is JobState.GONE


def test_a_retry_waits_for_the_job_whose_id_was_kept():
    """Nothing is sent."""
    service = Service()
    upto(service, CheckStatus)

    one = Attempt(service).run()

    assert one.names() == ["LoadRecord", "CheckStatus", "AwaitEnd", "CheckStatus", "CheckOutputs"]
    assert len(service.sent) == 1


def test_a_job_that_is_unknown_for_a_moment_is_waited_for():
    """One 404 without outputs in the bucket is no end: the job runs, and is paid for."""
    service = Service()
    one = upto(service, AwaitEnd)
    service.now = START + timedelta(minutes=1)
    one.answer = gone(ASYNC_PROCESS, "0")

    one.run()

    assert one.names().count("AwaitEnd") == 2
    assert service.now >= START + LASTS


def test_a_job_whose_answer_was_lost_is_waited_for_in_the_bucket():
    """Its outputs tell that it was there."""
    service = Service()
    one = sent_with(service, "unheard").run()

    assert len(service.sent) == 1
    assert one.error is None
    assert one.result is None
    assert service.now >= START + LASTS


def test_an_attempt_that_died_before_the_answer_is_followed_by_one_that_looks():
    """An intent without an id: nobody knows, the bucket does."""
    service = Service()
    sent_with(service, "unheard")

    one = Attempt(service).run()

    assert "Create" not in one.names()
    assert one.error is None


@pytest.mark.parametrize(("policy", "seconds"), [("wait", 3600), ("fail", 0)])
def test_a_job_that_leaves_no_trace_fails_the_task_and_says_so(policy: str, seconds: int):
    """After the wait, or at once; never sent again."""
    service = Service()
    one = sent_with(service, "lost", plan=replace(PLAN, if_unclear=policy)).run()

    assert service.sent == []
    assert one.error.final
    assert "may have been sent at 2026-03-01T12:00:00+00:00" in str(one.error)
    assert one.error.job_status == "UNKNOWN"
    assert (service.now - START).total_seconds() == pytest.approx(seconds, abs=2)


def test_who_had_rather_pay_twice_gets_the_job_sent_again():
    """After the wait, and a word about it."""
    service = Service()
    one = sent_with(service, "lost", plan=replace(PLAN, if_unclear="resend")).run()

    assert len(service.sent) == 1
    assert one.result.state is JobState.GONE
    assert any("sent again" in step.text for step in one.seen if isinstance(step, Warn))


def test_without_access_to_the_bucket_there_is_nothing_to_wait_for():
    """The error says that nobody looked."""
    service = Service(is_readable=False)
    one = sent_with(service, "unheard").run()

    assert "cannot be checked" in str(one.error)
    assert service.now - START < timedelta(minutes=1)


def test_too_many_jobs_are_waited_for_and_leave_no_intent():
    """Nothing was started, so a death in this wait is no riddle."""
    service = Service(full=2)
    one = upto(service, WaitUntil)
    assert service.store is None
    assert one.seen[-1].waited

    one.run()

    assert len(service.sent) == 1
    assert service.sent[0] - START >= timedelta(minutes=4)


def test_a_refused_job_leaves_no_intent():
    """It is raised as it is."""
    service = Service()
    flow = async_flow(PLAN, clock=service.clock)
    assert isinstance(next(flow), steps.LoadRecord)
    assert isinstance(flow.send(None), steps.SaveRecord)
    assert isinstance(flow.send(None), steps.Create)
    assert isinstance(flow.send(SentinelHubBadRequestError("no such band", status=400)), steps.DeleteRecord)

    with pytest.raises(SentinelHubBadRequestError, match="no such band"):
        flow.send(None)


def test_the_first_attempt_says_where_nothing_is_remembered():
    """And goes on: nobody can have sent a job before it."""
    one = Attempt(Service(), remembers=False).run()

    assert "kept nowhere" in one.seen[1].text
    assert one.result.state is JobState.GONE


def test_a_later_attempt_without_memory_does_not_send():
    """The first one may have."""
    service = Service()
    one = Attempt(service, replace(PLAN, is_first_attempt=False), remembers=False).run()

    assert one.error.final
    assert service.sent == []


def test_a_later_attempt_without_memory_sends_where_it_was_told_to():
    """The risk was taken."""
    service = Service()
    Attempt(service, replace(PLAN, is_first_attempt=False, if_unclear="resend"), remembers=False).run()

    assert len(service.sent) == 1


def test_a_job_that_takes_too_long_fails_the_task_and_goes_on():
    """It cannot be stopped."""
    one = Attempt(Service(), replace(PLAN, timeout=timedelta(minutes=5))).run()

    assert one.error.final
    assert "cannot be stopped" in str(one.error)


def test_somebody_else_s_job_is_waited_for():
    """By its id; nothing is recalled, and nothing sent. A second status check confirms its end."""
    service = Service(sent=[START])
    one = Attempt(service, replace(PLAN, job_id="0")).run()

    assert one.names() == ["CheckStatus", "AwaitEnd", "CheckStatus", "WaitUntil", "CheckStatus"]


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.sampled_from(["none", "none", "lost", "unheard"])),
        st.tuples(st.just("kill"), st.just("")),
        st.tuples(st.just("full"), st.just("")),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(moves=MOVES, readable=st.booleans(), policy=st.sampled_from(["wait", "fail"]))
def test_whatever_dies_and_gets_lost_one_job_is_sent(moves, readable: bool, policy: str):
    """At most one; and the task ends well, or says that nobody knows."""
    service = Service(is_readable=readable)
    plan = replace(PLAN, if_unclear=policy)
    one = Attempt(service, plan)
    for move, fault in moves:
        if move == "full":
            service.full = min(service.full + 1, 2)
        elif move == "kill" or one.is_over:
            one = Attempt(service, plan)
        else:
            one.advance(fault)
        assert len(service.sent) <= 1

    last = Attempt(service, plan).run()
    assert len(service.sent) <= 1
    if last.error is not None:
        assert isinstance(last.error, SentinelHubJobError)
        assert last.error.job_status == "UNKNOWN"
        assert last.error.final
    else:
        assert len(service.sent) == 1

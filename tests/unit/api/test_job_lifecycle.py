"""A task starts one job, whatever dies and whatever answer is lost: first case by case, then whatever comes to mind."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_service import START, TAG, Attempt, Service

from sentinelhub_provider.api.jobs import lifecycle, steps
from sentinelhub_provider.api.jobs.job import BATCH_PROCESS, Job, JobState, gone
from sentinelhub_provider.exceptions import (
    SentinelHubBadRequestError,
    SentinelHubBudgetError,
    SentinelHubJobError,
    SentinelHubQuotaExceededError,
    SentinelHubResponseError,
    SentinelHubTransportError,
)

PLAN = lifecycle.Plan(BATCH_PROCESS, TAG, timeout=timedelta(hours=24), began=START, not_before=START)


def attempt(service: Service, store: dict[str, str] | None = None, **changes: Any) -> Attempt:
    """Return a finished attempt."""
    one = Attempt(service, replace(PLAN, **changes), store)
    one.run()
    return one


def names(one: Attempt) -> list[str]:
    """Return what an attempt did, in order."""
    return [f"{step.action}-{step.job.id}" if isinstance(step, steps.Act) else type(step).__name__ for step in one.seen]


def upto(service: Service, kind: type, fault: str = "none", store: dict[str, str] | None = None) -> Attempt:
    """Return an attempt right after its first step of a kind, the only one to meet a fault."""
    one = Attempt(service, PLAN, store)
    while not one.seen or not isinstance(one.seen[-1], kind):
        assert not one.is_over, f"there is no {kind.__name__} in {names(one)}"
        one.advance(fault, only=kind)
    return one


def test_create_remember_start_wait():
    """The order of a life without trouble: the id is kept before anything is paid for."""
    service = Service()

    one = attempt(service)

    assert names(one) == [
        "LoadRecord",
        "ListJobs",
        "Create",
        "ListJobs",
        "SaveRecord",
        "start-job-1",
        "CheckStatus",
        "AwaitEnd",
    ]
    assert one.result.state is JobState.DONE


@pytest.mark.parametrize("remembers", [False, True], ids=["forgets", "remembers"])
@pytest.mark.parametrize(
    "step", [steps.Create, steps.SaveRecord, steps.Act, steps.AwaitEnd], ids=lambda kind: kind.__name__
)
def test_the_attempt_after_a_death_goes_on_with_the_same_job(step: type, remembers: bool):
    """Killed after each step: the next attempt creates nothing, and starts only what was not started."""
    service = Service()
    store: dict[str, str] | None = {} if remembers else None
    upto(service, step, store=store)

    one = attempt(service, store)

    assert one.result.id == "job-1"
    assert service.started == {"job-1"}
    assert len(service.jobs) == 1
    assert ("start-job-1" in names(one)) == (step in (steps.Create, steps.SaveRecord))


def test_a_created_job_whose_answer_was_lost_is_found_by_its_mark():
    """Looked for, not created again."""
    service = Service()
    one = upto(service, steps.Create, "unheard")

    one.run()

    assert list(service.jobs) == ["job-1"]
    assert one.result.id == "job-1"


def test_a_creation_that_never_arrived_is_sent_again_after_two_listings():
    """The second look comes a moment later: a listing may lag behind."""
    service = Service()
    one = upto(service, steps.Create, "lost")

    one.run()

    found = names(one)
    assert found[2:7] == ["Create", "ListJobs", "WaitUntil", "ListJobs", "Create"]
    assert service.started == {"job-1"}


def test_creations_that_all_vanish_fail_the_attempt_with_the_last_error():
    """The rest is left to the task's retries."""
    one = Attempt(Service(), PLAN, None)
    while not one.is_over:
        one.advance("lost")

    assert isinstance(one.error, SentinelHubTransportError)
    assert names(one).count("Create") == steps.MAX_ATTEMPTS


@pytest.mark.parametrize(("fate", "starts"), [("unheard", 1), ("lost", 2)])
def test_a_start_is_sent_again_only_where_it_never_arrived(fate: str, starts: int):
    """Where its answer was lost, the job says that it was started."""
    one = upto(Service(), steps.Act, fate)

    one.run()

    assert names(one).count("start-job-1") == starts
    assert one.result.state is JobState.DONE


def test_of_two_living_attempts_both_start_the_older_job():
    """The younger job stays as it was created, and costs nothing."""
    service = Service()
    first, second = upto(service, steps.ListJobs), upto(service, steps.ListJobs)
    first.advance()  # creates a job
    second.advance()  # and so does this one, which looked before

    first.run()
    second.run()

    assert service.started == {"job-1"}
    assert service.jobs["job-2"].state is JobState.CREATED
    assert (first.result.id, second.result.id) == ("job-1", "job-1")


def test_a_remembered_job_that_was_not_started_gives_way_to_the_one_that_was():
    """Remembered, then left for dead, while another attempt chose an older one."""
    service, store = Service(), {}
    service.create()
    upto(service, steps.SaveRecord, store={})
    store["id"] = service.create().id
    attempt(service)

    one = attempt(service, store)

    assert one.result.id == "job-1"
    assert service.started == {"job-1"}


def test_a_job_found_before_a_wait_gives_way_to_one_that_was_started_meanwhile():
    """By another attempt, which was taken for dead: what one knows from before a wait may be old."""
    service = Service()
    other, mine = service.create(), service.create()
    service.act("start", other.id)

    one = Attempt(service, PLAN, None, known=mine.id)
    one.run()

    assert one.result.id == other.id
    assert service.started == {other.id}


def test_a_started_job_beats_the_oldest():
    """The older one was listed late, when another attempt had started its own already."""
    service = Service()
    late, running = service.create(), service.create()
    service.act("start", running.id)

    one = attempt(service)

    assert one.result.id == running.id
    assert service.jobs[late.id].state is JobState.CREATED


def test_of_jobs_that_were_not_started_the_oldest_is_taken():
    """The same one by every attempt, in whatever order they are listed."""
    jobs = [Job(str(number), BATCH_PROCESS, JobState.CREATED, created=START) for number in (3, 1, 2)]
    jobs.append(replace(jobs[0], id="4", created=START - timedelta(seconds=1)))
    jobs.append(replace(jobs[0], id="0", created=None))

    assert [lifecycle.first_of(some).id for some in (jobs, jobs[::-1], jobs[:3])] == ["4", "4", "1"]


def test_the_listing_is_read_as_far_as_the_task_s_run_goes_back():
    """Older jobs cannot be its own."""
    service = Service(now=START - timedelta(days=30))
    for _ in range(20):
        service.create("airflow-foreign")
    service.now = START

    one = attempt(service)

    assert names(one).count("ListJobs") == 2
    assert one.result.state is JobState.DONE


def test_a_marked_job_is_found_on_a_later_page():
    """Behind many younger ones of others."""
    service = Service()
    mine = service.create()
    for _ in range(9):
        service.create("airflow-foreign")

    one = attempt(service)

    assert one.result.id == mine.id
    assert service.started == {mine.id}


@pytest.mark.parametrize(("state", "starts"), [("CREATED", 1), ("ANALYSIS_DONE", 1), ("PROCESSING", 0), ("DONE", 0)])
def test_a_retry_goes_on_from_any_state(state: str, starts: int):
    """What was not started is started; what runs is waited for; what is done is done."""
    service = Service()
    job = service.create()
    if state == "ANALYSIS_DONE":
        service.act("analyse", job.id)
        service.pass_time(60)
    elif state != "CREATED":
        service.act("start", job.id)
        service.pass_time(61 if state == "DONE" else 1)
    assert service.jobs[job.id].state == state

    one = attempt(service)

    assert names(one).count(f"start-{job.id}") == starts
    assert one.result.state is JobState.DONE


def test_a_job_that_an_earlier_attempt_left_stopped_rests_and_goes_on():
    """It was stopped by that attempt's death, and may be started again half an hour later."""
    service = Service()
    job = service.create()
    service.act("start", job.id)
    service.act("stop", job.id)
    stopped = service.now

    one = attempt(service)

    assert one.result.state is JobState.DONE
    assert service.now - stopped > timedelta(minutes=30)
    assert names(one).count(f"start-{job.id}") == 1


@pytest.mark.parametrize("end", ["STOPPED:USER_ACTION", "DONE"])
def test_a_job_that_an_earlier_attempt_told_to_stop_and_that_still_runs_fails_no_further_attempt(end: str):
    """A stop may take effect late, after the next attempt has begun; the job may even be done before."""
    service = Service()
    job = service.create()
    service.act("start", job.id)
    service.change(job.id, user_action="STOP", user_action_updated=service.now)
    service._end_at[job.id] = service.now + timedelta(seconds=40), end

    one = attempt(service)

    assert one.result.state is JobState.DONE
    assert names(one).count(f"start-{job.id}") == (end != "DONE")


@pytest.mark.parametrize("state", ["CREATED", "ANALYSIS_DONE"])
def test_a_job_that_was_told_to_stop_before_its_start_is_started(state: str):
    """There is nothing that could stop, so that waiting for it would last until the job's deadline."""
    service = Service()
    job = service.create()
    service.change(job.id, state=JobState(state), user_action="STOP", user_action_updated=service.now)
    began = service.now

    one = attempt(service)

    assert one.error is None
    assert one.result.state is JobState.DONE
    assert service.now - began < timedelta(minutes=10)


def test_a_job_without_processing_units_goes_on_with_a_retry():
    """The first attempt fails with an error that a retry may follow; the second starts the same job again."""
    service, store = Service(ends=["STOPPED:OUT_OF_PU"]), {}
    first = attempt(service, store)

    second = attempt(service, store)

    assert isinstance(first.error, SentinelHubJobError)
    assert (first.error.reason, first.error.final) == ("OUT_OF_PU", False)
    assert second.result.id == "job-1"
    assert service.started == {"job-1"}


def test_a_job_that_stops_as_soon_as_it_is_started_is_not_started_over_and_over():
    """One start to an attempt."""
    service = Service(ends=["STOPPED:OUT_OF_PU"] * 10)
    attempt(service)

    one = attempt(service)

    assert names(one).count("start-job-1") == 1
    assert one.error.reason == "OUT_OF_PU"


def test_a_restart_refused_for_want_of_processing_units_may_be_tried_again():
    """The account's error is final elsewhere; here it is why the job is stopped."""
    job = replace(Service().create(), state=JobState.STOPPED, reason="OUT_OF_PU", user_action="START")
    flow = lifecycle.job_flow(replace(PLAN, job_id=job.id), clock=lambda: START)
    next(flow)
    assert isinstance(flow.send(job), steps.Warn)
    assert isinstance(flow.send(None), steps.Act)
    assert isinstance(flow.send(SentinelHubQuotaExceededError("no units left", status=403)), steps.CheckStatus)

    with pytest.raises(SentinelHubJobError, match="no units left") as caught:
        flow.send(job)

    assert not caught.value.final


def test_a_job_that_somebody_stops_meanwhile_fails_the_attempt_and_not_the_task():
    """In the first attempt, too: an attempt or a trigger that was taken for dead may have stopped it."""
    service = Service(ends=["STOPPED:USER_ACTION"])

    one = attempt(service)

    assert one.error.reason == "USER_ACTION"
    assert not one.error.final
    assert "mark the task as failed" in str(one.error)


def test_a_failed_job_fails_the_task_for_good():
    """The same job would fail again, and a new one costs again."""
    one = attempt(Service(ends=["FAILED"]))

    assert isinstance(one.error, SentinelHubJobError)
    assert one.error.final


def test_a_job_that_was_deleted_is_not_created_again():
    """Nobody can tell whether it was paid for."""
    service = Service()
    one = attempt(service, {"id": "job-9"})

    assert isinstance(one.error, SentinelHubJobError)
    assert "job-9 is not known to the service" in str(one.error)
    assert service.jobs == {}


def test_a_job_that_is_unknown_for_a_moment_is_waited_for():
    """One 404 in the middle of a job's life is no end: the job is paid for."""
    service = Service()
    one = upto(service, steps.AwaitEnd)
    one._answer = gone(BATCH_PROCESS, "job-1")

    one.run()

    assert one.error is None
    assert one.result.state is JobState.DONE


def test_a_listing_that_points_back_ends():
    """With an error that may pass: nobody knows what the pages behind it hold."""
    flow = lifecycle.job_flow(PLAN, clock=Service().clock)
    assert isinstance(next(flow), steps.LoadRecord)
    assert flow.send(None) == steps.ListJobs(None)
    assert flow.send(steps.Page((), "b")) == steps.ListJobs("b")

    with pytest.raises(SentinelHubResponseError, match="points back") as caught:
        flow.send(steps.Page((), "b"))
    assert not caught.value.final


def test_a_job_that_takes_too_long_is_stopped():
    """The deadline counts from the job's creation, and holds for all attempts."""
    service = Service()

    one = attempt(service, timeout=timedelta(seconds=30))

    assert service.jobs["job-1"].state is JobState.STOPPED
    assert one.error.final
    assert "It was told to stop" in str(one.error)
    assert "job_timeout of 30 s" in str(one.error)


def test_a_job_that_would_rest_beyond_its_deadline_is_left_alone():
    """Waiting would be in vain."""
    service = Service()
    job = service.create()
    service.act("start", job.id)
    service.act("stop", job.id)

    one = attempt(service, timeout=timedelta(minutes=10))

    assert one.error.final
    assert service.now - START < timedelta(minutes=1)


def test_the_time_of_another_s_job_counts_from_this_attempt():
    """Its age is not the task's fault."""
    service = Service(now=START - timedelta(days=9))
    job = service.create("airflow-foreign")
    service.now = START
    service.act("start", job.id)

    one = attempt(service, job_id=job.id)

    assert one.result.id == job.id
    assert names(one) == ["CheckStatus", "AwaitEnd"]


def test_an_analysis_comes_before_the_start_and_its_cost_is_checked():
    """Analysed, waited for, checked, started."""
    service = Service()

    one = attempt(service, analyse=True)

    done = [name for name in names(one) if name not in ("LoadRecord", "ListJobs", "CheckStatus", "WaitUntil")]
    assert done == ["Create", "SaveRecord", "analyse-job-1", "Analysed", "start-job-1", "AwaitEnd"]


def test_a_job_over_its_budget_is_not_started():
    """The check raises into the flow."""
    service = Service()
    one = Attempt(service, replace(PLAN, analyse=True), None)
    while not one.seen or not isinstance(one.seen[-1], steps.Analysed):
        one.advance()

    with pytest.raises(SentinelHubBudgetError), suppress(StopIteration):
        one._flow.throw(SentinelHubBudgetError("too much"))

    assert service.started == set()


@pytest.mark.parametrize("remembers", [False, True], ids=["listed", "stored"])
@pytest.mark.parametrize("state", [JobState.PROCESSING, JobState.DONE, JobState.PARTIAL, JobState.STOPPED], ids=str)
def test_a_job_of_another_request_is_not_taken_for_this_one_s(state: JobState, remembers: bool):
    """The user corrected the request after a job was started: neither its results count, nor is a second one paid."""
    service = Service()
    job = service.create(f"{TAG}-aaaaaaaa")
    service.change(job.id, state=state, user_action="START")

    one = attempt(service, {"id": job.id} if remembers else None, digest="bbbbbbbb")

    assert one.error.final
    assert "with another request" in str(one.error)
    assert job.id in str(one.error)
    assert len(service.jobs) == 1


@pytest.mark.parametrize(("state", "action"), [(JobState.CREATED, "NONE"), (JobState.FAILED, "START")], ids=str)
def test_a_job_of_another_request_that_is_of_no_use_is_left(state: JobState, action: str):
    """It was never started, or failed: the corrected request gets a job of its own."""
    service = Service()
    service.change(service.create(f"{TAG}-aaaaaaaa").id, state=state, user_action=action)
    service.next_tag = f"{TAG}-bbbbbbbb"

    one = attempt(service, digest="bbbbbbbb")

    assert one.result.id == "job-2"
    assert service.started == {"job-2"}


def test_a_job_of_a_cleared_attempt_is_stopped():
    """A user who clears a waiting task wants it done anew, not twice."""
    service = Service()
    old = service.create("airflow-before")
    service.act("start", old.id)

    one = attempt(service, earlier_tags=frozenset({"airflow-before"}))

    assert service.jobs[old.id].state is JobState.STOPPED
    assert one.result.id == "job-2"


def test_a_restart_that_shows_late_is_waited_for():
    """The job accepted it, and says STOPPED for a while."""
    told = replace(
        Service().create(),
        state=JobState.STOPPED,
        reason="USER_ACTION",
        user_action="START",
        user_action_updated=START,
        last_updated=START,
    )
    flow = lifecycle.job_flow(PLAN, clock=lambda: START, known=told.id)
    next(flow)

    wait = flow.send(told)

    assert isinstance(wait, steps.WaitUntil)
    assert wait.waited
    assert isinstance(flow.send(None), steps.CheckStatus)
    assert isinstance(flow.send(replace(told, state=JobState.PROCESSING)), steps.AwaitEnd)


def test_a_job_that_refuses_to_restart_just_after_its_rest_is_given_a_little_longer():
    """The service's clock is not ours."""
    service = Service()
    job = service.create()
    service.act("start", job.id)
    service.act("stop", job.id)
    service.pass_time(31 * 60)
    service.change(job.id, last_updated=service.now - timedelta(minutes=28))

    one = attempt(service)

    assert one.result.state is JobState.DONE
    assert names(one).count(f"start-{job.id}") == 2


def test_an_action_that_is_refused_and_was_needed_raises():
    """A job that will not start says why."""
    flow = lifecycle.job_flow(replace(PLAN, job_id="job-1"), clock=lambda: START)
    job = Service().create()
    next(flow)
    assert isinstance(flow.send(job), steps.Act)
    assert isinstance(flow.send(SentinelHubBadRequestError("the bucket is closed", status=400)), steps.CheckStatus)

    with pytest.raises(SentinelHubBadRequestError, match="the bucket is closed"):
        flow.send(job)


FAULTS = ["none", "none", "none", "lost", "unheard", "late"]
ENDS = ["DONE", "FAILED", "STOPPED:OUT_OF_PU", "STOPPED:UNHEALTHY"]
MOVES = st.one_of(
    st.tuples(st.just("advance"), st.integers(0, 1), st.sampled_from(FAULTS)),
    st.tuples(st.just("advance"), st.integers(0, 1), st.just("none")),
    st.tuples(st.just("stretch"), st.integers(0, 1), st.integers(2, 6)),
    st.tuples(st.just("foreign"), st.integers(1, 3), st.just("")),
    st.tuples(st.just("kill"), st.integers(0, 1), st.just("")),
    st.tuples(st.just("term"), st.integers(0, 1), st.just("")),
    st.tuples(st.just("arrive"), st.just(0), st.just("")),
    st.tuples(st.just("pass"), st.integers(1, 4000), st.just("")),
)


@dataclass
class World:
    """A service, a task with two attempts at a time, and what happens to them."""

    service: Service
    plan: lifecycle.Plan
    store: dict[str, str] | None
    living: list[Attempt | None] = field(default_factory=lambda: [None, None])

    def move(self, move: str, number: int, detail: Any) -> None:
        """Let something happen."""
        service = self.service
        match move:
            case "advance":
                self._alive(number).advance(detail)
            case "stretch":
                one = self._alive(number)
                for _ in range(detail):
                    if not one.is_over:
                        one.advance()
            case "pass":
                service.pass_time(number)
            case "foreign":
                for _ in range(number):
                    service.create("airflow-foreign")
            case "arrive":
                arrive(service)
            case "term" if service.started:  # the last act of a killed attempt is to stop the job
                self.living[number] = None
                with suppress(SentinelHubBadRequestError):
                    service.act("stop", next(iter(service.started)))
            case "kill":
                self.living[number] = None

    def _alive(self, number: int) -> Attempt:
        one = self.living[number]
        if one is None or one.is_over:
            one = self.living[number] = Attempt(self.service, self.plan, self.store)
        return one


def arrive(service: Service) -> None:
    """Let requests arrive that were under way."""
    while service.late:
        with suppress(SentinelHubBadRequestError):
            service.late.pop(0)()


@settings(max_examples=200)
@given(
    moves=st.lists(MOVES, min_size=8, max_size=50),
    ends=st.lists(st.sampled_from(ENDS), max_size=3),
    remembers=st.booleans(),
    analyse=st.booleans(),
)
def test_whatever_dies_and_gets_lost_one_job_is_started(moves, ends, remembers: bool, analyse: bool):
    """Two attempts at a time die at any step, lose any answer, or are sent late; then the faults stop.

    At no time have two jobs of the task been started, and in the end the task has its job's outcome.
    """
    service = Service(ends=[*ends])
    world = World(service, replace(PLAN, analyse=analyse), {} if remembers else None)
    for move in moves:
        world.move(*move)
        assert len(service.started) <= 1

    last = _run_to_the_end(service, world.plan, world.store, world.living)
    assert len(service.started) == 1
    (job_id,) = service.started
    job = service.jobs[job_id]
    if job.state is JobState.DONE:
        assert last.result == job
    else:
        assert job.state is JobState.FAILED
        assert isinstance(last.error, SentinelHubJobError)
        assert last.error.final


def _run_to_the_end(service: Service, plan: lifecycle.Plan, store: Any, living: list[Attempt | None]) -> Attempt:
    """Let those that live end, then try again as Airflow does, until an attempt ends for good."""
    for one in living:
        if one is not None:
            one.run()
            assert len(service.started) <= 1
    arrive(service)
    for _ in range(10):
        one = Attempt(service, plan, store)
        one.run()
        assert len(service.started) <= 1
        if one.result is not None or getattr(one.error, "final", False):
            return one
    raise AssertionError(f"it never succeeds: {one.error}")


OPEN = [("CREATED", "NONE"), ("ANALYSING", "ANALYSE"), ("ANALYSIS_DONE", "ANALYSE")]


@pytest.mark.parametrize(
    ("state", "user_action", "started"),
    [
        *((state, action, False) for state, action in OPEN),
        *((state, "START", True) for state, _ in OPEN),
        ("PROCESSING", None, True),
        ("DONE", "START", True),
    ],
)
def test_what_was_started_can_be_told(state: str, user_action: str | None, started: bool):
    """By its state, and where that leaves it open, by what it was told."""
    assert lifecycle.was_started(Job("1", BATCH_PROCESS, JobState(state), user_action=user_action)) is started

"""The job trigger on an event loop, as a triggerer runs it, against the sandbox over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import _ON_CANCEL_TIMEOUT
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.execution_time.xcom import XCom
from asgiref.sync import async_to_sync
from clocks import FakeClock
from job_requests import Jobs, async_request, batch_request, statistical_request

from sentinelhub_provider.api.jobs import polling
from sentinelhub_provider.api.jobs.events import JobEvent, validated_event
from sentinelhub_provider.api.jobs.job import ASYNC_PROCESS, BATCH_PROCESS, BATCH_STATISTICS, JobKind, JobState
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubConfigurationError,
    SentinelHubJobError,
    SentinelHubPermissionError,
    SentinelHubResponseError,
)
from sentinelhub_provider.sandbox.pytest_plugin import SandboxHandle
from sentinelhub_provider.triggers import job as job_trigger
from sentinelhub_provider.triggers import job_polling
from sentinelhub_provider.triggers.job import SentinelHubJobTrigger
from sentinelhub_provider.triggers.job_polling import JobPoller, PollFailure, StatusUpdate

PATIENCE = 100
"""Seconds for what takes one or two."""
POLL = 0.05
REQUESTS: dict[JobKind, Callable[..., dict[str, Any]]] = {
    BATCH_PROCESS: batch_request,
    BATCH_STATISTICS: statistical_request,
    ASYNC_PROCESS: async_request,
}


@dataclass
class Bench:
    """A sandbox whose jobs stand still until they are told to go on, and calls of its APIs."""

    sandbox: SandboxHandle
    jobs: Jobs

    @property
    def control(self) -> Any:
        """Control over the jobs."""
        return self.sandbox.control.jobs

    def start(self, kind: JobKind = BATCH_PROCESS) -> str:
        """Create a job, and start it where that is another step."""
        jobs = replace(self.jobs, prefix=kind.path)
        job = jobs.create(REQUESTS[kind]())
        if kind.actions:
            jobs.act(job, "start")
        return job

    def trigger(self, job_id: str, kind: JobKind = BATCH_PROCESS, **options: Any) -> SentinelHubJobTrigger:
        """Make a trigger as a triggerer does, from what was stored of it."""
        given = {"end_time": time.time() + PATIENCE, "poll_interval": POLL, **options}
        _, kwargs = SentinelHubJobTrigger(kind=kind.name, job_id=job_id, **given).serialize()
        return SentinelHubJobTrigger(**json.loads(json.dumps(kwargs)))

    def asked(self) -> Counter[str]:
        """Return which addresses of jobs were asked for, ids left out."""
        paths = (record.path for record in self.sandbox.control.requests() if record.method == "GET")
        return Counter("/".join("id" if len(part) == 36 else part for part in path.split("/")) for path in paths)


@pytest.fixture(name="bench")
def fixture_bench(sentinelhub_sandbox: SandboxHandle, connect) -> Bench:
    """A sandbox with the connection to it."""
    token = connect().get_token()
    control = sentinelhub_sandbox.control.jobs
    control.set_durations(analysing=0, processing=None, stopping=0)
    control.set_rasters(False)
    return Bench(sentinelhub_sandbox, Jobs(sentinelhub_sandbox, {"Authorization": f"Bearer {token}"}))  # type: ignore[arg-type]


async def event_of(trigger: SentinelHubJobTrigger) -> JobEvent:
    """Run a trigger to its event and read it as the operator does."""
    async for event in trigger.run():
        return validated_event(json.loads(json.dumps(event.payload)), trigger.kind, trigger.job_id)
    raise AssertionError("a trigger without an event")


def run(*triggers: SentinelHubJobTrigger, act: Callable[[], Any] = lambda: None, after: float = 0.1) -> list[JobEvent]:
    """Run triggers side by side; do something a little later."""

    async def all_of_them() -> list[JobEvent]:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            tasks = [group.create_task(event_of(trigger)) for trigger in triggers]
            await asyncio.sleep(after)
            await asyncio.to_thread(act)
        return [task.result() for task in tasks]

    return asyncio.run(all_of_them())


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for what another thread does."""
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, f"waited in vain for {what}"
        time.sleep(0.02)


# --- what is kept of them meanwhile ---------------------------------------------------------------------------------


@pytest.fixture(name="kept")
def fixture_kept(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """XComs that triggers write."""
    written: list[dict[str, Any]] = []

    async def is_loop_of_triggers() -> bool:
        return len(asyncio.all_tasks()) > 1

    def set_xcom(key: str, value: Any, **task: Any) -> None:
        # The triggerer's own way to its supervisor. On another loop than its own, it dies in Airflow 3.1.
        on_loop = async_to_sync(is_loop_of_triggers)()
        written.append({"key": key, "job": json.loads(json.dumps(value)), "on_loop": on_loop, **task})

    monkeypatch.setattr(XCom, "set", set_xcom)
    return written


@pytest.mark.parametrize(("map_index", "written"), [(None, -1), (3, 3)])
def test_job_is_kept_for_the_page_while_it_goes_on(
    bench: Bench, kept: list[dict[str, Any]], map_index: int | None, written: int
):
    """As an XCom of the task that waits. How it ended is left to the task."""
    job = bench.start()
    trigger = bench.trigger(job, tell_progress=True)
    trigger.task_instance = SimpleNamespace(dag_id="dag", run_id="run", task_id="wait", map_index=map_index)

    (event,) = run(trigger, act=lambda: (until(lambda: kept, "the first XCom"), bench.control.step()))

    assert event.problem() is None
    assert {one["job"]["state"] for one in kept} == {"PROCESSING"}
    assert all(one.pop("on_loop") for one in kept)
    seen = kept[0].pop("job")
    assert (seen["id"], seen["kind"], "description" in seen) == (job, "batch-process", False)
    task = {"dag_id": "dag", "run_id": "run", "task_id": "wait", "map_index": written}
    assert kept[0] == {"key": "sentinelhub_job", **task}


def test_a_job_that_could_not_be_kept_is_kept_later(
    bench: Bench, kept: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys
):
    """One warning says so. The job has no news meanwhile."""
    trigger = bench.trigger(bench.start(), tell_progress=True)
    trigger.task_instance = SimpleNamespace(dag_id="dag", run_id="run", task_id="wait", map_index=-1)
    write, asked = XCom.set, []

    def refuse_twice(*arguments: Any, **task: Any) -> None:
        asked.append(1)
        if len(asked) < 3:
            raise RuntimeError("no database")
        write(*arguments, **task)

    monkeypatch.setattr(XCom, "set", refuse_twice)
    monkeypatch.setattr(job_trigger, "KEEP_AGAIN", 0.0)

    (event,) = run(trigger, act=lambda: (until(lambda: kept, "the third attempt"), bench.control.step()))

    assert event.problem() is None
    assert len(kept) == 1
    assert capsys.readouterr().out.count("shows this job late: RuntimeError") == 1


# --- how jobs end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", REQUESTS, ids=str)
def test_job_that_is_done_fires(bench: Bench, kind: JobKind):
    """With its cost; an async one is gone then."""
    job = bench.start(kind)

    (event,) = run(bench.trigger(job, kind), act=bench.control.step)

    assert event.problem() is None
    assert event.job is not None
    assert event.job.state == (JobState.DONE if kind.actions else JobState.GONE)
    assert event.job.cost == (100.0 if kind.actions else None)


def test_statistics_are_looked_at_by_their_light_status(bench: Bench):
    """Not by the whole request with its evalscript."""
    job = bench.start(BATCH_STATISTICS)

    run(bench.trigger(job, BATCH_STATISTICS), act=bench.control.step)

    assert set(bench.asked()) == {"/statistics/batch/v1/id/status"}


@pytest.mark.parametrize(("kind", "others"), [(BATCH_PROCESS, 4), (BATCH_STATISTICS, 0)], ids=["among-others", "alone"])
def test_job_that_fails_at_40_per_cent_fires(bench: Bench, kind: JobKind, others: int):
    """At the next poll, with the service's words; a loop that waits for 100 per cent would wait for ever."""
    bench.control.set_simulated_features(10)
    running = [bench.start(kind) for _ in range(others)]
    bench.control.set_durations(analysing=0, processing=0.5)
    jobs = replace(bench.jobs, prefix=kind.path)
    job = jobs.create(REQUESTS[kind]())
    bench.control.inject(kind="fail", at=40, cause="Storage is full", job=job)
    jobs.act(job, "start")

    event, *_ = run(
        bench.trigger(job, kind),
        *(bench.trigger(other, kind) for other in running),
        act=lambda: [bench.control.step(other) for other in running],
    )

    problem = event.problem()
    assert isinstance(problem, SentinelHubJobError)
    assert "failed at 40 %: Storage is full" in str(problem)


@pytest.mark.parametrize("kind", [BATCH_PROCESS, BATCH_STATISTICS], ids=str)
def test_job_that_runs_out_of_units_fires(bench: Bench, kind: JobKind):
    """With the reason, which a retry may follow."""
    job = bench.start(kind)
    owner = bench.sandbox.client_id

    (event,) = run(bench.trigger(job, kind), act=lambda: bench.control.set_balance(owner, 0))

    problem = event.problem()
    assert isinstance(problem, SentinelHubJobError)
    assert (problem.job_status, problem.reason, problem.final) == ("STOPPED", "OUT_OF_PU", False)


@pytest.mark.parametrize(("kind", "others"), [(BATCH_PROCESS, 4), (BATCH_STATISTICS, 0)], ids=["among-others", "alone"])
def test_job_that_is_deleted_fires(bench: Bench, kind: JobKind, others: int):
    """A listing just leaves it out: it is asked for by itself."""
    job = bench.start(kind)
    running = [bench.start(kind) for _ in range(others)]

    event, *_ = run(
        bench.trigger(job, kind),
        *(bench.trigger(other, kind) for other in running),
        act=lambda: [bench.control.delete(each) for each in (job, *running)],
    )

    problem = event.problem()
    assert isinstance(problem, SentinelHubJobError)
    assert problem.job_status == "GONE"


def test_job_that_a_user_stops_fires_with_when(bench: Bench):
    """The time of the stop is known, after which it rests for 30 minutes."""
    job = bench.start(BATCH_STATISTICS)
    jobs = replace(bench.jobs, prefix=BATCH_STATISTICS.path)

    (event,) = run(bench.trigger(job, BATCH_STATISTICS), act=lambda: jobs.act(job, "stop"))

    assert event.job is not None
    assert (event.job.reason, event.job.user_action) == ("USER_ACTION", "STOP")
    assert event.job.user_action_updated is not None


# --- many of them ---------------------------------------------------------------------------------------------------


def test_many_jobs_share_pages(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """Jobs on two pages: two requests a round, and none for any single one."""
    ids = [bench.start() for _ in range(polling.PAGE_SIZE + 5)]
    time, rounds = FakeClock(), 0

    class Poller(JobPoller):
        """Polls once all have come, and lets the jobs end after three rounds."""

        def __init__(self, *given: Any) -> None:
            super().__init__(*given, clock=time, sleep=self._pass)

        async def _pass(self, seconds: float) -> None:
            if len(self._waiting) < len(ids):
                await asyncio.Event().wait()  # ended by whoever joins next
            time.sleep(seconds)

        async def _poll(self) -> None:
            nonlocal rounds
            await super()._poll()
            rounds += 1
            if rounds == 3:
                bench.control.step()

    monkeypatch.setattr(job_polling, "JobPoller", Poller)

    events = run(*(bench.trigger(job, poll_interval=10.0) for job in ids))

    assert {event.job.state for event in events if event.job} == {JobState.DONE}
    assert bench.asked() == {"/batch/v2/process": 2 * 4}


def test_one_token_serves_all(bench: Bench):
    """And outlives none of them: it is renewed when it expires meanwhile."""
    ids = [bench.start() for _ in range(3)]
    bench.sandbox.control.set_token_lifetime(0.2)
    before = len(bench.sandbox.control.issued_tokens())

    events = run(*(bench.trigger(job) for job in ids), act=bench.control.step, after=0.5)

    assert all(event.problem() is None for event in events)
    assert len(bench.sandbox.control.issued_tokens()) - before <= 12


def test_last_one_closes_the_connections(bench: Bench):
    """Nothing is left on the event loop, cancelled or not."""
    ids = [bench.start() for _ in range(4)]

    async def act() -> set[asyncio.Task[Any]]:
        tasks = [asyncio.create_task(event_of(bench.trigger(job))) for job in ids]
        await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]

    assert asyncio.run(act()) == set()


# --- faults ---------------------------------------------------------------------------------------------------------


FAULTS: dict[str, dict[str, Any]] = {
    "500": {"kind": "status", "status": 500},
    "429": {"kind": "rate_limit", "retry_after": "250"},
    "html": {"kind": "html"},
    "no-list": {"kind": "status", "status": 200, "body": {"data": "none"}},
    "no-object": {"kind": "status", "status": 200, "body": [1, 2]},
    "broken-json": {"kind": "status", "status": 200, "text": '{"data": [', "content_type": "application/json"},
    "silence": {"kind": "silence"},
    "reset": {"kind": "reset"},
    "truncate": {"kind": "truncate"},
    "foreign-redirect": {"kind": "redirect", "location": "https://elsewhere.invalid/"},
}
ON_PAGES = ("500", "no-list", "no-object")


@pytest.mark.parametrize(
    ("name", "count"),
    [*((name, 1) for name in FAULTS), *((name, 4) for name in ON_PAGES)],
    ids=lambda value: {1: "single", 4: "page"}.get(value, value),
)
def test_fault_that_passes_is_told_once_and_survived(
    bench: Bench, name: str, count: int, monkeypatch: pytest.MonkeyPatch
):
    """However long it lasts: trouble, and then what the job became meanwhile."""
    ids = [bench.start() for _ in range(count)]
    faults = bench.sandbox.control
    deadline = job_polling.REQUEST_DEADLINE

    async def act() -> list[Any]:
        watches = [bench.trigger(job, poll_interval=0.02) for job in ids]
        seen = []
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            for trigger in watches[1:]:
                group.create_task(event_of(trigger))
            first = watches[0]
            poller = job_polling.poller_of(first.kind, first.sentinelhub_conn_id)
            async with poller.watch(first.job_id, first.poll_interval) as watch:
                seen.append(await watch.inbox.get())
                monkeypatch.setattr(job_polling, "REQUEST_DEADLINE", 0.2)
                faults.add_fault(path="/batch/v2/process*", method="GET", action=FAULTS[name], times=None)
                seen.append(await watch.inbox.get())
                await asyncio.to_thread(bench.control.step)
                faults.clear_faults()
                monkeypatch.setattr(job_polling, "REQUEST_DEADLINE", deadline)
                seen.append(await watch.inbox.get())
        return seen

    before, trouble, after = asyncio.run(act())

    assert before.job.state is JobState.PROCESSING
    assert isinstance(trouble, PollFailure)
    assert not trouble.is_final
    assert isinstance(after, StatusUpdate)
    assert (after.job.state, after.recovered) == (JobState.DONE, True)


def test_service_that_is_down_is_survived(bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys):
    """One line at the beginning and one at the end, in the task's own log."""
    job = bench.start()
    lines: list[str] = []

    def told() -> list[str]:
        lines.extend(line for line in capsys.readouterr().out.splitlines() if job in line)
        return lines

    def act() -> None:
        until(told, "the first look")
        with monkeypatch.context() as patch:
            # What goes wrong is told when the deadline of one request ends.
            patch.setattr(job_polling, "REQUEST_DEADLINE", 0.1)
            bench.sandbox.control.add_fault(action={"kind": "reset"}, times=None)
            until(lambda: "cannot" in told()[-1], "the trouble to be told")
        bench.control.step()
        bench.sandbox.control.clear_faults()

    (event,) = run(bench.trigger(job), act=act)

    assert event.problem() is None
    assert [("cannot" in line, "can be checked again" in line) for line in told()] == [
        (False, False),
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize("kind", ["revoke_tokens", "rotate_key"])
def test_refused_token_is_renewed(bench: Bench, kind: str):
    """One 401 is nobody's trouble."""
    job = bench.start()

    def act() -> None:
        bench.sandbox.control.add_fault(path="/batch/*", action={"kind": kind})
        time.sleep(0.3)
        bench.control.step()

    (event,) = run(bench.trigger(job), act=act)

    assert event.problem() is None


def test_broken_token_store_is_survived(bench: Bench, connect):
    """Tokens are fetched instead of shared."""
    job = bench.start()
    connect(extra={"auth_cache": "redis://127.0.0.1:9/0"})

    (event,) = run(bench.trigger(job), act=bench.control.step)

    assert event.problem() is None


def test_wrong_secret_fires_an_error(bench: Bench, connect):
    """No waiting mends it."""
    job = bench.start()
    connect(password="not the secret")

    (event,) = run(bench.trigger(job))

    assert isinstance(event.error, SentinelHubAuthenticationError)


def test_secret_that_was_changed_in_the_connection_is_taken(bench: Bench, connect):
    """A rotation while jobs run costs no task."""
    job = bench.start()

    def rotate() -> None:
        connect(password="a-newer-secret")
        bench.sandbox.control.update_client(bench.sandbox.client_id, client_secret="a-newer-secret")
        bench.sandbox.control.revoke_tokens()
        time.sleep(0.3)
        bench.control.step()

    (event,) = run(bench.trigger(job), act=rotate)

    assert event.problem() is None


@pytest.mark.parametrize("count", [1, 5], ids=["single", "page"])
def test_account_that_may_not_fires_an_error(bench: Bench, count: int):
    """403 is told to all who wait."""
    ids = [bench.start() for _ in range(count)]
    forbid = {"action": {"kind": "status", "status": 403}, "path": "/batch/*", "times": None}

    events = run(*(bench.trigger(job) for job in ids), act=lambda: bench.sandbox.control.add_fault(**forbid))

    assert {type(event.error) for event in events} == {SentinelHubPermissionError}


def test_connection_that_is_missing_fires_an_error(bench: Bench):
    """Named, with the argument to change."""
    (event,) = run(bench.trigger("7f1c", sentinelhub_conn_id="no_such_connection"))

    assert isinstance(event.error, SentinelHubConfigurationError)
    assert "no_such_connection" in str(event.error)


def test_state_that_nobody_knows_fires_an_error(bench: Bench):
    """It might be an end."""
    job = bench.start()
    body = {"id": job, "status": "ARCHIVED"}

    (event,) = run(
        bench.trigger(job),
        act=lambda: bench.sandbox.control.add_fault(
            path="/batch/*", times=None, action={"kind": "status", "status": 200, "body": body}
        ),
    )

    assert isinstance(event.error, SentinelHubResponseError)
    assert "ARCHIVED" in str(event.error)


# --- the deadline ---------------------------------------------------------------------------------------------------


def test_deadline_ends_waiting(bench: Bench):
    """With where the job was last."""
    job = bench.start()

    (event,) = run(bench.trigger(job, end_time=time.time() + 0.5))

    assert "last seen as PROCESSING" in str(event.problem())


@pytest.mark.parametrize(("steps", "words"), [(0, "last seen as PROCESSING"), (1, None)], ids=["running", "done"])
def test_job_is_looked_at_even_past_its_deadline(bench: Bench, steps: int, words: str | None):
    """It may have ended while no triggerer ran."""
    job = bench.start()
    for _ in range(steps):
        bench.control.step()

    (event,) = run(bench.trigger(job, end_time=time.time() - 3600))

    problem = event.problem()
    assert problem is None if words is None else words in str(problem)


def test_deadline_holds_while_the_service_is_down(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """Nobody waits for ever."""
    monkeypatch.setattr(job_polling, "REQUEST_DEADLINE", 0.2)
    job = bench.start()
    bench.sandbox.control.add_fault(action={"kind": "silence"}, times=None)

    (event,) = run(bench.trigger(job, end_time=time.time() + 0.6))

    assert "never seen" in str(event.problem())


# --- killing --------------------------------------------------------------------------------------------------------


class SilentError(RuntimeError):
    """Airflow's supervisor cannot answer."""


@pytest.fixture(name="airflow")
def fixture_airflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Airflow's answer to the question for task states: the one under ``state``, which is raised if it is an error."""
    told: dict[str, Any] = {"state": "failed", "key": "wait", "asked": []}

    def get_task_states(**asked: Any) -> dict[str, Any]:
        told["asked"].append(asked)
        if isinstance(told["state"], Exception):
            raise told["state"]
        return {"run": {told["key"]: told["state"]}}

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))
    return told


def kill(trigger: SentinelHubJobTrigger, capsys: pytest.CaptureFixture[str], *, map_index: int | None = -1) -> str:
    """Cancel a trigger as Airflow 3.3 does; return what was logged."""
    trigger.task_instance = SimpleNamespace(dag_id="dag", run_id="run", task_id="wait", map_index=map_index)
    asyncio.run(trigger.on_kill())
    return capsys.readouterr().out


@pytest.mark.parametrize("state", ["failed", "success", "skipped"])
@pytest.mark.parametrize("kind", [BATCH_PROCESS, BATCH_STATISTICS], ids=str)
def test_task_that_a_user_ended_stops_its_job(bench: Bench, airflow: dict[str, Any], kind: JobKind, state: str, capsys):
    """And says so."""
    airflow["state"] = state
    job = bench.start(kind)

    said = kill(bench.trigger(job, kind), capsys)

    assert replace(bench.jobs, prefix=kind.path).status(job) == "STOPPED"
    assert f"stopped {kind} job {job}: the task ended as {state}" in said
    assert airflow["asked"] == [{"dag_id": "dag", "task_ids": ["wait"], "run_ids": ["run"], "map_index": None}]


@pytest.mark.parametrize(
    "state",
    [
        "deferred",
        None,
        "scheduled",
        "queued",
        "running",
        "up_for_retry",
        "restarting",
        "a state to come",
        SilentError(),
    ],
    ids=str,
)
def test_task_that_did_not_end_keeps_its_job(bench: Bench, airflow: dict[str, Any], state: Any, capsys):
    """It waits on another triggerer, or has an attempt that takes care of the job, or nobody knows."""
    airflow["state"] = state
    job = bench.start()

    said = kill(bench.trigger(job), capsys)

    assert bench.jobs.status(job) == "PROCESSING"
    assert f"{BATCH_PROCESS} job {job} goes on" in said


def test_airflow_may_cancel_again_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """Airflow cancels in each round of the triggerer, and may take several rounds to tell the task's state."""
    asked, answer = threading.Event(), threading.Event()

    def get_task_states(**_: Any) -> dict[str, Any]:
        asked.set()
        assert answer.wait(60)
        return {"run": {"wait": "failed"}}

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))
    job = bench.start()
    trigger = bench.trigger(job)
    trigger.task_instance = SimpleNamespace(dag_id="dag", run_id="run", task_id="wait", map_index=-1)

    async def cancel_again() -> None:
        killing = asyncio.create_task(trigger.on_kill())
        await asyncio.to_thread(asked.wait, 60)
        for _ in range(3):
            killing.cancel("user-action")
            await asyncio.sleep(0)
        answer.set()
        await asyncio.wait([killing])

    asyncio.run(cancel_again())

    assert bench.jobs.status(job) == "STOPPED"


def test_the_question_and_the_stop_fit_into_the_time_that_airflow_gives(
    bench: Bench, airflow: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys
):
    """A busy Airflow may take most of it to tell the state, and the stop has the rest."""
    left: list[float] = []

    async def stop(trigger: SentinelHubJobTrigger, state: str, seconds: float) -> None:
        left.append(seconds)

    monkeypatch.setattr(SentinelHubJobTrigger, "_stop", stop)
    kill(bench.trigger(bench.start()), capsys)

    assert 0 < left[0] < job_trigger.KILL_SECONDS < _ON_CANCEL_TIMEOUT
    assert job_trigger.ASK_SECONDS < job_trigger.KILL_SECONDS - 5


def test_trigger_without_a_task_keeps_the_job(bench: Bench, airflow: dict[str, Any]):
    """There is no task to ask for."""
    job = bench.start()

    asyncio.run(bench.trigger(job).on_kill())

    assert bench.jobs.status(job) == "PROCESSING"
    assert airflow["asked"] == []


@pytest.mark.parametrize(("key", "expected"), [("wait_7", "STOPPED"), ("wait_8", "PROCESSING")])
def test_mapped_task_is_asked_for_by_its_index(bench: Bench, airflow: dict[str, Any], key: str, expected: str, capsys):
    """Another instance of the task says nothing about this one."""
    airflow["key"] = key
    job = bench.start()

    kill(bench.trigger(job), capsys, map_index=7)

    assert bench.jobs.status(job) == expected
    assert airflow["asked"][0]["map_index"] == 7


def test_job_of_others_is_never_stopped(bench: Bench, airflow: dict[str, Any], capsys):
    """A sensor only watches."""
    job = bench.start()

    kill(bench.trigger(job, stop_on_kill=False), capsys)

    assert bench.jobs.status(job) == "PROCESSING"
    assert airflow["asked"] == []


@pytest.mark.usefixtures("airflow")
def test_async_job_cannot_be_stopped(bench: Bench, capsys):
    """Which is said, because it will be paid for."""
    assert "cannot be stopped" in kill(bench.trigger(bench.start(ASYNC_PROCESS), ASYNC_PROCESS), capsys)


@pytest.mark.usefixtures("airflow")
def test_stop_that_fails_is_said(bench: Bench, capsys):
    """Somebody must do it by hand."""
    assert "may go on. Stop it in the dashboard" in kill(bench.trigger("0000-unknown"), capsys)


# --- secrets --------------------------------------------------------------------------------------------------------


def test_nothing_of_a_trigger_is_secret(bench: Bench, caplog, capsys: pytest.CaptureFixture[str]):
    """Not its arguments, its repr, its event, nor what it logs."""
    job = bench.start()
    trigger = bench.trigger(job)

    with caplog.at_level(logging.DEBUG):
        (event,) = run(trigger, act=bench.control.step)

    left = repr(trigger) + json.dumps(trigger.serialize()) + repr(event) + caplog.text + capsys.readouterr().out
    for secret in (bench.sandbox.client_secret, *bench.sandbox.control.tokens(), "delivery-secret-not-to-be-shown"):
        assert secret not in left

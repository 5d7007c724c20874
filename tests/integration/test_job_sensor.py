"""The job sensor in its three ways of waiting, against the sandbox over real sockets."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.sdk.exceptions import AirflowRescheduleException
from job_requests import Jobs, async_request, batch_request
from task_instance import FAILED, TIMED_OUT, run_sensor

from sentinelhub_provider.api.jobs.events import Outcome, event_of
from sentinelhub_provider.api.jobs.job import ASYNC_PROCESS, BATCH_PROCESS, Job, JobKind, JobState
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubError,
    SentinelHubJobError,
    SentinelHubRequestError,
    SentinelHubResponseError,
)
from sentinelhub_provider.sensors import job as sensors_job
from sentinelhub_provider.sensors.job import SentinelHubJobSensor
from sentinelhub_provider.triggers import job as triggers_job
from sentinelhub_provider.triggers.job import SentinelHubJobTrigger


class Task:
    """What a sensor asks of its task instance."""

    def get_first_reschedule_date(self, context: Any) -> datetime:
        """Return when it was first rescheduled."""
        return datetime.now(UTC)


CONTEXT: Any = {"ti": Task()}


@pytest.fixture(name="jobs")
def fixture_jobs(sentinelhub_sandbox, connect) -> Jobs:
    """Calls of Batch Process, whose jobs stand still until they are told to go on."""
    token = connect().get_token()
    control = sentinelhub_sandbox.control.jobs
    control.set_durations(analysing=0, processing=None, stopping=0)
    control.set_rasters(False)
    return Jobs(sentinelhub_sandbox, {"Authorization": f"Bearer {token}"})


@pytest.fixture(name="job")
def fixture_job(jobs: Jobs) -> str:
    """A job that somebody started."""
    job = jobs.create(batch_request())
    jobs.act(job, "start")
    return job


def sensor(job_id: Any, kind: JobKind = BATCH_PROCESS, **arguments: Any) -> SentinelHubJobSensor:
    """Make a sensor."""
    return SentinelHubJobSensor(task_id="wait", kind=kind.name, job_id=job_id, **arguments)


def test_done_job_is_returned(jobs: Jobs, job: str):
    """As plain values, the cost among them."""
    jobs.server.control.jobs.step()

    result = sensor(job).execute(CONTEXT)

    assert result.items() >= {"kind": "batch-process", "id": job, "state": "DONE", "cost": 100.0}.items()
    assert result["delivery_url"] == "s3://bucket/out"
    json.dumps(result)


def test_running_job_is_poked_again(jobs: Jobs, job: str, monkeypatch: pytest.MonkeyPatch):
    """Each wait is ``poke_interval`` long; in one of them the job ends."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            jobs.server.control.jobs.step()

    monkeypatch.setattr("airflow.sdk.bases.sensor.time.sleep", sleep)

    result = sensor(job, poke_interval=7).execute(CONTEXT)

    assert (result["state"], waits) == ("DONE", [7.0, 7.0])


def test_running_job_is_rescheduled(job: str):
    """Without a worker slot."""
    with pytest.raises(AirflowRescheduleException):
        sensor(job, mode="reschedule").execute(CONTEXT)


def test_running_job_is_waited_for_in_the_triggerer(job: str):
    """With a deadline, and a trigger that leaves the job alone when the task is killed."""
    with pytest.raises(TaskDeferred) as deferred:
        sensor(job, deferrable=True, timeout=3600, poke_interval=12).execute(CONTEXT)

    trigger = deferred.value.trigger
    assert isinstance(trigger, SentinelHubJobTrigger)
    assert (trigger.job_id, trigger.poll_interval, trigger.stop_on_kill) == (job, 12.0, False)
    assert deferred.value.method_name == "execute_complete"
    assert trigger.end_time == pytest.approx(datetime.now(UTC).timestamp() + 3600, abs=60)


def test_deferred_sensor_goes_on_with_the_event(jobs: Jobs, job: str):
    """From the first status check to the result, as the triggerer would carry it."""
    waiting = sensor(job, deferrable=True, poke_interval=0.05)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute(CONTEXT)
    jobs.server.control.jobs.step()

    async def fire() -> Any:
        async with asyncio.timeout(20):
            event = await anext(deferred.value.trigger.run())
        return json.loads(json.dumps(event.payload))

    assert waiting.execute_complete(CONTEXT, asyncio.run(fire()))["state"] == "DONE"


def test_job_that_is_over_is_not_deferred(jobs: Jobs, job: str):
    """A trigger that fires at once may lose its event."""
    jobs.server.control.jobs.step()

    assert sensor(job, deferrable=True).execute(CONTEXT)["state"] == "DONE"


@pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])
@pytest.mark.parametrize(("option", "expected"), [("soft_fail", AirflowSkipException), ("", AirflowFailException)])
def test_failed_job_fails_the_task(jobs: Jobs, job: str, deferrable: bool, option: str, expected: type[Exception]):
    """Without further retries, or skips it where that was asked for."""
    jobs.server.control.jobs.delete(job)
    options = {option: True} if option else {}

    with pytest.raises(expected, match=r"not known to the service|soft_fail") as caught:
        sensor(job, deferrable=deferrable, **options).execute(CONTEXT)

    assert option or isinstance(caught.value.__context__, SentinelHubJobError)


def test_job_that_may_go_on_can_be_retried(jobs: Jobs, job: str, sentinelhub_sandbox):
    """Out of processing units: the task's retries are not in vain."""
    jobs.server.control.jobs.set_balance(sentinelhub_sandbox.client_id, 0)

    with pytest.raises(SentinelHubJobError) as caught:
        sensor(job).execute(CONTEXT)

    assert caught.value.reason == "OUT_OF_PU"


def test_finished_async_job_is_gone(jobs: Jobs):
    """How it went is in the bucket."""
    jobs.prefix = ASYNC_PROCESS.path
    job = jobs.create(async_request())
    waiting = sensor(job, ASYNC_PROCESS)

    assert not waiting.poke(CONTEXT)
    jobs.server.control.jobs.step()
    assert waiting.execute(CONTEXT)["state"] == "GONE"


def test_fault_that_passes_does_not_end_waiting(
    job: str, sentinelhub_sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The next poke may succeed."""
    monkeypatch.setattr(sensors_job, "POLL_DEADLINE", 0.2)
    sentinelhub_sandbox.control.add_fault(path="/batch/*", action={"kind": "status", "status": 503}, times=None)

    assert not sensor(job).poke(CONTEXT)
    assert "cannot be checked, waiting goes on" in capsys.readouterr().out


def test_wrong_secret_ends_waiting(job: str, connect):
    """At once."""
    connect(password="not the secret")

    with pytest.raises(AirflowFailException) as caught:
        sensor(job).execute(CONTEXT)

    assert isinstance(caught.value.__context__, SentinelHubAuthenticationError)


@pytest.mark.parametrize(("field", "arguments"), [("job_id", {"job_id": "None"}), ("kind", {"kind": "batch"})])
def test_argument_that_cannot_work_is_named(field: str, arguments: dict[str, Any], connect):
    """As an XCom that was never pushed renders."""
    with pytest.raises(AirflowFailException) as caught:
        SentinelHubJobSensor(task_id="wait", **{"kind": "batch-process", "job_id": "7f1c", **arguments}).execute(
            CONTEXT
        )

    assert isinstance(caught.value.__context__, SentinelHubRequestError)
    assert caught.value.__context__.field == field


RUNNING = Job("7f1c", BATCH_PROCESS, JobState.PROCESSING)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(None, SentinelHubResponseError, id="none"),
        pytest.param({}, SentinelHubResponseError, id="empty"),
        pytest.param(
            {"outcome": "finished", "id": "other", "kind": "batch-process"}, SentinelHubResponseError, id="other"
        ),
        pytest.param(event_of(BATCH_PROCESS, "7f1c", Outcome.TIMEOUT, job=RUNNING), AirflowSensorTimeout, id="timeout"),
        pytest.param(
            event_of(BATCH_PROCESS, "7f1c", Outcome.ERROR, error=SentinelHubAuthenticationError("wrong secret")),
            AirflowFailException,
            id="final-error",
        ),
        pytest.param(
            event_of(BATCH_PROCESS, "7f1c", Outcome.ERROR, error=SentinelHubError("the loop broke")),
            SentinelHubError,
            id="error",
        ),
    ],
)
def test_event_that_is_not_a_finished_job_fails(event: Any, expected: type[Exception]):
    """Each in its own way."""
    with pytest.raises(expected):
        sensor("7f1c", deferrable=True).execute_complete(CONTEXT, event)


def run_to_its_end(waiting: SentinelHubJobSensor) -> str:
    """Run a sensor as Airflow does, deferrals included; return the job's state, or how the sensor ends."""

    def fire(deferred: TaskDeferred) -> Any:
        _, stored = deferred.trigger.serialize()
        return asyncio.run(fired(SentinelHubJobTrigger(**json.loads(json.dumps(stored)))))

    end = run_sensor(waiting, CONTEXT, fire)
    return end if isinstance(end, str) else str(end["state"])


async def fired(trigger: SentinelHubJobTrigger) -> Any:
    """Return a trigger's event, as the database gives it back."""
    async with asyncio.timeout(20):
        return json.loads(json.dumps((await anext(trigger.run())).payload))


@pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferrable"])
@pytest.mark.parametrize(
    ("happens", "options", "ends"),
    [
        *(("nothing", *case) for case in TIMED_OUT),
        ("end", {}, "DONE"),
        ("end", {"exponential_backoff": True, "max_wait": 0.1}, "DONE"),
        *(("deletion", *case) for case in FAILED),
        ("want", {}, "to be retried"),
        ("want", {"soft_fail": True}, "to be retried"),
        ("want", {"never_fail": True}, "skipped"),
        ("want", {"silent_fail": True}, "timed out"),
    ],
)
def test_deferred_wait_ends_as_a_poking_one(
    jobs: Jobs, job: str, sentinelhub_sandbox, monkeypatch, happens, options, ends, deferrable
):
    """Whatever becomes of the job after the first status check, and whatever is to become of the task then."""
    monkeypatch.setattr(triggers_job, "FIRST_POLL_PATIENCE", 0.0)
    control = jobs.server.control.jobs
    happen = {
        "nothing": lambda: None,
        "end": control.step,
        "deletion": lambda: control.delete(job),
        "want": lambda: control.set_balance(sentinelhub_sandbox.client_id, 0),
    }
    patience = 1.0 if "timed out" in ends or happens == "nothing" else 20.0
    waiting = sensor(job, deferrable=deferrable, poke_interval=0.05, timeout=patience, **options)
    poke = waiting.poke
    pokes: list[Any] = []

    def poked(context: Any) -> Any:
        found = poke(context)
        if not pokes:
            happen[happens]()
        pokes.append(found)
        return found

    monkeypatch.setattr(waiting, "poke", poked)
    assert run_to_its_end(waiting) == ends

"""Tasks that wait for jobs under a real scheduler and a real triggerer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version
from airflow_parts import AirflowParts, airflow_parts
from job_requests import Jobs, batch_request

from sentinelhub_provider.sandbox.pytest_plugin import SandboxHandle
from sentinelhub_provider.sandbox.server import SandboxServer

pytestmark = pytest.mark.system

LISTING = "/batch/v2/process"
POLL = 2.0
CANCELLED = "the trigger was cancelled here, but the task is"
"""What the job trigger says when Airflow gives it to another triggerer."""
HAS_ON_KILL = tuple(map(int, airflow_version.split(".")[:2])) >= (3, 3)


@dataclass
class Stage:
    """A running Airflow, and a sandbox whose jobs stand still until they are told to go on."""

    airflow: AirflowParts
    sandbox: SandboxServer
    jobs: Jobs

    def start_job(self) -> str:
        """Start a job."""
        job = self.jobs.create(batch_request())
        self.jobs.act(job, "start")
        return job

    def polls(self) -> list[str]:
        """Return the paths that were asked for."""
        return [record.path for record in self.sandbox.control.requests() if record.method == "GET"]

    def said(self, dag_id: str, run_id: str, words: str) -> bool:
        """Tell whether a log of a run's task, or of its trigger, has these words."""
        logs = (self.airflow.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}").rglob("*.log")
        return any(words in log.read_text() for log in logs)

    def states(self, dag_id: str, run_id: str) -> list[str]:
        """Return the states of the tasks that wait."""
        return [each["state"] for each in self.airflow.tasks(dag_id, run_id) if each["task_id"] == "wait"]


@pytest.fixture(scope="module", name="stage")
def fixture_stage(tmp_path_factory) -> Iterator[Stage]:
    """Airflow's parts, and the sandbox."""
    home = tmp_path_factory.mktemp("waiting")
    with SandboxServer(control=True, token_lifetime=3600) as sandbox:
        sandbox.control.jobs.set_durations(analysing=0, processing=None, stopping=0)
        sandbox.control.jobs.set_rasters(False)
        handle = SandboxHandle(sandbox.url, sandbox.client_id, sandbox.client_secret, sandbox.control)
        connection = {"AIRFLOW_CONN_SENTINELHUB_DEFAULT": handle.connection_json()}
        token = _token(sandbox)
        with airflow_parts(home, Path(__file__).with_name("waiting_dags"), connection) as airflow:
            airflow.wait_until(lambda: airflow.get("/dags")["total_entries"] == 2, "the DAGs to be read", seconds=90)
            yield Stage(airflow, sandbox, Jobs(sandbox, {"Authorization": f"Bearer {token}"}))


def _token(sandbox: SandboxServer) -> str:
    import requests

    form = {
        "grant_type": "client_credentials",
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
    }
    answer = requests.post(sandbox.token_url(), data=form, timeout=30)
    return str(answer.json()["access_token"])


def test_deferred_tasks_share_one_loop_and_succeed(stage: Stage):
    """Twelve tasks, one request a round, no task running while they wait; each goes on with its job's end."""
    ids = [stage.start_job() for _ in range(12)]
    run = stage.airflow.trigger("others_jobs", {"jobs": ids})
    stage.airflow.wait_until(
        lambda: stage.states("others_jobs", run) == ["deferred"] * 12, "all tasks to be deferred", seconds=240
    )
    time.sleep(3 * POLL)  # they have all been looked at
    before = len(stage.polls())
    time.sleep(5 * POLL)
    asked = stage.polls()[before:]

    for job in ids:
        stage.sandbox.control.jobs.step(job)
    state = stage.airflow.wait_for_run("others_jobs", run, seconds=240)

    assert state == "success"
    assert set(asked) == {LISTING}
    assert 4 <= len(asked) <= 7


@pytest.mark.skipif(not HAS_ON_KILL, reason="before Airflow 3.3, nothing is called when a trigger is cancelled")
def test_frozen_triggerer_stops_no_job(stage: Stage):
    """A triggerer hangs until another one takes its triggers, and wakes up: Airflow cancels them, no job is stopped."""
    jobs = [stage.start_job() for _ in range(4)]
    runs = [stage.airflow.trigger("own_job", {"job": job}) for job in jobs]

    def triggerers() -> set[int | None]:
        tasks = [task for run in runs for task in stage.airflow.tasks("own_job", run)]
        return {(task["triggerer_job"] or {}).get("id") if task["state"] == "deferred" else None for task in tasks}

    stage.airflow.wait_until(lambda: None not in triggerers(), "all triggers to run", seconds=240)
    stage.airflow.wait_until(
        lambda: {job for job in jobs for path in stage.polls() if job in path or path.endswith(LISTING)} == set(jobs),
        "the jobs to be polled",
    )
    (first,) = triggerers()

    stage.airflow.freeze("triggerer")
    stage.airflow.start("triggerer", name="second-triggerer")
    stage.airflow.wait_until(lambda: not triggerers() & {first, None}, "the second to take all triggers", seconds=240)
    stage.airflow.thaw("triggerer")
    stage.airflow.wait_until(
        lambda: all(stage.said("own_job", run, CANCELLED) for run in runs), "the first to cancel all", seconds=240
    )
    states = [stage.jobs.status(job) for job in jobs]
    for job in jobs:
        stage.sandbox.control.jobs.step(job)

    assert states == ["PROCESSING"] * len(jobs)
    assert [stage.airflow.wait_for_run("own_job", run, seconds=240) for run in runs] == ["success"] * len(jobs)
    assert [job.stops for job in stage.sandbox.control.jobs.all() if job.id in jobs] == [0] * len(jobs)
    assert [task["try_number"] for run in runs for task in stage.airflow.tasks("own_job", run)] == [1] * len(jobs)


def test_killed_task_stops_its_job(stage: Stage):
    """A user marks the deferred task as failed: from Airflow 3.3 on, its job is stopped; before, it goes on."""
    job = stage.start_job()
    run = stage.airflow.trigger("own_job", {"job": job})
    stage.airflow.wait_until(lambda: stage.states("own_job", run) == ["deferred"], "the task to be deferred")
    stage.airflow.wait_until(lambda: any(job in path for path in stage.polls()[-3:]), "the job to be looked at")

    answer = stage.airflow.client.patch(
        f"/api/v2/dags/own_job/dagRuns/{run}/taskInstances/wait", json={"new_state": "failed"}
    )
    answer.raise_for_status()

    expected = "STOPPED" if HAS_ON_KILL else "PROCESSING"
    stage.airflow.wait_until(lambda: _settled(stage, job, expected), f"the job to be {expected}", seconds=60)
    (record,) = [each for each in stage.sandbox.control.jobs.all() if each.id == job]
    assert record.stops == (1 if HAS_ON_KILL else 0)


def _settled(stage: Stage, job: str, expected: str) -> Any:
    return stage.jobs.status(job) == expected

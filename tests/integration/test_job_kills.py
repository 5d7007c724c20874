"""Processes killed at each step of a job's life: one job is started, and the next attempt succeeds with it.

The process of an attempt is killed for good (SIGKILL) while one of its requests is held: before the service has it, or
when the service has acted on it and the answer is on its way. Here are those steps that matter most; all of them, with
all kinds, modes and memories, are in ``tests/system/test_all_job_kills.py``.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from job_deaths import LARGE, Deaths, hold_at
from s3_server import S3Server


@pytest.mark.parametrize(
    ("step", "when"), [("create", "after"), ("second listing", "after"), ("start", "before"), ("start", "after")]
)
def test_a_blocking_attempt_killed_at_any_step_is_followed_by_one_that_succeeds(deaths: Deaths, step: str, when: Any):
    """Without anything that is remembered: by its tag."""
    deaths.killed_at("batch", hold_at("batch", step, when), store=False, deferrable=False)

    left = deaths.begin("batch", store=False, deferrable=False).outcome()

    (job,) = deaths.started()
    assert left["result"]["id"] == job.id
    assert left["result"]["state"] == "DONE"


@pytest.mark.parametrize(("step", "when"), [("start", "after"), ("a later look", "before")])
def test_a_deferred_attempt_killed_at_any_step_is_followed_by_one_that_succeeds(deaths: Deaths, step: str, when: Any):
    """With a task state store; the later look is the triggerer's."""
    deaths.killed_at("statistics", hold_at("statistics", step, when), store=True)

    left = deaths.begin("statistics", store=True).outcome()

    (job,) = deaths.started()
    assert (left["result"]["id"], job.starts) == (job.id, 1)


def test_two_attempts_that_live_at_once_start_one_job(deaths: Deaths):
    """The first is taken for dead while it creates its job; it goes on when the second has started its own."""
    first = deaths.held_at("batch", hold_at("batch", "create", "before"), store=True)

    second = deaths.begin("batch", store=True)
    ended = second.outcome()
    deaths.let_go()
    late = first.outcome()

    (job,) = deaths.started()
    assert (job.starts, ended["result"]["id"], late["result"]["id"]) == (1, job.id, job.id)
    assert len(deaths.jobs.all()) == 2


def test_an_attempt_that_is_asked_to_end_stops_its_job(deaths: Deaths):
    """SIGTERM, as Airflow sends it; a retry starts the same job again when it has rested."""
    deaths.jobs.set_durations(analysing=0.0, processing=None, stopping=0.0, restart_after_stop=0.0)
    attempt = deaths.held_at("batch", hold_at("batch", "a later look", "after"), store=True, deferrable=False)
    attempt.kill(signal.SIGTERM)
    deaths.let_go()

    left = attempt.outcome()

    assert "killed" in left["error"]
    assert not left["is_final"]
    deaths.jobs.settle()
    (job,) = deaths.started()
    assert (job.status, job.reason) == ("STOPPED", "USER_ACTION")
    deaths.jobs.set_durations(analysing=0.0, processing=0.1, restart_after_stop=0.0)
    result = deaths.begin("batch", store=True).outcome()["result"]
    assert (result["id"], len(deaths.started())) == (job.id, 1)


def test_an_async_attempt_killed_with_the_answer_on_its_way_is_followed_by_one_that_finds_the_outputs(
    deaths: Deaths, s3_for_all: S3Server
):
    """Nobody has the job's id; its outputs are in the folder of the task, beside the note that it was sent."""
    deaths.environment["AIRFLOW_CONN_BUCKET"] = s3_for_all.connection()
    s3_for_all.empty()
    deaths.jobs.set_delivery(s3_for_all.endpoint)
    deaths.killed_at("async", hold_at("async", "create", "after"), store=False)
    deaths.jobs.settle()

    left = deaths.begin("async", store=False).outcome()

    assert left["result"]["state"] == "DONE"
    assert len(deaths.jobs.all()) == 1
    assert len(left["result"]["files"]) == 1


def give_budget(deaths: Deaths, folder: Path, units: float) -> None:
    """Let the connection spend so many PU a day."""
    connection = json.loads(deaths.environment["AIRFLOW_CONN_SENTINELHUB_DEFAULT"])
    connection["extra"] |= {"auth_cache": f"file://{folder}/shared", "processing_units_per_day": units}
    deaths.environment["AIRFLOW_CONN_SENTINELHUB_DEFAULT"] = json.dumps(connection)


@pytest.mark.parametrize(("step", "when"), [("start", "before"), ("start", "after")])
def test_retry_of_a_killed_attempt_reserves_nothing_twice(deaths: Deaths, tmp_path: Path, step: str, when: Any):
    """The process dies with what was set aside, before the service has the start or when it has acted on it."""
    give_budget(deaths, tmp_path, 150)
    deaths.killed_at("batch", hold_at("batch", step, when), store=False, deferrable=False)
    (ledger,) = (tmp_path / "shared").glob("*.budget")
    kept = json.loads(ledger.read_text())
    assert [entry[0] for entry in kept.values()] == [100, 100]  # of the day, and of the job

    left = deaths.begin("batch", store=False, deferrable=False).outcome()

    (job,) = deaths.started()
    assert left["result"]["id"] == job.id
    kept = json.loads(ledger.read_text())
    assert [(entry[0], entry[2]) for entry in kept.values()] == [(pytest.approx(job.cost), 0)]


def test_stopped_job_of_a_killed_task_is_settled_by_who_lists_jobs(deaths: Deaths, tmp_path: Path):
    """Nobody tries that task again."""
    give_budget(deaths, tmp_path, 5000)
    deaths.jobs.set_durations(analysing=0.0, processing=None, stopping=0.0)
    attempt = deaths.held_at("batch", hold_at("batch", "a later look", "after"), store=True, deferrable=False, **LARGE)
    attempt.kill(signal.SIGTERM)
    deaths.let_go()
    assert "killed" in attempt.outcome()["error"]
    deaths.jobs.settle()
    (ledger,) = (tmp_path / "shared").glob("*.budget")
    deaths.jobs.set_durations(analysing=0.0, processing=0.1)

    deaths.begin("batch", store=False, dag_id="another").outcome()

    stopped, done = sorted(deaths.jobs.all(), key=lambda job: job.status, reverse=True)
    assert (stopped.status, done.status) == ("STOPPED", "DONE")
    kept = {name: entry for name, entry in json.loads(ledger.read_text()).items() if name.startswith("day")}
    assert [(entry[0], entry[2]) for entry in kept.values()] == [(pytest.approx(stopped.cost + done.cost), 0)]

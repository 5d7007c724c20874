"""Attempts killed at every step of every kind of job, in both modes, with and without a job store."""

from __future__ import annotations

from typing import Any

import pytest
from gate import Hold
from job_deaths import PACE, PATHS, STEPS, Deaths, hold_at
from s3_server import S3Server

pytestmark = pytest.mark.system

MODES = [pytest.param(True, id="deferrable"), pytest.param(False, id="blocking")]
STORES = [pytest.param(True, id="remembers"), pytest.param(False, id="forgets")]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("deferrable", MODES)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["batch", "statistics"])
def test_one_job_is_started_whatever_step_kills(
    deaths: Deaths, kind: str, step: str, when: Any, deferrable: bool, store: bool
):
    """The next attempt ends well with that job."""
    deaths.killed_at(kind, hold_at(kind, step, when), store=store, deferrable=deferrable)

    left = deaths.begin(kind, store=store, deferrable=deferrable).outcome()

    (job,) = deaths.started()
    assert (left["result"]["id"], left["result"]["state"]) == (job.id, "DONE")


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("create", "first listing"),
        ("create", "start"),
        ("create", "first look"),
        ("second listing", "first listing"),
        ("second listing", "start"),
        ("start", "first look"),
    ],
)
def test_two_deaths_in_a_row(deaths: Deaths, first: str, second: str, store: bool):
    """The retry dies as well."""
    deaths.jobs.set_durations(**{**PACE, "processing": 2.0})
    for step in (first, second):
        deaths.killed_at("batch", hold_at("batch", step, "after"), store=store, deferrable=False)

    left = deaths.begin("batch", store=store, deferrable=False).outcome()

    (job,) = deaths.started()
    assert left["result"]["id"] == job.id


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("deferrable", MODES)
@pytest.mark.parametrize(("step", "when"), [("create", "after"), ("first look", "before"), ("first look", "after")])
def test_one_async_job_is_sent_whatever_step_kills(
    deaths: Deaths, s3_for_all: S3Server, step: str, when: Any, deferrable: bool, store: bool
):
    """Found by its id where that was kept, else by its outputs."""
    deaths.environment["AIRFLOW_CONN_BUCKET"] = s3_for_all.connection()
    s3_for_all.empty()
    deaths.jobs.set_delivery(s3_for_all.endpoint)
    deaths.killed_at("async", hold_at("async", step, when), store=store, deferrable=deferrable)
    deaths.jobs.settle()

    left = deaths.begin("async", store=store).outcome()

    assert left["result"]["state"] == "DONE"
    assert len(deaths.jobs.all()) == 1


@pytest.mark.parametrize("store", STORES)
def test_an_async_job_that_died_before_it_was_sent_is_not_sent_again(deaths: Deaths, s3_for_all: S3Server, store: bool):
    """Nobody can know: the task fails for good, and says so; told to take the risk, it sends."""
    deaths.environment["AIRFLOW_CONN_BUCKET"] = s3_for_all.connection()
    s3_for_all.empty()
    deaths.jobs.set_delivery(s3_for_all.endpoint)
    deaths.killed_at("async", Hold("POST", f"^{PATHS['async']}$", "before"), store=store)

    left = deaths.begin("async", store=store).outcome()
    assert left["is_final"]
    assert "may have been sent" in left["error"]
    assert deaths.jobs.all() == []

    left = deaths.begin("async", store=store, if_unclear="resend").outcome()
    assert left["result"]["state"] == "DONE"
    assert len(deaths.jobs.all()) == 1

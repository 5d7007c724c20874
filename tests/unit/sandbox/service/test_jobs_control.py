"""InjectedFailures of jobs on demand, accounts that run out, and the record of what was made and started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import requests
from job_requests import Jobs, async_request, batch_request, lasting_jobs, statistical_request

from sentinelhub_provider.sandbox.apis.jobs.rules import Durations, InjectedFailure
from sentinelhub_provider.sandbox.apis.jobs.store import JobStore
from sentinelhub_provider.sandbox.server import SandboxServer
from tests.unit.sandbox.service.conftest import FakeClock

CONTROL = "/sandbox/control"


@pytest.fixture
def jobs(server: SandboxServer, new_token: Callable[..., str]) -> Jobs:
    """Calls of Batch Process."""
    return lasting_jobs(server, new_token, analysing=0, processing=100, stopping=0)


def control(server: SandboxServer, method: str, path: str, body: object = None) -> requests.Response:
    """Call the control surface."""
    return requests.request(method, f"{server.url}{CONTROL}{path}", json=body, timeout=70)


def test_a_job_fails_on_demand(jobs: Jobs, clock: FakeClock) -> None:
    """At 40 per cent, with the cause; the next job is not affected."""
    jobs.server.control.jobs.inject(kind="fail", at=40, cause="Storage is full")
    first, second = jobs.create(batch_request()), jobs.create(batch_request())
    jobs.act(first, "start")
    clock.advance(39)
    assert jobs.status(first) == "PROCESSING"
    clock.advance(1)
    shown = jobs.get(first)
    assert (shown["status"], shown["error"], shown["completionPercentage"]) == ("FAILED", "Storage is full", 40)
    jobs.act(second, "start")
    clock.advance(100)
    assert jobs.status(second) == "DONE"
    assert jobs.server.control.jobs.injected() == []


def test_a_job_runs_out_of_units_on_demand(jobs: Jobs, clock: FakeClock) -> None:
    """STOPPED for OUT_OF_PU; started again it goes on to its end."""
    job = jobs.create(batch_request())
    jobs.server.control.jobs.inject(kind="stop", at=70, reason="OUT_OF_PU", job=job)
    jobs.act(job, "start")
    clock.advance(500)
    shown = jobs.get(job)
    assert (shown["status"], shown["stoppedStatusReason"]) == ("STOPPED", "OUT_OF_PU")
    assert shown["completionPercentage"] == 70
    jobs.act(job, "start")
    clock.advance(30)
    assert jobs.status(job) == "DONE"


def test_plants_are_for_one_job_or_for_many(jobs: Jobs, clock: FakeClock) -> None:
    """``job`` names the only one, ``times`` says how many."""
    made = [jobs.create(batch_request()) for _ in range(3)]
    jobs.server.control.jobs.inject(kind="stop", reason="UNHEALTHY", at=10, job=made[1])
    jobs.server.control.jobs.inject(kind="fail", at=20, times=None)
    for job in made:
        jobs.act(job, "start")
    clock.advance(50)
    assert [jobs.status(job) for job in made] == ["FAILED", "STOPPED", "FAILED"]
    assert [plant.kind for plant in jobs.server.control.jobs.injected()] == ["fail"]


def test_single_features_fail_on_demand(jobs: Jobs, clock: FakeClock) -> None:
    """By share and by name; the job is DONE all the same, and charged for the others only."""
    control = jobs.server.control.jobs
    control.set_simulated_features(10)
    control.inject(kind="features", names="feature-*", share=0.3, cause="Clouds")
    job = jobs.create(batch_request(input={"type": "geopackage", "features": {"s3": {"url": "s3://bucket/x.gpkg"}}}))
    jobs.act(job, "start")
    clock.advance(100)
    assert jobs.status(job) == "DONE"
    (record,) = control.all()
    assert record.features == {"DONE": 7, "FATAL": 3}
    parts = JobStore.of(jobs.server.sandbox).everything()[0].parts or []
    assert [part.name for part in parts if part.error == "Clouds"] == ["feature-4", "feature-7", "feature-10"]


def test_an_account_runs_out(jobs: Jobs, clock: FakeClock) -> None:
    """Batch Process stops when nothing is left, and is not created below 1,000 PU."""
    control, owner = jobs.server.control.jobs, jobs.server.client_id
    control.set_balance(owner, 1000)
    job = jobs.create(batch_request())
    control.set_balance(owner, 60)
    jobs.act(job, "start")
    clock.advance(60)  # the first of two tiles: the minimum of 100 PU is charged
    shown = jobs.get(job)
    assert (shown["status"], shown["stoppedStatusReason"]) == ("STOPPED", "OUT_OF_PU")
    assert shown["costPU"] == 100
    assert control.balance(owner) == -40
    refusal = jobs.call("POST", body=batch_request())
    assert refusal.status_code == 403
    assert refusal.json()["error"]["code"] == "ACCESS_INSUFFICIENT_PROCESSING_UNITS"
    assert jobs.server.control.counters().processing_units == 100


def test_batch_statistical_keeps_a_reserve(jobs: Jobs, clock: FakeClock) -> None:
    """It stops below 1,000 PU, is not started there, and for an hour not at all."""
    jobs = replace(jobs, prefix="/statistics/batch/v1")
    control, owner = jobs.server.control.jobs, jobs.server.client_id
    control.set_durations(analysing=0, processing=100)
    control.set_balance(owner, 1050)
    job = jobs.create(statistical_request())
    jobs.act(job, "start")
    clock.advance(50)
    shown = jobs.get(job)
    assert (shown["status"], shown["stoppedStatusReason"], shown["costPu"]) == ("STOPPED", "OUT_OF_PU", 100)
    jobs.act(job, "start", status=403)
    control.set_balance(owner, 5000)
    clock.advance(3550)
    jobs.act(job, "start", status=400)
    clock.advance(10)
    jobs.act(job, "start")
    clock.advance(100)
    assert jobs.status(job) == "DONE"


def test_a_deleted_job_is_gone_for_its_client_only(jobs: Jobs) -> None:
    """404 from now on; the record keeps it."""
    job = jobs.create(batch_request())
    jobs.act(job, "start")
    assert control(jobs.server, "DELETE", f"/jobs/{job}").status_code == 204
    assert jobs.call("GET", f"/{job}").status_code == 404
    jobs.act(job, "stop", status=404)
    (record,) = control(jobs.server, "GET", "/jobs").json()
    assert (record["id"], record["deleted"], record["starts"]) == (job, True, 1)
    assert control(jobs.server, "DELETE", f"/jobs/{job}").status_code == 404


@pytest.mark.parametrize("action", ["", "/start"], ids=["create", "start"])
def test_an_answer_that_is_lost_has_taken_effect(jobs: Jobs, action: str) -> None:
    """The fault ``lose_answer``: the client sees a broken connection, the job is there, or started."""
    job = jobs.create(batch_request()) if action else None
    path = f"/{job}{action}" if job else ""
    jobs.server.control.add_fault(path=f"/batch/v2/process{path}", method="POST", action={"kind": "lose_answer"})
    with pytest.raises(requests.ConnectionError):
        jobs.call("POST", path, batch_request() if job is None else None)
    (record,) = jobs.server.control.jobs.all("batch-process")
    assert record.starts == (1 if action else 0)
    assert (record.description, record.delivery) == ("two tiles", "s3://bucket/out")
    assert jobs.server.control.requests()[-1].status is None


def test_the_record_counts_every_start(jobs: Jobs, clock: FakeClock) -> None:
    """Starts, stops and analyses that were taken; refused ones are not."""
    jobs.server.control.jobs.set_durations(analysing=0, processing=100, stopping=0, restart_after_stop=10)
    job = jobs.create(batch_request())
    jobs.act(job, "analyse")
    jobs.act(job, "start")
    jobs.act(job, "start", status=400)
    jobs.act(job, "stop")
    clock.advance(10)
    jobs.act(job, "start")
    (record,) = control(jobs.server, "GET", "/jobs?kind=batch-process").json()
    assert (record["analyses"], record["starts"], record["stops"]) == (1, 2, 1)
    assert control(jobs.server, "GET", "/jobs?kind=async-process").json() == []


def test_pace_troubles_and_options_by_http(jobs: Jobs) -> None:
    """The control surface does what the Python methods do."""
    server = jobs.server
    pace = control(server, "PUT", "/jobs/pace", {"analysing": None, "processing": 7}).json()
    assert (pace["analysing"], pace["processing"], pace["stopping"]) == (None, 7, 0.5)
    job = jobs.create(batch_request())
    jobs.act(job, "analyse")
    assert control(server, "POST", "/jobs/step", {"job": job}).json() == {"moved": 1}
    assert jobs.status(job) == "ANALYSIS_DONE"
    assert control(server, "POST", "/jobs/step").json() == {"moved": 0}
    assert control(server, "POST", "/job-failures", {"kind": "fail", "at": 5}).status_code == 201
    (planned,) = control(server, "GET", "/job-failures").json()
    assert (planned["kind"], planned["at"], planned["times"]) == ("fail", 5, 1)
    assert control(server, "DELETE", "/job-failures").status_code == 204
    assert control(server, "GET", "/job-failures").json() == []
    assert control(server, "PUT", "/jobs/options", {"concurrent": 0}).status_code == 200
    assert replace(jobs, prefix="/async/v1/process").call("POST", body=async_request()).status_code == 429
    assert control(server, "PUT", "/jobs/accounts/x", {"processing_units": 5}).json()["processing_units"] == 5
    assert control(server, "GET", "/jobs/accounts/x").json()["processing_units"] == 5
    assert control(server, "POST", "/jobs/settle").json() == {"settled": True}
    assert control(server, "PUT", "/jobs/delivery", {"where": "/no/such/folder"}).status_code == 400
    assert control(server, "PUT", "/jobs/pace", {"processing": -1}).status_code == 400


def test_a_reset_forgets_jobs_and_failures(jobs: Jobs) -> None:
    """As after the start."""
    jobs.create(batch_request())
    jobs.server.control.jobs.inject(kind="fail")
    jobs.server.control.jobs.set_balance("x", 1)
    jobs.server.control.reset()
    assert jobs.server.control.jobs.all() == []
    assert jobs.server.control.jobs.injected() == []
    assert jobs.server.control.jobs.balance("x") is None
    assert JobStore.of(jobs.server.sandbox).durations == Durations()


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "explode"},
        {"kind": "stop", "reason": "BOREDOM"},
        {"kind": "fail", "at": 101},
        {"kind": "features", "share": 0},
        {"kind": "fail", "times": 0},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_troubles_that_cannot_be(fields: dict[str, object]) -> None:
    """The error names the field."""
    with pytest.raises(ValueError, match=list(fields)[-1]):
        InjectedFailure(id=1, **fields)  # type: ignore[arg-type]


def test_a_pace_cannot_be_negative() -> None:
    """The error names the field."""
    with pytest.raises(ValueError, match="processing"):
        Durations(processing=-1)


def test_a_client_without_permission(server: SandboxServer, new_token: object) -> None:
    """Each of the APIs has a permission of its own."""
    assert callable(new_token)
    server.control.add_client("reader", "reader-secret", permissions=["process"])
    headers = {"Authorization": f"Bearer {new_token('reader', 'reader-secret')}"}
    for path in ("/batch/v2/process", "/statistics/batch/v1", "/batch/v2/tilinggrids"):
        assert requests.get(f"{server.url}{path}", headers=headers, timeout=60).status_code == 403
    assert requests.post(f"{server.url}/async/v1/process", json={}, headers=headers, timeout=60).status_code == 403

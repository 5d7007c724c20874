"""Batch Process jobs over a socket by a clock that is moved by hand: states, actions, times, what may not be."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from job_requests import SECRET, Jobs, batch_request, lasting_jobs

from sentinelhub_provider.sandbox.apis.jobs.store import JobStore
from sentinelhub_provider.sandbox.server import SandboxServer
from tests.unit.sandbox.service.conftest import FakeClock

UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def jobs(server: SandboxServer, new_token: Callable[..., str]) -> Jobs:
    """Calls of Batch Process."""
    return lasting_jobs(server, new_token, analysing=10, processing=100, stopping=5)


@pytest.fixture
def job(jobs: Jobs) -> str:
    """A job that was created just now."""
    return jobs.create(batch_request())


def seen(jobs: Jobs, job: str) -> tuple[str, int]:
    """Return status and per cent."""
    shown = jobs.get(job)
    return shown["status"], shown["completionPercentage"]


def test_a_new_job_waits(jobs: Jobs, job: str, clock: FakeClock) -> None:
    """CREATED, no user action, no cost; time does not change it."""
    clock.advance(3600)
    shown = jobs.get(job)
    assert shown["status"] == "CREATED"
    assert shown["userAction"] == "NONE"
    assert shown["request"]["description"] == "two tiles"
    assert "costPU" not in shown
    assert "userActionUpdated" not in shown


def test_analysis_then_start(jobs: Jobs, job: str, clock: FakeClock) -> None:
    """CREATED, ANALYSING, ANALYSIS_DONE, PROCESSING, DONE, each when its time has come."""
    jobs.act(job, "analyse")
    assert seen(jobs, job) == ("ANALYSING", 0)
    clock.advance(9)
    assert seen(jobs, job) == ("ANALYSING", 0)
    clock.advance(1)
    assert seen(jobs, job) == ("ANALYSIS_DONE", 0)
    clock.advance(1000)
    jobs.act(job, "start")
    clock.advance(40)
    assert seen(jobs, job) == ("PROCESSING", 40)
    clock.advance(60)
    assert seen(jobs, job) == ("DONE", 100)


def test_start_analyses_first(jobs: Jobs, job: str, clock: FakeClock) -> None:
    """A job that was not analysed is, and goes on by itself; its user action stays START."""
    jobs.act(job, "start")
    assert jobs.status(job) == "ANALYSING"
    clock.advance(10)
    assert jobs.status(job) == "PROCESSING"
    clock.advance(100)
    shown = jobs.get(job)
    assert (shown["status"], shown["userAction"], shown["costPU"]) == ("DONE", "START", 100)


def test_times_are_those_of_the_changes(jobs: Jobs, job: str, clock: FakeClock) -> None:
    """``lastUpdated`` is when a job changed, not when somebody looked."""
    created = jobs.get(job)["created"]
    jobs.act(job, "start")
    clock.advance(100_000)
    shown = jobs.get(job)
    assert shown["created"] == created == "2025-06-15T15:06:40.250Z"
    assert shown["userActionUpdated"] == created
    assert shown["lastUpdated"] == "2025-06-15T15:08:30.250Z"


def test_a_stop_takes_effect_late(jobs: Jobs, job: str, clock: FakeClock) -> None:
    """The action is noted at once, the status follows; what was done is kept and gone on from."""
    jobs.act(job, "start")
    clock.advance(60)
    jobs.act(job, "stop")
    shown = jobs.get(job)
    assert (shown["status"], shown["userAction"]) == ("PROCESSING", "STOP")
    clock.advance(5)
    shown = jobs.get(job)
    assert (shown["status"], shown["stoppedStatusReason"]) == ("STOPPED", "USER_ACTION")
    assert shown["completionPercentage"] == 55
    clock.advance(1800)
    jobs.act(job, "start")
    assert seen(jobs, job) == ("PROCESSING", 55)
    clock.advance(45)
    assert seen(jobs, job) == ("DONE", 100)


def test_no_restart_for_half_an_hour_after_a_users_stop(jobs: Jobs, job: str, clock: FakeClock) -> None:
    """400 until 30 minutes after the stop was asked for."""
    jobs.act(job, "start")
    clock.advance(20)
    jobs.act(job, "stop")
    clock.advance(1799)
    refusal = jobs.act(job, "start", status=400).json()["error"]
    assert "cannot be restarted" in refusal["message"]
    assert jobs.status(job) == "STOPPED"
    clock.advance(1)
    jobs.act(job, "start")


def test_an_analysis_is_finished_before_a_stop(jobs: Jobs, job: str, clock: FakeClock) -> None:
    """A stop while ANALYSING lets the analysis complete, then the job is stopped instead of started."""
    jobs.act(job, "start")
    jobs.act(job, "stop")
    clock.advance(9)
    assert jobs.status(job) == "ANALYSING"
    clock.advance(1)
    assert jobs.status(job) == "STOPPED"


def test_an_analysed_job_can_be_stopped(jobs: Jobs, job: str, clock: FakeClock) -> None:
    """ANALYSIS_DONE, STOP, STOPPED."""
    jobs.act(job, "analyse")
    clock.advance(10)
    jobs.act(job, "stop")
    assert jobs.status(job) == "ANALYSIS_DONE"
    clock.advance(5)
    assert jobs.status(job) == "STOPPED"


@pytest.mark.parametrize(
    ("before", "action"),
    [
        ([], "stop"),
        (["analyse"], "analyse"),
        (["analyse"], "start"),
        (["start"], "start"),
        (["start", 200], "start"),
        (["start", 200], "analyse"),
        (["start", 200], "stop"),
        (["start", 20], "analyse"),
        (["start", 20], "start"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, list) else value,
)
def test_what_a_state_does_not_allow(
    jobs: Jobs, job: str, clock: FakeClock, before: list[str | int], action: str
) -> None:
    """400 that names the state, and nothing changes."""
    for each in before:
        if isinstance(each, str):
            jobs.act(job, each)
        else:
            clock.advance(each)
    found = jobs.get(job)
    refusal = jobs.act(job, action, status=400).json()["error"]
    assert found["status"] in refusal["message"]
    assert jobs.get(job) == found


def test_a_start_may_take_a_while(jobs: Jobs, job: str, clock: FakeClock) -> None:
    """With ``starting`` the action is there before the status is."""
    jobs.server.control.jobs.set_durations(analysing=0, processing=10, starting=3)
    jobs.act(job, "start")
    shown = jobs.get(job)
    assert (shown["status"], shown["userAction"]) == ("CREATED", "START")
    clock.advance(3)
    assert jobs.status(job) == "PROCESSING"


def test_what_never_ends_by_itself_is_stepped(jobs: Jobs, job: str, clock: FakeClock) -> None:
    """``None`` in the pace waits for a step, which moves on by one state."""
    control = jobs.server.control.jobs
    control.set_durations(analysing=None, processing=None)
    jobs.act(job, "start")
    clock.advance(1e6)
    assert jobs.status(job) == "ANALYSING"
    assert control.step() == 1
    clock.advance(1e6)
    assert jobs.status(job) == "PROCESSING"
    assert control.step(job) == 1
    assert jobs.status(job) == "DONE"
    assert control.step() == 0


def test_an_evalscript_is_read_in_the_analysis_only(jobs: Jobs, clock: FakeClock) -> None:
    """A request with a bad evalscript is taken, and fails when it is analysed, with the reason."""
    request = batch_request()
    request["processRequest"]["evalscript"] = (
        "//VERSION=3\nfunction setup() { return oops }\nfunction evaluatePixel(s) { return [1] }"
    )
    job = jobs.create(request)
    jobs.act(job, "start")
    clock.advance(10)
    shown = jobs.get(job)
    assert shown["status"] == "FAILED"
    assert "oops" in shown["error"]
    assert "costPU" not in shown


def test_a_job_over_nothing_fails(jobs: Jobs, clock: FakeClock) -> None:
    """An area that no tile meets: Europe's grid over the Amazon."""
    request = batch_request(input={"type": "tiling-grid", "id": 6, "resolution": 100.0})
    request["processRequest"]["input"]["bounds"] = {"bbox": [-60, -3, -59, -2]}
    job = jobs.create(request)
    jobs.act(job, "start")
    clock.advance(10)
    assert "nothing to process" in jobs.get(job)["error"]


@pytest.mark.parametrize(
    ("actions", "days"), [([], 7), (["fail"], 15), (["start"], 30)], ids=["created", "failed", "done"]
)
def test_idle_jobs_disappear(jobs: Jobs, job: str, clock: FakeClock, actions: list[str], days: int) -> None:
    """A job that nobody touched for so many days answers 404 and is in no list."""
    if actions:
        if actions == ["fail"]:
            jobs.server.control.jobs.inject(kind="fail", at=50)
        jobs.act(job, "start")
        clock.advance(110)
        jobs.get(job)
    ended = jobs.server.control.jobs.all()[0].updated
    clock.now = ended + days * 86_400
    assert jobs.call("GET", f"/{job}").status_code == 200
    clock.advance(1)
    assert jobs.call("GET", f"/{job}").status_code == 404
    assert jobs.call("GET").json()["data"] == []
    assert jobs.server.control.jobs.all()[0].deleted


def test_descriptions_can_be_changed_while_idle(jobs: Jobs, job: str, clock: FakeClock) -> None:
    """200 with the request, 409 while it is worked on, 400 for anything else than a description."""
    answer = jobs.call("PUT", f"/{job}", {"description": "other"})
    assert answer.status_code == 200
    assert answer.json()["description"] == "other"
    assert jobs.get(job)["request"]["description"] == "other"
    assert jobs.call("PUT", f"/{job}", {}).json()["description"] == "other"
    assert jobs.call("PUT", f"/{job}", {"description": 3}).status_code == 400
    assert jobs.call("PUT", f"/{job}", {"input": {}}).status_code == 400
    jobs.act(job, "start")
    assert jobs.call("PUT", f"/{job}", {"description": "late"}).status_code == 409
    clock.advance(110)
    assert jobs.call("PUT", f"/{job}", {"description": "done"}).status_code == 200


def test_a_job_belongs_to_its_client(
    jobs: Jobs, job: str, server: SandboxServer, new_token: Callable[..., str]
) -> None:
    """Others get 404 for whatever they try, and an empty list."""
    server.control.add_client("other", "other-secret")
    stranger = Jobs(server, {"Authorization": f"Bearer {new_token('other', 'other-secret')}"})
    assert stranger.call("GET", f"/{job}").status_code == 404
    assert stranger.call("PUT", f"/{job}", {"description": "mine"}).status_code == 404
    for action in ("analyse", "start", "stop"):
        stranger.act(job, action, status=404)
    assert stranger.call("GET").json()["data"] == []
    assert stranger.call("GET", f"/{UNKNOWN}").status_code == 404


def test_pages_lead_to_all_jobs(jobs: Jobs) -> None:
    """``count`` and ``viewtoken`` give each job once, links lead on and back."""
    made = [jobs.create(batch_request(description=str(number))) for number in range(5)]
    found: list[str] = []
    params: dict[str, Any] = {"count": 2}
    while True:
        page = jobs.call("GET", **params).json()
        found += [job["id"] for job in page["data"]]
        if "nextToken" not in page["links"]:
            break
        assert "/batch/v2/process?" in page["links"]["next"]
        params["viewtoken"] = page["links"]["nextToken"]
    assert found == made
    assert len(jobs.call("GET").json()["data"]) == 5
    assert jobs.call("GET", count=101).status_code == 400
    assert jobs.call("GET", viewtoken="nonsense").status_code == 400


def test_lists_are_sorted(jobs: Jobs, clock: FakeClock) -> None:
    """By creation or status, either way."""
    first = jobs.create(batch_request())
    clock.advance(1)
    second = jobs.create(batch_request())
    jobs.act(second, "analyse")
    clock.advance(10)

    def ids(sort: str) -> list[str]:
        return [job["id"] for job in jobs.call("GET", sort=sort).json()["data"]]

    assert ids("created") == [first, second]
    assert ids("created:desc") == [second, first]
    assert ids("status") == [second, first]  # ANALYSIS_DONE, CREATED
    assert ids("status:desc") == [first, second]
    assert jobs.call("GET", sort="name").status_code == 400


def test_no_answer_shows_credentials(jobs: Jobs, job: str) -> None:
    """Neither the task nor the list nor an error repeats the keys of the bucket; exchanges that are kept hide them."""
    jobs.server.control.record_exchanges()
    body = batch_request(input={"type": "tiling-grid", "id": 99, "resolution": 60})
    answers = [jobs.call("POST", body=batch_request()), jobs.call("POST", body=body), jobs.call("GET", f"/{job}")]
    answers.append(jobs.call("GET"))
    answers.append(jobs.call("PUT", f"/{job}", {"description": "x"}))
    assert [answer.status_code for answer in answers] == [201, 400, 200, 200, 200]
    for answer in answers:
        assert SECRET not in answer.text
        assert "AKIA" not in answer.text
    kept = jobs.server.control.exchanges()
    assert len(kept) == 5
    for exchange in kept:
        assert SECRET.encode() not in exchange.request_body
    assert b'"secretAccessKey": "(hidden)"' in kept[0].request_body
    assert SECRET not in str(jobs.server.control.jobs.all())
    assert SECRET not in repr(JobStore.of(jobs.server.sandbox).everything())


def test_a_thousand_jobs_are_listed_quickly(jobs: Jobs) -> None:
    """A page of 100 out of 1,000 running jobs: well under the time of a poll."""
    from sentinelhub_provider.sandbox.apis.batch.handlers import create

    sandbox = jobs.server.sandbox
    for _ in range(1000):
        JobStore.of(sandbox).act(create(sandbox, jobs.server.client_id, batch_request()), "START")
    jobs.call("GET", count=100)
    token, found, seconds = None, 0, []
    for _ in range(10):
        params = {"count": 100} if token is None else {"count": 100, "viewtoken": token}
        begun = time.process_time()
        page = jobs.call("GET", **params).json()
        seconds.append(time.process_time() - begun)
        found, token = found + len(page["data"]), page["links"].get("nextToken")
    assert found == 1000
    # About 10 ms of processor time, whatever else the machine is busy with.
    assert min(seconds) < 0.1

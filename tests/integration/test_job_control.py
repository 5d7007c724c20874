"""Operators that list, analyse and cancel jobs, against the sandbox."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from job_requests import Jobs, batch_request
from task_instance import TaskInstance

from sentinelhub_provider.operators.job_control import (
    SentinelHubAnalyseJobOperator,
    SentinelHubCancelJobOperator,
    SentinelHubListJobsOperator,
)

BATCH = "batch-process"


@pytest.fixture(name="jobs")
def fixture_jobs(sentinelhub_sandbox, connect) -> Jobs:
    """Calls of Batch Process, whose jobs stand still once they are started."""
    token = connect().get_token()
    sentinelhub_sandbox.control.jobs.set_durations(analysing=0, processing=None, stopping=0)
    sentinelhub_sandbox.control.jobs.set_rasters(False)
    return Jobs(sentinelhub_sandbox, {"Authorization": f"Bearer {token}"})


def execute(operator: type, **arguments: Any) -> Any:
    """Execute an operator as a task would."""
    context: Any = {"ti": TaskInstance()}
    return operator(task_id="t", kind=arguments.pop("kind", BATCH), **arguments).execute(context)


def test_jobs_are_listed_newest_first(jobs: Jobs):
    """As many as are wanted, in the states that are wanted."""
    made = [jobs.create(batch_request(description=f"job {number}")) for number in range(3)]
    jobs.act(made[1], "start")
    listed = execute(SentinelHubListJobsOperator)
    assert {job["id"] for job in listed} == set(made)
    assert [job["created"] for job in listed] == sorted((job["created"] for job in listed), reverse=True)
    assert {(job["kind"], job["state"]) for job in listed} == {(BATCH, "CREATED"), (BATCH, "PROCESSING")}
    assert len(execute(SentinelHubListJobsOperator, limit="2")) == 2
    for states in (["PROCESSING"], "processing", '["processing", "DONE"]'):
        assert [job["id"] for job in execute(SentinelHubListJobsOperator, states=states)] == [made[1]]


def test_listing_follows_pages(jobs: Jobs):
    """A hundred jobs to each."""
    for _ in range(103):
        jobs.create(batch_request())
    assert len(execute(SentinelHubListJobsOperator, limit=1000)) == 103
    assert len(execute(SentinelHubListJobsOperator)) == 100


@pytest.mark.parametrize(
    ("operator", "action", "told", "not_told"),
    [
        (SentinelHubCancelJobOperator, "stop", "STOPPED", "CREATED"),
        (SentinelHubAnalyseJobOperator, "analyse", "ANALYSIS_DONE", "PROCESSING"),
    ],
)
def test_job_is_told_once(jobs: Jobs, sentinelhub_sandbox, operator: type, action: str, told: str, not_told: str):
    """One that has done so, or cannot any more, is left alone."""
    waiting, running = jobs.create(batch_request()), jobs.create(batch_request())
    jobs.act(running, "start")
    job, other = (running, waiting) if action == "stop" else (waiting, running)
    for _ in range(2):
        assert execute(operator, job_id=job)["state"] == told
    assert execute(operator, job_id=other)["state"] == not_told
    assert sum(one.path.endswith(f"/{action}") for one in sentinelhub_sandbox.control.requests()) == 1


@pytest.mark.parametrize("operator", [SentinelHubCancelJobOperator, SentinelHubAnalyseJobOperator])
def test_answer_that_is_lost_took_effect(jobs: Jobs, sentinelhub_sandbox, operator: type):
    """The job's status tells; nothing is told twice."""
    job = jobs.create(batch_request())
    if operator is SentinelHubCancelJobOperator:
        jobs.act(job, "start")
    action = "stop" if operator is SentinelHubCancelJobOperator else "analyse"
    sentinelhub_sandbox.control.add_fault(path=f"*/{action}", action={"kind": "lose_answer"})
    assert execute(operator, job_id=job)["state"] in ("STOPPED", "ANALYSIS_DONE")


@pytest.mark.parametrize(
    ("operator", "arguments", "said"),
    [
        (SentinelHubListJobsOperator, {"kind": "async-process"}, "whose jobs cannot be listed"),
        (SentinelHubListJobsOperator, {"kind": "batch"}, "kind is 'batch'. Give one of"),
        (SentinelHubListJobsOperator, {"states": ["OVER"]}, "states: 'OVER' is not a valid JobState"),
        (SentinelHubListJobsOperator, {"states": 5}, "states: '5' is not a valid JobState"),
        (SentinelHubListJobsOperator, {"limit": "many"}, "limit"),
        (SentinelHubCancelJobOperator, {"job_id": ""}, "job_id is ''"),
        (SentinelHubCancelJobOperator, {"job_id": "00000000-0000-4000-8000-000000000000"}, "not known to the service"),
        (SentinelHubAnalyseJobOperator, {"job_id": "00000000-0000-4000-8000-000000000000"}, "not known to the service"),
    ],
)
def test_what_cannot_be_is_refused(connect, operator: type, arguments: dict[str, Any], said: str):
    """By the argument's name."""
    connect()
    with pytest.raises(AirflowFailException, match=said):
        execute(operator, **arguments)

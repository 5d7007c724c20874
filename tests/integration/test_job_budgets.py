"""Jobs within budgets, against the sandbox: set aside before they are paid for, once, and settled by what they cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from clocks import FakeClock
from job_deaths import ARGUMENTS, LARGE, ROLE
from job_tasks import StateStore, Task

from sentinelhub_provider.exceptions import SentinelHubBudgetError, SentinelHubRateLimitError
from sentinelhub_provider.hooks import sharing
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.operators.async_process import SentinelHubAsyncProcessOperator
from sentinelhub_provider.operators.batch import SentinelHubBatchProcessOperator
from sentinelhub_provider.operators.batch_statistics import SentinelHubBatchStatisticsOperator
from sentinelhub_provider.operators.http import SentinelHubHttpOperator
from sentinelhub_provider.operators.job_control import SentinelHubCancelJobOperator, SentinelHubListJobsOperator
from sentinelhub_provider.sensors.job import SentinelHubJobSensor
from sentinelhub_provider.transport.budget import SpendingLimits
from sentinelhub_provider.transport.session import SentinelHubSession
from sentinelhub_provider.transport.state_stores import FileStateStore

OPERATORS = {
    "batch": SentinelHubBatchProcessOperator,
    "statistics": SentinelHubBatchStatisticsOperator,
    "async": SentinelHubAsyncProcessOperator,
}
PACE = {"analysing": 0.05, "processing": 0.1, "stopping": 0.0, "restart_after_stop": 0.0}


@pytest.fixture(name="jobs")
def fixture_jobs(sentinelhub_sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Control over the sandbox's jobs, which are quick."""
    monkeypatch.setattr("sentinelhub_provider.api.jobs.lifecycle.SHORTEST_CHECK", timedelta(seconds=0.05))
    for module in ("lifecycle", "async_lifecycle"):
        monkeypatch.setattr(f"sentinelhub_provider.api.jobs.{module}.UNKNOWN_AT_FIRST", timedelta(0))
    monkeypatch.setattr("sentinelhub_provider.api.jobs.lifecycle.LISTING_DELAY", timedelta(seconds=0.01))
    jobs = sentinelhub_sandbox.control.jobs
    jobs.set_durations(**PACE)
    jobs.set_rasters(False)
    return jobs


@pytest.fixture(name="budgeted")
def fixture_budgeted(connect: Callable[..., SentinelHubHook], jobs: Any, tmp_path: Path) -> Any:
    """Give the connection a budget in a file."""

    def budgeted(**extra: Any) -> SentinelHubHook:
        assert jobs
        return connect(extra={"auth_cache": f"file://{tmp_path}/shared", **extra})

    return budgeted


def task(kind: str = "batch", **changes: Any) -> Task:
    """Return a task of a kind, whose bucket nobody looks into."""
    given = {"poll_interval": 0.05, **ARGUMENTS[kind], "delivery_role_arn": ROLE, "check_features": False, **changes}
    return Task(OPERATORS[kind], **{"store": StateStore(), **given, "delivery_conn_id": None})


def standing(hook: SentinelHubHook) -> tuple[float, float]:
    """Return what was spent and is reserved in the first budget."""
    first = hook.budgets()[0]
    return first.spent, first.reserved


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "blocking"])
def test_job_is_reserved_while_it_runs_and_costs_what_it_did_cost(
    budgeted, jobs, sentinelhub_sandbox, deferrable: bool
):
    """Also where it is waited for in the triggerer."""
    hook = budgeted(processing_units_per_day=5000)
    one = task(**LARGE, deferrable=deferrable, wait_for_completion=False)
    jobs.set_durations(**{**PACE, "processing": None})
    one.attempt()
    estimate = one.instance.xcom["estimated_processing_units"]
    assert standing(hook) == (0, pytest.approx(estimate))

    jobs.set_durations(**PACE)
    while jobs.step():
        pass
    again = task(**LARGE, deferrable=deferrable, store=one.store)
    result = again.attempt()

    (job,) = jobs.all()
    assert (result["id"], job.starts) == (job.id, 1)
    assert job.cost != pytest.approx(estimate, rel=0.01)
    assert standing(hook) == (pytest.approx(job.cost), 0)
    assert sentinelhub_sandbox.control.counters().processing_units == pytest.approx(job.cost)


@pytest.mark.parametrize("kind", OPERATORS)
def test_jobs_over_the_budget_are_not_started(budgeted, jobs, kind: str):
    """Exactly as many as it has room for; an Async Process job costs what was expected, as its API does not say."""
    one_costs = 10 if kind == "async" else 100
    budgeted(processing_units_per_day=2 * one_costs)
    for number in range(2):
        task(kind, dag_id=f"dag-{number}").attempt()
    with pytest.raises(AirflowFailException, match=r"budget of \d+ PU for the day .* has 0 PU left"):
        task(kind, dag_id="dag-2").attempt()
    assert len([job for job in jobs.all() if job.starts]) == 2


def test_jobs_of_a_dag_run_share_its_budget(budgeted, jobs):
    """As its requests do; 150 PU leave no room for a second job of 100."""
    budgeted()
    task(dag_run_budget="150").attempt()
    with pytest.raises(AirflowFailException, match=r"DAG run dag scheduled__2026-01-05 has 50 PU left"):
        task(dag_run_budget=150, task_id="other").attempt()
    task(dag_run_budget=150, dag_id="other").attempt()
    assert len(jobs.all()) == 2


def test_job_that_is_created_and_then_over_the_budget_is_not_started(budgeted, jobs, sentinelhub_sandbox):
    """Another task was quicker; the message says so, and the retry starts the same job when there is room."""
    hook = budgeted(processing_units_per_day=150)
    one = task()
    sentinelhub_sandbox.control.add_fault(
        action={"kind": "status", "status": 400}, method="POST", path="/batch/*/start"
    )
    with pytest.raises(AirflowFailException):
        one.attempt()
    assert standing(hook) == (0, 0)
    (job,) = jobs.all()
    hook.request("POST", f"/batch/v2/process/{job.id}/analyse")
    budget = hook.budget
    other = budget.set_aside(sharing_cost(60))
    with pytest.raises(AirflowFailException, match=rf"90 PU left, and job {job.id} costs 100 PU. It was not started"):
        one.attempt()
    budget.settle(other, 0.0)
    assert one.attempt()["id"] == job.id
    assert standing(hook) == (100, 0)


def sharing_cost(units: float) -> Any:
    """Return the cost of another request."""
    from sentinelhub_provider.transport.budget import Cost

    return Cost(units)


@pytest.mark.parametrize("kind", OPERATORS)
def test_job_may_wait_for_the_next_day(budgeted, jobs, monkeypatch, kind: str):
    """In the triggerer, where nothing was created yet; one that is not deferrable is left to its retries."""
    noon = FakeClock(datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp())
    monkeypatch.setattr(sharing, "FileStateStore", partial(FileStateStore, clock=noon))
    hook = budgeted(processing_units_per_day=100)
    charge = hook.budget.set_aside(sharing_cost(99))
    hook.budget.settle(charge, 99)
    one = task(kind, over_budget="wait")
    operator, context = one.begin()
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    assert timedelta(hours=11) < deferred.value.trigger.moment - datetime.now(UTC) <= timedelta(hours=12)
    assert jobs.all() == []
    if kind != "async":
        with pytest.raises(SentinelHubRateLimitError, match="You can send it afterwards"):
            task(kind, over_budget="wait", deferrable=False).attempt()
    noon.sleep(12 * 3600)
    one.drive(one.after(deferred.value))
    assert [job.starts for job in jobs.all()] == [1]
    assert sum(standing(hook)) == (10 if kind == "async" else 100)


def test_end_of_the_day_that_is_near_is_waited_for_before_the_start(budgeted, jobs, monkeypatch):
    """The job is created meanwhile, which is free."""
    clock = FakeClock(datetime(2026, 11, 28, tzinfo=UTC).timestamp() - 30)
    monkeypatch.setattr(sharing, "FileStateStore", partial(FileStateStore, clock=clock))
    monkeypatch.setitem(SentinelHubSession.__init__.__kwdefaults__, "sleep", clock.sleep)
    hook = budgeted(processing_units_per_day=100)
    hook.budget.set_aside(sharing_cost(99))
    task(over_budget="wait").attempt()
    assert hook.budgets()[0].name == "day 2026-11-28"
    assert standing(hook) == (100, 0)
    assert clock() == pytest.approx(datetime(2026, 11, 28, tzinfo=UTC).timestamp(), abs=0.2)


def test_job_that_fails_or_is_stopped_costs_what_it_did(budgeted, jobs):
    """A retry that starts it again counts it as a whole."""
    hook = budgeted(processing_units_per_day=5000)
    jobs.set_durations(**{**PACE, "processing": None})
    one = task(**LARGE, wait_for_completion=False)
    job = one.attempt()["id"]
    jobs.step()
    cancel = SentinelHubCancelJobOperator(task_id="cancel", kind="batch-process", job_id=job)
    cancel.execute({"ti": one.instance})  # type: ignore[typeddict-item]
    jobs.settle()
    listing = SentinelHubListJobsOperator(task_id="list", kind="batch-process")
    (listed,) = listing.execute({"ti": one.instance})  # type: ignore[typeddict-item]
    assert listed["state"] == "STOPPED"
    assert 0 <= listed["cost"] < one.instance.xcom["estimated_processing_units"]
    assert standing(hook) == (pytest.approx(listed["cost"]), 0)

    jobs.set_durations(**PACE)
    assert task(**LARGE, store=one.store).attempt()["id"] == job
    assert standing(hook) == (pytest.approx(jobs.all()[0].cost), 0)


def test_job_that_failed_is_settled(budgeted, jobs):
    """By its own cost, which is nothing where it made nothing."""
    hook = budgeted(processing_units_per_day=5000)
    jobs.inject(kind="fail", at=50.0)
    with pytest.raises(AirflowFailException):
        task(**LARGE).attempt()
    assert standing(hook) == (jobs.all()[0].cost, 0)


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "blocking"])
def test_sensor_settles_the_job_that_it_waits_for(budgeted, jobs, deferrable: bool):
    """The task that started it did not wait."""
    hook = budgeted(processing_units_per_day=5000)
    one = task(**LARGE, wait_for_completion=False)
    started = one.attempt()
    sensing = {"kind": started["kind"], "job_id": started["id"], "deferrable": deferrable}
    Task(SentinelHubJobSensor, **sensing, poke_interval=0.05, timeout=60).attempt()
    assert standing(hook) == (pytest.approx(jobs.all()[0].cost), 0)


def test_job_of_a_dag_run_is_settled_by_whoever_sees_its_end(budgeted, jobs):
    """Other tasks, which do not know the budget of the DAG run: a connection without one tells no task of it."""
    hook = budgeted()
    hook.spending_limits = SpendingLimits(per_run=5000, run="dag scheduled__2026-01-05")
    costs = 0.0
    for number, kind in enumerate((SentinelHubJobSensor, SentinelHubJobSensor, SentinelHubListJobsOperator)):
        one = task(**LARGE, wait_for_completion=False, dag_run_budget=5000, task_id=f"job-{number}")
        started = one.attempt()
        while jobs.step():
            pass
        costs += jobs.all()[-1].cost
        assert standing(hook)[1] > 0
        if kind is SentinelHubJobSensor:
            sensing = {"kind": started["kind"], "job_id": started["id"], "deferrable": bool(number)}
            Task(SentinelHubJobSensor, **sensing, poke_interval=0.05, timeout=60).attempt()
        else:
            listing = SentinelHubListJobsOperator(task_id="list", kind="batch-process")
            listing.execute({"ti": one.instance})  # type: ignore[typeddict-item]
        assert standing(hook) == (pytest.approx(costs), 0)


def test_job_without_any_budget_leaves_no_ledger(budgeted, tmp_path: Path):
    """Nothing is written, and a cache that shares nothing is no fault."""
    budgeted()
    task().attempt()
    assert not list(tmp_path.rglob("*.budget"))
    budgeted(auth_cache="memory")
    task(dag_id="other").attempt()


def test_job_that_is_started_by_hand_is_settled_when_it_is_listed(budgeted, jobs):
    """By the HTTP operator, which says what it costs, or does not."""
    hook = budgeted(processing_units_per_day=5000)
    jobs.set_durations(**{**PACE, "processing": None})
    one = task()
    created = hook.request("POST", "/batch/v2/process", json=batch_body()).json()["id"]
    start = SentinelHubHttpOperator(task_id="t", endpoint=f"/batch/v2/process/{created}/start", method="POST")
    start.execute({"ti": one.instance})  # type: ignore[typeddict-item]
    assert standing(hook) == (0, 100)
    while jobs.step():
        pass
    listing = SentinelHubListJobsOperator(task_id="list", kind="batch-process")
    listing.execute({"ti": one.instance})  # type: ignore[typeddict-item]
    assert standing(hook) == (jobs.all()[0].cost, 0)
    with pytest.raises(SentinelHubBudgetError, match=f"job {created} costs 6000 PU"):
        hook.request("POST", f"/batch/v2/process/{created}/start", units=6000)


def batch_body() -> dict[str, Any]:
    """Return the request for a batch job."""
    from job_requests import batch_request

    return batch_request()

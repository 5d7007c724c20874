"""What an attempt's tag depends on: the same for all retries, another one when a user cleared the task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator

from sentinelhub_provider.operators.jobs.attempt import Attempt, attempt_of

STARTED = datetime(2026, 1, 5, 6, tzinfo=UTC)


@dataclass
class Run:
    """A DAG run."""

    start_date: datetime | None = STARTED
    run_after: datetime | None = STARTED
    clear_number: int = 0


@dataclass
class TaskInstance:
    """A task instance in its third of four tries."""

    dag_id: str = "dag"
    run_id: str = "run"
    map_index: int = -1
    try_number: int = 3
    max_tries: int = 3


def attempt(*, retries: int = 3, run: Run | None = None, task_id: str = "job", **changes: Any) -> Attempt:
    """Return the attempt that Airflow describes so."""
    context: Any = {"ti": TaskInstance(**changes), "run_id": changes.get("run_id", "run"), "dag_run": run or Run()}
    return attempt_of(EmptyOperator(task_id=task_id, retries=retries), context)


@pytest.mark.parametrize("try_number", [1, 2, 3, 4])
def test_all_retries_have_one_tag(try_number: int):
    """By it they find each other's job."""
    assert attempt(try_number=try_number).tag == attempt().tag


def test_a_change_of_the_dag_s_retries_does_not_change_the_tag():
    """Or the job of an attempt before that change would be paid for twice."""
    assert attempt(retries=7).tag == attempt(retries=3).tag


@pytest.mark.parametrize(
    "changes",
    [
        {"dag_id": "other"},
        {"run_id": "other"},
        {"map_index": 0},
        {"max_tries": 4},
        {"task_id": "other"},
        {"run": Run(run_after=datetime(2026, 1, 5, 6, 0, 1, tzinfo=UTC))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_task_instance_has_another_tag(changes: dict[str, Any]):
    """Also a cleared one, and that of a manual run that another Airflow with the same DAG has."""
    assert attempt(**changes).tag != attempt().tag


def test_another_airflow_has_other_tags(monkeypatch: pytest.MonkeyPatch):
    """It may have the same DAG and use the same account."""
    before = attempt().tag
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.staging.example.com")

    assert attempt().tag != before


def test_a_finished_run_that_is_cleared_knows_its_former_jobs():
    """Airflow resets the start of the run: neither the tags nor how far back jobs are listed may depend on it."""
    cleared = Run(start_date=STARTED + timedelta(days=3), clear_number=1)

    now = attempt(run=cleared, max_tries=6, try_number=4)

    assert attempt().tag in now.earlier_tags
    assert now.not_before == STARTED
    assert attempt().not_before == STARTED


def test_a_cleared_task_knows_its_former_tags():
    """A job that still runs under one of them is of no use any more."""
    assert attempt().tag in attempt(max_tries=6, try_number=4).earlier_tags
    assert attempt().tag not in attempt().earlier_tags


@pytest.mark.parametrize(
    ("try_number", "max_tries", "is_first"), [(1, 3, True), (2, 3, False), (4, 6, True), (5, 6, False)]
)
def test_the_first_attempt_can_be_told(try_number: int, max_tries: int, is_first: bool):
    """Of a task that was never cleared, and of one that was after its third try."""
    assert attempt(try_number=try_number, max_tries=max_tries).is_first is is_first


def test_a_run_that_has_not_said_when_it_started_is_no_trouble():
    """Airflow allows for that."""
    assert attempt(run=Run(None)).not_before is None

"""Which attempt of which task this is, as far as its job depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.job import job_tag

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

MAX_EARLIER = 50
"""So many clears back, jobs of a task instance are still recognised."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    An attempt at a task.

    :param tag: borne by the job of this attempt, and of all others until a user clears the finished task.
    :param earlier_tags: borne by jobs from before such a clear.
    :param is_first: whether no attempt came before it since.
    :param run_started: when the DAG run did; ``None`` where that is not known.
    """

    tag: str
    earlier_tags: frozenset[str]
    is_first: bool
    run_started: datetime | None


def attempt_of(operator: BaseOperator, context: Context) -> Attempt:
    """
    Tell which attempt this is.

    Airflow raises a task instance's ``max_tries`` whenever a user clears it after it has finished or while it waits in
    the triggerer, and never else: it is the same for all retries, whatever becomes of the DAG's ``retries`` meanwhile.
    When the DAG run started is part of the tag, as another Airflow with the same DAG may use the same account.
    """
    ti: Any = context["ti"]
    run = context.get("dag_run")
    started: datetime | None = getattr(run, "start_date", None)
    run_id = context.get("run_id") or getattr(ti, "run_id", None)
    named_run = f"{run_id} {started.isoformat() if started else ''}"
    retries = operator.retries or 0
    max_tries = _number(getattr(ti, "max_tries", None), retries)
    try_number = _number(getattr(ti, "try_number", None), 1)

    def tag_of_clears(chain: int) -> str:
        map_index = _number(getattr(ti, "map_index", None), -1)
        return job_tag(str(getattr(ti, "dag_id", "")), operator.task_id, named_run, map_index, chain)

    return Attempt(
        tag=tag_of_clears(max_tries),
        earlier_tags=frozenset(tag_of_clears(chain) for chain in range(max(0, max_tries - MAX_EARLIER), max_tries)),
        is_first=try_number <= max_tries - retries + 1,
        run_started=started,
    )


def _number(value: Any, default: int) -> int:
    return value if isinstance(value, int) else default

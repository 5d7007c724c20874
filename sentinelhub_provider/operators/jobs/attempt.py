"""Which attempt of a task this is, as far as its job depends on it."""

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

    :param tag: job tag of the job of this attempt, and of all others until a user clears the task.
    :param earlier_tags: tags of jobs from before such a clear.
    :param is_first: whether no attempt came before it since.
    :param not_before: the jobs cannot have been created before; ``None`` where that is not known.
    """

    tag: str
    earlier_tags: frozenset[str]
    is_first: bool
    not_before: datetime | None


def attempt_of(operator: BaseOperator, context: Context) -> Attempt:
    """
    Tell which attempt this is.

    Airflow raises a task instance's ``max_tries`` whenever a user clears it after it has finished or while it waits in
    the triggerer, and never else: it is the same for all retries, whatever becomes of the DAG's ``retries`` meanwhile.
    The start of the run is no part of the tag, as Airflow resets it when a user clears a finished run. The address of
    Airflow is part of it: another Airflow with the same DAG may use the same account.
    """
    from airflow.providers.common.compat.sdk import conf

    ti: Any = context["ti"]
    run: Any = context.get("dag_run")
    run_id = context.get("run_id") or getattr(ti, "run_id", None)
    due, started = getattr(run, "run_after", None), getattr(run, "start_date", None)
    base_url = conf.get("api", "base_url", fallback=None)
    named_run = f"{run_id} {due.isoformat() if due else ''} {base_url or ''}"
    retries = operator.retries or 0
    max_tries = _number(getattr(ti, "max_tries", None), retries)
    try_number = _number(getattr(ti, "try_number", None), 1)
    map_index = _number(getattr(ti, "map_index", None), -1)

    def tag_of(clears: int) -> str:
        return job_tag(str(getattr(ti, "dag_id", "")), operator.task_id, named_run, map_index, clears)

    return Attempt(
        tag=tag_of(max_tries),
        earlier_tags=frozenset(tag_of(clears) for clears in range(max(0, max_tries - MAX_EARLIER), max_tries)),
        is_first=try_number <= max_tries - retries + 1,
        # A cleared run has another start than its first jobs had.
        not_before=due if getattr(run, "clear_number", None) else started,
    )


def _number(value: Any, default: int) -> int:
    return value if isinstance(value, int) else default

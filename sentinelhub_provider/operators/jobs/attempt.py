"""Identifies an attempt of a task, and keeps the record that makes retries of jobs idempotent.

Airflow 3.3 and later keep the record in a task state store. XCom cannot keep it, because Airflow clears XCom when a
retry begins. Without a store, a job is found by its job tag. An Async Process job is in no listing, so it has a record
in its bucket.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.configuration import conf  # not in common-compat 1.10
from airflow.sdk import BaseOperator, Context

from sentinelhub_provider.api.jobs.job import job_tag
from sentinelhub_provider.exceptions import SentinelHubOutputError
from sentinelhub_provider.hooks.output import check_writable
from sentinelhub_provider.operators.jobs.buckets import BucketError, asking, exists, open_path, read

MAX_EARLIER = 50
"""Number of clears after which jobs of a task instance are still recognised."""

RETENTION = timedelta(days=60)
"""How long Airflow keeps a record, which is longer than the service keeps an unused job."""

RECORD_NAME = "airflow-job.json"
"""Name of the record in the folder of one task's outputs."""

RECORD_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at a task.

    ``tag``: job tag of this attempt's job, the same for all attempts until a user clears the task. ``earlier_tags``:
    tags of jobs from before such a clear. ``is_first``: whether it is the first attempt since then. ``not_before``:
    earliest possible creation of the jobs, ``None`` if unknown.
    """

    tag: str
    earlier_tags: frozenset[str]
    is_first: bool
    not_before: datetime | None


def attempt_of(operator: BaseOperator, context: Context) -> Attempt:
    """Identify this attempt.

    Airflow raises a task instance's ``max_tries`` only when a user clears it after it has finished or while it waits in
    the triggerer. So it is the same for all retries, even if the DAG's ``retries`` change meanwhile. The tag leaves out
    the start of the run, because Airflow resets it when a user clears a finished run. It includes Airflow's address,
    because another Airflow with the same DAG may use the same account.
    """
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


@dataclass(frozen=True, slots=True)
class DeferralState:
    """The state of an attempt that it takes along to the triggerer, as plain values.

    :param began: start of the attempt, in seconds since the epoch.
    :param ends: end of the attempt by ``execution_timeout``, in seconds since the epoch, ``None`` without one.
    :param job_id: the job that it has found, ``None`` before.
    :param waited: see :func:`~sentinelhub_provider.api.jobs.lifecycle.job_flow`.
    :param expected_features: number of the job's features, ``None`` if unknown.
    """

    began: float
    ends: float | None = None
    job_id: str | None = None
    waited: bool = False
    expected_features: int | None = None

    @property
    def began_at(self) -> datetime:
        """Start of the attempt."""
        return datetime.fromtimestamp(self.began, UTC)

    def bounded(self, moment: datetime) -> datetime:
        """Return a moment, or the end of the attempt if that comes first."""
        return moment if self.ends is None else min(moment, datetime.fromtimestamp(self.ends, UTC))


@dataclass(frozen=True, slots=True)
class JobStore:
    """Keeps one record, a JSON object without secrets, for all attempts at a task until a user clears it.

    ``read`` returns it, ``None`` if there is none. ``write`` replaces it. ``read``, ``write`` and ``delete`` raise the
    storage's errors. ``is_durable``: whether a record survives this attempt. Otherwise nothing is kept.
    """

    read: Callable[[], dict[str, Any] | None] = lambda: None
    write: Callable[[dict[str, Any]], Any] = lambda record: None  # noqa: ARG005 - the signature of all
    delete: Callable[[], Any] = lambda: None
    is_durable: bool = False


def task_state_store(context: Context, tag: str) -> JobStore:
    """Keep the record in Airflow's task state store. Before Airflow 3.3 it is not kept.

    ``tag``: the job tag. A cleared task has another one, so it finds no record of its former job.
    """
    store: Any = context.get("task_state_store")
    if store is None:
        return JobStore()
    key = f"sentinelhub_job:{tag}"
    return JobStore(
        lambda: store.get(key),
        lambda record: store.set(key, record, retention=RETENTION),
        lambda: store.delete(key),
        is_durable=True,
    )


def variable_store(tag: str) -> JobStore:
    """Keep the record in an Airflow Variable, also before Airflow 3.3. ``tag``: as above."""
    from airflow.sdk import Variable

    key, description = f"sentinelhub_job_{tag}", "The paid work of a Sentinel Hub task"
    return JobStore(
        lambda: Variable.get(key, default=None, deserialize_json=True),
        lambda record: Variable.set(key, record, description=description, serialize_json=True),
        lambda: Variable.delete(key),
        is_durable=True,
    )


def bucket_store(folder: str, conn_id: str | None, log: Any, *, is_needed: bool = False) -> JobStore:
    """Keep the record as a JSON file in a bucket. If the bucket cannot be used, log it and keep nothing.

    ``folder``: URL of the folder. ``conn_id``: Airflow connection, ``None`` for the worker's own credentials.
    ``is_needed``: whether the task needs the record. Then a passing fault of the bucket raises
    :class:`SentinelHubOutputError`.
    """
    url = f"{folder}/{RECORD_NAME}"
    try:
        path = open_path(url, conn_id)
        exists(path)
        check_writable(path)
    except Exception as error:  # of the storage's library, whichever that is
        reason = error if isinstance(error, BucketError) else type(error).__name__
        if is_needed and not getattr(error, "final", True):
            what = f"The bucket, which may hold a record of a paid job, cannot be used for now: {reason}."
            raise SentinelHubOutputError(what, final=False) from error
        log.info("the bucket cannot hold a record of the job: %s", reason)
        return JobStore()

    def read_record() -> dict[str, Any] | None:
        if not exists(path):
            return None
        record = json.loads(read(path, RECORD_SIZE))
        if not isinstance(record, dict):
            raise ValueError(f"{url} does not hold a JSON object")
        return record

    def write(record: dict[str, Any]) -> None:
        with asking(path, "written"):
            path.write_text(json.dumps(record))

    def delete() -> None:
        with asking(path, "deleted"):
            path.unlink(missing_ok=True)

    return JobStore(read_record, write, delete, is_durable=True)

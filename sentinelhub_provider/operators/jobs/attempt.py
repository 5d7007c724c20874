"""Which attempt of a task this is, and what outlives it: what makes retries of jobs idempotent.

Airflow 3.3 and later have a task state store. XCom is no such place: Airflow clears it when a retry begins. Without a
store, a job is found by its job tag; an Async Process job, which no listing shows, has a record in its bucket.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from sentinelhub_provider.api.jobs.job import job_tag
from sentinelhub_provider.operators.jobs.buckets import BucketError, asking, exists, open_path, read

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context, ObjectStoragePath

MAX_EARLIER = 50
"""So many clears back, jobs of a task instance are still recognised."""

RETENTION = timedelta(days=60)
"""How long Airflow keeps a record: longer than the service keeps a job that nobody touches."""

RECORD_NAME = "airflow-job.json"
"""Name of the record in the folder of one task's outputs."""

RECORD_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at a task.

    ``tag``: job tag of the job of this attempt, and of all others until a user clears the task. ``earlier_tags``: tags
    of jobs from before such a clear. ``is_first``: whether no attempt came before it since. ``not_before``: the jobs
    cannot have been created before; ``None`` where that is not known.
    """

    tag: str
    earlier_tags: frozenset[str]
    is_first: bool
    not_before: datetime | None


def attempt_of(operator: BaseOperator, context: Context) -> Attempt:
    """Tell which attempt this is.

    Airflow raises a task instance's ``max_tries`` whenever a user clears it after it has finished or while it waits in
    the triggerer, and never else: it is the same for all retries, whatever becomes of the DAG's ``retries`` meanwhile.
    The start of the run is no part of the tag, as Airflow resets it when a user clears a finished run. The address of
    Airflow is part of it: another Airflow with the same DAG may use the same account.
    """
    from airflow.configuration import conf  # not in common-compat 1.10

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


class JobStore(Protocol):
    """Stores one record, a JSON object without secrets, for all attempts at a task until a user clears it.

    All methods raise what the store raises.
    """

    @property
    def is_durable(self) -> bool:
        """Whether a record survives this attempt."""

    def read(self) -> dict[str, Any] | None:
        """Return the record, ``None`` where there is none."""

    def write(self, record: dict[str, Any]) -> None:
        """Write a record in place of an earlier one."""

    def delete(self) -> None:
        """Delete the record."""


class TaskStateJobStore:
    """Stores the record in Airflow's task state store, where there is one.

    :param store: ``context["task_state_store"]``; ``None`` before Airflow 3.3, where nothing is kept.
    :param tag: the job tag; a cleared task has another one, and finds no record of its former job.
    """

    def __init__(self, store: Any, tag: str) -> None:
        self.is_durable, self._store, self._key = store is not None, store, f"sentinelhub_job:{tag}"

    def read(self) -> dict[str, Any] | None:
        """Return the record."""
        record = self._store.get(self._key) if self.is_durable else None
        return record if isinstance(record, dict) else None

    def write(self, record: dict[str, Any]) -> None:
        """Write the record."""
        if self.is_durable:
            self._store.set(self._key, record, retention=RETENTION)

    def delete(self) -> None:
        """Delete the record."""
        if self.is_durable:
            self._store.delete(self._key)


class VariableJobStore:
    """Stores the record in an Airflow Variable, which is there before Airflow 3.3, too.

    :param tag: see :class:`TaskStateJobStore`.
    """

    is_durable = True

    def __init__(self, tag: str) -> None:
        self._key = f"sentinelhub_job_{tag}"

    def read(self) -> dict[str, Any] | None:
        """Return the record."""
        from airflow.sdk import Variable

        record = Variable.get(self._key, default=None, deserialize_json=True)
        return record if isinstance(record, dict) else None

    def write(self, record: dict[str, Any]) -> None:
        """Write the record."""
        from airflow.sdk import Variable

        Variable.set(self._key, record, description="What a task of Sentinel Hub paid for", serialize_json=True)

    def delete(self) -> None:
        """Delete the record."""
        from airflow.sdk import Variable

        Variable.delete(self._key)


class BucketJobStore:
    """Stores the record as a JSON file in a bucket.

    ``folder``: URL of the folder. ``conn_id``: Airflow connection; ``None`` for the worker's own credentials. ``log``:
    gets a line where the bucket cannot be used.
    """

    def __init__(self, folder: str, conn_id: str | None, log: Any) -> None:
        self._url, self._conn_id, self._log = f"{folder}/{RECORD_NAME}", conn_id, log
        self._path: ObjectStoragePath | None = None
        self._usable: bool | None = None

    @property
    def is_durable(self) -> bool:
        """Whether the bucket can be read and written from here; tested once, without leaving anything there."""
        from sentinelhub_provider.hooks.output import check_writable

        if self._usable is None:
            try:
                self._path = open_path(self._url, self._conn_id)
                exists(self._path)
                check_writable(self._path)
                self._usable = True
            except Exception as error:  # of the storage's library, whichever that is
                reason = error if isinstance(error, BucketError) else type(error).__name__
                self._log.info("the bucket cannot hold a record of the job: %s", reason)
                self._usable = False
        return self._usable

    def read(self) -> dict[str, Any] | None:
        """Return the record. Raises :class:`BucketError`, or ``ValueError`` for what is none."""
        if not self.is_durable or self._path is None or not exists(self._path):
            return None
        record = json.loads(read(self._path, RECORD_SIZE))
        if not isinstance(record, dict):
            raise ValueError(f"{self._url} holds no JSON object")
        return record

    def write(self, record: dict[str, Any]) -> None:
        """Write the record."""
        if self.is_durable and self._path is not None:
            with asking(self._path, "written"):
                self._path.write_text(json.dumps(record))

    def delete(self) -> None:
        """Delete the record."""
        if self.is_durable and self._path is not None and exists(self._path):
            with asking(self._path, "deleted"):
                self._path.unlink()


def job_store_of(context: Context, tag: str) -> TaskStateJobStore:
    """Return the store that this Airflow offers."""
    return TaskStateJobStore(context.get("task_state_store"), tag)

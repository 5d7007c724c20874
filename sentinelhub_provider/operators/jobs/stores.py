"""
Where the record of a job survives an attempt of its task: what makes retries idempotent.

Airflow 3.3 and later have a task state store. XCom is no such place: Airflow clears it when a retry begins. Without a
store, a job is found by its job tag; an Async Process job, which no listing shows, has a record in its bucket.
"""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from sentinelhub_provider.operators.jobs.buckets import BucketError, exists, open_path, read

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

RETENTION = timedelta(days=60)
"""How long Airflow keeps a record: longer than the service keeps a job that nobody touches."""

RECORD_NAME = "airflow-job.json"
"""Name of the record in the folder of one task's outputs."""

RECORD_SIZE = 64 * 1024


class JobStore(Protocol):
    """Stores one record, a JSON object without secrets, for all attempts at a task until a user clears it."""

    @property
    def is_durable(self) -> bool:
        """Whether a record survives this attempt."""

    def read(self) -> dict[str, Any] | None:
        """Return the record, ``None`` where there is none. Raises what the store raises."""

    def write(self, record: dict[str, Any]) -> None:
        """Write a record in place of an earlier one. Raises what the store raises."""

    def delete(self) -> None:
        """Delete the record. Raises what the store raises."""


class NoJobStore:
    """Stores nothing."""

    is_durable = False

    def read(self) -> None:
        """Return nothing."""

    def write(self, record: dict[str, Any]) -> None:
        """Write nothing."""

    def delete(self) -> None:
        """Delete nothing."""


class TaskStateJobStore:
    """
    Stores the record in Airflow's task state store.

    :param store: ``context["task_state_store"]``.
    :param tag: the job tag; a cleared task has another one, and finds no record of its former job.
    """

    is_durable = True

    def __init__(self, store: Any, tag: str) -> None:
        self._store = store
        self._key = f"sentinelhub_job:{tag}"

    def read(self) -> dict[str, Any] | None:
        """Return the record."""
        record = self._store.get(self._key)
        return record if isinstance(record, dict) else None

    def write(self, record: dict[str, Any]) -> None:
        """Write the record."""
        self._store.set(self._key, record, retention=RETENTION)

    def delete(self) -> None:
        """Delete the record."""
        self._store.delete(self._key)


class BucketJobStore:
    """
    Stores the record as a JSON file in a bucket.

    :param folder: URL of the folder.
    :param conn_id: Airflow connection; ``None`` for the worker's own credentials.
    :param log: gets a line where the bucket cannot be used.
    """

    def __init__(self, folder: str, conn_id: str | None, log: Any = None) -> None:
        self._url = f"{folder}/{RECORD_NAME}"
        self._conn_id = conn_id
        self._log = log or logging.getLogger(__name__)
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
        """Return the record. Raises :class:`BucketError`."""
        if not self.is_durable or self._path is None or not exists(self._path):
            return None
        record = json.loads(read(self._path, RECORD_SIZE))
        return record if isinstance(record, dict) else None

    def write(self, record: dict[str, Any]) -> None:
        """Write the record. Raises what the storage raises."""
        if self.is_durable and self._path is not None:
            self._path.write_text(json.dumps(record))

    def delete(self) -> None:
        """Delete the record. Raises what the storage raises."""
        if self.is_durable and self._path is not None and exists(self._path):
            self._path.unlink()


def job_store_of(context: Context, tag: str) -> JobStore:
    """Return the store that this Airflow offers."""
    store = context.get("task_state_store")
    return NoJobStore() if store is None else TaskStateJobStore(store, tag)


def first_durable(first: JobStore, second: JobStore) -> JobStore:
    """Return the first of two stores that survives an attempt; ``first`` where none does."""
    return first if first.is_durable or not second.is_durable else second

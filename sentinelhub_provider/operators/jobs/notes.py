"""A note about a job in the bucket it delivers to: what outlives an attempt where Airflow keeps nothing for it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.operators.jobs.buckets import BucketError, exists, open_path, read

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from sentinelhub_provider.operators.jobs.memory import Memory

NAME = "airflow-job.json"
PROBE = "airflow-probe.json"
"""Names of the note, and of what is written to see whether one can be: in the folder that only one task delivers to."""

SIZE = 64 * 1024


class NoteInBucket:
    """
    Keeps a note in a bucket.

    :param folder: URL of the folder.
    :param conn_id: Airflow connection; ``None`` for what the worker has of itself.
    :param log: is told why a bucket cannot be used.
    """

    def __init__(self, folder: str, conn_id: str | None, log: Any = None) -> None:
        self._url = f"{folder}/{NAME}"
        self._probe = f"{folder}/{PROBE}"
        self._conn_id = conn_id
        self._log = log or logging.getLogger(__name__)
        self._path: ObjectStoragePath | None = None
        self._usable: bool | None = None

    @property
    def is_durable(self) -> bool:
        """Whether the bucket can be read and written from here: found out by doing so, once."""
        if self._usable is None:
            try:
                self._path = open_path(self._url, self._conn_id)
                exists(self._path)
                open_path(self._probe, self._conn_id).write_text("{}")
                self._usable = True
            except Exception as error:  # of the storage's library, whichever that is
                said = error if isinstance(error, BucketError) else type(error).__name__
                self._log.info("no note can be kept in the bucket: %s", said)
                self._usable = False
        return self._usable

    def recall(self) -> dict[str, Any] | None:
        """Return the note. Raises :class:`BucketError`."""
        if not self.is_durable or self._path is None or not exists(self._path):
            return None
        note = json.loads(read(self._path, SIZE))
        return note if isinstance(note, dict) else None

    def keep(self, note: dict[str, Any]) -> None:
        """Keep a note. Raises what the storage raises."""
        if self.is_durable and self._path is not None:
            self._path.write_text(json.dumps(note))

    def forget(self) -> None:
        """Drop the note. Raises what the storage raises."""
        if self.is_durable and self._path is not None and exists(self._path):
            self._path.unlink()


def first_durable(memory: Memory, other: Memory) -> Memory:
    """Return the first of two memories that outlives an attempt; the first of all where none does."""
    return memory if memory.is_durable or not other.is_durable else other

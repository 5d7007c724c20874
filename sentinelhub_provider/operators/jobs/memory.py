"""
What outlives an attempt of a task: the id of its job, in Airflow's task state store (3.3 and later).

XCom does not: Airflow clears it when a retry begins. Without a store, a job is found again by its mark.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow.sdk import Context

RETENTION = timedelta(days=60)
"""How long a note is kept: longer than the service keeps a job that nobody touches."""


class Memory(Protocol):
    """Keeps one note, a JSON object without secrets, for all attempts at a task until it is cleared."""

    @property
    def is_durable(self) -> bool:
        """Whether a note outlives this attempt."""

    def recall(self) -> dict[str, Any] | None:
        """Return the note, ``None`` where there is none. Raises what the store raises."""

    def keep(self, note: dict[str, Any]) -> None:
        """Keep a note in place of an earlier one. Raises what the store raises."""

    def forget(self) -> None:
        """Drop the note. Raises what the store raises."""


class NoMemory:
    """Keeps nothing."""

    is_durable = False

    def recall(self) -> None:
        """Return nothing."""

    def keep(self, note: dict[str, Any]) -> None:
        """Keep nothing."""

    def forget(self) -> None:
        """Drop nothing."""


class TaskStateMemory:
    """
    Keeps a note in the task state store.

    :param store: ``context["task_state_store"]``.
    :param mark: names the note, so that a cleared task finds none of its former life.
    """

    is_durable = True

    def __init__(self, store: Any, mark: str) -> None:
        self._store = store
        self._key = f"sentinelhub_job:{mark}"

    def recall(self) -> dict[str, Any] | None:
        """Return the note."""
        note = self._store.get(self._key)
        return note if isinstance(note, dict) else None

    def keep(self, note: dict[str, Any]) -> None:
        """Keep a note."""
        self._store.set(self._key, note, retention=RETENTION)

    def forget(self) -> None:
        """Drop the note."""
        self._store.delete(self._key)


def memory_of(context: Context, mark: str) -> Memory:
    """Return what this Airflow offers."""
    store = context.get("task_state_store")
    return NoMemory() if store is None else TaskStateMemory(store, mark)

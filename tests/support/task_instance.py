"""What an operator needs of a task instance."""

from __future__ import annotations

from typing import Any


class TaskInstance:
    """Its names, and somewhere to push to."""

    dag_id, task_id, run_id, map_index = "d", "t", "r", -1

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep what is pushed."""
        self.pushed[key] = value

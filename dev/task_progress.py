"""A line for each task that ends, told by Airflow's listener interface."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

from pluggy import HookimplMarker

if TYPE_CHECKING:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

# The same as airflow.listeners.hookimpl, which cannot be imported before Airflow's settings are made.
_listens = HookimplMarker("airflow")


class TaskProgress:
    """Prints lines for a person; a listener that Airflow tells about its tasks.

    :param terminal: where to.
    """

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._started = 0.0
        self.failures: list[str] = []
        """Why tasks failed, a line each."""

    def __call__(self, text: str) -> None:
        """Print a line."""
        print(text, file=self._terminal, flush=True)

    @_listens
    def on_task_instance_running(self) -> None:
        """Start the clock. In ``dag.test()`` one task runs after the other."""
        self._started = time.monotonic()

    @_listens
    def on_task_instance_success(self, task_instance: RuntimeTaskInstance) -> None:
        """Say that a task is done, and how long it took."""
        self(f"  {_name(task_instance):<24}{time.monotonic() - self._started:>5.1f} s")

    @_listens
    def on_task_instance_failed(self, task_instance: RuntimeTaskInstance, error: str | BaseException | None) -> None:
        """Say that a task failed, and keep why."""
        self(f"  {_name(task_instance):<24}failed")
        self.failures.append(f"task {_name(task_instance)} failed: {error}")


def _name(task_instance: RuntimeTaskInstance) -> str:
    """Return a task's name, with the label of a mapped one."""
    if task_instance.map_index is None or task_instance.map_index < 0:
        return task_instance.task_id
    return f"{task_instance.task_id} {task_instance.rendered_map_index or task_instance.map_index}"

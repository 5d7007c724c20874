"""A task without Airflow's machinery around it: what an operator needs of its context, and how much memory it takes."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

_UNIT = 1024**2 if sys.platform == "darwin" else 1024
"""How many of ``ru_maxrss``'s units (getrusage(2)) are a MiB."""


class _TaskInstance:
    dag_id, run_id, map_index = "benchmark", "run", -1

    def xcom_push(self, key: str, value: Any) -> None:
        """Take what is pushed."""


def execute(operator: BaseOperator) -> Any:
    """Execute an operator as a task's process does, and return its result."""
    context: Any = {"ti": _TaskInstance()}
    return operator.execute(context)


def peak_memory() -> float:
    """Memory that this process had at most so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNIT

"""What an operator needs to run as in a task."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.sdk import DAG


class TaskInstance:
    """Its names, and somewhere to push to."""

    dag_id, task_id, run_id, map_index = "d", "t", "r", -1

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep what is pushed."""
        self.pushed[key] = value


def june(ti: TaskInstance, **more: Any) -> dict[str, Any]:
    """Return a context with a data interval in June."""
    first, last = (datetime(2024, 6, day, tzinfo=UTC) for day in (1, 8))
    return {"ti": ti, "ds": "2024-06-08", "data_interval_start": first, "data_interval_end": last, **more}


def rendered(kind: Any, context: Mapping[str, Any], templates: Path, *, native: bool = False, **arguments: Any) -> Any:
    """Return an operator with its templates filled in; ``templates``: folder of template files."""
    with DAG("d", schedule=None, template_searchpath=[str(templates)], render_template_as_native_obj=native):
        operator = kind(task_id="t", **arguments)
    operator.resolve_template_files()
    operator.render_template_fields(context)
    return operator


TIMED_OUT = [
    ({}, "timed out"),
    ({"soft_fail": True}, "skipped"),
    ({"never_fail": True}, "timed out"),
    ({"silent_fail": True}, "timed out"),
]
"""Options of a sensor, and how it ends where nothing happens."""

FAILED = [
    ({}, "failed"),
    ({"soft_fail": True}, "skipped"),
    ({"never_fail": True}, "skipped"),
    ({"silent_fail": True}, "failed"),
]
"""The same for an error that is final."""

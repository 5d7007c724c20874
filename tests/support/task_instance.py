"""What an operator needs to run as in a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.sdk import DAG

NDVI = {"collection": "sentinel-2-l2a", "evalscript": "ndvi", "time_range": ["2024-06-01", "2024-06-20"]}
"""Arguments of a picture, but for its area."""

PICTURE = {
    "collection": "sentinel-2-l2a",
    "evalscript": "ndvi",
    "time_range": "2024-06-01/2024-06-02",
    "bbox": [13, 45, 13.1, 45.1],
    "width": 9,
}
"""Arguments of a picture that is fine."""


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


def run_sensor(sensor: Any, context: Any, fire: Callable[[TaskDeferred], Any]) -> Any:
    """Run a sensor as Airflow does; return its result, or how it ends. ``fire`` returns the event of a deferral."""
    act: Callable[[], Any] = partial(sensor.execute, context)
    while True:
        try:
            return act()
        except TaskDeferred as deferred:
            act = partial(sensor.resume_execution, deferred.method_name, {"event": fire(deferred)}, context)
        except AirflowSkipException:
            return "skipped"
        except AirflowSensorTimeout:
            return "timed out"
        except AirflowFailException:
            return "failed"
        except Exception:
            return "to be retried"


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

"""A task without Airflow's machinery around it: what an operator needs of its context, and how much memory it takes."""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.clients import load_package

if TYPE_CHECKING:
    from pathlib import Path

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


def write_features(path: Path, number: int) -> None:
    """Write fields of Sentinel-2 size as a FeatureCollection."""
    with path.open("w") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for index in range(number):
            x, y = 10 + index % 1000 / 100, 45 + index // 1000 / 100
            ring = [[x, y], [x + 0.005, y], [x + 0.006, y + 0.003], [x + 0.005, y + 0.005], [x, y + 0.005], [x, y]]
            feature = {"type": "Feature", "id": index, "geometry": {"type": "Polygon", "coordinates": [ring]}}
            file.write((", " if index else "") + json.dumps({**feature, "properties": {"name": f"field {index}"}}))
        file.write("]}")


def execute_for_features(kind: type[BaseOperator], number: int, folder: Path, **arguments: Any) -> None:
    """Execute an operator for so many features of Sentinel-2; print the seconds and the memory in MiB that it took."""
    load_package("api", "oauth", "transport", "hooks", "operators")
    logging.disable(logging.INFO)
    path = folder / "fields.geojson"
    write_features(path, number)
    operator = kind(task_id="measured", features=str(path), collection="sentinel-2-l2a", **arguments)
    before, start = peak_memory(), time.perf_counter()
    result = execute(operator)
    seconds = time.perf_counter() - start
    if result["features"] != number:
        raise RuntimeError(f"{result}")
    print(json.dumps({"seconds": seconds, "before": before, "memory": peak_memory()}))

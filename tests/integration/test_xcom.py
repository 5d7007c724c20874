"""``do_xcom_push=False`` holds for everything that a task would push: its result, its cost, and what it failed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import task
from airflow.sdk.bases.operator import BaseOperator

from sentinelhub_provider.operators import byoc
from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator
from sentinelhub_provider.operators.http import SentinelHubHttpOperator
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator
from sentinelhub_provider.sensors.catalog import SentinelHubSceneSensor

TIME = ["2024-06-01", "2024-06-20"]
WHERE = {"collection": "sentinel-2-l2a", "bbox": [14.0, 46.0, 14.1, 46.1]}
PICTURE = {**WHERE, "evalscript": "ndvi", "time_range": TIME, "width": 8, "height": 8}
CROSSED = {"type": "Polygon", "coordinates": [[[14, 46], [15, 47], [15, 46], [14, 47], [14, 46]]]}
FIELD = {"type": "Polygon", "coordinates": [[[14, 46], [14.01, 46], [14.01, 46.01], [14, 46.01], [14, 46]]]}
FIELDS = {
    "type": "FeatureCollection",
    "features": [{"type": "Feature", "properties": {}, "geometry": shape} for shape in (FIELD, CROSSED)],
}

OPERATORS: dict[str, tuple[type[BaseOperator], dict[str, Any]]] = {
    "process": (SentinelHubProcessOperator, {**PICTURE, "output_path": "{folder}/a.tif"}),
    "tiles": (SentinelHubProcessOperator, {**PICTURE, "tile": True, "tile_size": 4, "output_path": "{folder}/b.vrt"}),
    "statistics": (
        SentinelHubStatisticsOperator,
        {**PICTURE, "bbox": None, "features": FIELDS, "on_error": "skip"},
    ),
    "catalog": (
        SentinelHubCatalogSearchOperator,
        {**WHERE, "datetime": "2024-06-01/2024-06-20", "output_path": "{folder}/c.json"},
    ),
    "http": (SentinelHubHttpOperator, {"endpoint": "/catalog/v1/collections"}),
    "create": (byoc.SentinelHubByocCreateCollectionOperator, {"name": "silent", "s3_bucket": "bucket"}),
    "ingest": (byoc.SentinelHubByocIngestOperator, {"collection_id": "{id}", "tiles": []}),
    "delete tiles": (byoc.SentinelHubByocDeleteTilesOperator, {"collection_id": "{id}", "tiles": []}),
    "delete": (byoc.SentinelHubByocDeleteCollectionOperator, {"collection_id": "{id}"}),
    "sensor": (SentinelHubSceneSensor, {**WHERE, "datetime": "2024-06-01/2024-06-20"}),
}
"""Those of jobs are in ``test_job_operators``."""


class TaskInstance:
    """Notes what is pushed."""

    dag_id, run_id, task_id, map_index = "d", "r", "t", -1

    def __init__(self) -> None:
        self.pushed: list[str] = []

    def xcom_push(self, key: str, value: Any) -> None:
        """Note a key."""
        self.pushed.append(key)


def run(operator: Any, **context: Any) -> list[str]:
    """Execute a task, and return what it pushed itself."""
    ti = TaskInstance()
    try:
        operator.execute({"ti": ti, "run_id": "r", **context})
    finally:
        operator.hook.get_conn().close()
    return ti.pushed


@pytest.mark.parametrize("pushes", [True, False])
@pytest.mark.parametrize("name", OPERATORS)
def test_nothing_is_pushed_where_nothing_shall_be(
    connect, sentinelhub_sandbox, tmp_path: Path, name: str, pushes: bool
):
    """And something is, where it may be, but of a sensor and a free call."""
    body = {"name": f"for {name}", "s3Bucket": "bucket"}
    made = connect().request("POST", "/byoc/v1/collections", json=body).json()["data"]["id"]
    kind, arguments = OPERATORS[name]
    given = {
        key: value.format(folder=tmp_path, id=made) if isinstance(value, str) and "{" in value else value
        for key, value in arguments.items()
    }

    pushed = run(kind(task_id="t", do_xcom_push=pushes, **given))

    assert bool(pushed) == (pushes and name not in ("http", "sensor"))


def test_a_decorated_task_pushes_nothing_where_nothing_shall_be(connect, tmp_path: Path):
    """Its operator is that of pictures."""
    connect()

    @task.sentinelhub(do_xcom_push=False, output_path=str(tmp_path / "a.tif"))
    def picture() -> dict[str, Any]:
        return dict(PICTURE)

    assert run(picture().operator) == []

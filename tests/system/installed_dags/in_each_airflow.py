"""What differs between Airflows: object paths, and a sensor that gives up in the triggerer."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import DAG, ObjectStoragePath, task
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator
from sentinelhub_provider.sensors.catalog import SentinelHubSceneSensor

attach("memory", fs=MemoryFileSystem())  # which needs no provider package

WHAT = {
    "collection": "sentinel-2-l2a",
    "evalscript": "ndvi",
    "bbox": [20.50, 47.50, 20.52, 47.52],
    "resolution": 60,
    "time_range": ["2025-06-01", "2025-06-30"],
}

with DAG(dag_id="object_paths", schedule=None):
    picture = SentinelHubProcessOperator(
        task_id="picture", output_path=ObjectStoragePath("memory://results/{{ ti.task_id }}.tif"), **WHAT
    )
    table = SentinelHubStatisticsOperator(
        task_id="table", output_path=ObjectStoragePath("memory://results/{{ ti.task_id }}.csv"), **WHAT
    )

    @task
    def sizes() -> list[int]:
        """Return the sizes of what was stored, which is not on the worker's disk."""
        assert not Path("memory:").exists()
        return [ObjectStoragePath(f"memory://results/{name}").stat().st_size for name in ("picture.tif", "table.csv")]

    [picture, table] >> sizes()

with DAG(dag_id="soft_fail", schedule=None):
    SentinelHubSceneSensor(
        task_id="wait",
        collection="sentinel-2-l2a",
        bbox=WHAT["bbox"],
        datetime="2015-01-01/2015-01-02",
        deferrable=True,
        soft_fail=True,
        timeout=1,
    )

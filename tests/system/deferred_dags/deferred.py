"""One task of each kind that waits in the triggerer."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from sentinelhub_provider.operators.async_process import SentinelHubAsyncProcessOperator
from sentinelhub_provider.operators.batch import SentinelHubBatchProcessOperator
from sentinelhub_provider.operators.batch_statistics import SentinelHubBatchStatisticsOperator
from sentinelhub_provider.operators.byoc import (
    SentinelHubByocCreateCollectionOperator,
    SentinelHubByocDeleteCollectionOperator,
    SentinelHubByocIngestOperator,
)
from sentinelhub_provider.sensors.catalog import SentinelHubSceneSensor
from sentinelhub_provider.sensors.job import SentinelHubJobSensor

BOX = [13.8, 45.8, 13.9, 45.9]
QUESTION = {
    "collection": "sentinel-2-l2a",
    "time_range": ["2024-06-01", "2024-06-30"],
    "delivery_role_arn": "arn:aws:iam::123456789012:role/delivery",
    # Nothing here reaches the bucket, and the sandbox, which has none, delivers nothing.
    "check_features": False,
}

with DAG(
    "deferred",
    schedule=None,
    default_args={"poll_interval": 1, "retries": 2, "retry_delay": timedelta(seconds=1)},
):
    jobs = {
        "batch": (SentinelHubBatchProcessOperator, "ndvi", {"bbox": BOX, "tiling_grid": 0, "resolution": 60}),
        "batch_statistics": (
            SentinelHubBatchStatisticsOperator,
            "ndvi-clear",
            {"aggregation_interval": "P10D", "features": "s3://results/fields.gpkg", "resolution": 10},
        ),
        "async_process": (SentinelHubAsyncProcessOperator, "ndvi", {"bbox": BOX, "width": 512, "height": 512}),
    }
    for name, (kind, evalscript, arguments) in jobs.items():
        kind(task_id=name, evalscript=evalscript, delivery=f"s3://results/{name}", **QUESTION, **arguments)
    SentinelHubJobSensor(
        task_id="job_sensor",
        kind="batch-process",
        job_id="{{ dag_run.conf['job'] }}",
        deferrable=True,
        poke_interval=1,
    )
    SentinelHubSceneSensor(
        task_id="scene_sensor",
        collection="sentinel-2-l2a",
        datetime="{{ dag_run.conf['since'] }}/..",
        bbox=BOX,
        deferrable=True,
        poke_interval=5,
    )
    collection = SentinelHubByocCreateCollectionOperator(task_id="create", name="deferred", s3_bucket="results")
    ingest = SentinelHubByocIngestOperator(
        task_id="ingest",
        collection_id="{{ ti.xcom_pull('create')['collection_id'] }}",
        tiles=["2024/(BAND).tif"],
        deferrable=True,
    )
    delete = SentinelHubByocDeleteCollectionOperator(
        task_id="delete", collection_id="{{ ti.xcom_pull('create')['collection_id'] }}"
    )
    collection >> ingest >> delete

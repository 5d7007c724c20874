"""A job of each kind, whose results go to a bucket with the credentials of a connection."""

from __future__ import annotations

from airflow.sdk import DAG

from sentinelhub_provider.operators.async_process import SentinelHubAsyncProcessOperator
from sentinelhub_provider.operators.batch import SentinelHubBatchProcessOperator
from sentinelhub_provider.operators.batch_statistics import SentinelHubBatchStatisticsOperator

QUESTION = {
    "collection": "sentinel-2-l2a",
    "evalscript": "ndvi",
    "time_range": ["2024-06-01", "2024-06-30"],
    "delivery_conn_id": "bucket",
    "check_features": False,
    "poll_interval": 2,
}

with DAG("job_secrets", schedule=None):
    area = {"bbox": [13.8, 45.8, 13.9, 45.9]}
    SentinelHubBatchProcessOperator(
        task_id="batch", tiling_grid=0, resolution=60, delivery="s3://results/batch", **area, **QUESTION
    )
    SentinelHubAsyncProcessOperator(
        task_id="async_process", width=512, height=512, delivery="s3://results/async", **area, **QUESTION
    )
    SentinelHubBatchStatisticsOperator(
        task_id="batch_statistics",
        aggregation_interval="P10D",
        features="s3://results/fields.gpkg",
        resolution=10,
        delivery="s3://results/statistics",
        **(QUESTION | {"evalscript": "ndvi-clear"}),
    )

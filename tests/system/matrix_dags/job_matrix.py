"""One DAG for each victim; its tasks, one for each mode and step, run the same job through a lane each."""

from __future__ import annotations

import json
import os
from datetime import timedelta

from airflow.sdk import DAG

from sentinelhub_provider.operators.batch import SentinelHubBatchProcessOperator

for victim, lanes in json.loads(os.environ["JOB_MATRIX"]).items():
    with DAG(f"jobs_{victim}", schedule=None, max_active_tasks=len(lanes)) as dag:
        for lane in lanes:
            SentinelHubBatchProcessOperator(
                task_id=lane,
                sentinelhub_conn_id=lane,
                deferrable="_deferrable_" in lane,
                collection="sentinel-2-l2a",
                evalscript="ndvi",
                time_range=["2024-06-01", "2024-06-30"],
                bbox=[13.8, 45.8, 13.9, 45.9],
                tiling_grid=0,
                resolution=60,
                delivery="s3://results/matrix",
                delivery_role_arn="arn:aws:iam::123456789012:role/delivery",
                check_features=False,
                poll_interval=2,
                retries=4,
                retry_delay=timedelta(seconds=1),
            )
    globals()[dag.dag_id] = dag

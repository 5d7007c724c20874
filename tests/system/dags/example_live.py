"""What the end-to-end tests run beside the examples: a fleet of tasks, one that waits, and ones that fail."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from sentinelhub_provider.operators.http import SentinelHubHttpOperator

FLEET = 200

with DAG(dag_id="live_fleet", schedule=None):
    SentinelHubHttpOperator.partial(
        task_id="call",
        endpoint="/catalog/v1/collections",
        response_filter=lambda answer: len(answer["collections"]),
    ).expand(headers=[{"x-task": str(number)} for number in range(FLEET)])

with DAG(dag_id="live_failures", schedule=None, default_args={"retries": 1, "retry_delay": timedelta(seconds=1)}):
    SentinelHubHttpOperator(task_id="unknown_collection", endpoint="/catalog/v1/collections/no-such-collection")
    SentinelHubHttpOperator(task_id="foreign_host", endpoint="https://example.org/catalog/v1/collections")
    SentinelHubHttpOperator(
        task_id="broken_evalscript",
        method="POST",
        endpoint="/process/v1",
        json={
            "input": {
                "bounds": {"bbox": [14.02, 46.02, 14.06, 46.05]},
                "data": [{"type": "sentinel-2-l2a"}],
            },
            "output": {"width": 8, "height": 8},
        },
        evalscript="//VERSION=3\nfunction setup() { return nonsense }",
        output_path="{{ ti.task_id }}.png",
    )

with DAG(dag_id="live_waiting", schedule=None):
    SentinelHubHttpOperator(
        task_id="call",
        endpoint="/catalog/v1/collections",
        response_filter=lambda answer: len(answer["collections"]),
        deferrable=True,
    )

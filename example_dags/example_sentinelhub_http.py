"""The smallest authorized call, which lists the Catalog's collections."""

from __future__ import annotations

from airflow.sdk import DAG

from sentinelhub_provider.operators.http import SentinelHubHttpOperator

with DAG(dag_id="example_sentinelhub_http", schedule=None, tags=["example", "sentinelhub"], doc_md=__doc__):
    SentinelHubHttpOperator(
        task_id="collections",
        endpoint="/catalog/v1/collections",
        response_filter=lambda answer: [collection["id"] for collection in answer["collections"]],
    )

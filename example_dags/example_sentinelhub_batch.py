"""A large area, processed along a tiling grid and delivered to a bucket, once.

The task creates the job, records it, and starts it. It waits in the triggerer, and its retries go on with the same job,
even if processes died. When the job is done, the task reads its result database, because single tiles may have failed.

To use it, name your bucket, and give Airflow a connection `sentinelhub_bucket` of the type Amazon Web Services with
keys that open it. Without them, the sandbox simulates the job's duration and delivers nothing.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from sentinelhub_provider.operators.batch import SentinelHubBatchProcessOperator

PARAMS = {
    "bbox": Param(
        [20.50, 47.50, 20.62, 47.56], type="array", title="Area", description="West, south, east, north in degrees"
    ),
    "start": Param("2025-06-01", type="string", format="date", title="First day"),
    "end": Param("2025-06-30", type="string", format="date", title="Last day"),
    "delivery": Param("s3://my-bucket/ndvi", type="string", title="Delivery", description="Folder in a bucket"),
    "role_arn": Param(
        "arn:aws:iam::123456789012:role/sentinelhub",
        type="string",
        title="Role",
        description="IAM role in which Sentinel Hub writes there",
    ),
}


@dag(schedule=None, params=PARAMS, tags=["example", "sentinelhub"], default_args={"retries": 3}, doc_md=__doc__)
def example_sentinelhub_batch() -> None:
    """Process, and report."""
    ndvi = SentinelHubBatchProcessOperator(
        task_id="ndvi",
        collection="sentinel-2-l2a",
        evalscript="ndvi",
        time_range=["{{ params.start }}", "{{ params.end }}"],
        mosaicking_order="leastCC",
        bbox="{{ params.bbox }}",
        tiling_grid=0,
        resolution=60,
        delivery="{{ params.delivery }}/<requestId>/<tileName>/<outputId>.<format>",
        delivery_role_arn="{{ params.role_arn }}",
        max_processing_units=500,
        on_partial="warn",
        job_timeout=6 * 3600,
    )

    @task
    def report(job: dict[str, Any]) -> str:
        features = job["features"]
        counted = f"{features['done']} of {features['total']} tiles" if features else "tiles (uncounted)"
        place = job["delivery"].partition("<")[0].rpartition("/")[0]  # the rest names each tile and output
        return f"{counted} below {place}/{job['id']} for {job['processing_units']:.4g} PU"

    report(ndvi.output)


batch_dag = example_sentinelhub_batch()

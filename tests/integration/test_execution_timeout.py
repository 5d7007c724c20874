"""``execution_timeout`` ends what a task does and waits for, in a real Airflow, while the service stays silent."""

from __future__ import annotations

from typing import Any

import pytest

TASKS = ("tiles", "statistics", "catalog", "http", "batch")
DAGS = """
from datetime import timedelta

from airflow.sdk import DAG

from sentinelhub_provider.operators.batch import SentinelHubBatchProcessOperator
from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator
from sentinelhub_provider.operators.http import SentinelHubHttpOperator
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

WHERE = {"collection": "sentinel-2-l2a", "bbox": [14.0, 46.0, 14.1, 46.1]}
TIME = {"time_range": ["2024-06-01", "2024-06-20"]}
SEARCH = {"collections": ["sentinel-2-l2a"], "bbox": WHERE["bbox"], "datetime": "2024-06-01T00:00:00Z/.."}

with DAG("timeouts", schedule=None, default_args={"execution_timeout": timedelta(seconds=3)}):
    picture = {**WHERE, **TIME, "evalscript": "ndvi", "timeout": 300}
    SentinelHubProcessOperator(
        task_id="tiles", **picture, width=600, height=600, tile=True, tile_size=200, output_path="FOLDER/tiles.vrt"
    )
    SentinelHubStatisticsOperator(task_id="statistics", **picture, width=9, height=9)
    SentinelHubCatalogSearchOperator(
        task_id="catalog", **WHERE, datetime="2024-06-01/2024-06-20", timeout=300, deferrable=True
    )
    SentinelHubHttpOperator(
        task_id="http", endpoint="/catalog/v1/search", method="POST", json=SEARCH, paginate=True, timeout=300
    )
    SentinelHubBatchProcessOperator(
        task_id="batch", **WHERE, **TIME, evalscript="ndvi", tiling_grid=0, resolution=60, check_features=False,
        delivery="s3://results/" + "timeouts", delivery_role_arn="arn:aws:iam::123456789012:role/delivery",
        poll_interval=0.5, execution_timeout=timedelta(seconds=20),  # enough to start the job on a busy machine
    )
"""


@pytest.fixture(name="ran", scope="module")
def fixture_ran(sentinelhub_sandbox_server, dag_runner, tmp_path_factory) -> Any:
    """Run all tasks against a service that stays silent for five minutes, with a job that never ends."""
    server = sentinelhub_sandbox_server
    server.control.reset()
    for path in ("/process/v1", "/statistics/v1", "/catalog/v1/search"):
        server.control.add_fault(path=path, action={"kind": "silence", "seconds": 300}, times=None)
    server.control.jobs.set_durations(processing=None, stopping=0.0)
    home = tmp_path_factory.mktemp("timeouts")
    (home / "dags").mkdir()
    (home / "dags" / "timeouts.py").write_text(DAGS.replace("FOLDER", str(home)))
    yield dag_runner.run(server, home / "dags", home, auth_cache="memory")
    server.control.reset()


@pytest.mark.parametrize("task", TASKS)
def test_a_task_ends_at_its_time(task: str, ran):
    """In seconds where a thread, a page or the triggerer would wait for minutes."""
    run = ran.runs["timeouts"]

    assert run["tasks"][f"{task}[-1]"] == "failed", ran.log[-5000:]
    assert run["seconds"][f"{task}[-1]"] < 150


def test_the_job_of_a_task_that_waited_too_long_is_stopped(ran, sentinelhub_sandbox_server):
    """As that of any attempt that Airflow ends; a retry starts it again."""
    (job,) = sentinelhub_sandbox_server.control.jobs.all()

    assert (job.starts, job.stops) == (1, 1), ran.log[-5000:]

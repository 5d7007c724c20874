"""Deferrable sensors in a real ``dag.test()``, which knows no time limit of a deferral."""

from __future__ import annotations

from pathlib import Path

from job_requests import Jobs, batch_request

DAGS = """
from datetime import datetime

from airflow.sdk import DAG

from sentinelhub_provider.sensors.catalog import SentinelHubSceneSensor
from sentinelhub_provider.sensors.job import SentinelHubJobSensor

with DAG(dag_id="in_vain", schedule=None):
    for name, options in {{"fails": {{}}, "skips": {{"soft_fail": True}}}}.items():
        more = {{"deferrable": True, "timeout": 1, "poke_interval": 1, **options}}
        SentinelHubSceneSensor(
            task_id=f"scene_{{name}}",
            collection="sentinel-2-l2a",
            bbox=[14.0, 45.9, 14.1, 46.0],
            datetime=["2020-02-01", "2020-02-02"],
            min_scenes=50,
            **more,
        )
        SentinelHubJobSensor(task_id=f"job_{{name}}", kind="batch-process", job_id="{job}", **more)
"""


def test_sensors_end_in_time(sentinelhub_sandbox, connect, dag_runner, tmp_path: Path):
    """What waits in vain fails or is skipped, as it is to."""
    jobs = Jobs(sentinelhub_sandbox, {"Authorization": f"Bearer {connect().get_token()}"})
    sentinelhub_sandbox.control.jobs.set_durations(analysing=0, processing=None, stopping=0)
    job = jobs.create(batch_request())
    jobs.act(job, "start")
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "in_vain.py").write_text(DAGS.format(job=job))

    run = dag_runner.run(sentinelhub_sandbox, folder, tmp_path).runs["in_vain"]

    assert run["tasks"] == {
        "scene_fails[-1]": "failed",
        "scene_skips[-1]": "skipped",
        "job_fails[-1]": "failed",
        "job_skips[-1]": "skipped",
    }

"""Every operator and sensor that waits in the triggerer, under a real scheduler and triggerer of each Airflow."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from airflow_parts import AirflowParts, airflow_parts
from installed import Installed
from job_requests import BOX, batch_request

from sentinelhub_provider.sandbox.server import SandboxServer

pytestmark = pytest.mark.system

WAITING = {"batch", "batch_statistics", "async_process", "job_sensor", "scene_sensor", "ingest"}
"""The tasks that wait in the triggerer."""
JOBS = ("batch", "batch_statistics", "async_process")


def waiting(airflow: AirflowParts, run_id: str, *states: str) -> set[str]:
    """Return the ids of tasks that are deferred, or in one of other states."""
    wanted = states or ("deferred",)
    return {task["task_id"] for task in airflow.tasks("deferred", run_id) if task["state"] in wanted}


def settled(airflow: AirflowParts, run_id: str) -> bool:
    """Tell whether all tasks wait, or one of them never will."""
    return waiting(airflow, run_id) >= WAITING or bool(waiting(airflow, run_id, "failed", "up_for_retry"))


def button_and_page(airflow: AirflowParts, run_id: str, task_id: str) -> tuple[str, str]:
    """Return where a task's button *Imagery* leads, and what is there."""
    links = airflow.get(f"/dags/deferred/dagRuns/{run_id}/taskInstances/{task_id}/links")["extra_links"]
    assert links["Copernicus Browser"].startswith("https://browser.dataspace.copernicus.eu/?zoom=")
    page = airflow.client.get(f"/{links['Imagery']}").raise_for_status()
    return links["Imagery"], page.text


def others_job(sandbox: SandboxServer) -> str:
    """Create and start a job that is not the DAG's; return its id."""
    client = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    grant = httpx.post(sandbox.token_url(), data={"grant_type": "client_credentials", **client}).json()
    with httpx.Client(
        base_url=f"{sandbox.url}/batch/v2", headers={"Authorization": f"Bearer {grant['access_token']}"}
    ) as jobs:
        job = jobs.post("/process", json=batch_request()).raise_for_status().json()
        jobs.post(f"/process/{job['id']}/start").raise_for_status()
        return str(job["id"])


def test_each_deferred_task_succeeds(installed: Installed, tmp_path: Path):
    """In Airflow 3.1, 3.2 and 3.3: the tasks wait in the triggerer, and end well; each job is started once.

    The page of *Satellite imagery* shows a job while it is waited for and afterwards, at the same address.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with SandboxServer(control=True) as sandbox:
        # Jobs, scenes and tiles stand still until all tasks wait, however long Airflow takes for that.
        sandbox.control.jobs.set_durations(analysing=0, processing=None)
        sandbox.control.freeze_scenes()
        sandbox.control.byoc.set_ingestion(waiting=0, ingesting=None)
        connection = {
            "conn_type": "sentinelhub",
            "login": sandbox.client_id,
            "password": sandbox.client_secret,
            "host": sandbox.url,
            "extra": {"deployment": "custom", "auth_url": sandbox.token_url()},
        }
        environment = {"AIRFLOW_CONN_SENTINELHUB_DEFAULT": json.dumps(connection)}
        dags = Path(__file__).with_name("deferred_dags")
        with airflow_parts(tmp_path, dags, environment, python=installed.bin / "python") as airflow:
            airflow.wait_until(lambda: airflow.get("/dags")["dags"], "the DAG to be read")
            run_id = airflow.trigger("deferred", {"job": others_job(sandbox), "since": now})
            airflow.wait_until(lambda: settled(airflow, run_id), "all six tasks to wait", seconds=300)
            assert waiting(airflow, run_id) == WAITING
            jobs = f"/dags/deferred/dagRuns/{run_id}/taskInstances/{{}}/xcomEntries"
            airflow.wait_until(
                lambda: all("sentinelhub_job" in str(airflow.get(jobs.format(name))) for name in JOBS),
                "the triggerer to keep the jobs for the page",
                seconds=300,
            )
            link, page = button_and_page(airflow, run_id, "batch")
            assert ("PROCESSING" in page, "sentinel-2" in page, 'data-live="yes"' in page) == (True, True, True)
            sandbox.control.publish_scenes(bbox=BOX)
            sandbox.control.jobs.step()
            sandbox.control.byoc.step()
            state = airflow.wait_for_run("deferred", run_id)
            tasks = {task["task_id"]: (task["state"], task["try_number"]) for task in airflow.tasks("deferred", run_id)}
            assert state == "success", tasks
            again, page = button_and_page(airflow, run_id, "batch")
            assert ("DONE" in page, "sentinel-2" in page, 'data-live="no"' in page) == (True, True, True)
            assert again == link
            overview = airflow.client.get("/sentinelhub/")
            assert (overview.status_code, "deferred" in overview.text) == (200, True)
            views = [view["name"] for plugin in airflow.get("/plugins")["plugins"] for view in plugin["external_views"]]
            assert "Satellite imagery" in views
    assert [job.starts for job in sandbox.control.jobs.all()] == [1, 1, 1, 1]

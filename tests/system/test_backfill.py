"""``airflow backfill create`` under a real scheduler."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import pytest
from airflow_parts import airflow_parts
from dag_runs import connection_to
from postgres_server import missing_packages, postgres_server

from sentinelhub_provider.sandbox.server import SandboxServer

pytestmark = pytest.mark.system

SPAN = ("--from-date", "2025-03-28T23:00:00+00:00", "--to-date", "2025-03-30T22:00:00+00:00")


def intervals(home: Path, name: str, day: str) -> list[tuple[str, str]]:
    """Return the intervals of a table that a run wrote."""
    with (home / f"{name}-{day}.csv").open(newline="") as file:
        return [(row["interval_from"], row["interval_to"]) for row in csv.DictReader(file)]


@pytest.mark.skipif(bool(missing_packages()), reason="PostgreSQL is not installed; SQLite locks a backfill out")
def test_a_backfill_takes_the_times_of_the_past(tmp_path: Path):
    """Each run has statistics of its own interval, one of them of 23 hours, and of the seven days before it was due."""
    with SandboxServer(control=True) as sandbox, postgres_server() as database:
        environment = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW_CONN_SENTINELHUB_DEFAULT": connection_to(sandbox),
        }
        with airflow_parts(tmp_path, Path(__file__).with_name("backfill_dags"), environment) as airflow:
            airflow.wait_until(lambda: airflow.get("/dags")["dags"], "the DAG to be read")
            airflow.client.patch("/api/v2/dags/backfilled", json={"is_paused": False}).raise_for_status()
            created = subprocess.run(
                [airflow.python, "-m", "airflow", "backfill", "create", "--dag-id", "backfilled", *SPAN],
                env=dict(airflow.environ),
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert created.returncode == 0, created.stdout + created.stderr

            def states() -> list[str]:
                runs = airflow.get("/dags/backfilled/dagRuns", limit=100)["dag_runs"]
                return [run["state"] for run in runs if run["run_type"] == "backfill"]

            airflow.wait_until(
                lambda: set(states()) and set(states()) <= {"success", "failed"}, "all runs", seconds=300
            )
            assert states() == ["success"] * 3
    assert [intervals(tmp_path, "day", day) for day in ("2025-03-29", "2025-03-30", "2025-03-31")] == [
        [("2025-03-28T23:00:00Z", "2025-03-29T23:00:00Z")],
        [("2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z")],
        [("2025-03-30T22:00:00Z", "2025-03-31T22:00:00Z")],
    ]
    assert intervals(tmp_path, "week", "2025-03-30")[-1][1] == "2025-03-30T22:00:00Z"

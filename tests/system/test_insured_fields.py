"""The insurer's example under a real scheduler, eight weeks back. What it leaves is opened with the field's tools."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.dataset
import pystac
import pytest
import rasterio
from airflow_parts import AirflowParts, airflow_parts
from dag_runs import ROOT, connection_to
from postgres_server import missing_packages, postgres_server
from rasterio.errors import NotGeoreferencedWarning
from stac_checks import check_stac

from sentinelhub_provider.sandbox.server import SandboxServer

pytestmark = pytest.mark.system

NAME = "example_sentinelhub_insured_fields"
FIELDS = {f"HU-{number}" for number in range(1001, 1007)}
FIRST = datetime(2025, 5, 26, tzinfo=UTC)
WEEKS = [FIRST + timedelta(weeks=number) for number in range(8)]


def backfill(airflow: AirflowParts, output: Path) -> dict[str, dict[str, str]]:
    """Run the example for eight weeks; return the tasks' states by the first day of each run's interval."""
    airflow.wait_until(lambda: airflow.get("/dags")["dags"], "the DAG to be read")
    airflow.client.patch(f"/api/v2/dags/{NAME}", json={"is_paused": False}).raise_for_status()
    span = ("--from-date", WEEKS[0].isoformat(), "--to-date", WEEKS[-1].isoformat())
    conf = json.dumps({"output_dir": str(output)})
    command = [airflow.python, "-m", "airflow", "backfill", "create", "--dag-id", NAME, *span, "--dag-run-conf", conf]
    created = subprocess.run(
        command, env=dict(airflow.environ), cwd=airflow.home, capture_output=True, text=True, check=False
    )
    assert created.returncode == 0, created.stdout + created.stderr

    def ended() -> list[dict[str, str]]:
        runs = airflow.get(f"/dags/{NAME}/dagRuns", run_type="backfill", limit=100)["dag_runs"]
        return runs if len(runs) == len(WEEKS) and {run["state"] for run in runs} <= {"success", "failed"} else []

    runs = airflow.wait_until(ended, "all runs", seconds=600)
    return {
        run["logical_date"][:10]: {task["task_id"]: task["state"] for task in airflow.tasks(NAME, run["dag_run_id"])}
        for run in runs
    }


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, str]]]:
    """Return what the eight runs left: the output folder, and the states of their tasks."""
    if missing_packages():
        pytest.skip("PostgreSQL is not installed; SQLite locks a backfill out")
    home = tmp_path_factory.mktemp("insured")
    dags, output = home / "dags", home / "output"
    dags.mkdir()
    for name in (f"{NAME}.py", "insured_fields.zip"):
        shutil.copy(ROOT / "example_dags" / name, dags)
    with SandboxServer(control=True) as sandbox, postgres_server() as database:
        environment = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW_CONN_SENTINELHUB_DEFAULT": connection_to(sandbox),
        }
        with airflow_parts(home, dags, environment) as airflow:
            states = backfill(airflow, output)
        assert sandbox.control.counters().token_requests == 1
    return output, states


def test_each_week_has_its_run(left):
    """All tasks succeed, but for the warning, which comes in the weeks after which there was less green."""
    _, states = left

    assert sorted(states) == [f"{week:%Y-%m-%d}" for week in WEEKS]
    for tasks in states.values():
        assert {name: tasks[name] for name in ("ndvi", "pictures", "fell")} == dict.fromkeys(
            ("ndvi", "pictures", "fell"), "success"
        )
    assert {tasks["warn"] for tasks in states.values()} == {"success", "skipped"}


def test_the_dataset_has_each_week_of_each_field_once(left):
    """Also where eight runs merged into it at once."""
    output, _ = left
    table = pyarrow.dataset.dataset(output / "ndvi", format="parquet", partitioning="hive").to_table()

    rows = [(row["feature_id"], row["interval_from"]) for row in table.to_pylist()]
    assert sorted(rows) == sorted((field, week) for field in FIELDS for week in WEEKS)
    assert {row["crop"] for row in table.to_pylist()} >= {"wheat", "maize", "meadow"}


def test_each_field_has_a_picture_of_each_week(left):
    """Which is a picture: it has four bands, and is not of one colour."""
    output, _ = left
    pictures = {(path.parent.name, path.stem) for path in output.glob("pictures/*/*.png")}

    assert pictures == {(f"{week:%Y-%m-%d}", field) for field in FIELDS for week in WEEKS}
    for path in output.glob("pictures/*/*.png"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a PNG has no place; its STAC item does
            picture = rasterio.open(path)
        with picture:
            assert picture.count == 4
            assert min(picture.shape) > 20
            pixels = picture.read()
            assert pixels.max() > pixels.min()


def test_the_catalog_leads_to_the_pictures(left):
    """The Collection of each folder is valid STAC, and its Items lead to pictures that are there."""
    output, _ = left
    seen = 0
    for week in WEEKS:
        collection = pystac.Collection.from_file(str(output / f"pictures/{week:%Y-%m-%d}/collection.json"))
        check_stac(collection.to_dict())
        for item in collection.get_items(recursive=True):
            check_stac(item.to_dict())
            assert all(Path(asset.get_absolute_href()).is_file() for asset in item.assets.values())
            seen += 1
    assert seen == len(WEEKS) * len(FIELDS)

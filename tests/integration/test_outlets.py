"""Events of a task's outlets in a real ``dag.test()``: what the tasks and DAGs that follow are told."""

from __future__ import annotations

from pathlib import Path

DAGS = """
from airflow.sdk import DAG, Asset, AssetAlias, task

from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

WHAT = {
    "collection": "sentinel-2-l2a",
    "bbox": [14.0, 45.9, 14.02, 45.92],
    "width": 16,
    "height": 16,
    "evalscript": "ndvi",
    "time_range": ["2025-06-01", "2025-06-07"],
}
ASSETS = {name: Asset(name) for name in ("picture", "table", "scenes")}

with DAG(dag_id="tells", schedule=None):
    picture = SentinelHubProcessOperator(
        task_id="picture", output_path="ndvi.tif", outlets=[ASSETS["picture"], AssetAlias("any")], **WHAT
    )
    table = SentinelHubStatisticsOperator(
        task_id="table", output_path="ndvi.csv", outlets=[ASSETS["table"]], **WHAT
    )
    scenes = SentinelHubCatalogSearchOperator(
        task_id="scenes",
        collection="sentinel-2-l2a",
        bbox=WHAT["bbox"],
        datetime=WHAT["time_range"],
        outlets=[ASSETS["scenes"]],
    )

    @task(inlets=list(ASSETS.values()))
    def told(inlet_events=None):
        return {name: inlet_events[asset][-1].extra for name, asset in ASSETS.items()}

    [picture, table, scenes] >> told()
"""


def test_outlets_are_told_what_became_of_the_task(sentinelhub_sandbox, connect, dag_runner, tmp_path: Path):
    """Where the result is, its checksum, its cost, and of which time it is."""
    connect()
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "tells.py").write_text(DAGS)

    run = dag_runner.run(sentinelhub_sandbox, folder, tmp_path).runs["tells"]

    assert set(run["tasks"].values()) == {"success"}, run
    results, told = run["results"], run["results"]["told[-1]"]
    picture, table = results["picture[-1]"], results["table[-1]"]
    names = ("path", "outputs", "processing_units", "request_sha256")
    assert {name: told["picture"][name] for name in names} == {name: picture[name] for name in names}
    assert told["picture"]["time_range"] == {"from": "2025-06-01T00:00:00Z", "to": "2025-06-07T23:59:59Z"}
    assert {name: told["table"][name] for name in ("path", "sha256", "rows")} == {
        name: table[name] for name in ("path", "sha256", "rows")
    }
    assert told["table"]["time_range"]["from"].startswith("2025-06-01T00:00:00")
    assert set(told["scenes"]) <= {"processing_units", "estimated_processing_units"}

"""The example that new scenes start: what it makes of their events, and how its table grows."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "example_sentinelhub_new_scenes.py"


@pytest.fixture(scope="module", name="dag")
def fixture_dag() -> Any:
    """The DAG as Airflow loads it."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=EXAMPLE)
    assert bag.import_errors == {}
    return bag.dags["example_sentinelhub_new_scenes"]


def scene(name: str, moment: str, bbox: list[float]) -> dict[str, Any]:
    """Return a scene of an event."""
    return {"id": name, "datetime": moment, "cloud_cover": 3.0, "bbox": bbox}


def arrived(dag: Any, *events: list[dict[str, Any]]) -> Any:
    """Run the task that reads the events, each with its scenes."""
    seen = [SimpleNamespace(extra={"from_trigger": True, "payload": {"scenes": scenes}}) for scenes in events]
    return dag.get_task("arrived").python_callable(triggering_asset_events={"asset": seen})


def test_the_scene_says_where_and_when_to_look(dag):
    """Its day, and what it shows of the area."""
    found = arrived(
        dag,
        [scene("b", "2025-06-12T09:40:01Z", [20, 47, 21, 48])],
        [scene("a", "2025-06-10T09:40:01Z", [20, 47, 20.55, 47.55])],
    )

    assert found == [
        {"time_range": ["2025-06-10", "2025-06-10"], "bbox": [20.5, 47.5, 20.55, 47.55]},
        {"time_range": ["2025-06-12", "2025-06-12"], "bbox": [20.5, 47.5, 20.62, 47.56]},
    ]


def test_two_tiles_of_a_pass_are_one_row(dag):
    """The one that shows more of the area."""
    found = arrived(
        dag,
        [
            scene("a", "2025-06-10T09:40:01Z", [20, 47, 20.55, 48]),
            scene("b", "2025-06-10T09:40:15Z", [20.52, 47, 22, 48]),
        ],
    )

    assert found == [{"time_range": ["2025-06-10", "2025-06-10"], "bbox": [20.52, 47.5, 20.62, 47.56]}]


def test_the_table_grows_and_keeps_its_order(dag, tmp_path):
    """A day that comes again is replaced."""

    def row(day: str, mean: float) -> dict[str, Any]:
        numbers = dict.fromkeys(("min", "max", "stdev", "count"), 1)
        return {"interval_from": f"{day}T00:00:00Z", "mean": mean, "state": "ok", "feature_id": 0, **numbers}

    path = tmp_path / "folder" / "table.csv"
    fill = dag.get_task("table").python_callable
    fill([{"table": [row("2025-06-12", 0.5)]}], params={"table": str(path)})
    fill([{"table": [row("2025-06-10", 0.4)]}, {"table": [row("2025-06-12", 0.6)]}], params={"table": str(path)})

    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [(each["interval_from"][:10], each["mean"]) for each in rows] == [
        ("2025-06-10", "0.4"),
        ("2025-06-12", "0.6"),
    ]


def test_new_scenes_start_it(dag):
    """Its schedule is an asset with the watcher."""
    [asset] = dag.timetable.asset_condition.objects

    assert [type(watcher.trigger).__name__ for watcher in asset.watchers] == ["SentinelHubSceneTrigger"]
    assert asset.extra == {"collection": "sentinel-2-l2a", "area": [20.5, 47.5, 20.62, 47.56]}

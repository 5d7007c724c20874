"""A table that grows with every pass of the satellite.

A watcher polls for new scenes of the area. The scenes of one poll make one event, which starts one run. The run adds a
row to the table, with the NDVI of that day without clouds. If you start the DAG by hand, it takes the newest scene of
the last ten days.
"""

from __future__ import annotations

import csv
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, AssetWatcher, Param, dag, task

from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator
from sentinelhub_provider.triggers.scene import SentinelHubSceneTrigger

AREA = (20.50, 47.50, 20.62, 47.56)
COLLECTION = "sentinel-2-l2a"
COLUMNS = ("interval_from", "mean", "min", "max", "stdev", "count", "state")
TABLE = Param(
    str(Path(tempfile.gettempdir()) / "sentinelhub-new-scenes.csv"),
    type="string",
    title="Table",
    description="A CSV file on the worker",
)

new_scenes = SentinelHubSceneTrigger(collection=COLLECTION, bbox=AREA, max_cloud_cover=70)
scenes = Asset(
    "sentinelhub_example_scenes",
    extra=new_scenes.asset_extra,
    watchers=[AssetWatcher(name="sentinel_2", trigger=new_scenes)],
)


def statistics_of(arrived: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a day and a box for each scene. Scenes of one day count as one."""
    wanted: dict[str, dict[str, Any]] = {}
    for scene in arrived:
        west, south, east, north = scene["bbox"]
        shown = [max(AREA[0], west), max(AREA[1], south), min(AREA[2], east), min(AREA[3], north)]
        day = scene["datetime"][:10]
        # Two tiles of a pass overlap. The one with more of the area counts.
        if day not in wanted or _size(shown) > _size(wanted[day]["bbox"]):
            wanted[day] = {"time_range": [day, day], "bbox": shown}
    return [wanted[day] for day in sorted(wanted)]


def grown_table(old: list[dict[str, Any]], results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the table with the new rows in the order of time. A new row replaces that of the same day."""
    new = [{name: row[name] for name in COLUMNS} for result in results for row in result["table"]]
    by_day = {str(row["interval_from"]): row for row in [*old, *new]}
    return [by_day[day] for day in sorted(by_day)]


def _size(box: list[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


# There is no max_active_runs=1, because an event that comes while another run waits would be left out of both.
@dag(schedule=[scenes], params={"table": TABLE}, tags=["example", "sentinelhub"], doc_md=__doc__)
def example_sentinelhub_new_scenes() -> None:
    """Take the scenes that started the run, request their statistics, and add them to the table."""

    @task
    def arrived(*, triggering_asset_events: Any) -> list[dict[str, Any]]:
        events = [event for of_asset in triggering_asset_events.values() for event in of_asset]
        found = [scene for event in events for scene in event.extra["payload"]["scenes"]]
        return statistics_of(found or [newest_scene()])

    ndvi = SentinelHubStatisticsOperator.partial(
        task_id="ndvi",
        collection=COLLECTION,
        evalscript="ndvi-clear",
        resolution=20,
        map_index_template="{{ task.time_range[0] }}",
    ).expand_kwargs(arrived())  # type: ignore[call-arg] # Airflow gives triggering_asset_events

    @task(max_active_tis_per_dag=1)
    def table(results: list[dict[str, Any]], *, params: dict[str, Any]) -> str:
        path = Path(params["table"]).expanduser()
        old = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(grown_table(old, list(results)))
        return str(path)

    table(ndvi.output)  # type: ignore[call-arg] # Airflow gives params


def newest_scene() -> dict[str, Any]:
    """Return the newest scene of the last ten days, for a run that no scene has started."""
    from sentinelhub_provider.api.catalog import build_search, summary
    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

    since = datetime.now(UTC) - timedelta(days=10)
    search = build_search(collection=COLLECTION, bbox=AREA, datetime=f"{since.isoformat()}/..", limit=1)
    found = SentinelHubHook().request("POST", "/catalog/v1/search", json=search.body).json()["features"]
    if not found:
        raise ValueError("No scene covers this area in the last ten days.")
    scene: dict[str, Any] = summary(found[0])
    return scene


new_scenes_dag = example_sentinelhub_new_scenes()

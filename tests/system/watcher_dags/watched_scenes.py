"""A DAG that starts with new scenes; its task is nothing to run, as only the events are looked at."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, AssetWatcher

from sentinelhub_provider.triggers.scene import SentinelHubSceneTrigger

scenes = Asset(
    name="watched_scenes",
    watchers=[
        AssetWatcher(
            name="new_scenes",
            trigger=SentinelHubSceneTrigger(
                collection="sentinel-2-l2a",
                intersects={"type": "Point", "coordinates": [14.05, 45.95]},
                max_cloud_cover=50,
                poll_interval=10,
            ),
        )
    ],
)

with DAG(dag_id="watched_scenes", schedule=[scenes], catchup=False):
    EmptyOperator(task_id="seen")

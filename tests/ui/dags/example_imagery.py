"""A DAG whose tasks leave something of each kind for the page *Satellite imagery*."""

from __future__ import annotations

from airflow.sdk import DAG, task

from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

BOX = [20.42, 47.45, 20.72, 47.62]
MONTH = ["2025-06-01", "2025-06-30"]
WEEKS = [
    ("2025-06-02", "2025-06-08"),
    ("2025-06-09", "2025-06-15"),
    ("2025-06-16", "2025-06-22"),
    ("2025-06-23", "2025-06-29"),
]
FIELDS = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": name,
            "properties": {},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x, 47.5], [x + 0.02, 47.5], [x + 0.02, 47.515], [x, 47.51], [x, 47.5]]],
            },
        }
        for name, x in (("north field", 20.5), ("mill", 20.53), ("river bank", 20.56))
    ],
}

with DAG("fields_of_june", schedule=None, catchup=False) as dag:
    SentinelHubProcessOperator(
        task_id="true_colour",
        collection="sentinel-2-l2a",
        evalscript="true-colour",
        time_range=MONTH,
        max_cloud_cover=30,
        bbox=BOX,
        width=640,
        height=480,
        output_path="true_colour-{{ run_id }}.png",
    )
    SentinelHubProcessOperator.partial(
        task_id="ndvi_by_week",
        collection="sentinel-2-l2a",
        evalscript="ndvi",
        bbox=BOX,
        width=400,
        height=300,
        output_path="ndvi-{{ run_id }}-{{ task_instance.map_index }}.tif",
        map_index_template="{{ task.time_range[0] }}",
    ).expand(time_range=[list(week) for week in WEEKS])
    SentinelHubStatisticsOperator(
        task_id="statistics",
        features=FIELDS,
        collection="sentinel-2-l2a",
        evalscript="ndvi",
        time_range=MONTH,
        aggregation_interval="P5D",
        resolution=20,
    )
    SentinelHubCatalogSearchOperator(task_id="scenes", collection="sentinel-2-l2a", bbox=BOX, datetime=MONTH)
    SentinelHubProcessOperator(
        task_id="too_dear",
        collection="sentinel-2-l2a",
        evalscript="true-colour",
        time_range=MONTH,
        bbox=BOX,
        width=2000,
        height=1500,
        max_processing_units=1,
        output_path="never.png",
    )

    @task
    def of_another_kind() -> str:
        """Return something that is no imagery."""
        return "hello"

    of_another_kind()

"""Insured fields, every Monday, with a growing dataset of their NDVI, a picture of each, and a warning if it fell.

![The newest picture](sentinelhub/newest/example_sentinelhub_insured_fields)

The fields are a zipped Shapefile in Hungary's national grid, as farm software exports it. To use your own,
put your file beside this DAG. The DAG needs the extras `parquet` and `vector`. This adds the past eight weeks:

    airflow backfill create --dag-id example_sentinelhub_insured_fields --from-date 2025-05-26 --to-date 2025-07-14
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, Param, dag, task, timezone
from airflow.timetables.interval import CronDataIntervalTimetable

from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

FIELDS: dict[str, Any] = {
    "features": "{{ params.fields }}",
    "id_property": "policy",
    "collection": "sentinel-2-l2a",
    "mosaicking_order": "leastCC",  # the clearest scene of a week
    "resolution": 10,
}
PARAMS = {
    "fields": Param("insured_fields.zip", type="string", title="Fields", description="A file beside this DAG, a path"),
    "output_dir": Param(str(Path(tempfile.gettempdir()) / "sentinelhub-insured"), type="string", title="Folder"),
    "fall": Param(0.15, type="number", title="Fall", description="NDVI lost in a week that is worth a warning"),
}
START = timezone.datetime(2025, 1, 6)
WEEKLY = CronDataIntervalTimetable("0 0 * * 1", timezone="UTC")


@dag(schedule=WEEKLY, start_date=START, params=PARAMS, tags=["example", "sentinelhub"], doc_md=__doc__)
def example_sentinelhub_insured_fields() -> None:
    """Merge into the dataset, take pictures, warn."""
    ndvi = SentinelHubStatisticsOperator(
        task_id="ndvi",
        **FIELDS,
        properties=["crop"],
        evalscript="ndvi-clear",  # counts only pixels without cloud and shadow
        aggregation_interval="P7D",
        output_path="{{ params.output_dir }}/ndvi",
        partition_by="interval_month",
        outlets=[Asset("insured_fields_ndvi")],
    )
    SentinelHubProcessOperator(
        task_id="pictures",
        **FIELDS,
        evalscript="true-colour",
        buffer=100,  # metres around each field
        output_path="{{ params.output_dir }}/pictures/{{ data_interval_start | ds }}/{feature_id}.png",
    )

    @task.branch
    def fell(dataset: dict[str, Any], *, params: dict[str, Any], data_interval_start: Any) -> str | None:
        from sentinelhub_provider.tables import changes

        rows = changes(dataset["path"], compare_with="P7D", interval_from=data_interval_start).to_pylist()
        return "warn" if any((row["change"] or 0) <= -params["fall"] for row in rows) else None

    @task
    def warn(dataset: dict[str, Any]) -> str:
        return f"The NDVI of fields fell: see {dataset['path']}"  # to be sent by one of Airflow's notifiers

    fell(ndvi.output) >> warn(ndvi.output)  # type: ignore[call-arg] # Airflow gives the rest


insured_fields_dag = example_sentinelhub_insured_fields()

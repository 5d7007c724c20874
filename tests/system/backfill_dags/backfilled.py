"""A DAG whose tasks look at the data interval, and at the week before the run."""

from __future__ import annotations

import os

from airflow.sdk import DAG, timezone
from airflow.timetables.interval import CronDataIntervalTimetable

from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

with DAG(
    dag_id="backfilled",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="Europe/Berlin"),
    start_date=timezone.datetime(2025, 1, 1),
    end_date=timezone.datetime(2025, 4, 30),
    catchup=False,
):
    for name, time_range in {"day": None, "week": "P7D"}.items():
        SentinelHubStatisticsOperator(
            task_id=name,
            collection="sentinel-2-l2a",
            evalscript="ndvi",
            bbox=[20.50, 47.50, 20.52, 47.52],
            resolution=60,
            time_range=time_range,
            output_path=f"{os.environ['AIRFLOW_HOME']}/{name}-{{{{ dag_run.run_after | ds }}}}.csv",
        )

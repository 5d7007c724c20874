"""Fields, week by week.

This DAG requests the NDVI of each field of a GeoJSON file in each week. It stores one Parquet table with a row for each
field and week, and draws a chart. It needs the extra `parquet` and matplotlib.

To use your fields, put them into `weekly_fields.geojson` and choose the season below. To run it every Monday, set
`schedule="0 6 * * 1"` and `time_range="P4W"`, the four weeks before the run.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task

from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

PARAMS = {
    "fields": Param(
        "weekly_fields.geojson", type="string", title="Fields", description="A file beside this DAG, a path, a URL"
    ),
    "start": Param("2025-03-03", type="string", format="date", title="First day", description="A Monday"),
    "end": Param("2025-10-26", type="string", format="date", title="Last day", description="A Sunday"),
    "output_dir": Param(
        str(Path(tempfile.gettempdir()) / "sentinelhub-fields"),
        type="string",
        title="Folder",
        description="Folder for table and chart: local, or s3://connection@bucket/folder where workers share no disk",
    ),
}


@dag(schedule=None, params=PARAMS, tags=["example", "sentinelhub"], doc_md=__doc__)
def example_sentinelhub_weekly_fields() -> None:
    """Ask, store, draw."""
    ndvi = SentinelHubStatisticsOperator(
        task_id="ndvi",
        features="{{ params.fields }}",
        id_property="name",
        collection="sentinel-2-l2a",
        evalscript="ndvi-clear",  # counts only pixels without cloud and shadow
        time_range=["{{ params.start }}", "{{ params.end }}"],
        aggregation_interval="P7D",
        mosaicking_order="leastCC",  # the clearest scene of a week
        resolution=10,
        percentiles=[10, 50, 90],
        max_processing_units=20,
        output_path="{{ params.output_dir }}/fields.parquet",
    )

    @task
    def chart(table: dict[str, Any], *, params: dict[str, Any]) -> str:
        import pyarrow.parquet
        from airflow.sdk import ObjectStoragePath
        from weekly_fields_chart import draw_chart

        from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

        with ObjectStoragePath(table["path"]).open("rb") as file:
            rows = pyarrow.parquet.read_table(file).to_pylist()
        answer = SentinelHubHook().request("GET", "/catalog/v1/collections")
        path = f"{params['output_dir']}/fields.png"
        draw_chart(path, rows, is_sandbox="x-sentinelhub-sandbox" in answer.headers)
        return path

    chart(ndvi.output)  # type: ignore[call-arg] # Airflow gives params


weekly_fields_dag = example_sentinelhub_weekly_fields()

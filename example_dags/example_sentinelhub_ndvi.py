"""A growing season in pictures.

This DAG searches the Catalog, chooses the clearest day of each month, and renders the NDVI of each (dynamic task
mapping). It lays the pictures out on one sheet with date and cloud cover. Area and time are parameters of the run.

![The newest picture](sentinelhub/newest/example_sentinelhub_ndvi)
"""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task
from ndvi_scenes import clearest_of_each_month, summary

from sentinelhub_provider.operators.http import SentinelHubHttpOperator
from sentinelhub_provider.operators.process import SentinelHubProcessOperator

PARAMS = {
    "title": Param(
        "Lake Tisza, Hungary", type="string", title="Name", description="Of the area, for the sheet's title"
    ),
    "bbox": Param(
        [20.50, 47.50, 20.62, 47.56],
        type="array",
        items={"type": "number"},
        minItems=4,
        maxItems=4,
        title="Area",
        description="West, south, east, north in degrees",
    ),
    "start": Param("2025-03-01", type="string", format="date", title="First day"),
    "end": Param("2025-10-31", type="string", format="date", title="Last day"),
    "max_cloud_cover": Param(
        40, type="number", minimum=0, maximum=100, title="Cloud cover", description="Percent at most"
    ),
    "scenes": Param(8, type="integer", minimum=1, maximum=24, title="Pictures", description="At most, one for a month"),
    "output_dir": Param(
        str(Path(tempfile.gettempdir()) / "sentinelhub-ndvi"),
        type="string",
        title="Folder",
        description="Folder for the pictures: local, or s3://connection@bucket/folder where workers share no disk",
    ),
}


@dag(schedule=None, params=PARAMS, tags=["example", "sentinelhub"], doc_md=__doc__)
def example_sentinelhub_ndvi() -> None:
    """Search, choose, render, lay out."""
    search = SentinelHubHttpOperator(
        task_id="search",
        method="POST",
        endpoint="/catalog/v1/search",
        json="ndvi_search.json",
        paginate=True,
        response_filter=summary,
    )

    @task
    def choose(found: list[dict[str, Any]], *, params: dict[str, Any]) -> list[dict[str, Any]]:
        chosen = clearest_of_each_month(found, params["bbox"], params["scenes"])
        if not chosen:
            raise ValueError("No scene covers this area in this time. Allow more clouds, or more time.")
        return chosen

    scenes = choose(search.output)  # type: ignore[call-arg] # Airflow gives params

    ndvi = SentinelHubProcessOperator.partial(
        task_id="ndvi",
        collection="sentinel-2-l2a",
        evalscript="ndvi.js",
        bbox="{{ params.bbox }}",
        width=480,
        output_path="{{ params.output_dir }}/ndvi-{{ task.time_range[0] }}.png",
        map_index_template="{{ task.time_range[0] }}",
    ).expand(time_range=scenes.map(lambda scene: [scene["date"], scene["date"]]))

    @task
    def sheet(scenes: list[dict[str, Any]], pictures: list[dict[str, Any]], *, params: dict[str, Any]) -> str:
        from ndvi_sheet import draw_sheet

        first, last = (date.fromisoformat(params[name]) for name in ("start", "end"))
        path = f"{params['output_dir']}/ndvi.png"
        draw_sheet(
            path,
            title=f"NDVI, {params['title']}, {first:%B %Y} to {last:%B %Y}",
            scenes=[{**scene, "picture": picture["path"]} for scene, picture in zip(scenes, pictures, strict=True)],
        )
        return path

    sheet(scenes, ndvi.output)  # type: ignore[call-arg] # Airflow gives params


ndvi_dag = example_sentinelhub_ndvi()

"""A growing season in pictures.

Searches the catalog, chooses the clearest day of each month, renders the NDVI of each (dynamic task mapping), and lays
the pictures out on one sheet with date and cloud cover. Area and time are parameters of the run.
"""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task
from ndvi_scenes import clearest_of_each_month, ndvi_request, summary

from sentinelhub_provider.operators.http import SentinelHubHttpOperator

PARAMS = {
    "title": Param("Lake Tisza, Hungary", type="string", description="Name of the area, for the sheet's title"),
    "bbox": Param(
        [20.50, 47.50, 20.62, 47.56],
        type="array",
        items={"type": "number"},
        minItems=4,
        maxItems=4,
        description="Area: west, south, east, north in degrees",
    ),
    "start": Param("2025-03-01", type="string", format="date", description="First day"),
    "end": Param("2025-10-31", type="string", format="date", description="Last day"),
    "max_cloud_cover": Param(40, type="number", minimum=0, maximum=100, description="Cloud cover, percent at most"),
    "scenes": Param(8, type="integer", minimum=1, maximum=24, description="Pictures at most, one for a month"),
    "output_dir": Param(
        str(Path(tempfile.gettempdir()) / "sentinelhub-ndvi"),
        type="string",
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
        return [
            {**scene, "bbox": params["bbox"], "output_path": f"{params['output_dir']}/ndvi-{scene['date']}.png"}
            for scene in chosen
        ]

    scenes = choose(search.output)  # type: ignore[call-arg] # Airflow gives params

    ndvi = SentinelHubHttpOperator.partial(
        task_id="ndvi",
        method="POST",
        endpoint="/process/v1",
        evalscript="ndvi.js",
        accept="image/png",
        map_index_template="{{ task.json.input.data[0].dataFilter.timeRange.from[:10] }}",
    ).expand_kwargs(scenes.map(ndvi_request))

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

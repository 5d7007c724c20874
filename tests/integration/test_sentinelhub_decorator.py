"""``@task.sentinelhub`` against the sandbox: the function searches, the Process operator renders, splits and stores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from airflow.sdk import DAG, task
from task_instance import TaskInstance

AREA = {"bbox": [400_000, 5_095_000, 403_200, 5_097_400], "crs": 32633, "resolution": 20}
SEARCH = {
    "collections": ["sentinel-2-l2a"],
    "intersects": {"type": "Point", "coordinates": [13.73, 46.01]},
    "datetime": "2024-06-01T00:00:00Z/2024-06-30T23:59:59Z",
    "limit": 20,
}


def clearest_day(hook: Any, width: int) -> dict[str, Any]:
    """Ask the catalog for the clearest scene, and for the NDVI of its day."""
    found = hook.request("POST", "/catalog/v1/search", json=SEARCH).json()["features"]
    day = min(found, key=lambda item: item["properties"]["eo:cloud_cover"])["properties"]["datetime"][:10]
    return {"evalscript": "ndvi", "time_range": [day, day], **AREA, "resolution": None, "width": width, "height": 120}


@pytest.fixture(name="run")
def fixture_run(connect) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """Execute the decorated function as a task would; return its result and what it pushed."""
    connect()
    operators: list[Any] = []

    def run(**decorator: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        with DAG("d", schedule=None):
            operator = task.sentinelhub(collection="sentinel-2-l2a", **decorator)(clearest_day)(width=160).operator
        operators.append(operator)
        context: Any = {"ti": TaskInstance(), "run_id": "monday", "ds": "2024-06-08"}
        operator.render_template_fields(context)
        return operator.execute(context), context["ti"].pushed

    yield run
    for operator in operators:
        operator.hook.get_conn().close()


def test_what_the_function_finds_is_rendered_and_stored(run, sentinelhub_sandbox, tmp_path: Path):
    """One login for its calls and the picture's; result and cost are the operator's."""
    result, pushed = run(output_path=str(tmp_path / "ndvi-{{ ds }}.tif"), max_processing_units=1)

    with rasterio.open(tmp_path / "ndvi-2024-06-08.tif") as picture:
        assert (picture.width, picture.height, picture.crs.to_epsg()) == (160, 120, 32633)
        assert 0 < np.nanmean(picture.read(1)) < 1
    assert result["path"] == str(tmp_path / "ndvi-2024-06-08.tif")
    assert (
        result["processing_units"] == pushed["processing_units"] == pytest.approx(result["estimated_processing_units"])
    )
    assert sentinelhub_sandbox.control.counters().token_requests == 1


def test_splitting_and_skipping_are_the_operators(run, tmp_path: Path):
    """Tiles make the same picture as one request, and what is there is not asked for again."""
    run(output_path=str(tmp_path / "whole.tif"))
    tiled, _ = run(output_path=str(tmp_path / "tiled.tif"), tile=True, tile_size=64)
    again, _ = run(output_path=str(tmp_path / "tiled.tif"), tile=True, tile_size=64, if_exists="skip")

    with rasterio.open(tmp_path / "whole.tif") as whole, rasterio.open(tmp_path / "tiled.tif") as tiles:
        np.testing.assert_array_equal(whole.read(), tiles.read())
    assert tiled["tiles"] == {"total": 6, "fetched": 6}
    assert again["skipped"] is True

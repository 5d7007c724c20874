"""Pictures without data: known before they are paid for where that is cheaper, and told by their pixels."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.raster.coverage import coverage_of, local_copy

NOTHING = """//VERSION=3
function setup() { return {input: ["B04"], output: {bands: 2, sampleType: "FLOAT32"}}; }
function evaluatePixel(s) { return [0, NaN]; }
"""
HALF = """//VERSION=3
function setup() { return {input: ["B04"], output: {bands: 1}, mosaicking: "SIMPLE"}; }
function evaluatePixel(s) { return [255]; }
"""
NO_SCENE = ["2024-06-03T00:00:00Z", "2024-06-03T00:01:00Z"]


@pytest.fixture(name="picture")
def fixture_picture(connect, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Have a picture of 256 x 256 pixels made."""
    connect()

    def picture(**changes: Any) -> dict[str, Any]:
        arguments = {
            "collection": "sentinel-2-l2a",
            "evalscript": "ndvi",
            "time_range": ["2024-06-01", "2024-06-30"],
            "bbox": [500_000, 5_000_000, 502_560, 5_002_560],
            "crs": 32633,
            "resolution": 10,
            "output_path": str(tmp_path / "a.tif"),
        }
        operator = SentinelHubProcessOperator(task_id="t", **{**arguments, **changes})
        ti = SimpleNamespace(xcom_push=lambda key, value: None, dag_id="d", map_index=-1)
        with operator.hook.get_conn():
            return operator.execute({"ti": ti, "run_id": "r", "data_interval_start": datetime(2024, 6, 1, tzinfo=UTC)})

    return picture


def paths(sandbox: Any) -> list[str]:
    """Return the paths that were called, but for tokens."""
    return [one.path for one in sandbox.control.exchanges() if "token" not in one.path]


endings = pytest.mark.parametrize(
    ("on_empty", "error"), [("skip", AirflowSkipException), ("fail", AirflowFailException)], ids=["skip", "fail"]
)


@endings
@pytest.mark.parametrize("tile", [False, True], ids=["whole", "tiles"])
def test_nothing_is_paid_for_where_there_is_no_scene(picture, sentinelhub_sandbox, on_empty, error, tile):
    """A search of the Catalog is cheaper than the picture."""
    sentinelhub_sandbox.control.record_exchanges()
    with pytest.raises(error, match="no scene of that area and time, so no picture was requested"):
        picture(on_empty=on_empty, tile=tile, time_range=NO_SCENE)

    assert not [path for path in paths(sentinelhub_sandbox) if "process" in path]
    sentinelhub_sandbox.control.record_exchanges(False)


@endings
@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_a_picture_of_nothing_is_told_by_its_pixels(picture, tmp_path: Path, on_empty, error, suffix):
    """Also by a second task that finds it there, which pays nothing."""
    script = NOTHING if suffix == "tif" else HALF.replace("255", "0")
    arguments = {"evalscript": script, "output_path": str(tmp_path / f"a.{suffix}")}
    assert picture(**arguments)["coverage"] == 0
    with pytest.raises(error, match="no pixel has data"):
        picture(**arguments, on_empty=on_empty)
    with pytest.raises(error, match="no pixel has data"):
        picture(**arguments, on_empty=on_empty, if_exists="skip")


@endings
@pytest.mark.parametrize("tile", [False, True], ids=["whole", "tiles"])
def test_a_picture_that_is_kept_is_looked_at_where_its_item_does_not_tell(
    picture, tmp_path: Path, on_empty, error, tile
):
    """Whoever made it had no ``rasterio``, or it lies in an object storage."""
    picture(evalscript=NOTHING, tile=tile)
    item = tmp_path / "a.tif.stac.json"
    told = json.loads(item.read_text())
    assert told["properties"].pop("sentinelhub:coverage") == 0
    item.write_text(json.dumps(told))

    with pytest.raises(error, match="no pixel has data"):
        picture(evalscript=NOTHING, tile=tile, on_empty=on_empty, if_exists="skip")


def test_the_share_is_of_the_area_that_was_wanted(picture):
    """Not of its box; what lies around the geometry has no data by wish."""
    triangle = "POLYGON ((500000 5000000, 502560 5000000, 500000 5002560, 500000 5000000))"

    assert picture(evalscript=HALF)["coverage"] == 1
    assert picture(evalscript=HALF, bbox=None, geometry=triangle)["coverage"] == pytest.approx(1, abs=0.02)


def test_a_catalog_that_is_down_is_no_reason(picture, sentinelhub_sandbox):
    """The picture is made as without the search."""
    fault = sentinelhub_sandbox.control.add_fault(action={"kind": "status", "status": 403}, path="/catalog/v1/search")
    try:
        assert picture(on_empty="fail")["coverage"] > 0
    finally:
        sentinelhub_sandbox.control.remove_fault(fault)


def test_an_unknown_choice_is_refused(picture):
    """By name."""
    with pytest.raises(AirflowFailException, match=r"on_empty is 'ignore'\. Give one of succeed, skip, fail"):
        picture(on_empty="ignore")


def test_pictures_in_an_object_storage_are_copied_only_where_that_is_needed(tmp_path: Path):
    """Also where its paths are those of ``pathlib``, as on Airflow 3.1."""

    class ObjectPath(type(Path())):  # type: ignore[misc]
        fs, protocol = None, "s3"

    place = ObjectPath(tmp_path / "a.tif")
    place.write_bytes(b"picture")
    request: Any = SimpleNamespace(formats={"default": "image/tiff"}, size=SimpleNamespace(width=9, height=9))
    operator: Any = None  # which would warn of a picture that is none
    assert coverage_of(operator, request, {"default": place}, "succeed") is None
    with local_copy(place) as path:
        assert (path != place, path.read_bytes()) == (True, b"picture")

"""Scenes from a folder of GeoTIFF files and STAC items."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from sentinelhub_provider.sandbox.apis.process.render import process
from sentinelhub_provider.sandbox.world.grid import Grid
from sentinelhub_provider.sandbox.world.scenes import FolderScenes
from sentinelhub_provider.sandbox.world.scenes.folder import FolderError

WEST, NORTH = 424_000, 5_098_560
GRID = Grid.from_bounds(32633, (WEST, NORTH - 640, WEST + 640, NORTH), 64, 64)
RED = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) + 100
NEAR_INFRARED = RED[::-1] + 2000
YEAR = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
SQUARE = {"type": "Polygon", "coordinates": [[[14.0, 46.0], [14.1, 46.0], [14.1, 46.1], [14.0, 46.1], [14.0, 46.0]]]}


def write(path: Path, *bands: np.ndarray, nodata: float | None = None, crs: str | None = "EPSG:32633") -> None:
    """Write a GeoTIFF."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=64,
        height=64,
        count=len(bands),
        dtype=bands[0].dtype.name,
        crs=crs,
        transform=from_origin(WEST, NORTH, 10, 10),
        nodata=nodata,
    ) as image:
        image.write(np.stack(bands))


def item(identifier: str = "one", **changes: Any) -> dict[str, Any]:
    """Make a STAC item."""
    made: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": identifier,
        "collection": "sentinel-2-l2a",
        "geometry": SQUARE,
        "properties": {"datetime": "2024-06-05T10:00:00Z", "eo:cloud_cover": 12.5, "platform": "sentinel-2a"},
        "assets": {"B04": {"href": "./red.tif"}, "B08": {"href": "near.tif"}, "thumbnail": {"href": "look.png"}},
    }
    return made | changes


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of folders with two bands and the given items."""
    write(tmp_path / "red.tif", RED, nodata=0)
    write(tmp_path / "near.tif", NEAR_INFRARED, nodata=0)

    def make(*items: dict[str, Any]) -> Path:
        for number, document in enumerate(items):
            (tmp_path / f"{number}.json").write_text(json.dumps(document))
        return tmp_path

    return make


def test_a_scene_is_read_as_it_lies_in_the_file(folder: Callable[..., Path]):
    """On the file's own grid the values are the file's, digital numbers turned into reflectance."""
    scene = FolderScenes(folder(item())).get("sentinel-2-l2a", "one")
    values = scene.read(["B04", "dataMask"], GRID)
    np.testing.assert_allclose(values["B04"], RED / 10_000, rtol=1e-6)
    assert (values["dataMask"] == 1).all()
    assert (scene.cloud_cover, scene.epsg, scene.properties["platform"]) == (12.5, 32633, "sentinel-2a")


def test_outside_the_file_there_is_no_data(folder: Callable[..., Path]):
    """A larger grid is masked where the file ends."""
    scene = FolderScenes(folder(item())).get("sentinel-2-l2a", "one")
    values = scene.read(
        ["B04", "dataMask"], Grid.from_bounds(32633, (WEST - 640, NORTH - 640, WEST + 640, NORTH), 128, 64)
    )
    assert (values["dataMask"][:, :64] == 0).all()
    assert (values["B04"][:, :64] == 0).all()
    assert (values["dataMask"][:, 64:] == 1).all()


def test_nodata_in_the_file_is_masked(tmp_path: Path, folder: Callable[..., Path]):
    """The file's nodata value means no data."""
    holed = RED.copy()
    holed[10:20, 10:20] = 0
    write(tmp_path / "red.tif", holed, nodata=0)
    mask = FolderScenes(folder(item())).get("sentinel-2-l2a", "one").read(["B04", "dataMask"], GRID)["dataMask"]
    assert mask[15, 15] == 0
    assert mask.sum() == 64 * 64 - 100


def test_a_request_is_warped_and_rendered(folder: Callable[..., Path]):
    """The Process API serves the folder: NDVI in degrees from files in UTM."""
    source = FolderScenes(folder(item()))
    request = {
        "input": {
            "bounds": {
                "bbox": [WEST, NORTH - 640, WEST + 640, NORTH],
                "properties": {"crs": "http://www.opengis.net/def/crs/EPSG/0/32633"},
            },
            "data": [{"type": "sentinel-2-l2a"}],
        },
        "output": {"width": 64, "height": 64, "responses": [{"format": {"type": "image/tiff"}}]},
        "evalscript": "//VERSION=3\nfunction setup() { return { input: ['B04', 'B08'], output: { bands: 1, "
        "sampleType: 'FLOAT32' } }; }\nfunction evaluatePixel(s) { return [index(s.B08, s.B04)]; }",
    }
    with rasterio.MemoryFile(process(request, accept=None, source=source).content) as memory, memory.open() as image:
        values = image.read(1)
    red, near = RED / 10_000, NEAR_INFRARED / 10_000
    np.testing.assert_allclose(values, (near - red) / (near + red), rtol=1e-4)


def test_a_file_of_several_bands(tmp_path: Path, folder: Callable[..., Path]):
    """eo:bands name the bands of one file; a scale turns them into their unit."""
    write(tmp_path / "both.tif", RED, NEAR_INFRARED)
    asset = {
        "href": "both.tif",
        "eo:bands": [{"name": "red"}, {"name": "nir"}],
        "raster:bands": [{"scale": 0.5}, {"scale": 2.0, "offset": 1.0}],
    }
    source = FolderScenes(folder(item(collection="mine", assets={"data": asset})))
    info = source.collections()[0]
    assert (info.id, [band.name for band in info.bands]) == ("mine", ["red", "nir", "dataMask"])
    values = source.get("mine", "one").read(["red", "nir"], GRID)
    np.testing.assert_allclose(values["red"], RED * 0.5)
    np.testing.assert_allclose(values["nir"], NEAR_INFRARED * 2.0 + 1.0)


def test_search_by_time_and_place(folder: Callable[..., Path]):
    """Newest first, within the interval, touching the box."""
    later = {"datetime": "2024-07-05T10:00:00Z"}
    source = FolderScenes(folder(item(), item("two", properties=later)))

    def find(bbox: Any, end: datetime = YEAR[1]) -> list[str]:
        return [scene.id for scene in source.search("sentinel-2-l2a", bbox=bbox, start=YEAR[0], end=end)]

    assert find(None) == ["two", "one"]
    assert find((14.05, 46.05, 14.06, 46.06), datetime(2024, 6, 30, tzinfo=UTC)) == ["one"]
    assert find((15, 46, 16, 47)) == []
    assert list(source.search("other", bbox=None, start=YEAR[0], end=YEAR[1])) == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (item(collection=None), "has no collection"),
        (item(geometry=None), "geometry must be"),
        (item(properties={}), "properties.datetime is None"),
        (item(properties={"datetime": "yesterday"}), "properties.datetime is 'yesterday'"),
        (item(assets={}), "has no assets"),
        (item(assets={"B04": {}}), "asset 'B04' has no href"),
        (item(assets={"B04": {"href": "missing.tif"}}), "there is no file"),
        (item(assets={"B04": {"href": "https://example.com/red.tif"}}), "only files of the folder"),
        (item(assets={"B04": {"href": "broken.tif"}}), "is no raster file"),
        (item(assets={"B04": {"href": "nowhere.tif"}}), "has no CRS"),
        (item(assets={"B04": {"href": "red.tif", "eo:bands": [{"name": "a"}, {"name": "b"}]}}), "names 2 band"),
        (item(assets={"thumbnail": {"href": "look.png"}}), "none of its assets is a raster file"),
        ({"type": "Feature", "properties": {}}, "needs an id"),
    ],
)
def test_a_broken_item_is_explained(tmp_path: Path, folder: Callable[..., Path], document: Any, message: str):
    """The file is named, and what is wrong with it."""
    (tmp_path / "broken.tif").write_bytes(b"no image")
    write(tmp_path / "nowhere.tif", RED, crs=None)
    with pytest.raises(FolderError, match=message) as caught:
        FolderScenes(folder(document))
    assert "0.json" in str(caught.value)


def test_a_broken_folder_is_explained(tmp_path: Path):
    """No folder, an empty one, and one with broken JSON."""
    with pytest.raises(FolderError, match="is no folder"):
        FolderScenes(tmp_path / "absent")
    with pytest.raises(FolderError, match="has no STAC item"):
        FolderScenes(tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(FolderError, match="cannot be read as JSON"):
        FolderScenes(tmp_path)


def test_two_items_of_one_id_are_refused(folder: Callable[..., Path]):
    """Ids are unique within a collection."""
    with pytest.raises(FolderError, match="occurs twice"):
        FolderScenes(folder(item(), item()))

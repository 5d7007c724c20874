"""Items of pictures: valid, and true to the request."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pystac
import pytest
import shapely
from stac_checks import check_stac

from sentinelhub_provider.api.arguments import ImageryArguments
from sentinelhub_provider.api.geo.bounds import parse_bounds
from sentinelhub_provider.api.process import ProcessRequest, build_process_request, read_process_request
from sentinelhub_provider.stac.item import PictureFile, SourceScene, footprint, picture_item, to_json

MADE = datetime(2026, 11, 27, 12, tzinfo=UTC)
STATISTICS = ({"minimum": -0.5, "maximum": 1.0, "mean": 0.3, "stddev": 0.2},)
RADAR = """//VERSION=3
function setup() { return {input: ["VV"], output: {bands: 2, sampleType: "FLOAT32"}} }
function evaluatePixel(s) { return [s.VV, s.VV] }"""
ELEVATION = RADAR.replace("VV", "DEM")


def request(**changes: Any) -> ProcessRequest:
    """Return a request for NDVI and its mask; keywords change arguments."""
    given = {
        "collection": "sentinel-2-l2a",
        "evalscript": "ndvi",
        "time_range": ("2025-06-01", "2025-06-07"),
        "bbox": [20.0, 47.0, 20.1, 47.1],
        "resolution": 100,
        "outputs": {"default": "tiff", "dataMask": "png"},
    }
    return build_process_request(ImageryArguments(**{**given, **changes}))


def item(wanted: ProcessRequest, **changes: Any) -> dict[str, Any]:
    """Return the checked JSON of an item."""
    files = {
        name: PictureFile(f"./{name}", 10, "ab" * 32, kind, STATISTICS if name == "default" else ())
        for name, kind in wanted.formats.items()
    }
    found = picture_item("ndvi.tif", wanted, files, **{"made": MADE, "collection": "ndvi", **changes})
    return check_stac(to_json(found))


def test_an_item_says_where_when_and_what():
    """By STAC's own names."""
    found = item(request(), properties={"sentinelhub:processing_units": 0.5, "sentinelhub:coverage": None})

    assert (found["id"], found["collection"], found["bbox"]) == ("ndvi.tif", "ndvi", [20.0, 47.0, 20.1, 47.1])
    assert {link["rel"]: link["href"] for link in found["links"]} == dict.fromkeys(
        ("root", "parent", "collection"), "./collection.json"
    )
    properties = found["properties"]
    assert properties["start_datetime"] == "2025-06-01T00:00:00Z"
    assert properties["end_datetime"] == "2025-06-07T23:59:59Z"
    assert (properties["datetime"], properties["created"]) == (None, "2026-11-27T12:00:00Z")
    assert (properties["proj:code"], properties["proj:shape"]) == ("EPSG:4326", [111, 76])
    assert properties["sentinelhub:collections"] == ["sentinel-2-l2a"]
    assert {name for name in properties if name.startswith("sentinelhub:")} == {
        "sentinelhub:collections",
        "sentinelhub:processing_units",
    }
    default, mask = found["assets"]["default"], found["assets"]["dataMask"]
    assert (default["type"], default["roles"]) == ("image/tiff; application=geotiff", ["data"])
    assert default["bands"] == [{"name": "ndvi", "data_type": "float32", "statistics": STATISTICS[0]}]
    assert (mask["type"], mask["roles"], mask["bands"][0]["name"]) == ("image/png", ["data-mask"], "dataMask")


def test_pystac_reads_it_as_it_was():
    """And its extensions."""
    found = pystac.Item.from_dict(item(request(bbox=[4e5, 5e6, 4.1e5, 5.01e6], crs=32633)))

    assert (found.ext.proj.code, found.ext.proj.shape) == ("EPSG:32633", [100, 100])
    assert found.ext.proj.transform == [100.0, 0.0, 4e5, 0.0, -100.0, 5.01e6]
    assert found.assets["default"].ext.file.size == 10
    assert found.common_metadata.start_datetime == datetime(2025, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_colours_have_their_common_names(kind: str):
    """A JPEG has no transparency."""
    (asset,) = item(request(evalscript="true-colour", outputs=kind))["assets"].values()

    names = ["red", "green", "blue"] + (["alpha"] if kind == "png" else [])
    assert [band["name"] for band in asset["bands"]] == names
    assert [band.get("eo:common_name") for band in asset["bands"]][:3] == names[:3]
    assert asset["roles"] == ["data", "visual"]


def test_bands_without_a_name_are_called_as_in_statistics():
    """B0, B1 and so on."""
    (asset,) = item(request(collection="sentinel-1-grd", evalscript=RADAR, outputs="tiff"))["assets"].values()

    assert [band["name"] for band in asset["bands"]] == ["B0", "B1"]


def test_data_without_a_time_have_that_of_the_picture():
    """STAC needs one; elevation has none."""
    properties = item(request(collection="dem", evalscript=ELEVATION, time_range=None, outputs="tiff"))["properties"]

    assert properties["datetime"] == properties["created"]
    assert "start_datetime" not in properties


def test_fused_data_span_the_times_of_all():
    """From the earliest to the latest."""
    times = {"from": "2025-07-01T00:00:00Z", "to": "2025-07-02T00:00:00Z"}
    later = {"type": "sentinel-2-l2a", "dataFilter": {"timeRange": times}}
    properties = item(request(collection=["sentinel-2-l1c", later]))["properties"]

    assert properties["start_datetime"] == "2025-06-01T00:00:00Z"
    assert properties["end_datetime"] == "2025-07-02T00:00:00Z"
    assert properties["sentinelhub:collections"] == ["sentinel-2-l1c", "sentinel-2-l2a"]


def test_one_moment_is_the_datetime():
    """Not a range without length."""
    moment = "2025-06-01T10:00:00Z"
    assert item(request(time_range=(moment, moment)))["properties"]["datetime"] == moment


def test_scenes_that_went_into_it_are_linked():
    """The cloud cover is known where there is one."""
    one, two = SourceScene("A", "https://example.com/A", 12.5), SourceScene("B", "https://example.com/B", 50.0)
    found = item(request(), scenes=[one])
    assert found["properties"]["eo:cloud_cover"] == 12.5
    both = item(request(), scenes=iter([one, two]))

    assert "eo:cloud_cover" not in both["properties"]
    links = [link for link in both["links"] if link["rel"] == "derived_from"]
    assert [(link["title"], link["href"]) for link in links] == [(one.id, one.href), (two.id, two.href)]


def test_the_footprint_is_what_has_data():
    """The part of the geometry that is in the box."""
    triangle = "POLYGON ((20 47, 20.2 47, 20 47.2, 20 47))"
    found = item(request(geometry=triangle))

    assert shapely.geometry.shape(found["geometry"]).area == pytest.approx(0.01)
    assert found["bbox"] == [20.0, 47.0, 20.1, 47.1]
    assert item(request(geometry=triangle, bbox=None))["bbox"] == [20.0, 47.0, 20.2, 47.2]


@pytest.mark.parametrize(
    ("bbox", "crs", "expected"),
    [
        ([400_000, 5_000_000, 500_000, 5_050_000], 32633, (13.72, 45.15, 15.0, 45.61)),
        ([-740_000, -1_050_000, -730_000, -1_040_000], 5514, (14.45, 50.03, 14.61, 50.13)),
        ([680_000, 0, 900_000, 100_000], 32660, (178.61, 0.0, -179.41, 0.9)),
        ([20_027_508, 0, 20_042_508, 10_000], 3857, (179.91, 0.0, -179.95, 0.09)),
        ([-500_000, -500_000, 500_000, 500_000], 3413, (-180.0, 83.48, 180.0, 90.0)),
        ([-500_000, -500_000, 500_000, 500_000], 3031, (-180.0, -90.0, 180.0, -83.5)),
    ],
    ids=["UTM", "national grid", "across 180 degrees", "Mercator across 180", "North Pole", "South Pole"],
)
def test_any_area_is_a_valid_one_in_degrees(bbox: list[float], crs: int, expected: tuple[float, ...]):
    """Cut at the antimeridian, with a west beyond its east, as GeoJSON has it."""
    found = item(
        request(collection="sentinel-1-grd", evalscript=RADAR, outputs="tiff", bbox=bbox, crs=crs, resolution=1000)
    )
    shape = shapely.geometry.shape(found["geometry"])

    assert found["bbox"] == pytest.approx(expected, abs=0.011)
    assert found["properties"]["proj:code"] == f"EPSG:{crs}"
    assert shape.is_valid
    assert all(-180 <= x <= 180 for x in shapely.get_coordinates(shape)[:, 0])
    assert all(part.exterior.is_ccw for part in shapely.get_parts(shape))
    assert (found["bbox"][0] > found["bbox"][2]) == (found["geometry"]["type"] == "MultiPolygon")


def test_a_wide_box_stays_a_wide_box():
    """It does not go the short way round, as an edge of a geometry does."""
    geometry, bbox = footprint(parse_bounds(bbox=[-100, 0, 100, 10]))

    assert bbox == [-100, 0, 100, 10]
    assert geometry["type"] == "Polygon"


def test_random_areas_across_the_antimeridian_are_closed():
    """Positions that are shifted by a turn and back differ in their last digits."""
    chance = random.Random(0)
    for _ in range(200):
        x, side = chance.uniform(20_030_000, 20_037_500), chance.uniform(8_000, 50_000)
        given = {"collection": "sentinel-1-grd", "evalscript": RADAR, "outputs": "tiff"}
        assert item(request(bbox=[x, 0, x + side, side], crs=3857, **given))["geometry"]["type"] == "MultiPolygon"


def test_a_request_as_the_api_has_it_may_lack_a_time():
    """Or half of one."""
    body = request().body
    for times in ({}, {"from": "2025-06-01T00:00:00Z"}):
        body["input"]["data"][0]["dataFilter"] = {"timeRange": times}
        assert item(read_process_request(body))["properties"]["datetime"] == "2026-11-27T12:00:00Z"

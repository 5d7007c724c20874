"""Where and how fine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import pytest
import shapely

from sentinelhub_provider.api.geo.bounds import Size, parse_bounds, parse_size, read_bounds, read_size
from sentinelhub_provider.exceptions import SentinelHubRequestError

DEGREES = [13.0, 45.0, 13.1, 45.1]
UTM = [500_000, 5_000_000, 501_000, 5_002_000]
CRS84_URI = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


@pytest.mark.parametrize(
    ("arguments", "field", "message"),
    [
        ({}, "bbox", "both missing"),
        ({"bbox": [0, 91, 1, 92]}, "bbox", "swapped"),
        ({"bbox": UTM}, "bbox", "name their CRS"),
        ({"bbox": DEGREES, "crs": 32633}, "bbox", "looks like longitude and latitude"),
        ({"geometry": "SRID=3857;POLYGON((0 0, 1 0, 1 1, 0 0))", "crs": 4326}, "crs", "says of itself"),
        ({"bbox": DEGREES, "geometry": "POLYGON((0 0, 1 0, 1 1, 0 0))"}, "geometry", "outside of bbox"),
    ],
)
def test_area_that_cannot_be_is_refused(arguments: dict[str, Any], field: str, message: str):
    """Upside down, swapped, in another CRS than said, or without anything in it."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        parse_bounds(**arguments)
    assert caught.value.field == field


def test_swapped_utm_is_warned_of():
    """Coordinates outside of the CRS's area may be meant, so that they only cause a warning."""
    bounds = parse_bounds(bbox=[5_000_000, 500_000, 5_001_000, 501_000], crs=32633)

    assert "fits with easting and northing swapped" in bounds.warnings[0]


PLACES = {4258: (19.1, 47.5), 4269: (-98.0, 40.0), 31370: (4.4, 50.8), 23700: (19.1, 47.5), 25832: (9.5, 51.3)}
"""Somewhere in the middle of where a CRS is used, as longitude and latitude."""


@pytest.mark.parametrize(
    ("epsg", "sent"), [(4258, CRS84_URI), (4269, CRS84_URI), (31370, 32631), (23700, 32634), (25832, 32632)]
)
def test_other_crs_is_transformed(epsg: int, sent: Any):
    """To degrees or the UTM zone of the area that it is made for, with a warning that says so."""
    to_grid = pyproj.Transformer.from_crs(4326, epsg, always_xy=True)
    west, south, east, north = to_grid.transform_bounds(*np.add([*PLACES[epsg]] * 2, [0, 0, 0.01, 0.01]))
    box = shapely.box(west, south, east, north)
    for bounds in (parse_bounds(bbox=box.bounds, crs=epsg), parse_bounds(geometry=f"SRID={epsg};{box.wkt}")):
        uri = sent if isinstance(sent, str) else f"http://www.opengis.net/def/crs/EPSG/0/{sent}"
        assert bounds.to_json()["properties"]["crs"] == uri
        assert bounds.warnings[0].startswith(f"Sentinel Hub does not take EPSG:{epsg}: coordinates are transformed to ")
        back = pyproj.Transformer.from_crs(bounds.crs.epsg, 4326, always_xy=True).transform_bounds(*bounds.box)
        assert back == pytest.approx((*PLACES[epsg], *np.add(PLACES[epsg], 0.01)), abs=0.003)
        assert parse_size(bounds, resolution=10).height == pytest.approx(111, abs=15)


@pytest.mark.parametrize(
    ("epsg", "box", "message"),
    [
        (31370, [4.3, 50.8, 4.4, 50.9], "looks like longitude and latitude"),
        (31370, [1e6, 1e6, 2e6, 2e6], "outside of the area of EPSG:31370. Is it in another CRS"),
        (27700, [1_000_000, 100_000, 1_200_000, 200_000], "easting and northing swapped"),
    ],
)
def test_coordinates_that_cannot_be_of_a_grid_are_refused(epsg: int, box: list[float], message: str):
    """Transformed, they would be somewhere else."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        parse_bounds(bbox=box, crs=epsg)
    assert caught.value.field == "bbox"


def test_a_requests_own_crs_stays_as_it_is():
    """It is sent as it is written, with a warning where the documentation does not list it."""
    bounds = read_bounds({"bbox": UTM, "properties": {"crs": "http://www.opengis.net/def/crs/EPSG/0/25833"}})

    assert bounds.to_json()["properties"]["crs"] == "http://www.opengis.net/def/crs/EPSG/0/25833"
    assert "EPSG:25833 is not among the CRSs" in bounds.warnings[0]


ACROSS = {
    "box": {"bbox": [177, -18, -178, -16]},
    "cut": {
        "geometry": "MULTIPOLYGON (((177 -18, 180 -18, 180 -16, 177 -16, 177 -18)), "
        "((-180 -18, -178 -18, -178 -16, -180 -16, -180 -18)))"
    },
    "jump": {"geometry": "POLYGON ((177 -18, -178 -18, -178 -16, 177 -16, 177 -18))"},
    "beyond 180": {"geometry": "POLYGON ((177 -18, 182 -18, 182 -16, 177 -16, 177 -18))"},
    "beyond -180": {"geometry": "POLYGON ((-183 -18, -178 -18, -178 -16, -183 -16, -183 -18))"},
}


@pytest.mark.parametrize("area", ACROSS.values(), ids=ACROSS)
def test_area_across_the_antimeridian_is_named(area: dict[str, Any]):
    """A picture of it would span the globe; the message has the two boxes to ask for."""
    with pytest.raises(SentinelHubRequestError, match="crosses the antimeridian") as caught:
        parse_bounds(**area)
    assert "[177, -18, 180, -16] and [-180, -18, -178, -16]" in str(caught.value)


@pytest.mark.parametrize("area", ACROSS.values(), ids=ACROSS)
def test_area_across_the_antimeridian_has_two_sides(area: dict[str, Any]):
    """Where no single picture is made of it."""
    bounds = parse_bounds(**area, across=True)

    assert bounds.sides == ((177, -18, 180, -16), (-180, -18, -178, -16))
    assert "bbox" not in bounds.to_json()
    assert bounds.geometry is not None
    assert bounds.geometry.shape.area == pytest.approx(10)


@pytest.mark.parametrize(
    "area",
    [
        {"bbox": [-180, -90, 180, 90]},
        {"geometry": "POLYGON ((-180 -90, 180 -90, 180 90, -180 90, -180 -90))"},
        {
            "geometry": "MULTIPOLYGON (((-180 0, -90 0, -90 1, -180 0)), ((90 0, 180 0, 180 1, 90 0)), "
            "((0 0, 9 0, 9 9, 0 0)))"
        },
    ],
)
def test_the_globe_does_not_cross_it(area: dict[str, Any]):
    """Nor does what lies all around it."""
    assert parse_bounds(**area).box.width == 360


def test_upside_down_is_no_crossing():
    """A west that is a little east of its east is a mistake."""
    with pytest.raises(SentinelHubRequestError, match="upside down: its west is larger than its east"):
        parse_bounds(bbox=[14, 45, 13, 46])


def test_usual_area_causes_no_warning():
    """Degrees and UTM as they should be."""
    assert parse_bounds(bbox=DEGREES).warnings == ()
    assert parse_bounds(bbox=UTM, crs=32633).warnings == ()


def test_geometry_names_its_crs_where_none_is_said():
    """EWKT is enough."""
    bounds = parse_bounds(
        geometry="SRID=32633;POLYGON((500000 5000000, 501000 5000000, 501000 5001000, 500000 5000000))"
    )

    assert bounds.crs.epsg == 32633
    assert "bbox" not in bounds.to_json()


def test_bbox_and_geometry_are_both_sent():
    """The picture is that of the box, with data inside of the geometry."""
    body = parse_bounds(bbox=[0, 0, 2, 2], geometry="POLYGON((0 0, 1 0, 1 1, 0 0))").to_json()

    assert body["bbox"] == [0, 0, 2, 2]
    assert body["geometry"]["type"] == "Polygon"


def test_resolution_in_a_projected_crs_is_sent_as_it_is():
    """Metres are its unit."""
    size = parse_size(parse_bounds(bbox=UTM, crs=32633), resolution=10)

    assert size.to_json() == {"resx": 10, "resy": 10}
    assert (size.width, size.height) == (100, 200)


def test_a_pair_of_resolutions_may_be_rendered():
    """As a template renders a list."""
    bounds = parse_bounds(bbox=UTM, crs=32633)

    assert parse_size(bounds, resolution="[10, 20]") == parse_size(bounds, resolution=[10, 20])


def test_resolution_in_degrees_becomes_a_size():
    """Metres are turned into pixels at the area's latitude; a request's resx would be degrees."""
    bounds = parse_bounds(bbox=DEGREES)
    size = parse_size(bounds, resolution=10)

    assert size.to_json() == {"width": 786, "height": 1113}
    assert size.metres_per_pixel(bounds) == pytest.approx(10, rel=0.001)


def test_other_side_follows_from_the_first():
    """Pixels are as high as wide."""
    bounds = parse_bounds(bbox=UTM, crs=32633)

    assert parse_size(bounds, width=50) == Size(50, 100)
    assert parse_size(bounds, height=50) == Size(25, 50)


@pytest.mark.parametrize(
    ("arguments", "field", "message"),
    [
        ({}, "resolution", "missing"),
        ({"width": 5, "height": 5, "resolution": 10}, "resolution", "both given"),
        ({"width": 2501, "height": 5}, "width", "split_bbox"),
        ({"resolution": 0.1}, "resolution", "10000 x 20000 pixels.*4 x 8 = 32 tiles"),
        ({"resolution": 0.0001}, "resolution", "looks like degrees"),
        ({"resolution": -10}, "resolution", "greater than 0"),
        ({"resolution": "ten"}, "resolution", "greater than 0"),
        ({"resolution": [1, 2, 3]}, "resolution", "two for x and y"),
        ({"width": 0, "height": 5}, "width", "whole number"),
        ({"width": "51.5", "height": 5}, "width", "whole number"),
        ({"width": 5.5, "height": 5}, "width", "whole number"),
        ({"width": 5, "height": True}, "height", "whole number"),
    ],
)
def test_size_that_cannot_be_is_refused(arguments: dict[str, Any], field: str, message: str):
    """Both or neither, too large, or no numbers; where tiles help, the message offers them."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        parse_size(parse_bounds(bbox=UTM, crs=32633), **arguments)
    assert caught.value.field == field


@pytest.mark.parametrize("width", [51, 51.0, "51", "51.0", " 51 "])
def test_whole_numbers_in_any_spelling(width: Any):
    """As pandas and templates write them."""
    assert parse_size(parse_bounds(bbox=UTM, crs=32633), width=width, height="10.0") == Size(51, 10)
    assert read_size({"width": width, "height": 10.0}, parse_bounds(bbox=DEGREES)) == Size(51, 10)


def test_request_may_give_corners_in_any_order():
    """The API reads two opposite corners, whichever they are."""
    bounds = read_bounds({"bbox": [13.1, 45.1, 13.0, 45.0]})

    assert bounds.box == (13.0, 45.0, 13.1, 45.1)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"resx": 10, "resy": 10}, "in degrees"),
        ({"resx": 0.01}, "resx alone"),
        ({"width": 5, "resx": 0.1, "resy": 0.1}, "Give one pair"),
        ({"width": "wide"}, "whole number"),
    ],
)
def test_size_of_a_request_is_checked(output: dict[str, Any], message: str):
    """Ten degrees where ten metres were meant are the classic."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        read_size(output, parse_bounds(bbox=DEGREES))
    assert caught.value.field == "request"


def test_request_without_size_has_the_services_default():
    """256 pixels."""
    assert read_size({}, parse_bounds(bbox=DEGREES)) == Size(256, 256)


def test_short_crs_of_a_request_is_refused():
    """The service takes only URIs; the message has it."""
    with pytest.raises(SentinelHubRequestError, match="def/crs/EPSG/0/32633"):
        read_bounds({"bbox": UTM, "properties": {"crs": "EPSG:32633"}})


def test_request_without_bounds_is_refused():
    """There is nothing to picture."""
    with pytest.raises(SentinelHubRequestError, match=r"input\.bounds is missing"):
        read_bounds(None)

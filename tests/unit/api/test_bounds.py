"""Where and how fine."""

from __future__ import annotations

from typing import Any

import pytest

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


def test_unlisted_crs_is_warned_of():
    """Any EPSG code is sent, those that the documentation does not list with a warning."""
    bounds = parse_bounds(bbox=UTM, crs=25833)

    assert bounds.to_json()["properties"]["crs"] == "http://www.opengis.net/def/crs/EPSG/0/25833"
    assert "EPSG:25833" in bounds.warnings[0]


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
        ({"width": 5.5, "height": 5}, "width", "whole number"),
        ({"width": 5, "height": True}, "height", "whole number"),
    ],
)
def test_size_that_cannot_be_is_refused(arguments: dict[str, Any], field: str, message: str):
    """Both or neither, too large, or no numbers; where tiles help, the message offers them."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        parse_size(parse_bounds(bbox=UTM, crs=32633), **arguments)
    assert caught.value.field == field


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

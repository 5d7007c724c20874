"""Coordinate reference systems by all their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import pytest

from sentinelhub_provider.api.geo.crs import CRS84, CRS84_URI, Crs, parse_crs
from sentinelhub_provider.exceptions import SentinelHubRequestError

UTM = "http://www.opengis.net/def/crs/EPSG/0/32633"


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        (None, CRS84_URI),
        ("CRS84", CRS84_URI),
        ("OGC:CRS84", CRS84_URI),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", CRS84_URI),
        (CRS84_URI, CRS84_URI),
        (32633, UTM),
        ("32633", UTM),
        (np.int64(32633), UTM),
        (32633.0, UTM),
        ("EPSG:32633", UTM),
        ("epsg:32633", UTM),
        ("urn:ogc:def:crs:EPSG::32633", UTM),
        (UTM, UTM),
        (Crs(32633, UTM), UTM),
        (pyproj.CRS(32633).to_json(), UTM),
        (pyproj.CRS(32633).to_json_dict(), UTM),
        ("IGNF:LAMB93", "http://www.opengis.net/def/crs/EPSG/0/2154"),
    ],
)
def test_spellings(value: Any, uri: str):
    """Each usual spelling becomes the URI that requests carry."""
    assert parse_crs(value).uri == uri


@pytest.mark.parametrize("value", ["", "WGS 84", "EPSG:", 12, True, "EPSG:32633 ; drop", 4.5, "ESRI:12", "{", {"a": 1}])
def test_other_names_are_refused(value: Any):
    """What names no system is refused with the argument's name."""
    with pytest.raises(SentinelHubRequestError, match="names no coordinate reference system") as caught:
        parse_crs(value, "crs")
    assert caught.value.field == "crs"


@pytest.mark.parametrize("name", ["ESRI:102003", "urn:ogc:def:crs:ESRI::102003"])
def test_the_list_of_esri(name: str):
    """GDAL names systems without EPSG code so, also in GeoJSON."""
    crs = parse_crs(name)

    assert str(crs) == "USA_Contiguous_Albers_Equal_Area_Conic"
    assert crs == parse_crs(pyproj.CRS("ESRI:102003"))


@pytest.mark.parametrize("code", [4258, 4269, 4267, 4283, 4612, 4674, 4979])
def test_degrees_are_known_as_such(code: int):
    """Whatever the datum."""
    crs = parse_crs(code)

    assert crs.is_geographic
    assert crs.metres(1, 1, 60)[0] == pytest.approx(55_660, abs=1)
    assert crs.sent_as == CRS84


@pytest.mark.parametrize(
    ("code", "sent"),
    [(32633, 32633), (3035, 3035), (27700, 32630), (2056, 32632), (28355, 32755), (5070, 4326), (2263, 32618)],
)
def test_what_is_sent_for_a_projection(code: int, sent: int):
    """Itself, the UTM zone in the middle of its area, or degrees where that area is too wide."""
    assert parse_crs(code).sent_as.epsg == sent


def test_feet_are_no_metres():
    """A projection's unit is told by PROJ."""
    assert parse_crs(2263).metres(1, 1, 0) == pytest.approx((0.3048006, 0.3048006))


def test_wkt_of_a_known_system_is_that_system():
    """And one that has no code is kept as it is."""
    wkt = pyproj.CRS(25832).to_wkt("WKT1_ESRI")
    local = wkt.replace("9.0", "9.5")

    assert parse_crs(wkt).epsg == 25832
    assert parse_crs(local).epsg == 0
    assert parse_crs(local).sent_as == CRS84
    assert parse_crs(pyproj.CRS(25832)).epsg == 25832
    assert parse_crs(pyproj.CRS("OGC:CRS84")).epsg == 4326


@pytest.mark.parametrize("code", [99999, 4978])
def test_what_is_no_map_is_refused(code: int):
    """Neither a code that nobody knows, nor positions from the earth's centre."""
    with pytest.raises(SentinelHubRequestError, match="crs is "):
        parse_crs(code)


@pytest.mark.parametrize("code", [32601, 32660, 32701, 32760, 32661, 4326])
def test_zones_of_utm_reach_over_their_hemisphere(code: int):
    """Codes beside theirs are of other systems."""
    is_utm = code not in (32661, 4326)
    assert (parse_crs(code).area == (0.0, 0.0, 1_000_000.0, 10_000_000.0)) is is_utm


def test_degrees_are_shorter_towards_the_pole():
    """At 60 degrees, a degree of longitude is half as long as one of latitude."""
    x, y = CRS84.metres(1, 1, 60)

    assert x == pytest.approx(y / 2)
    assert y == pytest.approx(111_319.49, abs=0.01)

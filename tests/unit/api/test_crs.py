"""Coordinate reference systems by all their names."""

from __future__ import annotations

from typing import Any

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
        ("EPSG:32633", UTM),
        ("epsg:32633", UTM),
        ("urn:ogc:def:crs:EPSG::32633", UTM),
        (UTM, UTM),
        (Crs(32633, UTM), UTM),
    ],
)
def test_spellings(value: Any, uri: str):
    """Each usual spelling becomes the URI that requests carry."""
    assert parse_crs(value).uri == uri


@pytest.mark.parametrize("value", ["", "WGS 84", "EPSG:", 12, True, "EPSG:32633 ; drop", 4.5])
def test_other_names_are_refused(value: Any):
    """What names no system is refused with the argument's name."""
    with pytest.raises(SentinelHubRequestError, match="names no coordinate reference system") as caught:
        parse_crs(value, "crs")
    assert caught.value.field == "crs"


@pytest.mark.parametrize(
    ("code", "zone"), [(32601, 1), (32660, 60), (32701, -1), (32760, -60), (32661, None), (4326, None)]
)
def test_utm_zone(code: int, zone: int | None):
    """Zones are positive in the north, negative in the south."""
    assert parse_crs(code).utm_zone == zone


def test_degrees_are_shorter_towards_the_pole():
    """At 60 degrees, a degree of longitude is half as long as one of latitude."""
    x, y = CRS84.metres(1, 1, 60)

    assert x == pytest.approx(y / 2)
    assert y == pytest.approx(111_319.49, abs=0.01)

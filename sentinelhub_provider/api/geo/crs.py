"""
Coordinate reference systems as Sentinel Hub names them: by the URI of their definition, never as ``EPSG:4326``.

Coordinates are in the order easting, northing or longitude, latitude, also for EPSG:4326 (documentation, page
"CRS support").
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubRequestError

CRS84_URI = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
"""Longitude, latitude on WGS 84: what the service takes where nothing is said."""

WGS84 = 4326
WEB_MERCATOR = 3857

EARTH_RADIUS = 6_378_137.0
"""Metres: the semi-major axis of WGS 84."""

METRES_PER_DEGREE = math.pi * EARTH_RADIUS / 180.0
"""Metres of a degree along the equator, and of latitude to within half a per cent."""

_GEOGRAPHIC = frozenset({WGS84})
_LISTED = frozenset(
    {2154, 2180, 2193, 3003, 3004, 3005, 3006, 3031, 3035, 3161, 3346, 3413, 3416, 3578, 3580, 3765, 3794, 3844}
    | {3912, 3995, 4026, 5514, 28992, 32184}
)
"""EPSG codes beside WGS 84, web Mercator and UTM in the documentation's list ("CRS support")."""

_CRS84_NAMES = re.compile(
    r"(?:https?://www\.opengis\.net/def/crs/OGC/(?:1\.3|0)/|urn:ogc:def:crs:OGC:(?:1\.3)?:|OGC:)?CRS:?84", re.IGNORECASE
)
_EPSG_NAMES = re.compile(
    r"(?:https?://www\.opengis\.net/def/crs/EPSG/[\d.]+/|urn:ogc:def:crs:EPSG:[\d.]*:|EPSG:)?(\d{4,6})", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Crs:
    """
    A coordinate reference system.

    :param epsg: EPSG code; 4326 for CRS84 too, whose coordinates are in the same order here.
    :param uri: what a request's ``input.bounds.properties.crs`` says.
    """

    epsg: int
    uri: str

    @property
    def is_geographic(self) -> bool:
        """Whether coordinates are degrees."""
        return self.epsg in _GEOGRAPHIC

    @property
    def is_listed(self) -> bool:
        """Whether the documentation lists it as supported."""
        return self.epsg in _LISTED or self.epsg in (WGS84, WEB_MERCATOR) or self.utm_zone is not None

    @property
    def utm_zone(self) -> int | None:
        """Zone of a UTM system on WGS 84, negative in the southern hemisphere; ``None`` for any other system."""
        if 32601 <= self.epsg <= 32660:
            return self.epsg - 32600
        if 32701 <= self.epsg <= 32760:
            return 32700 - self.epsg
        return None

    @property
    def area(self) -> tuple[float, float, float, float] | None:
        """
        Where its coordinates make sense (min x, min y, max x, max y), where that is known.

        UTM: the whole of its hemisphere, and half a zone of tolerance to either side. Web Mercator: its square.
        """
        if self.is_geographic:
            return -180.0, -90.0, 180.0, 90.0
        if self.epsg == WEB_MERCATOR:
            half = math.pi * EARTH_RADIUS
            return -half, -half, half, half
        if self.utm_zone is not None:
            return 0.0, 0.0, 1_000_000.0, 10_000_000.0
        return None

    def metres(self, x: float, y: float, latitude: float) -> tuple[float, float]:
        """Convert lengths along both axes from units of the CRS into metres; degrees are taken at ``latitude``."""
        if not self.is_geographic:
            return x, y
        return x * METRES_PER_DEGREE * math.cos(math.radians(latitude)), y * METRES_PER_DEGREE

    def __str__(self) -> str:
        return "CRS84" if self.uri == CRS84_URI else f"EPSG:{self.epsg}"


CRS84 = Crs(WGS84, CRS84_URI)


def parse_crs(value: Any, field: str = "crs") -> Crs:
    """
    Read a CRS from any of its usual spellings: ``32633``, ``"EPSG:32633"``, an URN or URI, ``"CRS84"``.

    :param value: ``None`` stands for CRS84, the service's default.
    :param field: name of the argument, for the error.
    :raises SentinelHubRequestError: for anything else.
    """
    if value is None:
        return CRS84
    if isinstance(value, Crs):
        return value
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if _CRS84_NAMES.fullmatch(text):
        return CRS84
    match = _EPSG_NAMES.fullmatch(text)
    if match is None:
        raise SentinelHubRequestError(
            f"{field} is {value!r}, which names no coordinate reference system. Give an EPSG code such as 32633 or "
            f"'EPSG:32633', or {CRS84_URI!r} for longitude and latitude.",
            field=field,
        )
    code = int(match[1])
    return Crs(code, f"http://www.opengis.net/def/crs/EPSG/0/{code}")

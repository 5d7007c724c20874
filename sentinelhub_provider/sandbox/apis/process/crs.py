"""The coordinate reference systems that the Process API knows, and their names."""

from __future__ import annotations

import re
from typing import Any, Final

from sentinelhub_provider.sandbox.errors import invalid
from sentinelhub_provider.sandbox.world.grid import WEB_MERCATOR, WGS84

CRS84: Final = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_EPSG: Final = re.compile(r"https?://www\.opengis\.net/def/crs/EPSG/0/(\d+)")
_CRS84: Final = re.compile(r"https?://www\.opengis\.net/def/crs/OGC/1\.3/CRS84")

NATIONAL: Final = frozenset(
    {2154, 2180, 2193, 3003, 3004, 3005, 3006, 3031, 3035, 3161, 3346, 3413, 3416, 3578, 3580, 3765, 3794, 3844}
    | {3912, 3995, 4026, 5514, 28992, 32184}
)
"""EPSG codes beside WGS 84, web Mercator and UTM in Sentinel Hub's list ("CRS support")."""

PARAMETER: Final = "input->bounds->properties->crs"


def epsg_of(name: Any, parameter: str = PARAMETER) -> int:
    """Read a CRS URI. CRS84 is EPSG:4326, whose coordinates are longitude, latitude here, too.

    Raises :class:`~..errors.ApiError` for anything else, also for a short ``EPSG:4326``.
    """
    if not isinstance(name, str):
        raise invalid(parameter, f"must be a string with a CRS URI such as {CRS84}", name)
    if _CRS84.fullmatch(name):
        return WGS84
    match = _EPSG.fullmatch(name)
    if match is None:
        hint = ""
        short = re.fullmatch(r"(?:EPSG:)?(\d{4,5})", name, re.IGNORECASE)
        if short:
            hint = f"; write http://www.opengis.net/def/crs/EPSG/0/{short[1]}"
        raise invalid(parameter, f"is no CRS URI that starts with http://www.opengis.net/def/crs/{hint}", name)
    code = int(match[1])
    utm = 32601 <= code <= 32660 or 32701 <= code <= 32760
    if not (utm or code in (WGS84, WEB_MERCATOR) or code in NATIONAL):
        raise invalid(parameter, f"EPSG:{code} is not among the CRSs that the service supports", name)
    return code

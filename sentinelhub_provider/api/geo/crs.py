"""Coordinate reference systems, with their names in requests, the ones of Sentinel Hub, and PROJ for all others."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.values import as_number
from sentinelhub_provider.exceptions import SentinelHubRequestError

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

CRS84_URI = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"  # Longitude, latitude on WGS 84: the service's default
WGS84 = 4326
METRES_PER_DEGREE = math.pi * 6_378_137.0 / 180.0  # With the semi-major axis of WGS 84
"""Metres of a degree along the equator, and of latitude to within half a per cent."""

DEGREES = (-180.0, -90.0, 180.0, 90.0)

WIDEST_UTM = 15.0
"""Degrees of longitude. Systems for wider areas are transformed to degrees, not to one UTM zone."""

_UTM = frozenset({*range(32601, 32661), *range(32701, 32761)})
LISTED_EPSG_CODES = frozenset(
    {2154, 2180, 2193, 3003, 3004, 3005, 3006, 3031, 3035, 3161, 3346, 3413, 3416, 3578, 3580, 3765, 3794, 3844}
    | {3857, 3912, 3995, 4026, 5514, 28992, 32184, WGS84}
    | _UTM
)
"""EPSG codes in the documentation's list ("CRS support")."""

_CRS84_NAMES = re.compile(
    r"(?:https?://www\.opengis\.net/def/crs/OGC/(?:1\.3|0)/|urn:ogc:def:crs:OGC:(?:1\.3)?:|OGC:)?CRS:?84", re.IGNORECASE
)
_EPSG_NAMES = re.compile(
    r"(?:https?://www\.opengis\.net/def/crs/EPSG/[\d.]+/|urn:ogc:def:crs:EPSG:[\d.]*:|EPSG:)?(\d{4,6})", re.IGNORECASE
)
_OTHER_NAMES = re.compile(r"(?:urn:ogc:def:crs:)?(?:ESRI|IGNF):[\w.]*:?\w+", re.IGNORECASE)
"""Names in the other lists that PROJ has, as GDAL writes them."""
_WKT = re.compile(r"\s*[A-Z_]+CRS\s*\[|\s*(?:GEOG|PROJ|COMPD|GEOC|LOCAL)_?CS\s*\[", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Crs:
    """A CRS, with its EPSG code (4326 also for CRS84, 0 for none), its URI in requests, and its WKT without a code."""

    epsg: int
    uri: str
    definition: str = ""

    @property
    def proj(self) -> CRS:
        """PROJ's description. Raises :class:`pyproj.exceptions.CRSError` if PROJ does not know the system."""
        return _proj(self.definition or f"EPSG:{self.epsg}")

    @property
    def is_listed(self) -> bool:
        """Whether the documentation lists it as supported."""
        return self.epsg in LISTED_EPSG_CODES

    @property
    def is_geographic(self) -> bool:
        """Whether coordinates are degrees."""
        return self.epsg == WGS84 or (not self.is_listed and bool(self.proj.is_geographic))

    @property
    def area(self) -> tuple[float, float, float, float] | None:
        """The range of valid coordinates (min x, min y, max x, max y), ``None`` if it is unknown.

        For UTM, it is the whole hemisphere, and half a zone of tolerance to either side. For other projections, it is
        their area of use, and half of that to each side.
        """
        if self.is_geographic:
            return DEGREES
        if self.epsg in _UTM:
            return 0.0, 0.0, 1_000_000.0, 10_000_000.0
        return _area(self)

    @property
    def sent_as(self) -> Crs:
        """The CRS to use in requests, which is itself if the service takes it.

        Degrees on another datum become CRS84. A projection becomes the UTM zone in the middle of its area of use, or
        CRS84 if that area is wider than 15 degrees, polar, or unknown.
        """
        if self.is_listed:
            return self
        used = self.proj.area_of_use
        if self.is_geographic or used is None:
            return CRS84
        middle, latitude = (used.west + used.east) / 2, (used.south + used.north) / 2
        if not 0 < used.east - used.west <= WIDEST_UTM or not -80 < latitude < 84:
            return CRS84
        return utm_at(middle, latitude)

    def to(self, other: Crs) -> Transformer:
        """Return a transformer of coordinates, x before y, into another system."""
        return _transformer(self, other)

    def metres(self, x: float, y: float, latitude: float) -> tuple[float, float]:
        """Convert lengths along both axes from units of the CRS into metres. Degrees are those at ``latitude``."""
        if self.is_geographic:
            return x * METRES_PER_DEGREE * math.cos(math.radians(latitude)), y * METRES_PER_DEGREE
        unit = 1.0 if self.is_listed else float(self.proj.axis_info[0].unit_conversion_factor)
        return x * unit, y * unit

    def __str__(self) -> str:
        if self.definition:
            return str(self.proj.name)
        return "CRS84" if self.uri == CRS84_URI else f"EPSG:{self.epsg}"


CRS84 = Crs(WGS84, CRS84_URI)


def parse_crs(value: Any, field: str = "crs") -> Crs:
    """Read a CRS such as ``32633``, ``"EPSG:32633"``, ``"ESRI:54009"``, an URN or URI, ``"CRS84"``, or pyproj's.

    WKT and PROJJSON describe one, too. ``None`` is CRS84.
    """
    if value is None:
        return CRS84
    if isinstance(value, Crs):
        return value
    if hasattr(value, "to_wkt"):
        code = 4326 if value.to_authority() == ("OGC", "CRS84") else value.to_epsg()
        return parse_crs(value.to_wkt() if code is None else code, field)
    number = math.nan if isinstance(value, str) else as_number(value)
    text = str(int(number)) if number.is_integer() else value.strip() if isinstance(value, str) else ""
    text = json.dumps(value, default=str) if isinstance(value, Mapping) else text
    if text.startswith("{") or _OTHER_NAMES.fullmatch(text):
        return parse_crs(_known(text, value, field), field)
    if _CRS84_NAMES.fullmatch(text):
        return CRS84
    match = _EPSG_NAMES.fullmatch(text)
    code = int(match[1]) if match else 0
    if code not in LISTED_EPSG_CODES:
        code = _look_up(text if _WKT.match(text) else f"EPSG:{code}" if code else "", value, field)
    if not code:
        return Crs(0, "", text)
    return Crs(code, f"http://www.opengis.net/def/crs/EPSG/0/{code}")


def utm_at(longitude: float, latitude: float) -> Crs:
    """Return the UTM zone of a place in degrees."""
    return parse_crs((32601 if latitude >= 0 else 32701) + int((longitude + 180) // 6) % 60)


def check_named_crs(named: Crs | None, crs: Any, says: str = "features say of themselves that they are") -> None:
    """Refuse data whose own CRS differs from the one that the user gives."""
    given = named if crs is None else parse_crs(crs)
    # By code: coordinates are the same in CRS84 and EPSG:4326 here.
    if named and given and (named.epsg, named.definition) != (given.epsg, given.definition):
        advice = "Give that CRS as crs, or transform the coordinates."
        raise SentinelHubRequestError(f"crs is {given}, but {says} in {named}. {advice}")


def _look_up(text: str, value: Any, field: str) -> int:
    """Return the EPSG code of what PROJ makes of a text, 0 for a system without."""
    system = _known(text, value, field)
    if not (system.is_geographic or system.is_projected):
        raise SentinelHubRequestError(
            f"{field} is {system.name}, whose coordinates are neither degrees nor a map projection's. Transform them."
        )
    return int(text.removeprefix("EPSG:")) if text.startswith("EPSG:") else system.to_epsg() or 0


def _known(text: str, value: Any, field: str) -> CRS:
    """Return what PROJ makes of a text. ``value`` is what the user gave."""
    from pyproj.exceptions import CRSError

    try:
        return _proj(text)
    except CRSError as error:
        raise SentinelHubRequestError(
            f"{field} is {value!r}, which names no coordinate reference system. Give an EPSG code such as 32633 or "
            f"'EPSG:32633', or {CRS84_URI!r} for longitude and latitude."
        ) from error


@lru_cache(maxsize=64)
def _proj(text: str) -> CRS:
    from pyproj import CRS

    return CRS.from_user_input(text)


@lru_cache(maxsize=64)
def _transformer(source: Crs, target: Crs) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(source.proj, target.proj, always_xy=True)


@lru_cache(maxsize=64)
def _area(crs: Crs) -> tuple[float, float, float, float] | None:
    used = crs.proj.area_of_use
    if used is None:
        return None
    found = CRS84.to(crs).transform_bounds(*used.bounds, densify_pts=21)
    if not all(map(math.isfinite, found)):
        return None
    x, y = (found[2] - found[0]) / 2, (found[3] - found[1]) / 2
    return found[0] - x, found[1] - y, found[2] + x, found[3] + y

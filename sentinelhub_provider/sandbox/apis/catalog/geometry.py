"""GeoJSON geometries of a search, checked by the Catalog's rules and handed to shapely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import bad_request

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

Point = tuple[float, float]
Bbox = tuple[float, float, float, float]

_NESTING = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
_CHAINS = {
    "LineString": ("line", 2),
    "MultiLineString": ("line", 2),
    "Polygon": ("ring", 4),
    "MultiPolygon": ("ring", 4),
}


def parse_geometry(geometry: object) -> BaseGeometry:
    """Check a GeoJSON geometry. Raises ``ApiError`` (400) naming what is wrong with it."""
    # Loaded on first use: the sandbox starts faster.
    from shapely.geometry import shape

    if not isinstance(geometry, Mapping):
        raise bad_request("intersects: must be a GeoJSON geometry object")
    if geometry.get("type") == "GeometryCollection":
        parts = [parse_geometry(part) for part in _sequence(geometry.get("geometries"), "geometries")]
        return shape({"type": "GeometryCollection", "geometries": [part.__geo_interface__ for part in parts]})
    kind = geometry.get("type")
    if not isinstance(kind, str) or kind not in _NESTING:
        raise bad_request(f"intersects: {kind!r} is not a GeoJSON geometry type")
    checked = shape({"type": kind, "coordinates": _coordinates(geometry.get("coordinates"), kind, _NESTING[kind])})
    if checked.is_empty:
        raise bad_request("intersects: the geometry has no coordinates")
    return checked


def _coordinates(value: object, kind: str, depth: int) -> Any:
    if depth == 0:
        return _position(value)
    parts = [_coordinates(part, kind, depth - 1) for part in _sequence(value, "coordinates")]
    chain, least = _CHAINS.get(kind, ("", 0))
    if chain and depth == 1:
        if len(parts) < least:
            raise bad_request(f"intersects: a {chain} needs at least {least} positions, got {len(parts)}")
        if chain == "ring" and parts[0] != parts[-1]:
            raise bad_request("intersects: a polygon's ring must end where it starts")
    if chain == "ring" and depth == 2 and not parts:
        raise bad_request("intersects: a polygon needs at least one ring")
    return parts


def _position(value: object) -> Point:
    numbers = _sequence(value, "coordinates")
    if len(numbers) < 2 or any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
        raise bad_request(f"intersects: {value!r} is not a position [longitude, latitude]")
    longitude, latitude = float(numbers[0]), float(numbers[1])
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
        raise bad_request(f"intersects: {value!r} is outside of longitude -180..180, latitude -90..90")
    return longitude, latitude


def _sequence(value: object, name: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise bad_request(f"intersects: {name} must be an array")
    return value

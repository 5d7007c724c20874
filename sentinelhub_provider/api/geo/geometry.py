"""
Areas as users write them - boxes, GeoJSON, WKT - read and checked.

What leaves this module has finite numbers, two to a position, closed rings, and an area that does not cross itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sentinelhub_provider.api.geo import planar
from sentinelhub_provider.api.geo.crs import CRS84, Crs, parse_crs
from sentinelhub_provider.api.geo.wkt import parse_wkt
from sentinelhub_provider.exceptions import SentinelHubRequestError

_DEPTH = {"Point": 0, "LineString": 1, "MultiPoint": 1, "Polygon": 2, "MultiLineString": 2, "MultiPolygon": 3}
_AREAS = ("Polygon", "MultiPolygon")


class BBox(NamedTuple):
    """A box: west, south, east, north, in units of its CRS."""

    min_x: float
    min_y: float
    max_x: float
    max_y: float

    @property
    def width(self) -> float:
        """From west to east, in units of the CRS."""
        return self.max_x - self.min_x

    @property
    def height(self) -> float:
        """From south to north, in units of the CRS."""
        return self.max_y - self.min_y


@dataclass(frozen=True, slots=True)
class Geometry:
    """
    A GeoJSON geometry, checked.

    :param type: GeoJSON's name of the kind.
    :param coordinates: GeoJSON coordinates: nested lists, two numbers to a position.
    :param crs: the CRS that the input itself named (EWKT, or a file's ``crs`` member), ``None`` where it did not.
    """

    type: str
    coordinates: list[Any]
    crs: Crs | None = None

    @property
    def is_area(self) -> bool:
        """Whether it is a Polygon or MultiPolygon."""
        return self.type in _AREAS

    @property
    def polygons(self) -> list[list[list[tuple[float, float]]]]:
        """Its polygons as lists of rings of positions; none where it is no area."""
        parts = {"Polygon": [self.coordinates], "MultiPolygon": self.coordinates}.get(self.type, [])
        return [[[(x, y) for x, y in ring] for ring in polygon] for polygon in parts]

    @property
    def bbox(self) -> BBox:
        """The box around it."""
        xs, ys = zip(*_positions(self.coordinates, _DEPTH[self.type]), strict=True)
        return BBox(min(xs), min(ys), max(xs), max(ys))

    def to_geojson(self) -> dict[str, Any]:
        """Return it as requests carry it."""
        return {"type": self.type, "coordinates": self.coordinates}


def parse_bbox(value: Any, field: str = "bbox") -> BBox:
    """
    Read a box: four numbers, or a text of four numbers between commas, as a template renders it.

    :raises SentinelHubRequestError: for other than four finite numbers, or a box that is upside down or empty.
    """
    parts: Any = value
    if isinstance(value, str):
        parts = value.strip().strip("[]()").split(",")
    if not isinstance(parts, Sequence) or len(parts) != 4:
        raise SentinelHubRequestError(
            f"{field} is {value!r}. Give four numbers: west, south, east, north.", field=field
        )
    box = BBox(*(_number(part, value, field) for part in parts))
    if box.max_x < box.min_x or box.max_y < box.min_y:
        names = "west is east of east" if box.max_x < box.min_x else "south is north of north"
        raise SentinelHubRequestError(
            f"{field} {list(box)} is upside down: {names}. Give west, south, east, north; an area across the "
            "antimeridian must be given as two.",
            field=field,
        )
    if box.width == 0 or box.height == 0:
        raise SentinelHubRequestError(f"{field} {list(box)} is empty: two of its sides are one.", field=field)
    return box


def parse_geometry(value: Any, field: str = "geometry", *, areas_only: bool = True) -> Geometry:
    """
    Read a geometry.

    :param value: GeoJSON geometry or Feature (a mapping, or its text), a FeatureCollection with one feature, WKT, EWKT,
        or anything with ``__geo_interface__``, such as shapely's geometries.
    :param areas_only: refuse anything but polygons; otherwise points and lines are good too.
    :raises SentinelHubRequestError: where it cannot be read, is empty, or crosses itself; the message says where.
    """
    if isinstance(value, Geometry):
        return value
    geojson, crs = _geojson_of(value, field)
    kind, coordinates = geojson.get("type"), geojson.get("coordinates")
    if kind == "GeometryCollection":
        raise SentinelHubRequestError(
            f"{field} is a GeometryCollection, which Sentinel Hub does not take. Give its polygons as a MultiPolygon.",
            field=field,
        )
    if kind not in _DEPTH:
        raise SentinelHubRequestError(
            f"{field} has type {kind!r}. Give a GeoJSON Polygon or MultiPolygon, or the same as WKT.", field=field
        )
    if areas_only and kind not in _AREAS:
        raise SentinelHubRequestError(
            f"{field} is a {kind}, which has no area. Give a Polygon or MultiPolygon, such as a buffer around it.",
            field=field,
        )
    if not coordinates:
        raise SentinelHubRequestError(f"{field} is empty: it has no coordinates.", field=field)
    geometry = Geometry(kind, _clean(coordinates, _DEPTH[kind], field), crs)
    if geometry.is_area:
        _check_area(geometry, field)
    return geometry


def _geojson_of(value: Any, field: str) -> tuple[Mapping[str, Any], Crs | None]:
    """Return the geometry as GeoJSON, and the CRS that it names itself."""
    if isinstance(value, str):
        text = value.strip()
        if not text.startswith("{"):
            return _read_wkt(text, field)
        try:
            value = json.loads(text)
        except ValueError as error:
            raise SentinelHubRequestError(
                f"{field} begins like GeoJSON, but is no JSON: {error}.", field=field
            ) from error
    value = getattr(value, "__geo_interface__", value)
    if not isinstance(value, Mapping):
        raise SentinelHubRequestError(
            f"{field} is a {type(value).__name__}. Give a GeoJSON geometry or WKT.", field=field
        )
    crs = _named_crs(value, field)
    if value.get("type") == "FeatureCollection":
        features = value.get("features")
        if not isinstance(features, Sequence) or len(features) != 1:
            count = len(features) if isinstance(features, Sequence) else "no"
            raise SentinelHubRequestError(
                f"{field} is a FeatureCollection with {count} features. Give one geometry; for many, expand the task "
                "over them, or use the statistics operator.",
                field=field,
            )
        value = features[0]
    if isinstance(value, Mapping) and value.get("type") == "Feature":
        value = value.get("geometry")
    if not isinstance(value, Mapping):
        raise SentinelHubRequestError(f"{field} is empty: the feature has no geometry.", field=field)
    return value, crs


def _read_wkt(text: str, field: str) -> tuple[Mapping[str, Any], Crs | None]:
    try:
        geojson, srid = parse_wkt(text)
    except ValueError as error:
        excerpt = f"{text[:40]}..." if len(text) > 40 else text
        raise SentinelHubRequestError(
            f"{field} {excerpt!r} is neither GeoJSON nor WKT: {error}.", field=field
        ) from error
    return geojson, None if srid is None else parse_crs(srid, field)


def _named_crs(geojson: Mapping[str, Any], field: str) -> Crs | None:
    """Read the ``crs`` member, which GeoJSON had until 2016 and desktop programs still write."""
    member = geojson.get("crs")
    properties = member.get("properties") if isinstance(member, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    return None if name is None else parse_crs(name, f"{field}'s crs")


def _clean(coordinates: Any, depth: int, field: str) -> list[Any]:
    """Return coordinates as nested lists of number pairs: further ordinates are dropped."""
    if isinstance(coordinates, str | Mapping) or not isinstance(coordinates, Sequence):
        raise SentinelHubRequestError(f"{field} has {coordinates!r} where coordinates belong.", field=field)
    if depth == 0:
        if len(coordinates) < 2:
            raise SentinelHubRequestError(f"{field} has {coordinates!r} where a position belongs.", field=field)
        return [_number(coordinate, coordinates, field) for coordinate in coordinates[:2]]
    return [_clean(item, depth - 1, field) for item in coordinates]


def _number(value: Any, whole: Any, field: str) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise SentinelHubRequestError(f"{field} has {value!r} where a number belongs, in {whole!r}.", field=field)
    return number


def _positions(coordinates: list[Any], depth: int) -> Iterable[tuple[float, float]]:
    if depth == 0:
        yield coordinates[0], coordinates[1]
        return
    for item in coordinates:
        yield from _positions(item, depth - 1)


def _check_area(geometry: Geometry, field: str) -> None:
    """Raise where polygons are empty, open, or cross themselves."""
    for polygon in geometry.polygons:
        if not polygon or not all(polygon):
            raise SentinelHubRequestError(f"{field} is empty: it has a polygon without positions.", field=field)
        for ring in polygon:
            if ring[0] != ring[-1]:
                raise SentinelHubRequestError(
                    f"{field} has a ring that is not closed: repeat its first position {_at(ring[0])} at its end.",
                    field=field,
                )
        if fault := planar.find_fault(polygon):
            raise SentinelHubRequestError(_fault_text(field, fault), field=field)
    if fault := planar.find_overlap(geometry.polygons):
        raise SentinelHubRequestError(_fault_text(field, fault), field=field)


def _fault_text(field: str, fault: planar.Fault) -> str:
    return (
        f"{field} {fault.what} near {_at(fault.where)}. Repair it, for example with shapely's make_valid or "
        "PostGIS's ST_MakeValid."
    )


def _at(point: tuple[float, float]) -> str:
    return f"({point[0]:.9g}, {point[1]:.9g})"


def described_area(box: BBox, crs: Crs = CRS84) -> str:
    """Return a box as messages show it."""
    return f"{', '.join(f'{number:.9g}' for number in box)} ({crs})"

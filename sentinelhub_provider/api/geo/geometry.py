"""Reads and checks areas in the forms that users have, such as boxes, GeoJSON, WKT and shapely geometries."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from sentinelhub_provider.api.geo.crs import CRS84, DEGREES, Crs, parse_crs, utm_at
from sentinelhub_provider.api.values import as_number, listed, without_bom
from sentinelhub_provider.exceptions import SentinelHubRequestError

_DEPTH = {"Point": 0, "LineString": 1, "MultiPoint": 1, "Polygon": 2, "MultiLineString": 2, "MultiPolygon": 3}
_AREAS = ("Polygon", "MultiPolygon")

CHORD = 5_000.0
"""Units of a projection. Longer edges get positions in between before a transformation, which makes them curves."""

_FAULTS = {
    "Self-intersection": "crosses or touches itself",
    "Ring Self-intersection": "crosses or touches itself",
    "Too few points in geometry component": "has a ring without area",
    "Hole lies outside shell": "has a hole outside of its outer ring",
    "Holes are nested": "has a hole within a hole",
    "Duplicate Rings": "has a ring twice",
    "Interior is disconnected": "has an inside that its holes cut in two",
}
"""Plain words for the faults that GEOS reports."""


class BBox(NamedTuple):
    """A box with west, south, east and north in units of its CRS."""

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

    def meets(self, other: BBox) -> bool:
        """Tell whether some area is in both."""
        across = self.min_x < other.max_x and other.min_x < self.max_x
        return across and self.min_y < other.max_y and other.min_y < self.max_y

    def is_within(self, area: tuple[float, float, float, float]) -> bool:
        """Tell whether it lies inside of another box."""
        return area[0] <= self.min_x and area[1] <= self.min_y and self.max_x <= area[2] and self.max_y <= area[3]


@dataclass(frozen=True)
class Geometry:
    """A checked geometry with two numbers to a position, and the CRS that the input itself named, if any."""

    shape: BaseGeometry
    crs: Crs | None = None

    @cached_property
    def bbox(self) -> BBox:
        """The box around it."""
        return BBox(*shapely.bounds(self.shape).tolist())

    @property
    def parts(self) -> list[BaseGeometry]:
        """The polygons of a MultiPolygon, or whatever else it consists of."""
        return list(shapely.get_parts(self.shape))

    def to_geojson(self) -> dict[str, Any]:
        """Return it as requests carry it."""
        geojson: dict[str, Any] = json.loads(shapely.to_geojson(self.shape))
        return geojson


def parse_bbox(value: Any, *, in_degrees: bool = False) -> BBox:
    """Read four numbers, or a text of them. ``in_degrees``, a west beyond east goes across the antimeridian."""
    parts = value.strip().strip("[]()").split(",") if isinstance(value, str) else listed(value)
    if not isinstance(parts, Sequence) or len(parts) != 4:
        raise SentinelHubRequestError(f"bbox is {value!r}. Give four numbers: west, south, east, north.")
    box = BBox(*(_number(part, value, "bbox") for part in parts))
    if in_degrees and -180 <= box.max_x < box.min_x <= 180 and box.width < -180 and box.height > 0:
        return box
    if box.max_x < box.min_x or box.max_y < box.min_y:
        names = "its west is larger than its east" if box.max_x < box.min_x else "its south is larger than its north"
        raise SentinelHubRequestError(f"bbox {list(box)} is upside down: {names}. Give west, south, east, north.")
    if box.width == 0 or box.height == 0:
        raise SentinelHubRequestError(f"bbox {list(box)} is empty: two of its sides are one.")
    return box


def parse_geometry(value: Any, field: str = "geometry", *, areas_only: bool = True) -> Geometry:
    """Read GeoJSON, WKT, EWKT, shapely's, or ``__geo_interface__`` with one feature, an area if ``areas_only``."""
    if isinstance(value, Geometry):
        return value
    shape, crs = _shape_of(value, field)
    kind = shape.geom_type
    if kind not in _DEPTH:
        raise SentinelHubRequestError(
            f"{field} is a {kind}, which Sentinel Hub does not take. Give its polygons as a MultiPolygon."
        )
    if areas_only and kind not in _AREAS:
        raise SentinelHubRequestError(
            f"{field} is a {kind}, which has no area. Give a Polygon or MultiPolygon, such as a buffer around it."
        )
    if shape.is_empty or any(part.is_empty for part in getattr(shape, "geoms", ())):
        raise SentinelHubRequestError(f"{field} is empty: it has no coordinates, or a part without.")
    if shapely.get_coordinate_dimension(shape) > 2:
        shape = shapely.force_2d(shape)
    found = Geometry(shape, crs)
    if not all(map(math.isfinite, found.bbox)):
        raise SentinelHubRequestError(f"{field} has infinity or NaN where a number belongs.")
    if kind in _AREAS and (fault := find_fault(shape)):
        raise SentinelHubRequestError(
            f"{field} {fault}. Repair it, for example with shapely's make_valid or PostGIS's ST_MakeValid."
        )
    return found


def find_fault(shape: BaseGeometry) -> str | None:
    """Return the fault that GEOS finds in polygons, with its place. Parts may share borders, as fields do."""
    if shapely.is_valid(shape):
        return None
    parts = shapely.get_parts(shape)
    broken = parts[~shapely.is_valid(parts)]
    if len(broken):
        reason, _, place = shapely.is_valid_reason(broken[0]).partition("[")
        x, y = (float(number) for number in place.rstrip("]").split())
        what = _FAULTS.get(reason, reason.lower())
        rings = (broken[0].exterior, *broken[0].interiors)
        if reason == "Self-intersection" and all(map(shapely.is_simple, rings)):
            what = "has rings that cross each other"
        return f"{what} near {_at(x, y)}"
    one, other = shapely.STRtree(parts).query(parts)
    boxes = shapely.bounds(parts)
    inside = (np.minimum(boxes[one, 2:], boxes[other, 2:]) > np.maximum(boxes[one, :2], boxes[other, :2])).all(axis=1)
    candidates = inside & (one < other)
    one, other = parts[one[candidates]], parts[other[candidates]]
    overlapping = np.flatnonzero(shapely.relate_pattern(one, other, "T********"))
    if not len(overlapping):
        return None
    first = overlapping[0]
    place = shapely.point_on_surface(shapely.intersection(one[first], other[first]))
    return f"has parts that overlap near {_at(place.x, place.y)}"


def transform(shape: BaseGeometry, source: Crs, target: Crs) -> BaseGeometry:
    """Transform a geometry. Positions outside of either system become infinite."""
    to = source.to(target)
    if not source.is_geographic:
        shape = shapely.segmentize(shape, CHORD)
    return shapely.transform(shape, lambda xy: np.column_stack(to.transform(xy[:, 0], xy[:, 1])))


def buffered(shape: BaseGeometry, crs: Crs, metres: float) -> BaseGeometry:
    """Return a geometry with so many metres around it, or within it if they are negative. Its CRS stays."""
    if not crs.is_geographic:
        return shape.buffer(metres, quad_segs=4)
    centre = shape.centroid
    utm = utm_at(centre.x, centre.y)
    return transform(transform(shape, crs, utm).buffer(metres, quad_segs=4), utm, crs)


def _shape_of(value: Any, field: str) -> tuple[BaseGeometry, Crs | None]:
    """Return the geometry, and the CRS that it names itself."""
    if isinstance(value, str):
        text = without_bom(value).strip()
        if not text.startswith("{"):
            return _read_wkt(text, field)
        try:
            value = json.loads(text)
        except ValueError as error:
            raise SentinelHubRequestError(f"{field} begins like GeoJSON, but is not JSON: {error}.") from error
    if isinstance(value, BaseGeometry):
        srid = int(shapely.get_srid(value))
        return value, parse_crs(srid, field) if srid else None
    system = getattr(value, "crs", None)
    value = getattr(value, "__geo_interface__", value)
    if not isinstance(value, Mapping):
        raise SentinelHubRequestError(f"{field} is a {type(value).__name__}. Give a GeoJSON geometry or WKT.")
    crs = parse_crs(system, f"{field}'s crs") if hasattr(system, "to_wkt") else named_crs(value, field)
    if value.get("type") == "FeatureCollection":
        features = value.get("features")
        if not isinstance(features, Sequence) or len(features) != 1:
            count = len(features) if isinstance(features, Sequence) else "no"
            raise SentinelHubRequestError(
                f"{field} is a FeatureCollection with {count} features. Give one geometry; for many, expand the task "
                "over them, or use the statistics operator."
            )
        value = features[0]
    if isinstance(value, Mapping) and value.get("type") == "Feature":
        crs = crs or named_crs(value, field)
        value = value.get("geometry")
    if not isinstance(value, Mapping):
        raise SentinelHubRequestError(f"{field} is empty: the feature has no geometry.")
    # PostGIS writes it into the geometry, where it stays in a feature.
    return _build(value, field), crs or named_crs(value, field)


def _read_wkt(text: str, field: str) -> tuple[BaseGeometry, Crs | None]:
    head, _, body = text.partition(";") if text[:4].upper() == "SRID" else ("", "", text)
    try:
        shape = shapely.from_wkt(body.strip())
        return shape, parse_crs(head.partition("=")[2].strip(), field) if head else None
    except (shapely.errors.ShapelyError, NotImplementedError) as error:
        excerpt = f"{text[:40]}..." if len(text) > 40 else text
        reason = str(error).removeprefix("ParseException: ").rstrip(".")
        if re.search(r"^[^()]+\.\w+$", body):
            reason = "a file's name must end with .geojson, .json or .wkt"
        raise SentinelHubRequestError(f"{field} {excerpt!r} is neither GeoJSON nor WKT: {reason}.") from error


def named_crs(geojson: Mapping[str, Any], field: str) -> Crs | None:
    """Read the ``crs`` member, which GeoJSON had until 2016 and desktop programs still write.

    Its type is ``name``, or ``EPSG`` with a ``code`` in the first drafts of GeoJSON.
    """
    member = geojson.get("crs")
    properties = member.get("properties") if isinstance(member, Mapping) else None
    name = properties.get("name", properties.get("code")) if isinstance(properties, Mapping) else None
    return None if name is None else parse_crs(name, f"{field}'s crs")


def _build(geojson: Mapping[str, Any], field: str) -> BaseGeometry:
    """Make a geometry of GeoJSON, whose numbers may be texts as a template renders them."""
    kind = geojson.get("type")
    if kind == "GeometryCollection":
        return shapely.GeometryCollection()
    if not isinstance(kind, str) or kind not in _DEPTH:
        raise SentinelHubRequestError(
            f"{field} has type {kind!r}. Give a GeoJSON Polygon or MultiPolygon, or the same as WKT."
        )
    what, coordinates = kind.removeprefix("Multi"), geojson.get("coordinates")
    parts = [coordinates] if what == kind else _sequence(coordinates, field)
    if what == "Polygon":
        shapes = _polygons(parts, field)
    elif what == "LineString":
        shapes = [shapely.LineString(_positions(part, field)) for part in parts]
    else:
        shapes = [shapely.Point(position) for position in _positions(parts, field)]
    if what == kind:
        return shapes[0] if len(shapes) else shapely.Polygon()
    many = {"Point": shapely.MultiPoint, "LineString": shapely.MultiLineString, "Polygon": shapely.MultiPolygon}
    return many[what](shapes)


def _polygons(polygons: Sequence[Any], field: str) -> Sequence[Any]:
    """Make all polygons at once, which is many times faster than one by one."""
    polygons = [[_sequence(ring, field) for ring in _sequence(polygon, field)] for polygon in polygons]
    rings = [ring for polygon in polygons for ring in polygon]
    if not rings or not all(map(len, rings)):
        return []
    positions = _positions([position for ring in rings for position in ring], field)
    end = 0
    for ring in rings:
        first, end = positions[end], end + len(ring)
        fault = ""
        if (first != positions[end - 1]).any():
            fault = f"a ring that is not closed: repeat its first position {_at(*first)} at its end"
        elif len(ring) < 4:
            fault = f"a ring without area near {_at(*first)}: it needs four positions"
        if fault:
            raise SentinelHubRequestError(f"{field} has {fault}.")
    if len(rings) == 1:
        return [shapely.polygons(shapely.linearrings(positions))]
    shells = shapely.linearrings(positions, indices=np.repeat(np.arange(len(rings)), [len(ring) for ring in rings]))
    made: Sequence[Any] = shapely.polygons(
        shells, indices=np.repeat(np.arange(len(polygons)), [len(one) for one in polygons])
    )
    return made


def _positions(positions: Any, field: str) -> Any:
    """Return positions as an array of number pairs, without further ordinates."""
    try:
        found = np.array(_sequence(positions, field), dtype=float)
        if found.ndim == 2 and found.shape[1] > 1 and np.isfinite(found[:, :2]).all():
            return found[:, :2]
    except (TypeError, ValueError):
        pass  # some have heights and some have not, or there is something else than numbers
    for position in positions:
        if len(_sequence(position, field)) < 2:
            raise SentinelHubRequestError(f"{field} has {position!r} where a position belongs.")
    return np.array([[_number(one, position, field) for one in position[:2]] for position in positions]).reshape(-1, 2)


def _sequence(value: Any, field: str) -> Sequence[Any]:
    found: Sequence[Any] = listed(value)
    if type(found) is not list and (isinstance(found, str | Mapping) or not isinstance(found, Sequence)):
        raise SentinelHubRequestError(f"{field} has {value!r} where coordinates belong.")
    return found


def _number(value: Any, whole: Any, field: str) -> float:
    number = as_number(value)
    if not math.isfinite(number):
        raise SentinelHubRequestError(f"{field} has {value!r} where a number belongs, in {whole!r}.")
    return number


def _at(x: float, y: float) -> str:
    return f"({x:.9g}, {y:.9g})"


def described_area(box: BBox, crs: Crs = CRS84) -> str:
    """Return a box as messages show it."""
    return f"{', '.join(f'{number:.9g}' for number in box)} ({crs})"


def check_degrees(
    box: BBox, field: str, crs: Crs = CRS84, *, otherwise: str = "Give degrees, longitude first."
) -> None:
    """Refuse coordinates that are not longitude and latitude. ``otherwise`` is advice if swapping does not help."""
    if box.is_within(DEGREES):
        return
    swapped = BBox(box.min_y, box.min_x, box.max_y, box.max_x).is_within(DEGREES)
    advice = "They fit with longitude and latitude swapped: give longitude first." if swapped else otherwise
    raise SentinelHubRequestError(
        f"{field} {described_area(box, crs)} has coordinates outside of longitude -180 to 180 and latitude -90 to 90. "
        f"{advice}"
    )


@dataclass(frozen=True, slots=True)
class Feature:
    """One unchecked area. ``number`` counts from 0. ``problem`` says why it cannot be requested."""

    number: int
    id: int | str
    geometry: Any = None
    bbox: Any = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None


def feature_id(value: Any) -> int | str | None:
    """Return an identifier, which is a text or a whole number, also pandas' 1.0. Return ``None`` for anything else."""
    if isinstance(value, str):
        return str(value) or None
    return int(value) if as_number(value).is_integer() else None

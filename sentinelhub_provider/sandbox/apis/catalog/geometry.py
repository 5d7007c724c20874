"""Does a GeoJSON geometry meet a polygon? Plain longitude/latitude plane geometry, without a geometry library.

Two shapes meet when a line of one crosses or touches a line of the other, or one lies inside the other. Coordinates
are small numbers of vertices (footprints, drawn areas): every line is compared with every other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sentinelhub_provider.sandbox.apis.catalog.errors import bad_request

Point = tuple[float, float]
Ring = list[Point]
Bbox = tuple[float, float, float, float]

_MIN_POSITIONS = {"line": 2, "ring": 4}


@dataclass
class Shape:
    """A geometry taken apart: points, lines, and polygons (each a list of rings, the first one the outer)."""

    points: list[Point] = field(default_factory=list)
    lines: list[Ring] = field(default_factory=list)
    polygons: list[list[Ring]] = field(default_factory=list)

    def chains(self) -> Iterator[Ring]:
        """Yield every chain of segments: lines and rings."""
        yield from self.lines
        for polygon in self.polygons:
            yield from polygon

    def vertices(self) -> Iterator[Point]:
        """Yield every vertex."""
        yield from self.points
        for chain in self.chains():
            yield from chain

    def bbox(self) -> Bbox:
        """Return west, south, east, north."""
        xs, ys = zip(*self.vertices(), strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def parse_geometry(geometry: object) -> Shape:
    """Take a GeoJSON geometry apart. Raises ``ApiError`` (400) naming what is wrong with it."""
    shape = Shape()
    _collect(geometry, shape)
    if next(shape.vertices(), None) is None:
        raise bad_request("intersects: the geometry has no coordinates")
    return shape


def bbox_shape(bbox: Bbox) -> Shape:
    """Return a box as a shape."""
    west, south, east, north = bbox
    ring = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return Shape(polygons=[[ring]])


def intersects(first: Shape, second: Shape) -> bool:
    """Tell whether two shapes have a point in common; touching counts."""
    if not _boxes_meet(first.bbox(), second.bbox()):
        return False
    if _any_segments_meet(first, second):
        return True
    # No lines meet: each chain lies wholly inside or outside, so that one vertex of each stands for it.
    return _any_inside(first, second) or _any_inside(second, first) or _points_on(first, second)


def _any_inside(inner: Shape, outer: Shape) -> bool:
    probes = [*inner.points, *(chain[0] for chain in inner.chains())]
    return any(_in_polygon(probe, polygon) for polygon in outer.polygons for probe in probes)


def _any_segments_meet(first: Shape, second: Shape) -> bool:
    others = [segment for chain in second.chains() for segment in pairwise(chain)]
    return any(_segments_meet(a, b, c, d) for chain in first.chains() for a, b in pairwise(chain) for c, d in others)


def _points_on(first: Shape, second: Shape) -> bool:
    """Points have no lines: look whether they lie on the other's lines or are its points."""
    for points, other in ((first.points, second), (second.points, first)):
        for point in points:
            if point in other.points or any(
                _on_segment(point, a, b) for chain in other.chains() for a, b in pairwise(chain)
            ):
                return True
    return False


def _in_polygon(point: Point, rings: list[Ring]) -> bool:
    """Ray casting over all rings together: inside a hole is outside."""
    x, y = point
    inside = False
    for ring in rings:
        for (x1, y1), (x2, y2) in pairwise(ring):
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                inside = not inside
    return inside


def _cross(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _on_segment(p: Point, a: Point, b: Point) -> bool:
    within = min(a[0], b[0]) <= p[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= p[1] <= max(a[1], b[1])
    return within and _cross(a, b, p) == 0


def _segments_meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    d1, d2, d3, d4 = _cross(c, d, a), _cross(c, d, b), _cross(a, b, c), _cross(a, b, d)
    if ((d1 > 0) != (d2 > 0)) and ((d3 > 0) != (d4 > 0)) and d1 != 0 and d2 != 0 and d3 != 0 and d4 != 0:
        return True
    return _on_segment(a, c, d) or _on_segment(b, c, d) or _on_segment(c, a, b) or _on_segment(d, a, b)


def _boxes_meet(a: Bbox, b: Bbox) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _collect(geometry: object, shape: Shape) -> None:
    if not isinstance(geometry, Mapping):
        raise bad_request("intersects: must be a GeoJSON geometry object")
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        for part in _sequence(geometry.get("geometries"), "geometries"):
            _collect(part, shape)
        return
    coordinates = geometry.get("coordinates")
    match kind:
        case "Point":
            shape.points.append(_position(coordinates))
        case "MultiPoint":
            shape.points.extend(_position(item) for item in _sequence(coordinates, "coordinates"))
        case "LineString":
            shape.lines.append(_chain(coordinates, "line"))
        case "MultiLineString":
            shape.lines.extend(_chain(item, "line") for item in _sequence(coordinates, "coordinates"))
        case "Polygon":
            shape.polygons.append(_polygon(coordinates))
        case "MultiPolygon":
            shape.polygons.extend(_polygon(item) for item in _sequence(coordinates, "coordinates"))
        case _:
            raise bad_request(f"intersects: {kind!r} is not a GeoJSON geometry type")


def _polygon(coordinates: object) -> list[Ring]:
    rings = [_chain(item, "ring") for item in _sequence(coordinates, "coordinates")]
    if not rings:
        raise bad_request("intersects: a polygon needs at least one ring")
    for ring in rings:
        if ring[0] != ring[-1]:
            raise bad_request("intersects: a polygon's ring must end where it starts")
    return rings


def _chain(coordinates: object, kind: str) -> Ring:
    chain = [_position(item) for item in _sequence(coordinates, "coordinates")]
    if len(chain) < _MIN_POSITIONS[kind]:
        raise bad_request(f"intersects: a {kind} needs at least {_MIN_POSITIONS[kind]} positions, got {len(chain)}")
    return chain


def _position(value: object) -> Point:
    numbers: Sequence[Any] = _sequence(value, "coordinates")
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

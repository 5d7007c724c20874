"""
Plane geometry that decides exactly: orientation, meeting segments, faults of polygons.

Coordinates are floats; where rounding could turn a decision, it is made with fractions. A polygon is a list of rings,
the first its outer one; a ring is a closed list of positions. No library is needed for this: the checks that come
before a request must work in a bare installation, and run in the DAG file where shapely would cost its import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

Point = tuple[float, float]
Ring = Sequence[Point]
Polygon = Sequence[Ring]
Box = tuple[float, float, float, float]

_ROUNDING = 4e-16
"""Shewchuk's error bound of the orientation determinant, (3 + 16 eps) eps with eps = 2^-53, rounded up."""


class Fault(NamedTuple):
    """What is wrong with a polygon, and near which position."""

    what: str
    where: Point


class _Edge(NamedTuple):
    min_x: float
    max_x: float
    min_y: float
    max_y: float
    a: Point
    b: Point
    ring: int
    number: int


def orientation(a: Point, b: Point, c: Point) -> int:
    """Tell on which side of the line a-b lies c: 1 on its left, -1 on its right, 0 on it. Exact."""
    run, rise = b[0] - a[0], b[1] - a[1]
    across, up = c[0] - a[0], c[1] - a[1]
    left, right = run * up, rise * across
    determinant = left - right
    if abs(determinant) <= _ROUNDING * (abs(left) + abs(right)):
        if not (run and up) and not (rise and across):
            return 0  # floats differ by zero only where they are equal, as on lines along an axis
        from fractions import Fraction  # rarely needed, and it brings decimal along

        ax, ay = Fraction(a[0]), Fraction(a[1])
        exact = (Fraction(b[0]) - ax) * (Fraction(c[1]) - ay) - (Fraction(b[1]) - ay) * (Fraction(c[0]) - ax)
        return (exact > 0) - (exact < 0)
    return 1 if determinant > 0 else -1


def contains(polygon: Polygon, point: Point) -> bool:
    """Tell whether a point lies in a polygon; on its border, either may be said."""
    x, y = point
    inside = False
    for ring in polygon:
        for a, b in pairwise(ring):
            if (a[1] > y) != (b[1] > y):
                low, high = (a, b) if a[1] < b[1] else (b, a)
                inside ^= orientation(low, high, (x, y)) > 0
    return inside


def find_fault(polygon: Polygon) -> Fault | None:
    """
    Find what makes a polygon invalid (OGC Simple Features), or ``None``.

    Rings must have an area, must not cross or touch themselves, must not cross each other, and holes lie in the outer
    ring. Whether holes that touch cut the inside into pieces is not looked at. Takes n log n where edges are short
    against the whole.
    """
    rings = [_without_repeats(ring) for ring in polygon]
    for number, ring in enumerate(rings):
        if len(ring) < 4 or all(orientation(ring[0], ring[1], vertex) == 0 for vertex in ring[2:]):
            return Fault("has a ring without area" if number == 0 else "has a hole without area", polygon[number][0])
    touched: set[int] = set()
    for first, second in _neighbours(rings):
        if where := _wrong_meeting(first, second, rings):
            kind = "crosses or touches itself" if first.ring == second.ring else "has rings that cross each other"
            return Fault(kind, where)
        if 0 in (first.ring, second.ring) and first.ring != second.ring and _meeting(first, second):
            touched.add(max(first.ring, second.ring))
    for number, hole in enumerate(rings[1:], start=1):
        if outside := _outside(hole, rings[0], everywhere=number in touched):
            return Fault("has a hole outside of its outer ring", outside)
    for one, other in _boxes_within([_box_of(hole) for hole in rings[1:]]):
        if not _outside(rings[one + 1], rings[other + 1], everywhere=False):
            return Fault("has a hole within a hole", rings[one + 1][0])
    return None


def _outside(inner: Ring, outer: Ring, *, everywhere: bool) -> Point | None:
    """
    Return a position of a ring that lies outside of another, or ``None``. They do not cross.

    :param everywhere: they touch, so that each edge may lie on another side; otherwise any position stands for all.
    """
    middles = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairwise(inner)] if everywhere else []
    for point in (*inner, *middles):
        if not _on_ring(point, outer):
            if not contains([outer], point):
                return point
            if not everywhere:
                return None
    return None


def find_overlap(polygons: Sequence[Polygon]) -> Fault | None:
    """Find where polygons of one geometry cross, or one lies within another; shared borders are let pass."""
    outer = [_without_repeats(polygon[0]) for polygon in polygons]
    for first, second in _neighbours(outer):
        if first.ring != second.ring and _cross(first, second):
            return Fault("has parts that overlap", first.a)
    for one, other in _boxes_within([_box_of(ring) for ring in outer]):
        vertex = next((vertex for vertex in outer[one] if not _on_ring(vertex, outer[other])), None)
        if vertex is None or contains(polygons[other], vertex):
            return Fault("has parts that overlap", outer[one][0])
    return None


def _box_of(ring: Ring) -> Box:
    xs, ys = [point[0] for point in ring], [point[1] for point in ring]
    return min(xs), min(ys), max(xs), max(ys)


def _boxes_within(boxes: Sequence[Box]) -> Iterator[tuple[int, int]]:
    """Yield (inner, outer) for each box that lies within another, by a sweep from west to east."""
    active: list[int] = []
    for one in sorted(range(len(boxes)), key=lambda number: (boxes[number][0], -boxes[number][2])):
        west, south, east, north = boxes[one]
        active = [other for other in active if boxes[other][2] >= west]
        for other in active:
            if east <= boxes[other][2] and boxes[other][1] <= south and north <= boxes[other][3]:
                yield one, other
            elif (west, east) == (boxes[other][0], boxes[other][2]) and south <= boxes[other][1] <= boxes[other][
                3
            ] <= north:
                yield other, one
        active.append(one)


def _without_repeats(ring: Ring) -> list[Point]:
    return [ring[0], *(b for a, b in pairwise(ring) if a != b)]


def _edges(rings: Iterable[Ring]) -> Iterator[_Edge]:
    for number, ring in enumerate(rings):
        for index, (a, b) in enumerate(pairwise(ring)):
            yield _Edge(min(a[0], b[0]), max(a[0], b[0]), min(a[1], b[1]), max(a[1], b[1]), a, b, number, index)


def _neighbours(rings: Sequence[Ring]) -> Iterator[tuple[_Edge, _Edge]]:
    """Yield the pairs of edges whose boxes meet, by a sweep from west to east."""
    active: list[_Edge] = []
    for edge in sorted(_edges(rings)):
        active = [other for other in active if other.max_x >= edge.min_x]
        for other in active:
            if other.min_y <= edge.max_y and edge.min_y <= other.max_y:
                yield other, edge
        active.append(edge)


def _wrong_meeting(first: _Edge, second: _Edge, rings: Sequence[Ring]) -> Point | None:
    """Return a position where two edges meet that may not, or ``None``."""
    if first.ring == second.ring:
        last = len(rings[first.ring]) - 2
        apart = abs(first.number - second.number)
        if apart in (1, last):
            # They share a vertex, and must share no more: one that turns back onto the other is a spike.
            shared = first.b if first.b == second.a else first.a
            ends = [point for point in (first.a, first.b, second.a, second.b) if point != shared]
            back = len(ends) == 2 and orientation(ends[0], shared, ends[1]) == 0 and _ahead(shared, ends[0], ends[1])
            return shared if back else None
        return _meeting(first, second)
    touching = _meeting(first, second)
    if touching is None:
        return None
    along = {orientation(first.a, first.b, second.a), orientation(first.a, first.b, second.b)} == {0}
    if along:
        return touching if _overlap(first, second) else None
    return touching if _cross(first, second) else None


def _ahead(corner: Point, one: Point, other: Point) -> bool:
    """Tell whether two points on a line through the corner lie on the same side of it."""
    return (one[0] - corner[0]) * (other[0] - corner[0]) + (one[1] - corner[1]) * (other[1] - corner[1]) > 0


def _meeting(first: _Edge, second: _Edge) -> Point | None:
    """Return a common position of two segments, or ``None``: a vertex where one touches, else near the crossing."""
    for point, edge in ((second.a, first), (second.b, first), (first.a, second), (first.b, second)):
        if _on_edge(point, edge):
            return point
    if not _cross(first, second):
        return None
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = first.a, first.b, second.a, second.b
    divisor = (bx - ax) * (dy - cy) - (by - ay) * (dx - cx)
    part = ((cx - ax) * (dy - cy) - (cy - ay) * (dx - cx)) / divisor if divisor else 0.5
    return ax + part * (bx - ax), ay + part * (by - ay)


def _cross(first: _Edge, second: _Edge) -> bool:
    """Tell whether two segments cross in a position that is inside of both."""
    sides = orientation(first.a, first.b, second.a) * orientation(first.a, first.b, second.b)
    return sides < 0 and orientation(second.a, second.b, first.a) * orientation(second.a, second.b, first.b) < 0


def _overlap(first: _Edge, second: _Edge) -> bool:
    """Tell whether two segments on one line share more than a position."""
    width = min(first.max_x, second.max_x) - max(first.min_x, second.min_x)
    height = min(first.max_y, second.max_y) - max(first.min_y, second.min_y)
    return width > 0 or height > 0


def _on_edge(point: Point, edge: _Edge) -> bool:
    within = edge.min_x <= point[0] <= edge.max_x and edge.min_y <= point[1] <= edge.max_y
    return within and orientation(edge.a, edge.b, point) == 0


def _on_ring(point: Point, ring: Ring) -> bool:
    return any(_on_edge(point, edge) for edge in _edges([ring]))

"""Geometries of a search: what they meet, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinelhub_provider.sandbox.apis.catalog.geometry import parse_geometry
from sentinelhub_provider.sandbox.errors import ApiError

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]}
RING = {
    "type": "Polygon",
    "coordinates": [
        [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]],
        [[2, 2], [8, 2], [8, 8], [2, 8], [2, 2]],
    ],
}
# A coarse lattice makes touching and overlapping edges common.
numbers = st.integers(-6, 6).map(float)
positions = st.tuples(numbers, numbers).map(list)


def _triangle(a: list[float], b: list[float], c: list[float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[a, b, c, a]]}


def _area(a: list[float], b: list[float], c: list[float]) -> float:
    return abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


polygons = st.tuples(positions, positions, positions).filter(lambda t: _area(*t) > 0).map(lambda t: _triangle(*t))
geometries = st.one_of(
    polygons,
    positions.map(lambda p: {"type": "Point", "coordinates": p}),
    st.lists(positions, min_size=1, max_size=4).map(lambda ps: {"type": "MultiPoint", "coordinates": ps}),
    st.lists(positions, min_size=2, max_size=4, unique_by=tuple).map(
        lambda ps: {"type": "LineString", "coordinates": ps}
    ),
)


@settings(deadline=None)
@given(first=geometries, second=polygons)
def test_intersection_agrees_with_a_geometry_library(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Whatever the shapes, the answer is that of shapely, and does not depend on the order."""
    expected = shapely.intersects(shapely.geometry.shape(first), shapely.geometry.shape(second))
    one, other = parse_geometry(first), parse_geometry(second)
    assert one.intersects(other) == other.intersects(one) == expected


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [
        ({"type": "Point", "coordinates": [5, 5]}, False),
        ({"type": "Point", "coordinates": [1, 1]}, True),
        ({"type": "Polygon", "coordinates": [[[4, 4], [6, 4], [6, 6], [4, 6], [4, 4]]]}, False),
        ({"type": "LineString", "coordinates": [[5, 5], [9, 5]]}, True),
        ({"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1, 1]}]}, True),
    ],
    ids=["point in the hole", "point in the ring", "polygon in the hole", "line out of the hole", "collection"],
)
def test_a_hole_is_outside(geometry: dict[str, Any], expected: bool) -> None:
    """What lies within a polygon's hole does not meet the polygon."""
    assert parse_geometry(geometry).intersects(parse_geometry(RING)) is expected


def test_a_large_area_around_meets_what_it_holds() -> None:
    """Containment in either direction counts, though no lines cross."""
    inner = {"type": "Polygon", "coordinates": [[[4, 4], [6, 4], [6, 6], [4, 6], [4, 4]]]}
    assert parse_geometry(inner).intersects(parse_geometry(SQUARE))
    assert parse_geometry(SQUARE).intersects(parse_geometry(inner))


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ("POINT (1 2)", "must be a GeoJSON geometry object"),
        ({"type": "Circle", "coordinates": [0, 0]}, "'Circle' is not a GeoJSON geometry type"),
        ({"type": ["Point"], "coordinates": [0, 0]}, "is not a GeoJSON geometry type"),
        ({"type": {}, "coordinates": [0, 0]}, "is not a GeoJSON geometry type"),
        ({"type": "Point", "coordinates": [1]}, "is not a position"),
        ({"type": "Point", "coordinates": ["a", "b"]}, "is not a position"),
        ({"type": "Point", "coordinates": [500_000, 5_000_000]}, "outside of longitude"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}, "must end where it starts"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]}, "at least 4 positions"),
        ({"type": "Polygon", "coordinates": []}, "at least one ring"),
        ({"type": "MultiPoint", "coordinates": []}, "no coordinates"),
        ({"type": "Feature", "geometry": SQUARE}, "is not a GeoJSON geometry type"),
    ],
)
def test_what_is_no_geometry_is_refused(geometry: Any, message: str) -> None:
    """The error says what about the geometry is wrong."""
    with pytest.raises(ApiError) as caught:
        parse_geometry(geometry)
    assert message in caught.value.message

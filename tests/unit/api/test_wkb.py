"""Well-Known Binary, read back by shapely."""

from __future__ import annotations

import pytest
import shapely
from shapely.geometry import shape

from sentinelhub_provider.api.wkb import to_wkb

RING = [[0, 0], [4, 0], [4, 4], [0, 0]]
HOLE = [[2, 1], [3, 1], [3, 2], [2, 1]]


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Point", "coordinates": [1.5, -2.5]},
        {"type": "LineString", "coordinates": RING},
        {"type": "Polygon", "coordinates": [RING, HOLE]},
        {"type": "MultiPoint", "coordinates": RING},
        {"type": "MultiLineString", "coordinates": [RING, HOLE]},
        {"type": "MultiPolygon", "coordinates": [[RING, HOLE], [[[9, 9], [10, 9], [10, 10], [9, 9]]]]},
        {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1, 2]}]},
    ],
    ids=lambda geometry: geometry["type"],
)
def test_shapely_reads_the_same(geometry):
    """Each kind of geometry."""
    assert shapely.from_wkb(to_wkb(geometry)).equals_exact(shape(geometry), 0)


def test_height_is_dropped():
    """A footprint has none."""
    assert shapely.from_wkb(to_wkb({"type": "Point", "coordinates": [1, 2, 300]})) == shapely.Point(1, 2)


def test_unknown_kind_is_refused():
    """It would be unreadable."""
    with pytest.raises(ValueError, match="'Circle'"):
        to_wkb({"type": "Circle", "coordinates": []})

"""Well-Known Binary: what is written, shapely reads; what other programs write, is read."""

from __future__ import annotations

import struct

import pytest
import shapely
from shapely.geometry import shape

from sentinelhub_provider.api.geo.wkb import from_geopackage, from_wkb, to_wkb

RING = [[0, 0], [4, 0], [4, 4], [0, 0]]
HOLE = [[2, 1], [3, 1], [3, 2], [2, 1]]
SHAPES = {
    "point": "POINT (1 2)",
    "line": "LINESTRING (0 0, 1 1)",
    "polygon": "POLYGON ((0 0, 9 0, 9 9, 0 0), (5 2, 6 2, 6 3, 5 2))",
    "multipoint": "MULTIPOINT (1 2, 3 4)",
    "multipolygon": "MULTIPOLYGON (((0 0, 9 0, 9 9, 0 0)), ((20 0, 29 0, 29 9, 20 0)))",
    "heights": "POLYGON Z ((0 0 5, 9 0 5, 9 9 5, 0 0 5))",
}
WRITERS = {
    "little-endian": {"byte_order": 1},
    "big-endian": {"byte_order": 0},
    "iso": {"flavor": "iso"},
    "srid": {"include_srid": True, "flavor": "extended"},
}


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


@pytest.mark.parametrize("options", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_what_geos_writes_is_read(text: str, options: dict):
    """In each of its dialects; heights are dropped."""
    shape = shapely.set_srid(shapely.from_wkt(text), 4326)

    found = from_wkb(shapely.to_wkb(shape, **options))

    flat = shapely.force_2d(shape)
    assert shapely.equals(shapely.geometry.shape(found), flat)
    assert found["type"] == flat.geom_type


@pytest.mark.parametrize("length", [0, 3, 8, 20, 60])
def test_a_cut_geometry_is_an_error(length: int):
    """Wherever it is cut."""
    whole = shapely.to_wkb(shapely.from_wkt(SHAPES["polygon"]))
    with pytest.raises(ValueError, match="cut short"):
        from_wkb(whole[:length])


def test_a_collection_is_refused():
    """It is no area."""
    with pytest.raises(ValueError, match="type 7"):
        from_wkb(shapely.to_wkb(shapely.from_wkt("GEOMETRYCOLLECTION (POINT (1 2))")))


@pytest.mark.parametrize(("indicator", "size"), [(0, 0), (1, 32), (4, 64)])
def test_a_geopackage_blob_is_read(indicator: int, size: int):
    """Behind its envelope, whatever that has."""
    blob = struct.pack("<2sBBi", b"GP", 0, 1 | indicator << 1, 4326) + bytes(size)
    point = shapely.to_wkb(shapely.Point(1, 2))
    assert from_geopackage(blob + point) == {"type": "Point", "coordinates": [1, 2]}


def test_an_empty_geopackage_blob_is_none():
    """By its flag."""
    assert from_geopackage(struct.pack("<2sBBi", b"GP", 0, 0b10001, 4326)) is None


def test_what_is_no_geopackage_blob_is_an_error():
    """A bare WKB, say."""
    with pytest.raises(ValueError, match="no GeoPackage blob"):
        from_geopackage(shapely.to_wkb(shapely.Point(1, 2)))

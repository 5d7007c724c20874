"""Areas as users write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st

from sentinelhub_provider.api.geo import planar
from sentinelhub_provider.api.geo.geometry import BBox, parse_bbox, parse_geometry
from sentinelhub_provider.exceptions import SentinelHubRequestError

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]]}


def refused(value: Any, **options: Any) -> str:
    """Return the message with which a geometry is refused."""
    with pytest.raises(SentinelHubRequestError) as caught:
        parse_geometry(value, "area", **options)
    assert caught.value.field == "area"
    return str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(SQUARE, id="geometry"),
        pytest.param({"type": "Feature", "properties": {}, "geometry": SQUARE}, id="feature"),
        pytest.param({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": SQUARE}]}, id="only"),
        pytest.param(json.dumps(SQUARE), id="text"),
        pytest.param("POLYGON ((0 0, 2 0, 2 2, 0 2, 0 0))", id="wkt"),
        pytest.param("polygon z((0 0 9,2 0 9,2 2 9,0 2 9,0 0 9))", id="wkt-heights"),
        pytest.param(shapely.Polygon([(0, 0), (2, 0), (2, 2), (0, 2)]), id="shapely"),
        pytest.param(
            {"type": "Polygon", "coordinates": [[[0, 0, 5], [2, 0, 5], [2, 2, 5], [0, 2, 5], [0, 0, 5]]]}, id="heights"
        ),
    ],
)
def test_spellings(value: Any):
    """Each usual way to write an area gives the same one."""
    geometry = parse_geometry(value)

    assert shapely.geometry.shape(geometry.to_geojson()).equals(shapely.box(0, 0, 2, 2))
    assert geometry.bbox == BBox(0, 0, 2, 2)


@pytest.mark.parametrize(
    "geometry",
    [
        "POINT (1 2)",
        "LINESTRING (1 2, 3 4)",
        "POLYGON ((0 0, 4 0, 4 4, 0 4, 0 0), (1 1, 2 1, 2 2, 1 1))",
        "MULTIPOINT ((1 2), (3 4))",
        "MULTIPOINT (1 2, 3 4)",
        "MULTILINESTRING ((1 2, 3 4), (5 6, 7 8))",
        "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5)))",
    ],
)
def test_wkt_is_read_as_shapely_reads_it(geometry: str):
    """All kinds of geometries."""
    read = parse_geometry(geometry, areas_only=False)

    assert shapely.geometry.shape(read.to_geojson()).equals_exact(shapely.from_wkt(geometry), 0)


def test_srid_names_the_crs():
    """EWKT says its CRS itself."""
    geometry = parse_geometry("SRID=32633;POLYGON ((0 0, 2 0, 2 2, 0 0))")

    assert geometry.crs is not None
    assert geometry.crs.epsg == 32633


def test_crs_member_names_the_crs():
    """So do GeoJSON files that desktop programs write."""
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    geometry = parse_geometry({**SQUARE, "crs": crs})

    assert geometry.crs is not None
    assert geometry.crs.epsg == 3857


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param("POLYGON EMPTY", "is empty", id="empty-wkt"),
        pytest.param({"type": "Polygon", "coordinates": []}, "is empty", id="empty"),
        pytest.param({"type": "Polygon", "coordinates": [[]]}, "is empty", id="empty-ring"),
        pytest.param({"type": "Feature", "geometry": None}, "no geometry", id="feature-without"),
        pytest.param({"type": "FeatureCollection", "features": [1, 2]}, "2 features", id="many"),
        pytest.param("POINT (1 2)", "no area", id="point"),
        pytest.param({"type": "Circle", "coordinates": [1]}, "'Circle'", id="kind"),
        pytest.param({"type": "GeometryCollection", "geometries": []}, "GeometryCollection", id="collection"),
        pytest.param("POLYGON ((0 0, 1 0", "expected", id="cut-wkt"),
        pytest.param("POLYGON ((0 0, 1 x, 1 1, 0 0))", "number was expected", id="wkt-letter"),
        pytest.param("fields.geojson", "neither GeoJSON nor WKT", id="path"),
        pytest.param("{'type': 1}", "no JSON", id="no-json"),
        pytest.param(7, "is a int", id="number"),
        pytest.param({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]}, "not closed", id="open"),
        pytest.param({"type": "Polygon", "coordinates": [[[0, 0], [1, "a"], [1, 1], [0, 0]]]}, "number", id="text"),
        pytest.param({"type": "Polygon", "coordinates": [[0, 0], [1, 1]]}, "coordinates belong", id="flat"),
        pytest.param("POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))", "crosses or touches itself near (1, 1)", id="bow-tie"),
        pytest.param("POLYGON ((0 0, 1 1, 2 2, 0 0))", "ring without area", id="line"),
        pytest.param("POLYGON ((0 0, 2 0, 2 2, 2 3, 2 2, 0 2, 0 0))", "crosses or touches itself", id="spike"),
        pytest.param(
            "POLYGON ((0 0, 4 0, 4 4, 0 4, 0 0), (5 5, 6 5, 6 6, 5 5))", "hole outside of its outer ring", id="hole"
        ),
        pytest.param(
            "POLYGON ((0 0, 4 0, 4 4, 0 4, 0 0), (3 3, 6 3, 6 6, 3 3))", "rings that cross each other", id="hole-across"
        ),
        pytest.param(
            "POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0), (1 1, 8 1, 8 8, 1 1), (5 2, 6 2, 6 3, 5 2))",
            "hole within a hole",
            id="hole-in-hole",
        ),
        pytest.param(
            "MULTIPOLYGON (((0 0, 4 0, 4 4, 0 4, 0 0)), ((3 3, 6 3, 6 6, 3 6, 3 3)))", "parts that overlap", id="parts"
        ),
        pytest.param(
            "MULTIPOLYGON (((0 0, 9 0, 9 9, 0 9, 0 0)), ((3 3, 6 3, 6 6, 3 6, 3 3)))", "parts that overlap", id="nested"
        ),
    ],
)
def test_bad_geometry_is_refused(value: Any, message: str):
    """The message says what is wrong, and where it can, near which position."""
    assert message in refused(value)


def test_island_in_a_lake_is_no_overlap():
    """A part in the hole of another is outside of it."""
    lake = "((0 0, 9 0, 9 9, 0 9, 0 0), (1 1, 8 1, 8 8, 1 8, 1 1))"

    assert parse_geometry(f"MULTIPOLYGON ({lake}, ((3 3, 6 3, 6 6, 3 6, 3 3)))").is_area


coordinate = st.integers(0, 8).map(float)
points = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=8)


@given(points)
def test_faults_are_those_that_shapely_finds(vertices: list[tuple[float, float]]):
    """On a coarse grid, where vertices touch edges and edges lie on each other, each ring is judged as GEOS does."""
    ring = [*vertices, vertices[0]]
    assume(len(set(vertices)) > 2)

    assert (planar.find_fault([ring]) is None) == shapely.Polygon(ring).is_valid


hulls = (
    st.lists(st.tuples(coordinate, coordinate), min_size=4, max_size=8, unique=True)
    .map(lambda vertices: shapely.MultiPoint(vertices).convex_hull)
    .filter(lambda hull: hull.area > 0)
    .map(lambda hull: list(hull.exterior.coords))
)


@given(hulls, hulls)
def test_faulty_holes_are_those_that_shapely_finds(outer: list[tuple[float, float]], inner: list[tuple[float, float]]):
    """The same with a hole; one that cuts the inside in two by touching twice is let pass."""
    polygon = shapely.Polygon(outer, [inner])
    assume("Interior is disconnected" not in shapely.is_valid_reason(polygon))

    assert (planar.find_fault([outer, inner]) is None) == polygon.is_valid


def test_nearly_parallel_lines_are_decided_exactly():
    """Where floats round to nothing, the side is still told."""
    a, b = (12.0, 12.0), (24.0, 24.0)

    assert planar.orientation(a, b, (0.5, 0.5000000000000001)) == 1
    assert planar.orientation(a, b, (0.5000000000000001, 0.5)) == -1
    assert planar.orientation(a, b, (0.5, 0.5)) == 0


@pytest.mark.parametrize("value", [[1, 2, 3, 4], (1, 2, 3, 4), "1,2,3,4", "[1, 2, 3, 4]", "1.0, 2, 3e0, 4"])
def test_bbox(value: Any):
    """Four numbers, or a template's text of them."""
    assert parse_bbox(value) == BBox(1, 2, 3, 4)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2, 3], "four numbers"),
        ("1,2,3,x", "number"),
        ([1, 2, float("nan"), 4], "number"),
        ([1, 2, True, 4], "number"),
        ({"west": 1}, "four numbers"),
        ([3, 2, 1, 4], "west is east of east"),
        ([1, 4, 3, 2], "south is north of north"),
        ([1, 2, 1, 4], "is empty"),
    ],
)
def test_bad_bbox_is_refused(value: Any, message: str):
    """What is wrong, and what to give."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        parse_bbox(value)
    assert caught.value.field == "bbox"

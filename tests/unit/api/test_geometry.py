"""Areas as users write them."""

from __future__ import annotations

import json
from decimal import Decimal
from random import Random
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
import shapely.affinity
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider.api.geo.bounds import parse_bounds
from sentinelhub_provider.api.geo.geometry import BBox, find_fault, parse_bbox, parse_geometry
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
        pytest.param(geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 2, 2)]), id="geopandas"),
        pytest.param({**SQUARE, "coordinates": np.array(SQUARE["coordinates"])}, id="numpy"),
        pytest.param({**SQUARE, "coordinates": [[[str(x), str(y)] for x, y in SQUARE["coordinates"][0]]]}, id="texts"),
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


@pytest.mark.parametrize("of", [lambda frame: frame, lambda frame: frame.geometry], ids=["frame", "series"])
def test_geopandas_names_the_crs(of: Any):
    """As it does of features."""
    frame = geopandas.GeoDataFrame(geometry=[shapely.box(500_000, 5e6, 500_100, 5_000_100)], crs=32633)

    assert str(parse_geometry(of(frame)).crs) == "EPSG:32633"


def test_crs_member_names_the_crs():
    """So do GeoJSON files that desktop programs write."""
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    geometry = parse_geometry({**SQUARE, "crs": crs})

    assert geometry.crs is not None
    assert geometry.crs.epsg == 3857


def test_crs_member_may_have_a_code():
    """As old map servers write it."""
    crs = {"type": "EPSG", "properties": {"code": 3857}}
    geometry = parse_geometry(
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": SQUARE}], "crs": crs}
    )
    assert str(geometry.crs) == "EPSG:3857"


def test_crs_member_of_a_feature_or_its_geometry_names_the_crs():
    """PostGIS writes it into the geometry."""
    crs = {"type": "name", "properties": {"name": "EPSG:3857"}}
    inside = {"type": "Feature", "properties": {}, "geometry": {**SQUARE, "crs": crs}}
    beside = {"type": "Feature", "properties": {}, "geometry": SQUARE, "crs": crs}
    for feature in (inside, beside):
        for value in (feature, {"type": "FeatureCollection", "features": [feature]}):
            assert str(parse_geometry(value).crs) == "EPSG:3857"
    with pytest.raises(SentinelHubRequestError, match=r"crs is CRS84.*in EPSG:3857\. Give that CRS as crs"):
        parse_bounds(geometry=inside, crs="CRS84")


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
        pytest.param({"type": ["Polygon"], "coordinates": []}, "type ['Polygon']", id="kinds"),
        pytest.param("CURVEPOLYGON (CIRCULARSTRING (0 0, 4 0, 4 4, 0 4, 0 0))", "Nonlinear", id="curve"),
        pytest.param({"type": "GeometryCollection", "geometries": []}, "GeometryCollection", id="collection"),
        pytest.param("POLYGON ((0 0, 1 0", "end of stream", id="cut-wkt"),
        pytest.param("POLYGON ((0 0, 1 x, 1 1, 0 0))", "Expected number", id="wkt-letter"),
        pytest.param("fields.geojson", "neither GeoJSON nor WKT", id="path"),
        pytest.param("{'type': 1}", "not JSON", id="no-json"),
        pytest.param(7, "is a int", id="number"),
        pytest.param({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]}, "not closed", id="open"),
        pytest.param({"type": "Polygon", "coordinates": [[[0, 0], [1, "a"], [1, 1], [0, 0]]]}, "number", id="text"),
        pytest.param({"type": "Polygon", "coordinates": [[0, 0], [1, 1]]}, "coordinates belong", id="flat"),
        pytest.param("POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))", "crosses or touches itself near (1, 1)", id="bow-tie"),
        pytest.param("POLYGON ((0 0, 1 1, 2 2, 0 0))", "crosses or touches itself near (1, 1)", id="line"),
        pytest.param({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]}, "ring without area", id="short"),
        pytest.param(
            {"type": "Polygon", "coordinates": [[[0, 0], [1, float("inf")], [1, 1], [0, 0]]]}, "inf", id="inf"
        ),
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

    assert parse_geometry(f"MULTIPOLYGON ({lake}, ((3 3, 6 3, 6 6, 3 6, 3 3)))").parts


coordinate = st.integers(0, 8).map(float)
hulls = (
    st.lists(st.tuples(coordinate, coordinate), min_size=4, max_size=8, unique=True)
    .map(lambda vertices: shapely.MultiPoint(vertices).convex_hull)
    .filter(lambda hull: hull.area > 0)
)


@given(hulls, hulls)
def test_parts_overlap_where_their_insides_meet(one: shapely.Polygon, other: shapely.Polygon):
    """Two convex parts on a coarse grid, whose edges often lie on each other: only common area is a fault."""
    fault = find_fault(shapely.MultiPolygon([one, other]))

    common = shapely.intersection(one, other)
    assert (fault is not None) == (common.area > 0)
    if fault is not None:
        x, y = (float(number) for number in fault.rpartition("(")[2].rstrip(")").split(", "))
        assert common.distance(shapely.Point(x, y)) < 1e-6


def test_overlap_along_a_shared_line_is_found():
    """As for 20,000 random pairs of rectangles."""
    random = Random(0)

    def rectangle() -> shapely.Polygon:
        west, south = random.randrange(10), random.randrange(10)
        return shapely.box(west, south, west + random.randrange(1, 10), south + random.randrange(1, 10))

    assert "parts that overlap near (7.5, 5)" in refused(
        "MULTIPOLYGON (((0 0, 10 0, 10 10, 0 10, 0 0)), ((5 0, 15 0, 15 10, 5 10, 5 0)))"
    )
    for _ in range(20_000):
        one, other = rectangle(), rectangle()
        is_fault = find_fault(shapely.MultiPolygon([one, other])) is not None
        assert is_fault == shapely.relate_pattern(one, other, "T********")


def squares(side: int) -> shapely.MultiPolygon:
    """Return touching squares, turned, so that boxes around neighbours overlap."""
    whole = shapely.MultiPolygon([shapely.box(x, y, x + 1, y + 1) for x in range(side) for y in range(side)])
    return shapely.affinity.scale(shapely.affinity.rotate(whole, 45, origin=(0, 0)), 2**0.5, 2**0.5, origin=(0, 0))


def test_ten_thousand_touching_squares(monkeypatch: pytest.MonkeyPatch):
    """They are good, and only neighbours are compared: four times the squares, four times the pairs."""
    pairs: list[int] = []
    relate = shapely.relate_pattern
    monkeypatch.setattr(shapely, "relate_pattern", lambda one, *rest: (pairs.append(len(one)), relate(one, *rest))[1])

    for side in (50, 100):
        whole = shapely.transform(squares(side), np.rint)
        assert parse_geometry(json.loads(shapely.to_geojson(whole))).parts == list(whole.geoms)
    assert pairs[1] < 4.2 * pairs[0] < 100_000


@pytest.mark.parametrize(
    "value",
    [
        *([1, 2, 3, 4], (1, 2, 3, 4), "1,2,3,4", "[1, 2, 3, 4]", "1.0, 2, 3e0, 4", [1, "2", Decimal(3), np.int64(4)]),
        *(np.array([1, 2, 3, 4]), tuple(np.array([1.0, 2, 3, 4])), pd.Series([1, 2, 3, 4])),
    ],
    ids=repr,
)
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
        ([3, 2, 1, 4], "its west is larger than its east"),
        ([1, 4, 3, 2], "its south is larger than its north"),
        ([1, 2, 1, 4], "is empty"),
    ],
)
def test_bad_bbox_is_refused(value: Any, message: str):
    """What is wrong, and what to give."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        parse_bbox(value)
    assert caught.value.field == "bbox"

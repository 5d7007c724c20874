"""Large areas as tiles."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sentinelhub_provider.api.geo.bounds import parse_bounds, parse_size
from sentinelhub_provider.api.geo.crs import parse_crs
from sentinelhub_provider.api.geo.geometry import BBox
from sentinelhub_provider.api.tiling import PixelGrid, Tile, split, split_bbox, split_geometry, tiles_of
from sentinelhub_provider.exceptions import SentinelHubRequestError

UTM = parse_crs(32633)
LEFT, TOP = 500_000.0, 5_000_000.0

side = st.integers(1, 60)
grids = st.builds(
    lambda width, height, pixel, left, top: PixelGrid(
        BBox(left, top - height * pixel, left + width * pixel, top), width, height, UTM
    ),
    side,
    side,
    st.sampled_from([10.0, 1 / 3, 0.1, 7.7]),
    st.floats(400_000, 600_000),
    st.floats(4_000_000, 5_000_000),
)


@settings(deadline=None)
@given(grids, st.integers(1, 25))
def test_tiles_cover_each_pixel_once(grid: PixelGrid, max_size: int):
    """No pixel is in two tiles, and none is in none."""
    tiles = list(tiles_of(grid, max_size=max_size))
    pixels = [
        (x, y)
        for tile in tiles
        for x in range(tile.offset_x, tile.offset_x + tile.width)
        for y in range(tile.offset_y, tile.offset_y + tile.height)
    ]

    assert len(pixels) == len(set(pixels)) == grid.width * grid.height
    assert max(max(tile.width, tile.height) for tile in tiles) <= max_size


@settings(deadline=None)
@given(grids, st.integers(1, 25))
def test_neighbours_share_their_border_exactly(grid: PixelGrid, max_size: int):
    """Bit for bit, and the outermost borders are the whole's."""
    tiles = {(tile.column, tile.row): tile for tile in tiles_of(grid, max_size=max_size)}
    for (column, row), tile in tiles.items():
        west, south, east, north = tile.bbox
        assert west == (tiles[column - 1, row].bbox[2] if column else grid.box.min_x)
        assert north == (tiles[column, row - 1].bbox[1] if row else grid.box.max_y)
        assert (column + 1, row) in tiles or east == grid.box.max_x
        assert (column, row + 1) in tiles or south == grid.box.min_y


@settings(deadline=None)
@given(grids, st.integers(1, 25))
def test_tiles_lie_on_the_grid(grid: PixelGrid, max_size: int):
    """Each tile has pixels of the whole's size, and begins at a border between them."""
    pixel = grid.box.width / grid.width
    for tile in tiles_of(grid, max_size=max_size):
        assert tile.bbox[0] == grid.x(tile.offset_x)
        assert tile.bbox[3] == grid.y(tile.offset_y)
        assert (tile.bbox[2] - tile.bbox[0]) / tile.width == pytest.approx(pixel, rel=1e-6)


@st.composite
def stars(draw: Any) -> list[tuple[float, float]]:
    """Draw a polygon around the grid's middle: rays of any length at rising angles."""
    number = draw(st.integers(3, 10))
    lengths = draw(st.lists(st.floats(20, 900), min_size=number, max_size=number))
    turn = draw(st.floats(0, 1))
    angles = [2 * math.pi * (index + turn) / number for index in range(number)]
    return [
        (LEFT + length * math.cos(angle), TOP + length * math.sin(angle))
        for length, angle in zip(lengths, angles, strict=True)
    ]


@settings(deadline=None)
@given(stars(), st.integers(3, 30), st.booleans())
def test_only_tiles_that_meet_the_geometry(vertices: list[tuple[float, float]], max_size: int, with_box: bool):
    """All that have some of it inside, none that is away from it, as shapely judges."""
    polygon = shapely.Polygon(vertices)
    assume(polygon.is_valid and polygon.area > 1000)
    box = [LEFT - 333.3, TOP - 222.2, LEFT + 444.4, TOP + 555.5] if with_box else None
    bounds = parse_bounds(geometry=polygon, bbox=box, crs=UTM)
    grid = PixelGrid.of(bounds, parse_size(bounds, resolution=10))
    chosen = set(split(bounds, resolution=10, max_size=max_size))
    for tile in tiles_of(grid, max_size=max_size):
        common = shapely.box(*tile.bbox).intersection(polygon).area
        if common > 1e-3:
            assert tile in chosen
        elif tile in chosen:
            assert shapely.box(*tile.bbox).distance(polygon) < 1e-4


def test_tiles_within_a_hole_are_left_out():
    """A ring of tiles around an empty middle."""
    square = shapely.box(500000, 0, 500090, 90).difference(shapely.box(500030, 30, 500060, 60))
    tiles = split_geometry(square, crs=32633, resolution=1, max_size=30)

    assert {(tile.column, tile.row) for tile in tiles} == {(c, r) for c in range(3) for r in range(3)} - {(1, 1)}


def test_tiles_that_only_touch_are_left_out():
    """A geometry whose border is that of tiles brings no tile of the other side."""
    tiles = split(
        parse_bounds(
            bbox=[500000, 0, 500090, 90],
            geometry="POLYGON ((500030 30, 500060 30, 500060 60, 500030 60, 500030 30))",
            crs=32633,
        ),
        resolution=1,
        max_size=30,
    )

    assert [(tile.column, tile.row) for tile in tiles] == [(1, 1)]


def test_parts_of_a_geometry_add_up():
    """Tiles of a MultiPolygon are those of its parts, each once."""
    parts = shapely.MultiPolygon([shapely.box(500000, 0, 500010, 10), shapely.box(500020, 20, 500030, 30)])
    tiles = split_geometry(parts, crs=32633, resolution=1, max_size=10)

    assert [(tile.column, tile.row) for tile in tiles] == [(2, 0), (0, 2)]


def test_order_is_from_north_to_south_and_west_to_east():
    """As rows of a raster are read."""
    tiles = split_bbox([500000, 0, 500020, 20], crs=32633, resolution=1, max_size=10)

    assert [tile.name for tile in tiles] == ["r0000_c0000", "r0000_c0001", "r0001_c0000", "r0001_c0001"]
    assert tiles[0].bbox == (500000, 10, 500010, 20)


def test_tile_survives_json():
    """Tiles go through XCom as plain values."""
    tile = split_bbox([500000, 0, 500020, 20], crs=32633, resolution=1, max_size=7)[5]

    assert Tile.from_dict(json.loads(json.dumps(tile.to_dict()))) == tile


def test_snapped_grid_has_common_pixels():
    """Two areas that overlap have the same pixel borders where they do."""
    one = split_bbox([500003, 5, 500044, 33], crs=32633, resolution=10, snap=True)
    other = split_bbox([500021, 17, 500088, 52], crs=32633, resolution=10, snap=True)

    assert one[0].bbox == (500000, 0, 500050, 40)
    assert other[0].bbox == (500020, 10, 500090, 60)
    assert (one[0].width, one[0].height) == (5, 4)


def test_degrees_are_split_too():
    """In a CRS of degrees, tiles are cut out of the picture that a single request would have."""
    tiles = split_bbox([13, 45, 13.5, 45.25], resolution=10)

    assert (
        sum(tile.width for tile in tiles if tile.row == 0)
        == parse_size(parse_bounds(bbox=[13, 45, 13.5, 45.25]), resolution=10, max_side=None).width
    )
    assert tiles[-1].bbox[2] == 13.5


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"resolution": 10, "max_size": 2501}, "max_size"),
        ({"resolution": 10, "max_size": 0}, "max_size"),
        ({"resolution": 10, "max_size": 10.5}, "max_size"),
        ({"resolution": 0.01, "max_size": 1}, "max_size"),
        ({"width": 10, "height": 10, "snap": True}, "snap"),
        ({}, "resolution"),
    ],
)
def test_what_cannot_be_split_is_refused(arguments: dict[str, Any], field: str):
    """Sizes above the limit, more tiles than anyone means, no common grid."""
    with pytest.raises(SentinelHubRequestError) as caught:
        split_bbox([500000, 0, 500020, 20], crs=32633, **arguments)
    assert caught.value.field == field

"""The tiles that an area has in each of the tiling grids."""

from __future__ import annotations

import math

import pytest
from shapely.geometry import Polygon, box

from sentinelhub_provider.sandbox.apis.batch.descriptions import GRIDS
from sentinelhub_provider.sandbox.apis.batch.grids import TooManyTilesError, tiles_of

CORSICA = (8.44, 41.31, 9.66, 43.1)


@pytest.mark.parametrize(
    ("grid", "tiles", "epsg", "side"),
    [(0, 66, 32632, 334), (1, 231, 32632, 500), (2, 6, 32632, 278), (3, 6, 4326, 5000), (6, 6, 3035, 1000)],
)
def test_tiles_of_a_box(grid: int, tiles: int, epsg: int, side: int) -> None:
    """As many tiles as it takes to cover it, each of the grid's size at its coarsest resolution."""
    found = tiles_of(GRIDS[grid], box(*CORSICA), GRIDS[grid].resolutions[-1])
    assert len(found) == tiles
    assert {tile.epsg for tile in found} == {epsg}
    assert {(tile.width, tile.height) for tile in found} == {(side, side)}
    assert len({tile.name for tile in found}) == tiles
    size = GRIDS[grid].size
    assert all(math.isclose(tile.bounds[2] - tile.bounds[0], size) for tile in found)


def test_names_of_tiles() -> None:
    """Squares of the military grid with column and row; degrees of the south-western corner; cells of Europe's grid."""
    area = box(13.81, 45.81, 13.82, 45.82)
    names = {grid.id: [tile.name for tile in tiles_of(grid, area, grid.resolutions[0])] for grid in GRIDS.values()}
    assert names == {
        0: ["33TVL_0_1"],
        1: ["33TVL_0_2"],
        2: ["33TVL"],
        3: ["N45E013"],
        6: ["100kmE46N25"],
        7: ["20kmE230N126"],
    }


def test_an_area_over_two_zones_has_tiles_in_both() -> None:
    """Each part is delivered in the zone that it lies in."""
    found = tiles_of(GRIDS[2], box(5.9, 44.9, 6.1, 45.0), 360)
    assert [(tile.name, tile.epsg) for tile in found] == [("31TGK", 32631), ("32TKQ", 32632)]


def test_an_area_over_the_equator_has_tiles_on_both_sides() -> None:
    """No tile of the northern zones lies south of the equator."""
    found = tiles_of(GRIDS[2], box(-60, -1, -59.5, 1), 360)
    assert {tile.epsg for tile in found} == {32621, 32721}
    assert min(tile.bounds[3] for tile in found if tile.epsg == 32621) == 100_000
    assert max(tile.bounds[3] for tile in found if tile.epsg == 32721) == 10_000_000


def test_tiles_that_an_outline_does_not_touch_are_left_out() -> None:
    """A triangle has fewer tiles than its box."""
    west, south, east, north = CORSICA
    triangle = Polygon([(west, south), (east, south), (west, north)])
    whole = {tile.name for tile in tiles_of(GRIDS[0], box(*CORSICA), 60)}
    part = {tile.name for tile in tiles_of(GRIDS[0], triangle, 60)}
    assert part < whole
    assert 33 < len(part) < 50


def test_whole_degrees_have_one_tile() -> None:
    """An area that just reaches its neighbours does not take them along."""
    assert [tile.name for tile in tiles_of(GRIDS[3], box(13, 45, 14, 46), 0.0002)] == ["N45E013"]
    assert [tile.name for tile in tiles_of(GRIDS[3], box(-1, -1, 0, 0), 0.0002)] == ["S01W001"]


def test_buffers_grow_tiles() -> None:
    """By so many pixels on either side."""
    (plain,) = tiles_of(GRIDS[3], box(13.1, 45.1, 13.2, 45.2), 0.0002)
    (grown,) = tiles_of(GRIDS[3], box(13.1, 45.1, 13.2, 45.2), 0.0002, buffer_x=10, buffer_y=5)
    assert (grown.width - plain.width, grown.height - plain.height) == (20, 10)
    assert grown.bounds == pytest.approx((13 - 0.002, 45 - 0.001, 14 + 0.002, 46 + 0.001))


def test_the_whole_world_is_too_much() -> None:
    """The sandbox says so instead of working for minutes."""
    with pytest.raises(TooManyTilesError, match="more than 50000 tiles"):
        tiles_of(GRIDS[3], box(-180, -90, 180, 90), 0.0002)

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from sentinelhub_provider.api.geo.bounds import parse_bounds
from sentinelhub_provider.api.job_requests.batch_input import GRIDS, check_resolution, count_tiles, find_grid
from sentinelhub_provider.exceptions import SentinelHubRequestError

UTM_20KM = GRIDS[0]
DEGREES = GRIDS[3]


@pytest.mark.parametrize("value", [7, "7", 7.0, "7.0", " 7 ", "LAEA 20km", "laea-20km-grid", "LAEA 20km grid"])
def test_grids_have_ids_and_names(value: Any) -> None:
    """Any of them finds the grid."""
    assert find_grid(value) is GRIDS[7]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(4, "Give one of 0 .UTM 20km., .* 7 .LAEA 20km.", id="number"),
        pytest.param("utm-20", "Did you mean 0 .UTM 20km.", id="near"),
        pytest.param(None, "tiling_grid is None", id="nothing"),
        pytest.param(True, "tiling_grid is True", id="true"),
        pytest.param("-1", "tiling_grid is '-1'", id="negative"),
        pytest.param(1.5, "tiling_grid is 1.5", id="fraction"),
    ],
)
def test_other_grids_are_refused(value: Any, words: str) -> None:
    """The message names those that there are."""
    with pytest.raises(SentinelHubRequestError, match=words):
        find_grid(value)


def test_resolutions() -> None:
    """A grid has few; numbers may be texts, as templates render them."""
    assert check_resolution(UTM_20KM, "60") == 60.0
    assert check_resolution(DEGREES, 0.0002) == 0.0002


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(15, "has 10, 20, 30, 60 m per pixel", id="between"),
        pytest.param(100, r"Tiling grid 6 \(LAEA 100km\) has it", id="elsewhere"),
        pytest.param(None, "resolution is None", id="missing"),
        pytest.param("fine", "resolution is 'fine'", id="text"),
    ],
)
def test_other_resolutions_are_refused(value: Any, words: str) -> None:
    """The message names those that the grid has, and other grids that have it."""
    with pytest.raises(SentinelHubRequestError, match=words):
        check_resolution(UTM_20KM, value)


def test_pixels_of_a_tile() -> None:
    """A buffer is added at both ends."""
    assert UTM_20KM.pixels(10) == 2004
    assert DEGREES.pixels(0.0001, buffer=5) == 10_010


def mean_met(box: tuple[float, float, float, float], tile: float, steps: int = 40) -> float:
    """Count the cells that a box meets, over many places that it could have on the grid."""
    met = []
    for column, row in itertools.product(range(steps), repeat=2):
        x, y = (column + 0.5) / steps * tile, (row + 0.5) / steps * tile
        across = math.floor((box[2] + x) / tile) - math.floor((box[0] + x) / tile) + 1
        down = math.floor((box[3] + y) / tile) - math.floor((box[1] + y) / tile) + 1
        met.append(across * down)
    return sum(met) / len(met)


@pytest.mark.parametrize("sides", [(1_000, 1_000), (50_000, 20_040), (300_000, 10_000)], ids=["small", "some", "long"])
def test_tiles_that_a_box_meets(sides: tuple[int, int]) -> None:
    """The number is the mean over all places on the grid, rounded up."""
    box = (400_000, 5_000_000, 400_000 + sides[0], 5_000_000 + sides[1])

    assert count_tiles(parse_bounds(bbox=box, crs=32633), UTM_20KM) == math.ceil(mean_met(box, 20_040))


def test_tiles_that_a_polygon_meets() -> None:
    """A narrow one across a large box meets far fewer than the box."""
    band = "POLYGON ((400000 5000000, 600000 5200000, 601000 5200000, 401000 5000000, 400000 5000000))"
    bounds = parse_bounds(geometry=band, crs=32633)
    box = parse_bounds(bbox=list(bounds.box), crs=32633)

    met, all_of_them = count_tiles(bounds, UTM_20KM), count_tiles(box, UTM_20KM)

    assert all_of_them > 100
    assert 19 <= met <= 24  # ten cells along either axis are crossed, nearly never two at once


def test_two_far_islands() -> None:
    """Polygons of one area are counted each."""
    islands = "MULTIPOLYGON (((13 45, 13.01 45, 13.01 45.01, 13 45)), ((23 55, 23.01 55, 23.01 55.01, 23 55)))"

    assert count_tiles(parse_bounds(geometry=islands), UTM_20KM) == 3


def test_degrees() -> None:
    """Areas in degrees are counted in degrees, those in metres at their latitude."""
    assert count_tiles(parse_bounds(bbox=[13, 45, 15, 46]), DEGREES) == 6
    assert count_tiles(parse_bounds(bbox=[400_000, 6_600_000, 500_000, 6_700_000], crs=32633), DEGREES) == 6
    assert count_tiles(parse_bounds(bbox=[1_400_000, 8_300_000, 1_511_320, 8_400_000], crs=3857), DEGREES) == 3


def test_any_projection_on_a_grid_of_degrees() -> None:
    """Its area is transformed: one of a hundred kilometres in Germany is 1.5 degrees wide and 0.9 high."""
    assert count_tiles(parse_bounds(bbox=[4_000_000, 3_000_000, 4_100_000, 3_100_000], crs=3035), DEGREES) == 5

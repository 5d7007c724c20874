"""The tiling grids of the documentation ("Batch V2 API", input features), and the tiles of an area in each.

Grids 0 to 2 divide each UTM zone from its origin. Tiles of 20,040 and 100,080 m overlap their neighbours. The service
starts from Sentinel-2's tiles, so its tiles lie elsewhere and have other names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from pyproj import Transformer
from shapely.geometry import Polygon
from shapely.geometry import box as rectangle
from shapely.geometry.base import BaseGeometry

from sentinelhub_provider.sandbox.apis.batch.descriptions import LAEA, TilingGrid
from sentinelhub_provider.sandbox.world.grid import WGS84, Array, Bounds, to_lonlat
from sentinelhub_provider.sandbox.world.scenes.tiles import SIZE, square_name
from sentinelhub_provider.sandbox.world.utm import Zone, forward

MAX_CANDIDATES: Final = 50_000
"""Largest number of tiles of a job. The limit is the sandbox's own."""

_LAEA_COVERAGE: Final = (900_000.0, 900_000.0, 7_400_000.0, 7_400_000.0)
"""Metres in EPSG:3035 around Europe."""

_POINTS_PER_SIDE: Final = 5
_MARGIN: Final = 1e-9
_LIMITS: Final = {0: 80.7, 1: 80.6, 2: 81.0}
"""Latitude in degrees, north and south, up to which each UTM grid reaches."""


class TooManyTilesError(Exception):
    """The area has more tiles than the sandbox allows."""


@dataclass(frozen=True)
class Tile:
    """A tile to render, with ``bounds`` (min x, min y, max x, max y) in ``EPSG:epsg`` and its size in pixels."""

    name: str
    epsg: int
    bounds: Bounds
    width: int
    height: int


def tiles_of(
    grid: TilingGrid, area: BaseGeometry, resolution: float, *, buffer_x: int = 0, buffer_y: int = 0
) -> list[Tile]:
    """List the tiles that meet an area (longitude, latitude), each grown by the buffers (pixels) on every side.

    Raises :class:`TooManyTilesError`.
    """
    cells = {"utm": _utm_cells, "wgs84": _degree_cells, "laea": _laea_cells}[grid.scheme](grid, area)
    side = round(grid.size / resolution)
    found = []
    for number, (name, epsg, left, top) in enumerate(cells):
        if number >= MAX_CANDIDATES:
            raise TooManyTilesError(f"The area has more than {MAX_CANDIDATES} tiles of the {grid.name}")
        grown_x, grown_y = buffer_x * resolution, buffer_y * resolution
        bounds = (left - grown_x, top - grid.size - grown_y, left + grid.size + grown_x, top + grown_y)
        found.append(Tile(name, epsg, bounds, side + 2 * buffer_x, side + 2 * buffer_y))
    return found


Cell = tuple[str, int, float, float]
"""Name, EPSG code, left and top border."""


def _utm_cells(grid: TilingGrid, area: BaseGeometry) -> Iterator[Cell]:
    west, south, east, north = area.bounds
    limit = _LIMITS[grid.id]
    for number in range(max(1, math.floor((west + 180) / 6) + 1), min(60, math.floor((east + 180) / 6) + 1) + 1):
        for hemisphere, low, high in (
            (True, max(0.0, south), min(limit, north)),
            (False, max(-limit, south), min(0.0, north)),
        ):
            zone = Zone(number, hemisphere)
            strip = _inset((max(west, zone.west), low, min(east, zone.west + 6.0), high))
            if strip[0] < strip[2] and strip[1] < strip[3]:
                yield from _zone_cells(grid, area, zone, strip)


def _zone_cells(grid: TilingGrid, area: BaseGeometry, zone: Zone, strip: Bounds) -> Iterator[Cell]:
    lon, lat = _border(strip)
    x, y = forward(zone, lon, lat)
    step = grid.step
    # The border of a strip bulges between its points.
    for row in range(math.floor(float(y.min()) / step - 0.05), math.floor(float(y.max()) / step + 0.05) + 1):
        for column in range(math.floor(float(x.min()) / step), math.floor(float(x.max()) / step) + 1):
            ring = _ring(zone.epsg, (column * step, row * step, (column + 1) * step, (row + 1) * step))
            if _meets(ring, strip, area):
                middle = sum(point[1] for point in ring) / len(ring)
                yield _utm_name(grid, zone, column, row, middle), zone.epsg, column * step, (row + 1) * step


def _utm_name(grid: TilingGrid, zone: Zone, column: int, row: int, latitude: float) -> str:
    per_square = round(SIZE / grid.step)
    square = square_name(zone, column // per_square * SIZE, row // per_square * SIZE, latitude)
    return square if per_square == 1 else f"{square}_{column % per_square}_{per_square - 1 - row % per_square}"


def _degree_cells(grid: TilingGrid, area: BaseGeometry) -> Iterator[Cell]:
    west, south, east, north = area.bounds
    for row in range(max(-90, math.floor(south)), min(90, math.ceil(north))):
        for column in range(max(-180, math.floor(west)), min(180, math.ceil(east))):
            box = (float(column), float(row), column + grid.size, row + grid.size)
            if area.intersects(rectangle(*_inset(box))):
                yield f"{_degrees(row, 'NS', 2)}{_degrees(column, 'EW', 3)}", WGS84, box[0], box[3]


def _degrees(value: int, signs: str, digits: int) -> str:
    return f"{signs[value < 0]}{abs(value):0{digits}d}"


def _laea_cells(grid: TilingGrid, area: BaseGeometry) -> Iterator[Cell]:
    lon, lat = _border(area.bounds)
    x, y = _to_laea(lon, lat)
    low_x, low_y, high_x, high_y = _LAEA_COVERAGE
    low_x, high_x = max(low_x, float(x.min())), min(high_x, float(x.max()))
    low_y, high_y = max(low_y, float(y.min())), min(high_y, float(y.max()))
    step = grid.step
    for row in range(math.floor(low_y / step), math.ceil(high_y / step)):
        for column in range(math.floor(low_x / step), math.ceil(high_x / step)):
            ring = _ring(LAEA, (column * step, row * step, (column + 1) * step, (row + 1) * step))
            if area.intersects(Polygon(ring)):
                name = f"{step / 1000:.0f}kmE{column}N{row}"
                yield name, LAEA, column * step, (row + 1) * step


def _meets(ring: list[tuple[float, float]], strip: Bounds, area: BaseGeometry) -> bool:
    cell = Polygon(ring).intersection(rectangle(*strip))
    return bool(cell.area) and bool(area.intersects(cell))


def _inset(box: Bounds) -> Bounds:
    """Shrink a box a little, so that a cell and an area that only touch do not meet."""
    return box[0] + _MARGIN, box[1] + _MARGIN, box[2] - _MARGIN, box[3] - _MARGIN


def _border(box: Bounds) -> tuple[Array, Array]:
    west, south, east, north = box
    t = np.linspace(0.0, 1.0, 17)
    lon = np.concatenate([west + t * (east - west)] * 2 + [np.full(17, west), np.full(17, east)])
    lat = np.concatenate([np.full(17, south), np.full(17, north)] + [south + t * (north - south)] * 2)
    return lon, lat


def _ring(epsg: int, box: Bounds) -> list[tuple[float, float]]:
    left, bottom, right, top = box
    t = np.linspace(0.0, 1.0, _POINTS_PER_SIDE, endpoint=False)
    x = left + (right - left) * np.concatenate([t, np.ones_like(t), 1 - t, np.zeros_like(t)])
    y = bottom + (top - bottom) * np.concatenate([np.zeros_like(t), t, np.ones_like(t), 1 - t])
    lon, lat = to_lonlat(epsg, x, y)
    return list(zip(lon.tolist(), lat.tolist(), strict=True))


def _to_laea(lon: Array, lat: Array) -> tuple[Array, Array]:
    x, y = Transformer.from_crs(WGS84, LAEA, always_xy=True).transform(lon, lat)
    return x, y

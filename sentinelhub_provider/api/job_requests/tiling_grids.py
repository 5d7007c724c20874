"""The grids that Batch Process cuts an area along (documentation, "Batch Processing V2 API", "Tiling grid")."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from sentinelhub_provider.api.geo.bounds import Bounds
from sentinelhub_provider.api.geo.crs import EARTH_RADIUS, METRES_PER_DEGREE, WEB_MERCATOR
from sentinelhub_provider.exceptions import SentinelHubRequestError


@dataclass(frozen=True, slots=True)
class TilingGrid:
    """One grid: id and name, side of its tiles and resolutions in ``unit`` (``m`` or ``°``), CRS of its rasters."""

    id: int
    name: str
    tile_size: float
    unit: str
    resolutions: tuple[float, ...]
    crs: str

    @property
    def is_single_crs(self) -> bool:
        """Whether all of its tiles are in one CRS, as Zarr needs."""
        return self.crs != "UTM"

    def pixels(self, resolution: float, buffer: int = 0) -> int:
        """Return the pixels of a tile's side, with a buffer added at both ends."""
        return round(self.tile_size / resolution) + 2 * buffer

    def __str__(self) -> str:
        return f"{self.id} ({self.name})"


_ALL = (
    TilingGrid(0, "UTM 20km", 20_040.0, "m", (10.0, 20.0, 30.0, 60.0), "UTM"),
    TilingGrid(1, "UTM 10km", 10_000.0, "m", (10.0, 20.0), "UTM"),
    TilingGrid(2, "UTM 100km", 100_080.0, "m", (30.0, 60.0, 120.0, 240.0, 360.0), "UTM"),
    TilingGrid(3, "WGS84 1 degree", 1.0, "°", (0.0001, 0.0002), "EPSG:4326"),
    TilingGrid(6, "LAEA 100km", 100_000.0, "m", (40.0, 50.0, 100.0), "EPSG:3035"),
    TilingGrid(7, "LAEA 20km", 20_000.0, "m", (10.0, 20.0), "EPSG:3035"),
)

GRIDS: Mapping[int, TilingGrid] = MappingProxyType({grid.id: grid for grid in _ALL})  # All grids by their id


def find_grid(value: Any, field: str = "tiling_grid") -> TilingGrid:
    """Return a grid by its id (``0``, ``"0"``) or its name (``"UTM 20km"``, ``"utm-20km-grid"``)."""
    if isinstance(value, int) and not isinstance(value, bool) and value in GRIDS:
        return GRIDS[value]
    if isinstance(value, str):
        names = {_plain(grid.name): grid for grid in _ALL} | {str(grid.id): grid for grid in _ALL}
        found = names.get(_plain(value))
        if found is not None:
            return found
        near = get_close_matches(_plain(value), names, n=1, cutoff=0.6)
        hint = f" Did you mean {names[near[0]]}?" if near else ""
    else:
        hint = ""
    raise SentinelHubRequestError(f"{field} is {value!r}. Give one of {', '.join(str(grid) for grid in _ALL)}.{hint}")


def check_resolution(grid: TilingGrid, value: Any, field: str = "resolution") -> float:
    """Return a resolution that a grid has, in its unit."""
    try:
        number = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError):
        number = math.nan
    for known in grid.resolutions:
        if math.isclose(known, number, rel_tol=1e-9):
            return known
    allowed = ", ".join(f"{known:g}" for known in grid.resolutions)
    elsewhere = [str(other) for other in _ALL if number in other.resolutions]
    hint = f" Tiling grid {' or '.join(elsewhere)} has it." if elsewhere else ""
    raise SentinelHubRequestError(
        f"{field} is {value!r}; tiling grid {grid} has {allowed} {grid.unit} per pixel.{hint}"
    )


def count_tiles(bounds: Bounds, grid: TilingGrid) -> int | None:
    """
    Estimate how many tiles meet an area; each of them is processed and paid for whole.

    Where a grid's tiles begin is not published, so that this is what an area meets on average over all places that it
    could have on the grid, rounded up: ``(area + tile * (width + height) + tile²) / tile²`` for each polygon (of a
    polygon that is not convex, half of the way along its border counts for width and height). A small area on the
    corner of four tiles meets up to three more. The overlap of UTM zones is left out.

    :return: at least 1; ``None`` for an area in metres of a CRS whose latitude is not known, on a grid of degrees.
    """
    scale = _scale(bounds, grid)
    if scale is None:
        return None
    x, y = scale[0] / grid.tile_size, scale[1] / grid.tile_size
    whole = math.fsum((side.width * x + 1) * (side.height * y + 1) for side in bounds.sides)
    if bounds.geometry is None:
        return math.ceil(whole - 1e-9)
    parts = math.fsum(_mean_tiles(polygon, x, y) for polygon in bounds.geometry.parts)
    return max(1, math.ceil(min(whole, parts) - 1e-9))


def _mean_tiles(polygon: Any, x: float, y: float) -> float:
    """Return how many unit squares a polygon meets on average; ``x`` and ``y`` make its units tiles."""
    outline = list(polygon.exterior.coords)
    across = math.fsum(abs(x1 - x0) for (x0, _), (x1, _) in pairwise(outline)) / 2
    along = math.fsum(abs(y1 - y0) for (_, y0), (_, y1) in pairwise(outline)) / 2
    return float(polygon.area * x * y + across * x + along * y + 1)


def _scale(bounds: Bounds, grid: TilingGrid) -> tuple[float, float] | None:
    """Return the units of the grid in one unit of the area's CRS, along both axes."""
    if grid.unit == "m":
        return bounds.crs.metres(1.0, 1.0, bounds.latitude)
    if bounds.crs.is_geographic:
        return 1.0, 1.0
    middle = (bounds.box.min_y + bounds.box.max_y) / 2
    zone = bounds.crs.utm_zone
    if bounds.crs.epsg == WEB_MERCATOR:
        per_degree = math.pi * EARTH_RADIUS / 180.0
        latitude = math.atan(math.sinh(middle / EARTH_RADIUS))
        return 1 / per_degree, math.cos(latitude) / per_degree
    if zone is not None:
        latitude = math.radians((middle if zone > 0 else middle - 10_000_000.0) / METRES_PER_DEGREE)
        return 1 / (METRES_PER_DEGREE * math.cos(latitude)), 1 / METRES_PER_DEGREE
    return None


def _plain(name: str) -> str:
    """Return a name as it is compared: small letters and digits, without the word grid."""
    return re.sub(r"[^a-z0-9]|grid$", "", re.sub(r"[^a-z0-9]", "", name.lower()))

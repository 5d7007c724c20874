"""The ways in which a Batch Process job splits an area, which are tiles of a grid and features of a GeoPackage.

The grids are those of the documentation's page "Batch Processing V2 API", section "Tiling grid".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import shapely

from sentinelhub_provider.api.arguments import ImageryArguments
from sentinelhub_provider.api.geo.bounds import Bounds, Size, parse_bounds
from sentinelhub_provider.api.geo.crs import CRS84
from sentinelhub_provider.api.geo.geometry import Geometry, transform
from sentinelhub_provider.api.job_requests.delivery import Keyring, Location, Path, read_location
from sentinelhub_provider.api.values import as_number, as_pair, read_positive, read_whole_number
from sentinelhub_provider.exceptions import SentinelHubRequestError

FEATURES: Path = ("input", "features")  # Path of the GeoPackage in a request
SIDES = ("width", "height")
MAX_FEATURE_SIDE = 3500  # The largest width and height in pixels of a feature of a GeoPackage (API reference)


@dataclass(frozen=True, slots=True)
class TilingGrid:
    """A tiling grid. The side of its tiles and its resolutions are in ``unit`` (``m`` or ``°``)."""

    id: int
    name: str
    tile_size: float
    unit: str
    resolutions: tuple[float, ...]
    crs: str

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
    number = as_number(value)
    if number in GRIDS:
        return GRIDS[int(number)]
    names = {_plain(grid.name): grid for grid in _ALL}
    wanted = _plain(value) if isinstance(value, str) else ""
    if wanted in names:
        return names[wanted]
    near = get_close_matches(wanted, names, n=1, cutoff=0.6)
    hint = f" Did you mean {names[near[0]]}?" if near else ""
    raise SentinelHubRequestError(f"{field} is {value!r}. Give one of {', '.join(str(grid) for grid in _ALL)}.{hint}")


def check_resolution(grid: TilingGrid, value: Any, field: str = "resolution") -> float:
    """Return a resolution that a grid has, in its unit."""
    number = as_number(value)
    for known in grid.resolutions:
        if math.isclose(known, number, rel_tol=1e-9):
            return known
    allowed = ", ".join(f"{known:g}" for known in grid.resolutions)
    elsewhere = [str(other) for other in _ALL if number in other.resolutions]
    hint = f" Tiling grid {' or '.join(elsewhere)} has it." if elsewhere else ""
    raise SentinelHubRequestError(
        f"{field} is {value!r}; tiling grid {grid} has {allowed} {grid.unit} per pixel.{hint}"
    )


def count_tiles(bounds: Bounds, grid: TilingGrid) -> int:
    """Estimate how many tiles meet an area. Each of them is processed and paid for whole.

    The origin of a grid's tiles is not published. So this is the average over all places that the area could have on
    the grid, rounded up. It is ``(area + tile * (width + height) + tile²) / tile²`` for each polygon. If a polygon is
    not convex, half of the length of its border counts as width and height. A small area on the corner of four tiles
    meets up to three more. The overlap of UTM zones is left out.

    On a grid of degrees, an area in metres is transformed first.
    """
    scale = bounds.crs.metres(1.0, 1.0, bounds.latitude) if grid.unit == "m" else (1.0, 1.0)
    if grid.unit != "m" and not bounds.crs.is_geographic:
        shape = shapely.box(*bounds.box) if bounds.geometry is None else bounds.geometry.shape
        bounds = parse_bounds(geometry=Geometry(transform(shape, bounds.crs, CRS84)), across=True)
    x, y = scale[0] / grid.tile_size, scale[1] / grid.tile_size
    whole = math.fsum((side.width * x + 1) * (side.height * y + 1) for side in bounds.sides)
    if bounds.geometry is None:
        return math.ceil(whole - 1e-9)
    parts = math.fsum(_mean_tiles(polygon, x, y) for polygon in bounds.geometry.parts)
    return max(1, math.ceil(min(whole, parts) - 1e-9))


def _mean_tiles(polygon: Any, x: float, y: float) -> float:
    """Return how many tiles a polygon meets on average. ``x`` and ``y`` convert its units into tiles."""
    outline = list(polygon.exterior.coords)
    across = math.fsum(abs(x1 - x0) for (x0, _), (x1, _) in pairwise(outline)) / 2
    along = math.fsum(abs(y1 - y0) for (_, y0), (_, y1) in pairwise(outline)) / 2
    return float(polygon.area * x * y + across * x + along * y + 1)


def _plain(name: str) -> str:
    """Return a name for comparison, with lower-case letters and digits only, without the word grid."""
    return re.sub(r"[^a-z0-9]|grid$", "", re.sub(r"[^a-z0-9]", "", name.lower()))


@dataclass(frozen=True, slots=True)
class Tiles:
    """The tiles of a grid. ``resolution`` is in the grid's unit. ``buffer`` is in pixels, at each end of x and y."""

    grid: TilingGrid
    resolution: float
    buffer: tuple[int, int] = (0, 0)

    @property
    def size(self) -> Size:
        """The raster of one tile."""
        width, height = (self.grid.pixels(self.resolution, buffer) for buffer in self.buffer)
        return Size(width, height)

    def to_json(self) -> dict[str, Any]:
        """Return ``input`` of a request."""
        buffer = dict(zip(("bufferX", "bufferY"), self.buffer, strict=True)) if any(self.buffer) else {}
        return {"type": "tiling-grid", "id": self.grid.id, "resolution": self.resolution, **buffer}


@dataclass(frozen=True, slots=True)
class Features:
    """The features of a GeoPackage, with the pixels, or the resolution in units of their CRS, for those without."""

    location: Location
    size: tuple[int, int] | None = None
    resolution: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return ``input`` of a request, without credentials."""
        members: dict[str, Any] = {"type": "geopackage", "features": self.location.to_json()}
        if self.size is not None or self.resolution is not None:
            sides = {"resolution": self.resolution} if self.size is None else dict(zip(SIDES, self.size, strict=True))
            members["defaults"] = sides
        return members


def parse_cut(
    wanted: ImageryArguments, tiling_grid: Any, buffer: Any, features: Location | None, *, deployment: str | None = None
) -> Tiles | Features:
    """Read the arguments of :func:`~sentinelhub_provider.api.job_requests.batch_process.build_batch_process`."""
    if (tiling_grid is None) == (features is None):
        given = "are both missing" if features is None else "are both given"
        raise SentinelHubRequestError(
            f"tiling_grid and features {given}. Give one: the id of a tiling grid, such as 0, or a GeoPackage."
        )
    if features is None:
        if wanted.width is not None or wanted.height is not None:
            raise SentinelHubRequestError(
                "width and height are of features; the tiles of a grid have a size of their own. Give resolution."
            )
        grid = find_grid(tiling_grid)
        return Tiles(grid, check_resolution(grid, wanted.resolution), _buffer(buffer))
    if buffer is not None:
        raise SentinelHubRequestError("buffer is of a grid's tiles, not of features. Leave it out.")
    features.check("features", needs_access=True, deployment=deployment)
    return Features(features, *feature_size(wanted.width, wanted.height, wanted.resolution))


def feature_size(
    width: Any, height: Any, resolution: Any, *, max_side: int = MAX_FEATURE_SIDE, field: str | None = None
) -> tuple[tuple[int, int] | None, float | None]:
    """Return width and height in pixels, and resolution, of each feature. Either may be missing, or both."""
    if width is None and height is None:
        return None, None if resolution is None else read_positive(resolution, field or "resolution", "resolution")
    if resolution is not None:
        raise SentinelHubRequestError(
            "resolution and width/height are both given. Give one.", field=field or "resolution"
        )
    x, y = (
        read_whole_number(value, field or name, most=max_side, of="pixels", name=name)
        for name, value in zip(SIDES, (width, height), strict=True)
    )
    return (x, y), None


def read_cut(given: Mapping[str, Any], keys: Keyring, deployment: str | None) -> Tiles | Features:
    """Read ``input`` of a request's JSON. ``keys`` are those of the GeoPackage's bucket."""
    kind = given.get("type")
    if kind == "tiling-grid":
        grid = find_grid(given.get("id"), "request: input.id")
        buffers = [given.get(name, 0) for name in ("bufferX", "bufferY")]
        resolution = check_resolution(grid, given.get("resolution"), "request: input.resolution")
        return Tiles(grid, resolution, _buffer(buffers, "request: input.bufferX"))
    if kind != "geopackage":
        raise SentinelHubRequestError(f"request: input.type is {kind!r}. Give 'tiling-grid' or 'geopackage'.")
    location = read_location(
        given.get("features"), keys, field="request", path=FEATURES, needs_access=True, deployment=deployment
    )
    defaults = given.get("defaults") or {}
    if not isinstance(defaults, Mapping):
        raise SentinelHubRequestError("request: input.defaults must be a mapping.")
    size = feature_size(defaults.get("width"), defaults.get("height"), defaults.get("resolution"), field="request")
    return Features(location, *size)


def _buffer(value: Any, field: str = "buffer") -> tuple[int, int]:
    pair = as_pair(0 if value is None else value, field, "one number of pixels, or two")
    argument = field.partition(":")[0]
    x, y = (read_whole_number(part, argument, least=0, of="pixels", name=field) for part in pair)
    return x, y

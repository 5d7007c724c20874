"""What a Batch Process job cuts an area along: the tiles of a grid, or the features of a GeoPackage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sentinelhub_provider.api.arguments import ImageryArguments
from sentinelhub_provider.api.geo.bounds import Size, read_pixels
from sentinelhub_provider.api.job_requests.delivery import Access, Location, Path, parse_location, read_location
from sentinelhub_provider.api.job_requests.tiling_grids import TilingGrid, check_resolution, find_grid
from sentinelhub_provider.api.values import read_positive, read_whole_number
from sentinelhub_provider.exceptions import SentinelHubRequestError

FEATURES: Path = ("input", "features")  # Where in a request the GeoPackage stands
MAX_FEATURE_SIDE = 3500  # Pixels: the largest width and height of a feature of a GeoPackage (API reference)


@dataclass(frozen=True, slots=True)
class Tiles:
    """The tiles of a grid. ``resolution``: in the grid's unit; ``buffer``: pixels added at each end of x and y."""

    grid: TilingGrid
    resolution: float
    buffer: tuple[int, int] = (0, 0)

    @property
    def size(self) -> Size:
        """The raster of one tile."""
        width, height = (self.grid.pixels(self.resolution, buffer) for buffer in self.buffer)
        return Size(width, height)


@dataclass(frozen=True, slots=True)
class Features:
    """The features of a GeoPackage; pixels, or resolution in units of their CRS, of those that do not say it."""

    location: Location
    size: tuple[int, int] | None = None
    resolution: float | None = None


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
    parse_location(features.url, features.access, field="features", needs_access=True, deployment=deployment)
    return Features(features, *feature_size(wanted.width, wanted.height, wanted.resolution))


def feature_size(
    width: Any, height: Any, resolution: Any, *, max_side: int = MAX_FEATURE_SIDE, field: str | None = None
) -> tuple[tuple[int, int] | None, float | None]:
    """Return the raster of each feature: width and height in pixels, and resolution; either or neither is there."""
    if width is None and height is None:
        return None, None if resolution is None else read_positive(resolution, field or "resolution", "resolution")
    if resolution is not None:
        raise SentinelHubRequestError(
            "resolution and width/height are both given. Give one.", field=field or "resolution"
        )
    sides = []
    for name, value in (("width", width), ("height", height)):
        side = read_pixels(value, field or name, name)
        if side > max_side:
            raise SentinelHubRequestError(
                f"{name} is {side}. A feature has at most {max_side:,} pixels a side.", field=field or name
            )
        sides.append(side)
    return (sides[0], sides[1]), None


def read_cut(given: Mapping[str, Any], access: Access | None, deployment: str | None) -> Tiles | Features:
    """Read ``input`` of a request's JSON. ``access``: credentials for the GeoPackage's bucket."""
    kind = given.get("type")
    if kind == "tiling-grid":
        grid = find_grid(given.get("id"), "request: input.id")
        buffers = [given.get(name, 0) for name in ("bufferX", "bufferY")]
        resolution = check_resolution(grid, given.get("resolution"), "request: input.resolution")
        return Tiles(grid, resolution, _buffer(buffers, "request: input.bufferX"))
    if kind != "geopackage":
        raise SentinelHubRequestError(f"request: input.type is {kind!r}. Give 'tiling-grid' or 'geopackage'.")
    location = read_location(
        given.get("features"), access, field="request", path=FEATURES, needs_access=True, deployment=deployment
    )
    defaults = given.get("defaults") or {}
    if not isinstance(defaults, Mapping):
        raise SentinelHubRequestError("request: input.defaults must be a mapping.")
    size = feature_size(defaults.get("width"), defaults.get("height"), defaults.get("resolution"), field="request")
    return Features(location, *size)


def cut_json(cut: Tiles | Features) -> dict[str, Any]:
    """Return ``input`` of a request, without credentials."""
    if isinstance(cut, Tiles):
        across, down = cut.buffer
        members: dict[str, Any] = {"type": "tiling-grid", "id": cut.grid.id, "resolution": cut.resolution}
        return members | ({"bufferX": across, "bufferY": down} if across or down else {})
    members = {"type": "geopackage", "features": cut.location.to_json()}
    if cut.size is not None:
        members["defaults"] = {"width": cut.size[0], "height": cut.size[1]}
    elif cut.resolution is not None:
        members["defaults"] = {"resolution": cut.resolution}
    return members


def _buffer(value: Any, field: str = "buffer") -> tuple[int, int]:
    pair = (0, 0) if value is None else value if isinstance(value, list | tuple) else (value, value)
    argument = field.partition(":")[0]
    if len(pair) != 2:
        raise SentinelHubRequestError(f"{field} is {value!r}. Give one number of pixels, or two.")
    x, y = (read_whole_number(part, argument, least=0, of="pixels", name=field) for part in pair)
    return x, y


def member(body: Any, name: str, path: str = "") -> Mapping[str, Any]:
    """Return an object that a request's JSON must have; ``path``: where it stands, if not right there."""
    value = body.get(name) if isinstance(body, Mapping) else None
    if not isinstance(value, Mapping):
        raise SentinelHubRequestError(f"request: {path or name} is missing. Give a mapping.")
    return value

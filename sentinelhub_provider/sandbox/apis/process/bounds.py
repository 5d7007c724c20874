"""Reads ``input.bounds`` and the raster's size of a request into a pixel grid."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.apis.process.crs import CRS84, epsg_of
from sentinelhub_provider.sandbox.errors import ApiError, invalid
from sentinelhub_provider.sandbox.world.grid import WGS84, Bounds, Grid
from sentinelhub_provider.sandbox.world.scenes.model import CollectionInfo

MAX_SIDE: Final = 2500
"""Largest width and height of a Process request in pixels."""

DEFAULT_SIDE: Final = 256


_RASTERIZING = threading.Lock()
"""rasterio silences a warning of its own while it draws, which Python can do for one thread at a time only."""


@dataclass(frozen=True)
class Area:
    """The area of a request, a box in ``EPSG:epsg``, and the geometry of the requested data within it, if any."""

    epsg: int
    box: Bounds
    geometry: Mapping[str, Any] | None

    def mask(self, grid: Grid) -> NDArray[np.bool_] | None:
        """Say which pixels the geometry touches, ``None`` if all of the box is requested.

        Touching counts, not the centre, because the documentation's example of a parcel has more pixels than centres.
        """
        if self.geometry is None:
            return None
        from sentinelhub_provider.sandbox.world.gdal import geometry_mask

        with _RASTERIZING:
            inside: NDArray[np.bool_] = geometry_mask(
                [self.geometry], grid.shape, grid.transform, all_touched=True, invert=True
            )
        return inside


def parse_area(bounds: Any) -> Area:
    """Check ``input.bounds``. Raises :class:`~..errors.ApiError`."""
    if not isinstance(bounds, Mapping):
        raise invalid("input->bounds", "is required and must be an object with bbox and/or geometry", bounds)
    properties = bounds.get("properties")
    if properties is not None and not isinstance(properties, Mapping):
        raise invalid("input->bounds->properties", "must be an object", properties)
    crs = (properties or {}).get("crs")
    epsg = epsg_of(CRS84 if crs is None else crs)
    bbox, geometry = bounds.get("bbox"), bounds.get("geometry")
    if bbox is None and geometry is None:
        raise invalid("input->bounds", "needs bbox or geometry, or both")
    outline = None if geometry is None else _geometry_box(geometry)
    box = outline if bbox is None else _bbox(bbox)
    if box is None:  # pragma: no cover - one of the two is there
        raise invalid("input->bounds", "needs bbox or geometry, or both")
    if epsg == WGS84 and (box[0] < -180 or box[2] > 180 or box[1] < -90 or box[3] > 90):
        raise invalid(
            "input->bounds->bbox" if bbox is not None else "input->bounds->geometry",
            "has coordinates outside longitude -180..180 and latitude -90..90; "
            "name the CRS in input->bounds->properties->crs if these are no degrees",
            list(box),
        )
    return Area(epsg, box, geometry)


def parse_grid(
    area: Area,
    output: Mapping[str, Any],
    collections: Sequence[CollectionInfo],
    path: str = "output",
    *,
    max_side: int = MAX_SIDE,
) -> Grid:
    """Check the size of ``output``, and lay the grid. ``path`` is the name of the object in messages.

    ``max_side`` is the API's largest width and height in pixels.

    Raises :class:`~..errors.ApiError`.
    """
    min_x, min_y, max_x, max_y = area.box
    sized = [name for name in ("width", "height") if output.get(name) is not None]
    resolved = [name for name in ("resx", "resy") if output.get(name) is not None]
    if sized and resolved:
        raise invalid(path, "Only width and height or resx and resy can be set at the same time.")
    if resolved:
        width = _pixels(output, path, "resx", "width", max_x - min_x, max_side)
        height = _pixels(output, path, "resy", "height", max_y - min_y, max_side)
    else:
        width, height = _side(output, path, "width", max_side), _side(output, path, "height", max_side)
    grid = Grid.from_bounds(area.epsg, area.box, width, height)
    collection = min(collections, key=lambda each: each.max_metres_per_pixel)
    limit = collection.max_metres_per_pixel
    coarseness = grid.metres_per_pixel()
    if coarseness > limit:
        # The wording and the code are the service's.
        raise ApiError(
            400,
            "COMMON_EXCEPTION",
            f"Your request of {coarseness:.2f} meters per pixel exceeds the limit {limit:.2f} meters per pixel of the "
            f"collection {collection.short_name}. Please revise the resolution (or corresponding width/height) to make "
            "sure it is in supported range.",
        )
    return grid


def _side(output: Mapping[str, Any], path: str, name: str, max_side: int) -> int:
    value = output.get(name)
    if value is None:
        return DEFAULT_SIDE
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"{path}->{name}", f"must be a whole number from 1 to {max_side}", value)
    if not 1 <= value <= max_side:
        raise invalid(f"{path}->{name}", f"`{name} = {value}` must be from 1 to {max_side}.", value)
    return int(value)


def _pixels(output: Mapping[str, Any], path: str, name: str, side: str, extent: float, max_side: int) -> int:
    value = output.get(name)
    if value is None:
        raise invalid(f"{path}->{name}", "is required where the other of resx and resy is given")
    if not _is_number(value) or value <= 0:
        raise invalid(f"{path}->{name}", "must be a number greater than 0, in units of the CRS", value)
    pixels: int = max(1, math.floor(extent / float(value) + 0.5))
    if pixels > max_side:
        raise invalid(
            f"{path}->{name}", f"`{side} = {pixels}`, calculated from {name}, is larger than allowed {max_side}.", value
        )
    return pixels


def _bbox(value: Any) -> Bounds:
    path = "input->bounds->bbox"
    if not isinstance(value, list | tuple) or len(value) != 4 or not all(_is_number(part) for part in value):
        raise invalid(path, "must be an array of 4 numbers: the coordinates of two opposite corners", value)
    x1, y1, x2, y2 = (float(part) for part in value)
    if x1 == x2 or y1 == y2:
        raise invalid(path, "has no area: two opposite corners share a coordinate", value)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _geometry_box(value: Any) -> Bounds:
    path = "input->bounds->geometry"
    if not isinstance(value, Mapping):
        raise invalid(path, "must be a GeoJSON geometry object", value)
    kind, coordinates = value.get("type"), value.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        raise invalid(f"{path}->type", "must be Polygon or MultiPolygon", kind)
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list) or not polygons or not all(isinstance(p, list) and p for p in polygons):
        raise invalid(f"{path}->coordinates", f"are not those of a {kind}")
    points: list[tuple[float, float]] = []
    for polygon in polygons:
        for ring in polygon:
            points += _ring(ring, f"{path}->coordinates")
    xs, ys = zip(*points, strict=True)
    if min(xs) == max(xs) or min(ys) == max(ys):
        raise invalid(path, "has no area")
    return min(xs), min(ys), max(xs), max(ys)


def _ring(ring: Any, path: str) -> list[tuple[float, float]]:
    if not isinstance(ring, list) or len(ring) < 4:
        raise invalid(path, "must be rings of four or more positions")
    for position in ring:
        if not isinstance(position, list | tuple) or len(position) < 2 or not all(_is_number(c) for c in position):
            raise invalid(path, "must be positions of two numbers", position)
    if list(ring[0]) != list(ring[-1]):
        raise invalid(path, "a ring must be closed: its last position must equal its first")
    return [(float(position[0]), float(position[1])) for position in ring]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

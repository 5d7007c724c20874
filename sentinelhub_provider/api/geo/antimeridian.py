"""Areas in degrees, and the antimeridian that they may cross.

The library "antimeridian" is not needed. numpy's ``unwrap`` does the same in a few lines, and no request is for an area
around a pole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from sentinelhub_provider.api.geo.crs import CRS84, Crs
from sentinelhub_provider.api.geo.geometry import BBox, Geometry, transform
from sentinelhub_provider.exceptions import SentinelHubRequestError

FAR = 1e9  # Degrees: no latitude is cut off, so that one that cannot be is still found


def in_degrees(shape: BaseGeometry, crs: Crs) -> BaseGeometry | None:
    """Return a geometry in degrees, ``None`` if it has no place there.

    From a projection, an area across the antimeridian is cut there, and one around a pole becomes the box of its
    latitudes. A geometry that is in degrees already comes back as it is.
    """
    if crs.is_geographic:
        return shape
    found = _around_pole(shape, crs) or transform(shape, crs, CRS84)
    return cut(found) if np.isfinite(shapely.get_coordinates(found)).all() else None


def _around_pole(shape: BaseGeometry, crs: Crs) -> BaseGeometry | None:
    for latitude in (90.0, -90.0):
        pole = CRS84.to(crs).transform(0.0, latitude)
        if all(map(math.isfinite, pole)) and shapely.distance(shape, shapely.Point(pole)) <= 1:
            latitudes = shapely.get_coordinates(transform(shape, crs, CRS84))[:, 1]
            south, north = sorted((latitude, float(latitudes.min() if latitude > 0 else latitudes.max())))
            return shapely.box(-180, south, 180, north)
    return None


def on_one_side(box: BBox | None, geometry: Geometry | None, *, across: bool) -> tuple[BBox | None, Geometry | None]:
    """Cut an area in degrees at the antimeridian. With ``across``, it may have parts on both sides."""
    if geometry is not None:
        geometry = Geometry(cut(geometry.shape), geometry.crs)
    sides = halves(box) if box is not None else sides_of(geometry) if geometry is not None else ()
    if len(sides) < 2:
        return box, geometry
    if across:
        return None, geometry or Geometry(shapely.MultiPolygon([shapely.box(*side) for side in sides]))
    field = "geometry" if box is None else "bbox"
    east, west = (", ".join(f"{number:.9g}" for number in side) for side in sides)
    raise SentinelHubRequestError(
        f"{field} crosses the antimeridian (180 degrees), and a picture of it would span the globe. Split it there "
        f"into two requests, with the boxes [{east}] and [{west}]; or give it in a projection that goes across, such "
        "as UTM zone 1 or 60 (EPSG:32601, EPSG:32660; south: EPSG:32701, EPSG:32760). An edge longer than 180 degrees "
        "goes the short way round: where it is meant to be long, put positions in between."
    )


def halves(box: BBox) -> tuple[BBox, ...]:
    """Return the box itself, or its parts beside the antimeridian where its west is east of its east."""
    if box.min_x <= box.max_x:
        return (box,)
    return box._replace(max_x=180.0), box._replace(min_x=-180.0)


def sides_of(geometry: Geometry) -> tuple[BBox, ...]:
    """Return the boxes around a geometry in degrees, one for each side of the antimeridian that it has been cut at."""
    box = geometry.bbox
    if box.min_x > -180 or box.max_x < 180:
        return (box,)
    boxes = [BBox(*part.bounds) for part in geometry.parts]
    east, west = [one for one in boxes if one.min_x >= 0], [one for one in boxes if one.max_x <= 0]
    if not east or not west or len(east) + len(west) < len(boxes):
        return (box,)
    gap = min(one.min_x for one in east) - max(one.max_x for one in west)
    return (_around(east), _around(west)) if gap > 180 else (box,)


def cut(shape: BaseGeometry) -> BaseGeometry:
    """Return a geometry in degrees whose parts lie on one side of the antimeridian each.

    Edges longer than 180 degrees go the short way round, except those from -180 to 180. Longitudes may go on beyond
    180. Points, and areas that do not cross, come back as they are.
    """
    west, _, east, _ = shape.bounds
    is_beyond = west < 180 < east <= 540 or -540 <= west < -180 < east
    if shapely.get_dimensions(shape) == 0 or not (is_beyond or (east - west > 180 and _jumps(shape))):
        return shape
    pieces: list[BaseGeometry] = []
    for part in shapely.get_parts(shape):
        # Rounded, as the ends of a ring have to be equal.
        x = np.round(np.unwrap(shapely.get_coordinates(part)[:, 0], period=360), 9)
        if shapely.get_dimensions(part) == 2 and abs(x[0] - x[len(part.exterior.coords) - 1]) > 1:
            return shape  # it goes around a pole
        whole = shapely.transform(part, lambda xy, x=x: np.column_stack([x, xy[:, 1]]))
        for turn in (-360.0, 0.0, 360.0):
            piece = shapely.intersection(whole, shapely.box(turn - 180, -FAR, turn + 180, FAR))
            pieces += list(shapely.get_parts(shapely.transform(piece, lambda xy, turn=turn: xy - (turn, 0))))
    of_its_kind = [
        one for one in pieces if not one.is_empty and shapely.get_dimensions(one) == shapely.get_dimensions(shape)
    ]
    return (shapely.MultiPolygon if shapely.get_dimensions(shape) == 2 else shapely.MultiLineString)(of_its_kind)


def _jumps(shape: BaseGeometry) -> bool:
    """Tell whether an edge is longer than 180 degrees."""
    coordinates, part = shapely.get_coordinates(shapely.get_parts(shape), return_index=True)
    steps = np.abs(np.diff(coordinates[:, 0]))
    return bool(((steps > 180) & (steps < 360) & (part[1:] == part[:-1])).any())


def _around(boxes: Sequence[BBox]) -> BBox:
    west, south, east, north = zip(*boxes, strict=True)
    return BBox(min(west), min(south), max(east), max(north))

"""Tiles of 100 km x 100 km in UTM, named as in the Military Grid Reference System, and clipped to their zone.

Unlike Sentinel-2's tiles, they do not overlap, and there are no exceptions around Norway and Svalbard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import shapely
from shapely.geometry.polygon import orient

from sentinelhub_provider.sandbox.world.utm import Zone, inverse

SIZE: Final = 100_000
"""Side of a tile in metres."""

SOUTH_LIMIT: Final = -80.0
NORTH_LIMIT: Final = 84.0

_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_COLUMNS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_NAME = re.compile(r"(\d\d)([C-HJ-NP-X])([A-HJ-NP-Z])([A-HJ-NP-V])")
_POINTS_PER_SIDE = 6

Point = tuple[float, float]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Tile:
    """One tile. ``easting`` and ``northing`` are its south-western corner in metres.

    ``ring`` is its outline in longitude and latitude. ``bbox`` is west, south, east, north in degrees.
    """

    name: str
    zone: Zone
    easting: float
    northing: float
    ring: tuple[Point, ...]
    bbox: Bounds

    @property
    def centre(self) -> Point:
        """Longitude and latitude of the middle of its bounding box."""
        west, south, east, north = self.bbox
        return (west + east) / 2, (south + north) / 2

    @property
    def geometry(self) -> dict[str, Any]:
        """GeoJSON polygon in longitude and latitude, counter-clockwise and closed."""
        ring = [[round(lon, 8), round(lat, 8)] for lon, lat in self.ring]
        return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}

    def contains(self, easting: Any, northing: Any, lon: Any) -> Any:
        """Tell which points of its zone (arrays of metres and degrees) lie in it. A border belongs to one tile only."""
        east_limit = self.zone.west + 6.0
        return (
            (easting >= self.easting)
            & (easting < self.easting + SIZE)
            & (northing >= self.northing)
            & (northing < self.northing + SIZE)
            & (lon >= self.zone.west)
            & ((lon < east_limit) | (lon >= 180.0))
        )


@dataclass(frozen=True)
class TileScene:
    """The common part of the scenes of one tile. ``seed`` is that of the world."""

    seed: int
    tile: Tile

    @property
    def bbox(self) -> Bounds:
        """West, south, east, north in degrees."""
        return self.tile.bbox

    @property
    def geometry(self) -> dict[str, Any]:
        """GeoJSON polygon of the tile."""
        return self.tile.geometry

    @property
    def epsg(self) -> int:
        """EPSG code of the tile's UTM zone."""
        return self.tile.zone.epsg


@lru_cache(maxsize=64)
def tiles_in(bbox: Bounds | None) -> tuple[Tile, ...]:
    """List the tiles that touch a box (west, south, east, north in degrees). West > east crosses the date line."""
    if bbox is None:
        bbox = (-180.0, SOUTH_LIMIT, 180.0, NORTH_LIMIT)
    west, south, east, north = bbox
    if west > east:
        return tiles_in((west, south, 180.0, north)) + tiles_in((-180.0, south, east, north))
    found: list[Tile] = []
    for number in range(_zone_number(west), _zone_number(east) + 1):
        for northern in (True, False):
            if (north < 0.0) if northern else (south > 0.0):
                continue
            found += [tile for tile in _zone_tiles(Zone(number, northern)).values() if _touches(tile, bbox)]
    return tuple(found)


def find(name: str) -> Tile | None:
    """Look a tile up by its name, such as ``33TWM``."""
    match = _NAME.fullmatch(name)
    if match is None or not 1 <= int(match[1]) <= 60:
        return None
    return _zone_tiles(Zone(int(match[1]), match[2] >= "N")).get(name)


def _zone_number(lon: float) -> int:
    return max(1, min(60, int((lon + 180.0) // 6.0) + 1))


@lru_cache(maxsize=120)
def _zone_tiles(zone: Zone) -> dict[str, Tile]:
    columns = range(1, 9)
    rows = range(94) if zone.north else range(11, 100)
    corners = [(column * SIZE, row * SIZE) for row in rows for column in columns]
    t = np.linspace(0.0, 1.0, _POINTS_PER_SIDE, endpoint=False)
    side_x = np.concatenate([t, np.ones_like(t), 1 - t, np.zeros_like(t)]) * SIZE
    side_y = np.concatenate([np.zeros_like(t), t, np.ones_like(t), 1 - t]) * SIZE
    origins = np.asarray(corners, np.float64)
    lon, lat = inverse(zone, origins[:, :1] + side_x, origins[:, 1:] + side_y)
    tiles: dict[str, Tile] = {}
    limits = (zone.west, SOUTH_LIMIT if not zone.north else 0.0, zone.west + 6.0, NORTH_LIMIT if zone.north else 0.0)
    outlines = shapely.polygons(np.stack([lon, lat], axis=-1))
    clipped = shapely.clip_by_rect(outlines, *limits)
    # A tile that the zone does not clip keeps its own corners in their order.
    kept = np.where(shapely.covers(shapely.box(*limits), outlines), outlines, clipped)
    bounds, middles = shapely.bounds(kept).tolist(), lat.mean(axis=1).tolist()
    for number in np.flatnonzero(shapely.area(clipped) >= 1e-9).tolist():
        easting, northing = corners[number]
        outline = kept[number] if kept[number] is outlines[number] else orient(kept[number])
        ring = tuple(map(tuple, shapely.get_coordinates(outline)[:-1].tolist()))
        name = square_name(zone, easting, northing, middles[number])
        tiles[name] = Tile(name, zone, float(easting), float(northing), ring, tuple(bounds[number]))
    return tiles


def square_name(zone: Zone, easting: int, northing: int, latitude: float) -> str:
    """Return the name of the 100 km square with this south-western corner (metres) at this latitude."""
    band = _BANDS[max(0, min(len(_BANDS) - 1, int((latitude + 80.0) // 8.0)))]
    column = _COLUMNS[zone.number % 3][easting // SIZE - 1]
    row = _ROWS[(northing // SIZE + (0 if zone.number % 2 else 5)) % 20]
    return f"{zone.number:02d}{band}{column}{row}"


def _touches(tile: Tile, bbox: Bounds) -> bool:
    west, south, east, north = tile.bbox
    if west > bbox[2] or east < bbox[0] or south > bbox[3] or north < bbox[1]:
        return False
    if west >= bbox[0] and east <= bbox[2] and south >= bbox[1] and north <= bbox[3]:
        return True
    return bool(shapely.intersects(shapely.polygons(tile.ring), shapely.box(*bbox)))

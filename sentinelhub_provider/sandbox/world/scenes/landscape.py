"""The synthetic landscape as a continuous function of the place alone.

The world lies on one plane, spherical Mercator with true scale at 45 degrees. Therefore there are no seams at tile or
zone borders, and shapes are undistorted everywhere. Features are 1.4 times as large at the equator and 0.7 times as
large at 60 degrees. The only seam is the antimeridian. There is no sea.

Nothing here depends on the date. See :mod:`.seasons` for the vegetation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from sentinelhub_provider.sandbox.world.scenes.noise import (
    Coordinates,
    Hashes,
    Values,
    curve_noise,
    derive,
    fractal_noise,
    gradient_noise,
    hash_cells,
    line,
    rehash,
    smoothstep,
    split,
    unit,
    value_noise,
    voronoi,
)

PLANE_RADIUS: Final = 6_378_137.0 * math.cos(math.radians(45.0))
"""Web Mercator's radius in metres, scaled so that the plane is true to scale at 45 degrees."""

# Sizes in metres on the plane.
BLOCK_SIZE: Final = 950.0
RIVER_SPACING: Final = 13_000.0
STREAM_SPACING: Final = 3_400.0
ROAD_SPACING: Final = 5_200.0
TOWN_SPACING: Final = 4_600.0
HOUSE_SIZE: Final = 26.0


@dataclass(frozen=True)
class Land:
    """The landscape at each point. Shares are 0..1. Land that is not water, town or forest is farmland.

    ``latitude`` is in degrees. ``height`` is about -1..1, low to high ground. ``roof`` is a share of the town.
    ``field`` is a hash that is the same all over one field. ``margin`` is the share of field border. ``vigour`` is a
    factor on growth, around 1. ``texture`` is fine grain, -1..1.
    """

    latitude: Values
    height: Values
    water: Values
    turbid: Values
    forest: Values
    conifer: Values
    canopy: Values
    town: Values
    road: Values
    roof: Values
    roof_kind: Values
    field: Hashes
    margin: Values
    meadow: Values
    pale_soil: Values
    vigour: Values
    texture: Values

    def take(self, index: slice) -> Land:
        """Cut out a part."""
        return Land(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})

    def __post_init__(self) -> None:
        """Protect the arrays, because a cache shares them between requests."""
        for array in vars(self).values():
            array.setflags(write=False)


def to_plane(lon: Coordinates, lat: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Convert longitude and latitude in degrees to metres on the landscape's plane."""
    limited = np.clip(lat, -85.0, 85.0)
    x = np.radians(lon) * PLANE_RADIUS
    y = np.arctanh(np.sin(np.radians(limited))) * PLANE_RADIUS
    return x, y


def ground(seed: int, x: Coordinates, y: Coordinates) -> Values:
    """Compute the height of the ground at points of the plane, about -1..1 from low to high."""
    return fractal_noise(x, y, 11_000.0, 4, derive(seed, 1))


def survey(seed: int, lon: Coordinates, lat: Coordinates) -> Land:
    """Compute the land at each point (one-dimensional arrays of degrees). It is cached for all days of a request."""
    return _survey(seed, lon.tobytes(), lat.tobytes())


@lru_cache(maxsize=16)  # at most 3 MB each, because readers take BLOCK points at a time
def _survey(seed: int, longitudes: bytes, latitudes: bytes) -> Land:
    lon, lat = np.frombuffer(longitudes), np.frombuffer(latitudes)
    x, y = to_plane(lon, lat)
    height = ground(seed, x, y)

    # The same gentle warp bends roads, towns and fields, so that they fit together.
    bend_x = gradient_noise(x, y, 4_200.0, derive(seed, 2))
    bend_y = gradient_noise(x, y, 4_200.0, derive(seed, 3))
    wx, wy = x + bend_x * 420.0, y + bend_y * 420.0

    water, shore, turbid = _waters(seed, x, y, height)
    road, road_offset, along = _roads(seed, wx, wy)
    built = _town(seed, wx, wy, along, road_offset)
    parcel = _parcels(seed, x + bend_x * 150.0, y + bend_y * 150.0)

    rough = fractal_noise(x, y, 2_600.0, 5, derive(seed, 40), gain=0.54)
    wooded = rough + height * np.float32(0.75) + (parcel.wood - np.float32(0.5)) * np.float32(0.42)
    forest = smoothstep(0.19, 0.225, wooded)
    scattered = gradient_noise(x, y, 90.0, derive(seed, 41))
    forest = np.maximum(forest, shore * smoothstep(0.02, 0.25, scattered))
    forest = np.maximum(forest, smoothstep(0.74, 0.80, scattered) * np.float32(0.7))
    canopy = value_noise(x, y, 17.0, derive(seed, 42))
    stands = gradient_noise(x, y, 800.0, derive(seed, 43)) + np.float32(0.5) * height
    conifer = smoothstep(-0.1, 0.12, stands + np.float32(0.12) * canopy - np.float32(0.4) * shore)

    built_up = np.clip(built.density, 0, 1) * (1 - water)
    lane = line(parcel.border, 5.0) * np.float32(0.55) * (1 - np.minimum(forest, np.float32(0.75)))
    highway = np.maximum(road, lane)
    forest = forest * (1 - built_up) * (1 - line(np.abs(road_offset), 26.0))
    vigour = np.float32(1) + np.float32(0.09) * gradient_noise(x, y, 170.0, derive(seed, 44)) + parcel.vigour
    return Land(
        latitude=lat.astype(np.float32),
        height=height,
        water=water,
        turbid=turbid,
        forest=forest,
        conifer=conifer,
        canopy=canopy,
        town=built_up,
        road=np.maximum(highway * (1 - built_up), built.street * built_up) * (1 - water * np.float32(0.9)),
        roof=built.roof,
        roof_kind=built.roof_kind,
        field=parcel.identity,
        margin=parcel.margin,
        meadow=np.maximum(parcel.meadow, smoothstep(0.1, 0.5, shore) * np.float32(0.6)),
        pale_soil=np.clip(parcel.soil + np.float32(0.35) * height + np.float32(0.25) * bend_x, 0, 1),
        vigour=vigour,
        texture=value_noise(x, y, 23.0, derive(seed, 45)),
    )


def _waters(seed: int, x: Coordinates, y: Coordinates, height: Values) -> tuple[Values, Values, Values]:
    """Return the share of lakes, rivers and streams, that of the trees along them, and how muddy they are."""
    swing_x = gradient_noise(x, y, 1_900.0, derive(seed, 10))
    swing_y = gradient_noise(x, y, 1_900.0, derive(seed, 11))
    rx, ry = x + swing_x * 520.0, y + swing_y * 520.0

    basin = fractal_noise(x, y, 6_500.0, 3, derive(seed, 12)) - np.float32(0.25) * height
    lake = smoothstep(0.665, 0.675, basin)
    lake_shore = smoothstep(0.62, 0.665, basin)

    distance, _, which, _ = _follow(
        rx, ry, 0.62, RIVER_SPACING, ((2_300.0, 15_000.0), (300.0, 2_400.0)), derive(seed, 13)
    )
    width = np.float32(46) + np.float32(60) * unit(which)
    river = line(distance, width)
    river_shore = 1 - smoothstep(0.0, 70.0, distance - width * np.float32(0.5))

    brook_distance, *_ = _follow(rx, ry, 2.05, STREAM_SPACING, ((520.0, 4_200.0), (150.0, 1_100.0)), derive(seed, 14))
    brook = line(brook_distance, 7.0) * np.float32(0.85)
    brook_shore = (1 - smoothstep(6.0, 34.0, brook_distance)) * np.float32(0.8)

    water = np.maximum(np.maximum(lake, river), brook)
    shore = np.clip(np.maximum(np.maximum(lake_shore, river_shore), brook_shore) - water, 0, 1)
    turbid = np.clip(np.float32(0.75) - lake, np.float32(0.08), 1)
    return water, shore, turbid


def _follow(
    x: Coordinates,
    y: Coordinates,
    angle: float,
    spacing: float,
    waves: tuple[tuple[float, float], ...],
    seed: int,
) -> tuple[Values, Values, Hashes, Coordinates]:
    """Return distance and offset in metres to the nearest of many winding lines, its hash, and the position along it.

    The lines are endless. They run at ``angle`` (radians), ``spacing`` metres apart. ``waves`` are (amplitude, length)
    in metres.
    """
    cos, sin = math.cos(angle), math.sin(angle)
    u, v = x * cos + y * sin, y * cos - x * sin
    band, across = split(v, spacing)
    which = hash_cells(band, np.zeros_like(band), seed)
    middle = np.zeros_like(across)
    slope = np.zeros_like(across)
    for order, (amplitude, length) in enumerate(waves):
        value, rise = curve_noise(u, length, rehash(which, order))
        middle += np.float32(amplitude) * value
        slope += np.float32(amplitude) * rise
    offset = (across - np.float32(0.5)) * np.float32(spacing) - middle
    return np.abs(offset) / np.sqrt(1 + slope * slope), offset, which, u


def _roads(seed: int, x: Coordinates, y: Coordinates) -> tuple[Values, Values, tuple[Hashes, Coordinates]]:
    """Return the share of country roads, the offset to the nearest in metres, its hash, and the position along it."""
    distance, offset, which, u = _follow(
        x, y, 0.28, ROAD_SPACING, ((520.0, 6_500.0), (60.0, 1_500.0)), derive(seed, 20)
    )
    other, *_ = _follow(x, y, 1.72, 2.2 * ROAD_SPACING, ((900.0, 7_000.0),), derive(seed, 21))
    return np.maximum(line(distance, 11.0), line(other, 13.0)), offset, (which, u)


@dataclass(frozen=True)
class _Built:
    density: Values
    street: Values
    roof: Values
    roof_kind: Values


def _town(seed: int, x: Coordinates, y: Coordinates, along: tuple[Hashes, Coordinates], offset: Values) -> _Built:
    """Compute villages and towns, which lie along the roads."""
    which, u = along
    place, position = split(u, TOWN_SPACING)
    identity = rehash(which ^ (place.view(np.uint32) * np.uint32(0x9E3779B1)), derive(seed, 30))
    size = unit(identity)
    # A fifth of the places are empty. One in eight is a town. The others are villages.
    radius = np.where(
        size < np.float32(0.2), np.float32(-400), np.float32(190) + np.float32(330) * (size - np.float32(0.2))
    )
    radius = np.where(size > np.float32(0.875), np.float32(700) + np.float32(4200) * (size - np.float32(0.875)), radius)
    shift = (unit(rehash(identity, 1)) - np.float32(0.5)) * np.float32(0.3)
    dx = (position - np.float32(0.5) - shift) * np.float32(TOWN_SPACING)
    ragged = gradient_noise(x, y, 340.0, derive(seed, 31)) + np.float32(0.5) * gradient_noise(
        x, y, 130.0, derive(seed, 32)
    )
    distance = np.sqrt(dx * dx * np.float32(0.6) + offset * offset * np.float32(1.5))
    inside = (radius - distance) + ragged * np.float32(230)
    density = smoothstep(-15.0, 15.0, inside)

    turn = unit(rehash(identity, 2)) * np.float32(1.5)
    cos, sin = np.cos(turn), np.sin(turn)
    sx, sy = x * cos + y * sin, y * cos - x * sin
    row, street_x = split(sx, 84.0)
    column, street_y = split(sy, 128.0)
    near_x = np.minimum(street_x, 1 - street_x) * np.float32(84)
    near_y = np.minimum(street_y, 1 - street_y) * np.float32(128)
    street = np.maximum(line(near_x, 5.0), line(near_y, 6.0)) * np.float32(0.9)
    lot = hash_cells(split(sx, HOUSE_SIZE)[0], split(sy, HOUSE_SIZE)[0], derive(seed, 33))
    quarter = hash_cells(row, column, derive(seed, 34))
    core = smoothstep(0.0, 600.0, inside)
    park = unit(quarter) < np.float32(0.10)
    crowded = np.float32(0.42) + np.float32(0.4) * core
    roof = np.where(park, np.float32(0), (unit(lot) < crowded) * np.float32(0.82))
    yard = (np.minimum(near_x, near_y) > 14.0) & ~park
    hall = yard & (unit(rehash(quarter, 1)) < np.float32(0.05) + np.float32(0.05) * core)
    roof = np.where(hall, np.float32(0.9), roof)
    kind = np.where(
        hall, np.float32(0.86) + np.float32(0.14) * unit(rehash(quarter, 2)), unit(rehash(lot, 1)) * np.float32(0.93)
    )
    return _Built(density=density, street=street, roof=roof, roof_kind=kind)


@dataclass(frozen=True)
class _Parcels:
    identity: Hashes
    border: Values
    margin: Values
    wood: Values
    meadow: Values
    soil: Values
    vigour: Values


def _parcels(seed: int, x: Coordinates, y: Coordinates) -> _Parcels:
    """Compute fields. Lanes bound blocks, and each block is divided into strips at its own angle."""
    block = voronoi(x, y, BLOCK_SIZE, derive(seed, 50), jitter=0.85)
    identity = hash_cells(block.ix, block.iy, derive(seed, 51))
    angle = unit(identity) * np.float32(math.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = block.dx * cos + block.dy * sin, block.dy * cos - block.dx * sin
    width = np.float32(95) + np.float32(150) * unit(rehash(identity, 1))
    length = np.float32(230) + np.float32(330) * unit(rehash(identity, 2))
    row_position = v / length + np.float32(0.5)
    row = np.floor(row_position)
    row_hash = rehash(identity ^ (row.astype(np.int32).view(np.uint32) * np.uint32(0x85EBCA6B)), 3)
    column_position = u / width + unit(row_hash) + np.float32(0.5)
    column = np.floor(column_position)
    field = rehash(row_hash ^ (column.astype(np.int32).view(np.uint32) * np.uint32(0xC2B2AE35)), 4)
    in_row, in_column = row_position - row, column_position - column
    edge = np.minimum(np.minimum(in_row, 1 - in_row) * length, np.minimum(in_column, 1 - in_column) * width)
    hedge = line(edge, 3.0, 4.0) * np.float32(0.65)
    return _Parcels(
        identity=field,
        border=block.border,
        margin=hedge,
        wood=unit(rehash(identity, 5)),
        meadow=(unit(rehash(field, 6)) < np.float32(0.17)).astype(np.float32),
        soil=unit(rehash(identity, 7)) * np.float32(0.7) + unit(rehash(field, 8)) * np.float32(0.3),
        vigour=(unit(rehash(field, 9)) - np.float32(0.5)) * np.float32(0.22),
    )

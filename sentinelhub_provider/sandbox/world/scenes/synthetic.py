"""Scenes for every place and every pass since 2016, computed when they are read.

Collection, tile and day determine a scene completely. Therefore nothing is stored, and the same request gives the same
picture on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.world.grid import Bounds, Grid
from sentinelhub_provider.sandbox.world.scenes import elevation, orbits, radar, tiles
from sentinelhub_provider.sandbox.world.scenes.clouds import CIRRUS_OPACITY, CLOUD_OPACITY, Sky, Weather, sky, weather
from sentinelhub_provider.sandbox.world.scenes.collections import COLLECTIONS, DEM, PRODUCT_TYPES, SENTINEL_1_GRD
from sentinelhub_provider.sandbox.world.scenes.landscape import survey
from sentinelhub_provider.sandbox.world.scenes.model import AS_STORED, CollectionInfo, Reading, Scene
from sentinelhub_provider.sandbox.world.scenes.noise import fraction
from sentinelhub_provider.sandbox.world.scenes.pixels import render
from sentinelhub_provider.sandbox.world.scenes.sampling import BLOCK, locate
from sentinelhub_provider.sandbox.world.scenes.tiles import Tile, TileScene
from sentinelhub_provider.sandbox.world.utm import inverse

_BASELINE: Final = "N0510"
_ID: Final = re.compile(r"S2([ABC])_(MSIL1C|MSIL2A)_(\d{8}T\d{6})_N0510_R(\d{3})_T(\d{2}[A-Z]{3})_(\d{8}T\d{6})")
_SOURCE_PIXEL: Final = 10.0
"""Metres per pixel of the source."""


class SyntheticScenes:
    """Source of synthetic scenes. The same ``seed`` gives the same world."""

    def __init__(self, seed: int = 0, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Make the world of ``seed``. ``clock`` returns the present, after which there are no scenes."""
        self._seed = seed
        self._clock = clock

    def collections(self) -> Sequence[CollectionInfo]:
        """List the collections."""
        return COLLECTIONS

    def search(self, collection: str, *, bbox: Bounds | None, start: datetime, end: datetime) -> Iterator[Scene]:
        """Find scenes, newest first. See :class:`.model.SceneSource`."""
        if collection == DEM.id:
            yield from elevation.search(self._seed, bbox)
        if collection == SENTINEL_1_GRD.id:
            yield from radar.search(self._seed, bbox, start, min(end, self._clock()))
        if collection not in PRODUCT_TYPES:
            return
        start = max(start, datetime.combine(orbits.FIRST_DAY, datetime.min.time(), UTC))
        end = min(end, self._clock())
        if start > end:
            return
        by_phase: dict[int, list[Tile]] = {}
        for tile in tiles.tiles_in(bbox):
            by_phase.setdefault(orbits.phase(_swath(tile)), []).append(tile)
        # The day of a pass is its local day, which differs from the UTC day by up to one.
        day = end.date() + timedelta(days=1)
        while day >= start.date() - timedelta(days=1):
            todays = by_phase.get(day.toordinal() % orbits.REVISIT_DAYS, [])
            scenes = [SyntheticScene(self._seed, tile, collection, day) for tile in todays]
            for scene in sorted(scenes, key=lambda scene: (scene.datetime, scene.id), reverse=True):
                if start <= scene.datetime <= end:
                    yield scene
            day -= timedelta(days=1)

    def get(self, collection: str, scene_id: str) -> Scene | None:
        """Find a scene by its id, which names tile and time."""
        if collection == DEM.id:
            return elevation.get(self._seed, scene_id)
        if collection == SENTINEL_1_GRD.id:
            radar_scene = radar.get(self._seed, scene_id)
            return radar_scene if radar_scene is not None and radar_scene.datetime <= self._clock() else None
        match = _ID.fullmatch(scene_id)
        if match is None or match[2] != PRODUCT_TYPES.get(collection):
            return None
        tile = tiles.find(match[5])
        if tile is None:
            return None
        try:
            sensed = datetime.strptime(match[3], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None
        swath = _swath(tile)
        day = orbits.solar_day(sensed, swath)
        if day < orbits.FIRST_DAY or not orbits.passes_on(swath, day):
            return None
        scene = SyntheticScene(self._seed, tile, collection, day)
        return scene if scene.id == scene_id and scene.datetime <= self._clock() else None

    def ground(self, collection: str, tile: Tile, day: date) -> SyntheticScene:
        """Return the scene of a tile on a day, whether or not a satellite of the collection passes on that day."""
        return SyntheticScene(self._seed, tile, collection, day)


@dataclass(frozen=True)
class SyntheticScene(TileScene):
    """One tile on the day of a pass (``day`` is that of local solar time)."""

    collection: str
    day: date

    @cached_property
    def id(self) -> str:
        """Product id in Sentinel-2's form."""
        swath = _swath(self.tile)
        # Products appear some hours after sensing.
        published = self.datetime + timedelta(
            seconds=10_800 + round(21_600 * fraction(self.seed, 91, swath, self._number))
        )
        return (
            f"S2{self._satellite}_{PRODUCT_TYPES[self.collection]}_{self.datetime:%Y%m%dT%H%M%S}_{_BASELINE}"
            f"_R{orbits.relative_orbit(swath):03d}_T{self.tile.name}_{published:%Y%m%dT%H%M%S}"
        )

    @cached_property
    def datetime(self) -> datetime:
        """UTC time of sensing, in whole seconds."""
        return orbits.sensing_time(self.seed, _swath(self.tile), self.tile.centre[1], self.day)

    @property
    def cloud_cover(self) -> float:
        """Percent of the tile under cloud or cirrus, measured at 3600 points of the sky that :meth:`read` draws."""
        return _cloud_cover(self.seed, self.tile, self.day)

    @property
    def properties(self) -> dict[str, Any]:
        """Further STAC properties."""
        azimuth, zenith = self._sun
        swath = _swath(self.tile)
        return {
            "platform": f"sentinel-2{self._satellite.lower()}",
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "gsd": 10,
            "proj:epsg": self.epsg,
            "proj:bbox": self._footprint,
            "proj:geometry": {"type": "Polygon", "coordinates": [_box_ring(self._footprint)]},
            "sat:relative_orbit": orbits.relative_orbit(swath),
            "sat:orbit_state": "descending",
            "view:sun_azimuth": round(azimuth, 3),
            "view:sun_elevation": round(90.0 - zenith, 3),
            "grid:code": f"MGRS-{self.tile.name}",
        }

    def read(self, bands: Sequence[str], grid: Grid, how: Reading = AS_STORED) -> dict[str, NDArray[np.float32]]:
        """Compute bands on a grid. See :class:`.model.Scene`.

        The landscape is a function of the place. A coarse grid has its value at each pixel's centre for every
        ``downsampling``. On a grid finer than 10 m, ``NEAREST`` repeats the 10 m pixels. Others compute each pixel.
        """
        inside, lon, lat = locate(self.tile, grid, _SOURCE_PIXEL, snap=how.upsampling == "NEAREST")
        out = {band: np.zeros(grid.shape, np.float32) for band in bands}
        if lon.size == 0:
            return out
        flat = {band: np.empty(lon.size, np.float32) for band in bands}
        state = self._weather
        for begin in range(0, lon.size, BLOCK):
            part = slice(begin, begin + BLOCK)
            land = survey(self.seed, lon[part], lat[part])
            over = sky(state, lon[part], lat[part])
            for band, values in render(self.collection, bands, self.seed, self.day, land, over, self._sun).items():
                flat[band][part] = values
        for band, values in flat.items():
            out[band][inside] = values
        return out

    @cached_property
    def _sun(self) -> tuple[float, float]:
        return orbits.sun_angles(self.datetime, *self.tile.centre)

    @cached_property
    def _weather(self) -> Weather:
        return _weather(self.seed, self.tile, self.day)

    @property
    def _satellite(self) -> str:
        return orbits.platform(_swath(self.tile), self.day)

    @property
    def _number(self) -> int:
        return self.day.toordinal()

    @property
    def _footprint(self) -> list[float]:
        east, north = self.tile.easting, self.tile.northing
        return [east, north, east + tiles.SIZE, north + tiles.SIZE]


def _box_ring(box: list[float]) -> list[list[float]]:
    west, south, east, north = box
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


@lru_cache(maxsize=4096)
def _swath(tile: Tile) -> int:
    return orbits.swath_of(tile.centre[0])


def _weather(seed: int, tile: Tile, day: date) -> Weather:
    swath = _swath(tile)
    # The sun is that of the whole pass, not of the tile, so that shadows match at the tiles' borders.
    longitude = (swath + 0.5) / orbits.ORBITS * 360.0 - 180.0
    latitude = round(tile.centre[1] / 8.0) * 8.0
    azimuth, zenith = orbits.sun_angles(orbits.sensing_time(seed, swath, 45.0, day), longitude, latitude)
    return weather(seed, swath, day, azimuth, zenith)


@lru_cache(maxsize=4096)
def _cloud_cover(seed: int, tile: Tile, day: date) -> float:
    state = _weather(seed, tile, day)
    if state.clear:
        return 0.0
    steps = (np.arange(60) + 0.5) / 60 * tiles.SIZE
    east, north = np.meshgrid(tile.easting + steps, tile.northing + steps)
    lon, lat = inverse(tile.zone, east.ravel(), north.ravel())
    inside = tile.contains(east.ravel(), north.ravel(), lon)
    if not inside.any():
        return 0.0
    over: Sky = sky(state, lon[inside], lat[inside], shadows=False)
    return round(100.0 * float(np.mean(over.cloudy())), 2)


__all__ = ["CIRRUS_OPACITY", "CLOUD_OPACITY", "SyntheticScene", "SyntheticScenes"]

"""Synthetic Sentinel-1 scenes (ground range detected, interferometric wide swath, VV and VH).

The model is simplified. A scene covers a tile of 100 km. A satellite sees a place every sixth day in each direction. A
pixel lies at the same place with and without orthorectification.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.grid import Bounds, Grid
from sentinelhub_provider.sandbox.world.scenes import orbits, tiles
from sentinelhub_provider.sandbox.world.scenes.backscatter import POLARISATIONS, mix, speckle
from sentinelhub_provider.sandbox.world.scenes.collections import LOCAL_INCIDENCE, SENTINEL_1_GRD
from sentinelhub_provider.sandbox.world.scenes.elevation import elevation
from sentinelhub_provider.sandbox.world.scenes.landscape import survey, to_plane
from sentinelhub_provider.sandbox.world.scenes.model import AS_STORED, DATA_MASK, Reading
from sentinelhub_provider.sandbox.world.scenes.noise import Coordinates, Values, derive, fraction, scramble
from sentinelhub_provider.sandbox.world.scenes.sampling import BLOCK, locate
from sentinelhub_provider.sandbox.world.scenes.seasons import surfaces
from sentinelhub_provider.sandbox.world.scenes.tiles import Tile, TileScene

FIRST_DAY: Final = date(2016, 1, 1)
REVISIT_DAYS: Final = 6
DIRECTIONS: Final = ("ascending", "descending")
SOURCE_PIXEL: Final = 10.0
"""Metres per pixel of the source."""

SCENE_SECONDS: Final = 25
INCIDENCE: Final = (31.0, 46.0)
"""Incidence angle in degrees at the near and the far edge of the swath."""

_LOCAL_HOUR: Final = {"ascending": 17.6, "descending": 5.6}
_SECONDS_PER_DEGREE: Final = 98.6 * 60 / 360
_RELATIVE_ORBITS: Final = 175
_S1B_LOST: Final = date(2021, 12, 23)
_S1C_BEGINS: Final = date(2025, 3, 26)
_TERRAIN_STEP: Final = 20.0 / 111_000.0
_ID: Final = re.compile(r"S1([ABC])_IW_GRDH_1SDV_(\d{8}T\d{6})_\d{8}T\d{6}_\d{6}_([0-9A-F]{6})_[0-9A-F]{4}")


def search(seed: int, bbox: Bounds | None, start: datetime, end: datetime) -> Iterator[RadarScene]:
    """Find scenes that touch a box, newest first. ``start`` and ``end`` are both included."""
    start = max(start, datetime.combine(FIRST_DAY, time(), UTC))
    if start > end:
        return
    by_phase: dict[tuple[int, str], list[Tile]] = {}
    for tile in tiles.tiles_in(bbox):
        for direction in DIRECTIONS:
            by_phase.setdefault((_phase(_swath(tile), direction), direction), []).append(tile)
    day = min(end.date(), date.max - timedelta(days=1))
    while day >= start.date():
        # A pass belongs to its local day, which differs from the UTC day by up to one. Scenes are ordered by UTC.
        scenes = [
            RadarScene(seed, tile, local, direction)
            for local in (day - timedelta(days=1), day, day + timedelta(days=1))
            for direction in DIRECTIONS
            for tile in by_phase.get((local.toordinal() % REVISIT_DAYS, direction), [])
        ]
        todays = [scene for scene in scenes if scene.datetime.date() == day and scene.day >= FIRST_DAY]
        for scene in sorted(todays, key=lambda scene: (scene.datetime, scene.id), reverse=True):
            if start <= scene.datetime <= end:
                yield scene
        day -= timedelta(days=1)


def get(seed: int, scene_id: str) -> RadarScene | None:
    """Find a scene by its id, which names tile and time."""
    match = _ID.fullmatch(scene_id)
    if match is None:
        return None
    tile = tiles.find(_decode(int(match[3], 16)))
    if tile is None:
        return None
    try:
        sensed = datetime.strptime(match[2], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    day = orbits.solar_day(sensed, _swath(tile))
    for direction in DIRECTIONS:
        scene = RadarScene(seed, tile, day, direction)
        passes = day.toordinal() % REVISIT_DAYS == _phase(scene.swath, direction)
        if passes and day >= FIRST_DAY and scene.id == scene_id:
            return scene
    return None


@dataclass(frozen=True)
class RadarScene(TileScene):
    """One tile on the day of a pass (``day`` is that of local solar time)."""

    day: date
    direction: str

    @cached_property
    def swath(self) -> int:
        """Number of the swath, the same as for Sentinel-2."""
        return _swath(self.tile)

    @cached_property
    def id(self) -> str:
        """Product id in Sentinel-1's form. The data take ID encodes the tile."""
        start, stop = self.datetime, self.datetime + timedelta(seconds=SCENE_SECONDS)
        cycle = self.day.toordinal() // 12
        orbit = (cycle * _RELATIVE_ORBITS + self.relative_orbit) % 1_000_000
        check = scramble(orbit * 8191 + _encode(self.tile.name)) & 0xFFFF
        return (
            f"S1{self._satellite}_IW_GRDH_1SDV_{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}"
            f"_{orbit:06d}_{_encode(self.tile.name):06X}_{check:04X}"
        )

    @property
    def collection(self) -> str:
        """Id of the collection."""
        return SENTINEL_1_GRD.id

    @property
    def relative_orbit(self) -> int:
        """Relative orbit number, 1..175."""
        return (47 * self.swath + (0 if self.direction == "ascending" else 88)) % _RELATIVE_ORBITS + 1

    @cached_property
    def datetime(self) -> datetime:
        """UTC time of sensing, in whole seconds."""
        longitude = (self.swath + 0.5) / orbits.ORBITS * 360.0 - 180.0
        way = (self.tile.centre[1] - 45.0) * _SECONDS_PER_DEGREE
        seconds = _LOCAL_HOUR[self.direction] * 3600 - longitude * 240.0
        seconds += way if self.direction == "ascending" else -way
        seconds += 200.0 * (fraction(self.seed, 93, self.swath, self.day.toordinal()) - 0.5)
        return datetime.combine(self.day, time(), UTC) + timedelta(seconds=round(seconds))

    @property
    def cloud_cover(self) -> float | None:
        """``None``, because radar sees through clouds."""
        return None

    @property
    def properties(self) -> dict[str, Any]:
        """Further STAC properties."""
        return {
            "platform": f"sentinel-1{self._satellite.lower()}",
            "constellation": "sentinel-1",
            "instruments": ["c-sar"],
            "gsd": 10,
            "sar:instrument_mode": "IW",
            "sar:frequency_band": "C",
            "sar:polarizations": list(POLARISATIONS),
            "sar:product_type": "GRD",
            "sat:orbit_state": self.direction,
            "sat:relative_orbit": self.relative_orbit,
            "s1:polarization": "DV",
            "s1:resolution": "HIGH",
            "s1:timeliness": "Fast24h",
        }

    def read(self, bands: Sequence[str], grid: Grid, how: Reading = AS_STORED) -> dict[str, NDArray[np.float32]]:
        """Compute bands on a grid, in linear power. See :class:`.model.Scene`.

        The options are ``backCoeff`` (the coefficient, where GAMMA0_TERRAIN removes the effect of slopes) and
        ``speckleFilter``. A pixel larger than 10 m has the value at its centre.
        """
        out = {band: np.zeros(grid.shape, np.float32) for band in bands}
        for band in bands:
            if band in ("HH", "HV"):
                message = f"The scene {self.id} has no polarization {band}; it has {' and '.join(POLARISATIONS)}."
                raise ApiError(400, "RENDERER_S1_MISSING_POLARIZATION", message)
            if band not in (*POLARISATIONS, LOCAL_INCIDENCE, DATA_MASK):
                raise KeyError(band)
        inside, lon, lat = locate(self.tile, grid, SOURCE_PIXEL, snap=how.upsampling == "NEAREST")
        if lon.size == 0:
            return out
        wanted = [band for band in bands if band != DATA_MASK]
        flat = {band: np.empty(lon.size, np.float32) for band in wanted}
        for begin in range(0, lon.size if wanted else 0, BLOCK):
            part = slice(begin, begin + BLOCK)
            for band, values in self._backscatter(wanted, lon[part], lat[part], how.options).items():
                flat[band][part] = values
        for band in bands:
            out[band][inside] = flat.get(band, 1.0)
        return out

    def _backscatter(
        self, bands: Sequence[str], lon: Coordinates, lat: Coordinates, options: Mapping[str, Any]
    ) -> dict[str, Values]:
        if LOCAL_INCIDENCE in bands:
            tilt = np.degrees(np.arctan(self._facing(lon, lat)))
            angle = np.clip(self._incidence(lon) - tilt, 0.0, 90.0).astype(np.float32)
            others = [band for band in bands if band != LOCAL_INCIDENCE]
            return {LOCAL_INCIDENCE: angle, **(self._backscatter(others, lon, lat, options) if others else {})}
        shares = surfaces(self.seed, survey(self.seed, lon, lat), self.day)
        coefficient = options.get("backCoeff", "GAMMA0_ELLIPSOID")
        factor = self._to_coefficient(coefficient, lon)
        if coefficient != "GAMMA0_TERRAIN":
            factor = factor * self._slopes(lon, lat)
        # Wet soil scatters more back. The whole pass has the same weather.
        own = derive(self.seed, 96, self.swath, self.day.toordinal())
        factor = factor * np.float32(0.85 + 0.35 * fraction(own))
        window = options.get("speckleFilter") or {}
        averaged = int(window.get("windowSizeX", 1)) * int(window.get("windowSizeY", 1))
        x, y = to_plane(lon, lat)
        turn = DIRECTIONS.index(self.direction)
        return {
            band: mix(shares, band) * factor * speckle(x, y, derive(own, turn, number), averaged=averaged)
            for number, band in enumerate(POLARISATIONS)
            if band in bands
        }

    def _to_coefficient(self, coefficient: str, lon: Coordinates) -> Values:
        """Return the factor from gamma nought to another coefficient at the radar's incidence angle."""
        angle = np.radians(self._incidence(lon))
        factor = np.ones_like(angle)
        if coefficient in ("SIGMA0_ELLIPSOID", "BETA0"):
            factor = np.cos(angle)
        if coefficient == "BETA0":
            factor = factor / np.sin(angle)
        return np.asarray(factor, np.float32)

    def _incidence(self, lon: Coordinates) -> Coordinates:
        """Return the degrees between the radar's look and the vertical, which grow from the near to the far side."""
        across = (lon + 180.0) / 360.0 * orbits.ORBITS - self.swath
        if self.direction == "descending":
            across = 1.0 - across
        near, far = INCIDENCE
        angle: Coordinates = near + (far - near) * np.clip(across, 0.0, 1.0)
        return angle

    def _facing(self, lon: Coordinates, lat: Coordinates) -> Values:
        """Return the slope towards the radar. The radar looks to the right, which is east when it flies north."""
        step = _TERRAIN_STEP / np.maximum(np.cos(np.radians(lat)), 0.1)
        rise = elevation(self.seed, lon + step, lat) - elevation(self.seed, lon - step, lat)
        slope: Values = rise / np.float32(2 * 20.0)
        return -slope if self.direction == "descending" else slope

    def _slopes(self, lon: Coordinates, lat: Coordinates) -> Values:
        """Return the factor of the terrain's slopes. Slopes that face the radar are bright."""
        slope = self._facing(lon, lat)
        steepness = np.float32(1 / math.tan(math.radians(38.0)))
        factor: Values = np.clip(1 + slope * steepness, 0.25, 4.0).astype(np.float32)
        return factor

    @property
    def _satellite(self) -> str:
        turn = (self.day.toordinal() - _phase(self.swath, self.direction)) // REVISIT_DAYS % 2
        if turn == 0 or _S1B_LOST <= self.day < _S1C_BEGINS:
            return "A"
        return "B" if self.day < _S1B_LOST else "C"


def _swath(tile: Tile) -> int:
    return orbits.swath_of(tile.centre[0])


def _phase(swath: int, direction: str) -> int:
    """Return the day (0..5) of the six-day cycle on which a satellite sees a swath in a direction."""
    return (5 * swath + (3 if direction == "descending" else 0)) % REVISIT_DAYS


_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ"


def _encode(name: str) -> int:
    """Return a tile's name as a number below 2**24."""
    number = int(name[:2])
    for letter in name[2:]:
        number = number * 25 + _LETTERS.index(letter)
    return number


def _decode(number: int) -> str:
    letters = ""
    for _ in range(3):
        number, place = divmod(number, 25)
        letters = (_LETTERS[place] if place < len(_LETTERS) else "?") + letters
    return f"{number:02d}{letters}"

"""Clouds, their shadows and cirrus over the synthetic landscape, for one pass of a satellite.

The seed of the sky depends on the pass (swath and day), not on the tile, so that clouds continue across tile borders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

import numpy as np

from sentinelhub_provider.sandbox.world.scenes.landscape import to_plane
from sentinelhub_provider.sandbox.world.scenes.noise import (
    Coordinates,
    Values,
    derive,
    fractal_noise,
    fraction,
    gradient_noise,
    smoothstep,
)

CLOUD_OPACITY: Final = 0.3
"""Lowest opacity at which a pixel counts as cloud (scene classification 8 and 9)."""

CIRRUS_OPACITY: Final = 0.08
"""Lowest opacity at which a pixel counts as cirrus (scene classification 10)."""

_DEVIATION: Final = 0.33
"""Standard deviation of the noise. Clouds are where it exceeds a threshold."""


@dataclass(frozen=True)
class Sky:
    """Opacity of ``cloud`` and ``cirrus`` and depth of ``shadow`` at each point, each 0..1."""

    cloud: Values
    cirrus: Values
    shadow: Values

    def __post_init__(self) -> None:
        """Protect the arrays, because a cache shares them between requests."""
        for array in vars(self).values():
            array.setflags(write=False)

    def cloudy(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Tell for each point whether it counts as covered by cloud or cirrus."""
        return (self.cloud >= CLOUD_OPACITY) | (self.cirrus >= CIRRUS_OPACITY)


@dataclass(frozen=True)
class Weather:
    """The weather of one pass. ``cover`` is the intended mean share of cloud. ``size`` is that of clouds in metres."""

    seed: int
    cover: float
    size: float
    top: float
    cirrus: float
    sun_azimuth: float
    sun_zenith: float

    @property
    def clear(self) -> bool:
        """Whether there are no clouds at all."""
        return self.cover <= 0 and self.cirrus <= 0


def weather(seed: int, swath: int, day: date, sun_azimuth: float, sun_zenith: float) -> Weather:
    """Draw the weather of a pass. About a third of the passes are clear, and a quarter are overcast."""
    own = derive(seed, 60, swath, day.toordinal())
    lot, second = fraction(own, 1), fraction(own, 2)
    if lot < 0.34:
        cover = 0.0
    elif lot < 0.76:
        cover = 0.04 + 0.6 * second**1.4
    else:
        cover = 0.78 + 0.24 * second
    small = fraction(own, 3) < 0.55 and cover < 0.7
    return Weather(
        seed=own,
        cover=cover,
        size=2_800.0 if small else 11_000.0,
        top=(900.0 if small else 1_800.0) + 900.0 * fraction(own, 4),
        cirrus=0.6 * fraction(own, 6) if fraction(own, 5) < 0.17 else 0.0,
        sun_azimuth=sun_azimuth,
        sun_zenith=sun_zenith,
    )


def sky(state: Weather, lon: Coordinates, lat: Coordinates, *, shadows: bool = True) -> Sky:
    """Draw the sky over each point (one-dimensional arrays of degrees). Without ``shadows`` it takes half the time."""
    return _sky(state, lon.tobytes(), lat.tobytes(), shadows)


@lru_cache(maxsize=32)  # at most 1 MB each, because readers take BLOCK points at a time
def _sky(state: Weather, longitudes: bytes, latitudes: bytes, shadows: bool) -> Sky:
    x, y = to_plane(np.frombuffer(longitudes), np.frombuffer(latitudes))
    nothing = np.zeros(x.shape, np.float32)
    if state.clear:
        return Sky(nothing, nothing, nothing)
    cloud, shadow, cirrus = nothing, nothing, nothing
    if state.cover > 0:
        cut = _threshold(state, x, y)
        cloud = smoothstep(-0.05, 0.2, _billows(state, x, y) - cut)
        if shadows:
            reach = state.top * math.tan(math.radians(min(state.sun_zenith, 75.0)))
            # The shadow falls away from the sun. So the cloud of a shadowed point lies towards the sun.
            east, north = math.sin(math.radians(state.sun_azimuth)), math.cos(math.radians(state.sun_azimuth))
            above = _billows(state, x + east * reach, y + north * reach)
            shadow = smoothstep(-0.02, 0.16, above - cut) * (1 - cloud)
    if state.cirrus > 0:
        turn = 6.28 * fraction(state.seed, 7)
        along = (x * math.cos(turn) + y * math.sin(turn)) / 7.0
        across = y * math.cos(turn) - x * math.sin(turn)
        veil = fractal_noise(along, across, 9_000.0, 4, derive(state.seed, 8), gain=0.6)
        cirrus = np.float32(state.cirrus) * smoothstep(-0.1, 0.55, veil)
    return Sky(cloud, cirrus, shadow)


def _threshold(state: Weather, x: Coordinates, y: Coordinates) -> Values:
    """Compute the threshold of the noise at which the share of cloud is about ``state.cover``. It varies regionally."""
    region = gradient_noise(x, y, 160_000.0, derive(state.seed, 10))
    cover = np.clip(np.float32(state.cover) + np.float32(0.45) * region, 0.004, 0.996)
    # The quantile of the logistic distribution approximates that of the normal distribution.
    threshold: Values = np.float32(_DEVIATION / 1.7) * np.log((1 - cover) / cover)
    return threshold - np.float32(0.05)


def _billows(state: Weather, x: Coordinates, y: Coordinates) -> Values:
    return fractal_noise(x, y, state.size, 6, derive(state.seed, 11), gain=0.52)

"""The elevation model, with the heights of the synthetic landscape. It has no dates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.world.grid import Bounds, Grid
from sentinelhub_provider.sandbox.world.scenes import tiles
from sentinelhub_provider.sandbox.world.scenes.collections import DEM
from sentinelhub_provider.sandbox.world.scenes.landscape import ground, to_plane
from sentinelhub_provider.sandbox.world.scenes.model import AS_STORED, DATA_MASK, Reading
from sentinelhub_provider.sandbox.world.scenes.noise import Coordinates, Values, derive, gradient_noise
from sentinelhub_provider.sandbox.world.scenes.sampling import locate
from sentinelhub_provider.sandbox.world.scenes.tiles import TileScene

BASE: Final = 260.0
HILLS: Final = 300.0
RANGES: Final = 420.0
RANGE_SIZE: Final = 70_000.0

RESOLUTIONS: Final = {"MAPZEN": 30.0, "COPERNICUS": 30.0, "COPERNICUS_30": 30.0, "COPERNICUS_90": 90.0}
"""Metres per pixel of each instance."""


def elevation(seed: int, lon: Coordinates, lat: Coordinates) -> Values:
    """Compute the height above the sea in metres at each point (one-dimensional arrays of degrees). Few are below 0."""
    x, y = to_plane(lon, lat)
    metres: Values = np.float32(HILLS) * ground(seed, x, y)
    metres += np.float32(RANGES) * gradient_noise(x, y, RANGE_SIZE, derive(seed, 4))
    return metres + np.float32(BASE)


def geoid(lon: Coordinates, lat: Coordinates) -> Values:
    """Compute an invented height of the sea above the ellipsoid in metres, smooth and within the real range."""
    phi, lam = np.radians(lat), np.radians(lon)
    height: Values = (18.0 + 30.0 * np.sin(lam) * np.cos(phi) + 22.0 * np.sin(2 * phi)).astype(np.float32)
    return height


def search(seed: int, bbox: Bounds | None) -> Iterator[ElevationScene]:
    """List the tiles that touch a box. Tiles have no dates."""
    for tile in tiles.tiles_in(bbox):
        yield ElevationScene(seed, tile)


def get(seed: int, scene_id: str) -> ElevationScene | None:
    """Find a tile by its id."""
    tile = tiles.find(scene_id.removeprefix("DEM_"))
    scene = None if tile is None else ElevationScene(seed, tile)
    return scene if scene is not None and scene.id == scene_id else None


@dataclass(frozen=True)
class ElevationScene(TileScene):
    """One tile of the elevation model."""

    @property
    def id(self) -> str:
        """Name of the tile."""
        return f"DEM_{self.tile.name}"

    @property
    def collection(self) -> str:
        """Id of the collection."""
        return DEM.id

    @property
    def datetime(self) -> datetime:
        """Date of publication of the model, which is the same for every tile."""
        return DEM.start

    @property
    def cloud_cover(self) -> float | None:
        """``None``, because terrain has no clouds."""
        return None

    @property
    def properties(self) -> dict[str, Any]:
        """Further STAC properties."""
        return {}

    def read(self, bands: Sequence[str], grid: Grid, how: Reading = AS_STORED) -> dict[str, NDArray[np.float32]]:
        """Compute bands on a grid. See :class:`.model.Scene`.

        The options are ``demInstance`` (its resolution), ``egm`` (height above the ellipsoid) and ``clampNegative``.
        """
        pixel = RESOLUTIONS[str(how.options.get("demInstance", "MAPZEN"))]
        inside, lon, lat = locate(self.tile, grid, pixel, snap=how.upsampling == "NEAREST")
        out = {band: np.zeros(grid.shape, np.float32) for band in bands}
        if lon.size == 0:
            return out
        for band in bands:
            if band == DATA_MASK:
                out[band][inside] = 1.0
            elif band == "DEM":
                heights = elevation(self.seed, lon, lat)
                if how.options.get("clampNegative"):
                    heights = np.maximum(heights, np.float32(0))
                out[band][inside] = heights + geoid(lon, lat) if how.options.get("egm") else heights
            else:
                raise KeyError(band)
        return out

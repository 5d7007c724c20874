"""Finds the pixels of a request that lie in a tile, and the places at which its source is read for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.world.grid import Grid
from sentinelhub_provider.sandbox.world.scenes.tiles import Tile
from sentinelhub_provider.sandbox.world.utm import forward, inverse

Places = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]

BLOCK = 1 << 15
"""Number of pixels to compute at a time. All their arrays together fit into the processor's cache."""


def locate(tile: Tile, grid: Grid, source_pixel: float, *, snap: bool) -> Places:
    """Return which pixels lie in the tile (shape ``grid.shape``), and their longitudes and latitudes, flat.

    ``source_pixel`` is in metres per pixel. With ``snap``, the pixels of a finer grid move to the source's centres.
    """
    lon, lat = grid.lonlat()
    fine = snap and grid.metres_per_pixel() < source_pixel * 0.999
    if not fine:
        edge_lon, edge_lat = grid.outline()
        east, north = forward(tile.zone, edge_lon, edge_lat)
        if grid.width * grid.height > edge_lon.size and bool(tile.contains(east, north, edge_lon).all()):
            return np.ones(grid.shape, np.bool_), lon.ravel(), lat.ravel()
    east, north = forward(tile.zone, lon, lat)
    inside = tile.contains(east, north, lon)
    if fine:
        east = (np.floor(east / source_pixel) + 0.5) * source_pixel
        north = (np.floor(north / source_pixel) + 0.5) * source_pixel
        lon, lat = inverse(tile.zone, east, north)
    return inside, lon[inside], lat[inside]

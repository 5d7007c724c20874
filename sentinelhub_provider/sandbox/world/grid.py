"""The pixel grid of a request. It gives each pixel's centre in the grid's CRS and in longitude and latitude.

Coordinates are always in the order easting/northing or longitude/latitude, also for EPSG:4326, as Sentinel Hub
reads them. Rows run from north to south.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.world import utm

Bounds = tuple[float, float, float, float]
Array = NDArray[np.float64]

EARTH_RADIUS = 6_378_137.0
"""The WGS 84 semi-major axis in metres, which web Mercator uses as the radius of a sphere."""

METRES_PER_DEGREE = math.pi * EARTH_RADIUS / 180.0

WEB_MERCATOR = 3857
WGS84 = 4326


@dataclass(frozen=True)
class Grid:
    """A north-up raster of ``width`` x ``height`` pixels.

    ``left`` and ``top`` are the outer corner of the *whole* raster. ``dx`` and ``dy`` (both positive) are its pixel
    size. All are in units of ``EPSG:epsg``. ``row0`` and ``col0`` move the grid by whole pixels, so that a window of a
    grid has exactly the same pixel centres as the grid itself.
    """

    epsg: int
    left: float
    top: float
    dx: float
    dy: float
    width: int
    height: int
    row0: int = 0
    col0: int = 0

    @classmethod
    def from_bounds(cls, epsg: int, bounds: Bounds, width: int, height: int) -> Grid:
        """Divide ``bounds`` (min x, min y, max x, max y) into ``width`` x ``height`` equal pixels."""
        min_x, min_y, max_x, max_y = bounds
        return cls(epsg, min_x, max_y, (max_x - min_x) / width, (max_y - min_y) / height, width, height)

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, columns)``, as numpy counts."""
        return self.height, self.width

    @property
    def bounds(self) -> Bounds:
        """``(min x, min y, max x, max y)`` of this grid, in its CRS."""
        min_x = self.left + self.col0 * self.dx
        max_y = self.top - self.row0 * self.dy
        return min_x, max_y - self.height * self.dy, min_x + self.width * self.dx, max_y

    @property
    def geographic(self) -> bool:
        """Whether coordinates are in degrees."""
        return self.epsg == WGS84 or (
            self.epsg != WEB_MERCATOR and utm.zone_of(self.epsg) is None and _is_geographic(self.epsg)
        )

    @property
    def transform(self) -> Any:
        """The affine transform from pixels to CRS coordinates (``affine.Affine``), in rasterio's form."""
        from sentinelhub_provider.sandbox.world.gdal import from_origin

        min_x, _, _, max_y = self.bounds
        return from_origin(min_x, max_y, self.dx, self.dy)

    def window(self, row: int, col: int, height: int, width: int) -> Grid:
        """Cut out the part that begins at ``row``, ``col``. Its pixel centres are exactly those of this grid."""
        return replace(self, row0=self.row0 + row, col0=self.col0 + col, height=height, width=width)

    def axes(self) -> tuple[Array, Array]:
        """Pixel centres along x (``width`` values, west to east) and along y (``height`` values, north to south)."""
        x: Array = self.left + (self.col0 + np.arange(self.width, dtype=np.float64) + 0.5) * self.dx
        y: Array = self.top - (self.row0 + np.arange(self.height, dtype=np.float64) + 0.5) * self.dy
        return x, y

    def lonlat(self) -> tuple[Array, Array]:
        """Longitude and latitude of every pixel centre, in degrees, each of shape ``(height, width)``."""
        x, y = self.axes()
        if self.epsg == WGS84:
            lon, lat = _mesh(x, y)
        elif self.epsg == WEB_MERCATOR:
            # The projection is separable, so that converting the axes is cheaper than converting every pixel.
            lon, lat = _mesh(*to_lonlat(WEB_MERCATOR, x, y))
        else:
            lon, lat = to_lonlat(self.epsg, *_mesh(x, y))
        return lon, lat

    def outline(self, points_per_side: int = 16) -> tuple[Array, Array]:
        """Longitude and latitude of points along the outer border, in degrees."""
        min_x, min_y, max_x, max_y = self.bounds
        t = np.linspace(0.0, 1.0, points_per_side, endpoint=False)
        xs = min_x + (max_x - min_x) * np.concatenate([t, np.ones_like(t), 1 - t, np.zeros_like(t)])
        ys = min_y + (max_y - min_y) * np.concatenate([np.zeros_like(t), t, np.ones_like(t), 1 - t])
        return to_lonlat(self.epsg, xs, ys)

    def lonlat_bounds(self) -> Bounds:
        """``(west, south, east, north)`` in degrees, of the border's points."""
        lon, lat = self.outline()
        return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())

    def metres_per_pixel(self) -> float:
        """The longer pixel side in metres of the CRS. Degrees are converted at the latitude of the grid's centre."""
        if not self.geographic:
            return max(self.dx, self.dy)
        _, min_y, _, max_y = self.bounds
        along_x = self.dx * METRES_PER_DEGREE * math.cos(math.radians((min_y + max_y) / 2))
        return max(along_x, self.dy * METRES_PER_DEGREE)


def to_lonlat(epsg: int, x: Array, y: Array) -> tuple[Array, Array]:
    """Convert coordinates of ``EPSG:epsg`` to longitude and latitude in degrees (same shape)."""
    if epsg == WGS84:
        return x, y
    if epsg == WEB_MERCATOR:
        latitude: Array = np.degrees(np.arctan(np.sinh(y / EARTH_RADIUS)))
        return x / METRES_PER_DEGREE, latitude
    zone = utm.zone_of(epsg)
    if zone is not None:
        return utm.inverse(zone, x, y)
    from sentinelhub_provider.sandbox.world.gdal import transform

    lon, lat = transform(f"EPSG:{epsg}", "OGC:CRS84", np.ravel(x), np.ravel(y))
    return np.reshape(np.asarray(lon), np.shape(x)), np.reshape(np.asarray(lat), np.shape(y))


def _mesh(x: Array, y: Array) -> tuple[Array, Array]:
    columns, rows = np.meshgrid(x, y)
    return columns, rows


def _is_geographic(epsg: int) -> bool:
    from sentinelhub_provider.sandbox.world.gdal import CRS

    return bool(CRS.from_epsg(epsg).is_geographic)

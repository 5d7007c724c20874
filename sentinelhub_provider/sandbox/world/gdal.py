"""All that the sandbox uses of rasterio. It is loaded when a request first needs it.

Threads that import rasterio's modules at the same time may find them half loaded, or without PROJ. Python lets only one
thread load this module, and the others wait.
"""

from __future__ import annotations

import rasterio
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.features import geometry_mask
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform

__all__ = [
    "CRS",
    "MemoryFile",
    "RasterioError",
    "Resampling",
    "WarpedVRT",
    "copy",
    "from_origin",
    "geometry_mask",
    "rasterio",
    "transform",
]

"""rasterio as a whole. Threads that load it piece by piece at once find halves of it, or no PROJ.

Python lets one thread at a time load this module, and has the others wait. It is loaded when a request first needs it.
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

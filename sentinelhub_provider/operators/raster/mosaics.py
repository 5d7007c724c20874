"""Joins tiles to one picture: a virtual raster that refers to them, or one GeoTIFF with copies of their pixels."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

from sentinelhub_provider.exceptions import SentinelHubOutputError, SentinelHubResponseError
from sentinelhub_provider.hooks.output import is_object_path, place_of, store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sentinelhub_provider.api.tiling import PixelGrid, Tile
    from sentinelhub_provider.transport.download import Download

TIFF = "image/tiff"
VRT = "application/x-gdal-vrt+xml"
ROWS = 512
"""Rows of a tile that are copied at once. With 2500 columns of 12 bands of 32 bits, they take 61 MB."""

CACHE_MEGABYTES = 64
"""GDAL's cache for the mosaic before it writes, in bytes."""

THREADS = 4
"""Threads that compress blocks. With the copying one, they are about as many as the tiles fetched at a time."""


def write_vrt(output: Any, grid: PixelGrid, tiles: Sequence[Tile], paths: Mapping[str, Any], folder: str) -> Download:
    """Write a virtual raster over tiles that all exist.

    ``output``: its path. ``paths``: path of each tile by its name. ``folder``: the tiles' folder, relative to the
    virtual raster. Raises :class:`SentinelHubResponseError` if a tile is not a TIFF.
    """
    from sentinelhub_provider.api.tiling import read_tiff_header, vrt_lines

    first = paths[tiles[0].name]
    with place_of(first).open("rb") as file:
        try:
            header = read_tiff_header(cast("BinaryIO", file))
        except ValueError as error:
            raise SentinelHubResponseError(f"the tile {first} cannot be read: {error}.") from error
    named = [(tile, f"{folder}/{tile.name}.tif") for tile in tiles]
    return store("".join(f"{line}\n" for line in vrt_lines(grid, named, header)).encode(), output, content_type=VRT)


class GeoTiffMosaic:
    """One GeoTIFF that tiles are copied into as they come, in bounded memory. A context manager.

    It is built on this machine's disk and stored when it is complete. Pixels without a tile have the no-data value, or
    0 if there is none. ``grid``: the whole grid. ``tile_size``: largest side of a tile. The blocks of the TIFF are
    chosen so that tiles meet between them. ``cog``: whether to write a cloud optimized GeoTIFF with overviews. Raises
    :class:`SentinelHubOutputError` if ``rasterio`` is not installed.
    """

    def __init__(self, grid: PixelGrid, *, tile_size: int, cog: bool) -> None:
        try:
            self._rasterio = import_module("rasterio")
        except ImportError as error:
            raise SentinelHubOutputError(
                "one GeoTIFF out of tiles needs rasterio. Install it with pip install "
                "'airflow-provider-sentinelhub[raster]', or let output_path end with .vrt, which needs nothing."
            ) from error
        self._grid, self._cog = grid, cog
        self._block = block_size(tile_size)
        self._stack = ExitStack()
        self._mosaic: Any = None
        self._folder = Path()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._rasterio.Env(GDAL_CACHEMAX=CACHE_MEGABYTES))
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sentinelhub-")))
        return self

    def __exit__(self, *_: object) -> None:
        if self._mosaic is not None:
            self._mosaic.close()
        self._stack.close()

    def add(self, tile: Tile, path: Any) -> None:
        """Copy a tile to its place.

        :raises SentinelHubResponseError: if the tile has not the requested size, or is of another kind than the first
            one.
        """
        windows = import_module("rasterio.windows")
        local = self._local(path)
        with self._rasterio.open(local) as source:
            if self._mosaic is None:
                self._mosaic = self._rasterio.open(self._folder / "mosaic.tif", "w", **self._profile(source))
                self._mosaic.colorinterp = source.colorinterp
            wanted = (tile.width, tile.height, self._mosaic.count, self._mosaic.dtypes[0])
            found = (source.width, source.height, source.count, source.dtypes[0])
            if found != wanted:
                raise SentinelHubResponseError(
                    f"tile {tile.name} has width, height, bands and type {found}, but {wanted} were expected."
                )
            for row in range(0, tile.height, ROWS):
                high = min(ROWS, tile.height - row)
                pixels = source.read(window=windows.Window(0, row, tile.width, high))
                window = windows.Window(tile.offset_x, tile.offset_y + row, tile.width, high)
                self._mosaic.write(pixels, window=window)
        if local != place_of(path):
            local.unlink()

    def store(self, output: Any) -> Download:
        """Finish the picture and store it."""
        self._mosaic.close()
        made = self._folder / "mosaic.tif"
        if self._cog:
            copied = self._folder / "cog.tif"
            import_module("rasterio.shutil").copy(
                made, copied, driver="COG", compress="DEFLATE", level=1, bigtiff="IF_SAFER"
            )
            made = copied
        return store(made, output, content_type=TIFF)

    def _local(self, path: Any) -> Path:
        """Return the tile as a local file."""
        place: Any = place_of(path)
        if not is_object_path(place):
            return Path(place)
        copy = self._folder / "tile.tif"
        with place.open("rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, 1024 * 1024)
        return copy

    def _profile(self, source: Any) -> dict[str, Any]:
        grid = self._grid
        return {
            "driver": "GTiff",
            "width": grid.width,
            "height": grid.height,
            "count": source.count,
            "dtype": source.dtypes[0],
            "crs": source.crs or f"EPSG:{grid.crs.epsg}",
            "transform": import_module("rasterio.transform").from_bounds(*grid.box, grid.width, grid.height),
            "nodata": source.nodata,
            "tiled": True,
            "blockxsize": self._block,
            "blockysize": self._block,
            "interleave": "pixel",
            "compress": "deflate",
            "zlevel": 1,
            "num_threads": THREADS,
            "bigtiff": "IF_SAFER",
            "sparse_ok": True,
        }


def block_size(tile_size: int) -> int:
    """Return the side of a TIFF's blocks, in pixels: the largest divisor of the tiles' side from 128 to 512.

    A block that two tiles share would be compressed twice, and the space of its first version would be lost. Blocks are
    multiples of 16 (TIFF 6.0). The side is 512 if there is no such divisor.
    """
    return next((side for side in range(512, 127, -16) if tile_size % side == 0), 512)

"""Small WebP previews of large pictures, for a page.

They need the extra ``raster``. Without it, there is no preview.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.imagery import MOST_BYTES, MOST_SIDE
from sentinelhub_provider.hooks.output import is_object_path, local_copy, place_of

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

MOST_FETCHED = 64_000_000
"""Most bytes of a picture that is fetched from an object storage for its preview."""

MOST_PIXELS = 50_000_000
"""Most pixels of a PNG or JPEG, which is in memory as a whole."""

MOST_PIXELS_OF_TIFF = 400_000_000
"""Most pixels of a GeoTIFF without overviews, which is decoded as a whole."""

SHARP = 128  # pixels; smaller pictures show single pixels
FORMATS = ("PNG", "JPEG")
DRIVERS = {"vrt": "VRT", "tif": "GTiff", "tiff": "GTiff", "png": "PNG"}
"""The only formats that are read. Others can name files and addresses, or run a program."""

CACHE = 16 * 1024 * 1024  # bytes of blocks that GDAL keeps


def preview_of(path: Any, size: int | None = None, *, side: int = MOST_SIDE, most: int = MOST_BYTES) -> bytes | None:
    """Return a preview of a picture: WebP, transparent where the picture has no data.

    Eight-bit colours stay as they are. Other values are stretched, so that the 2nd percentile is black and the 98th is
    white.

    :param path: path of a GeoTIFF, PNG or JPEG, as in ``output_path``.
    :param size: size of the picture in bytes.
    :param side: most pixels of the longer side.
    :param most: most bytes.
    :returns: ``None`` for files of other kinds, for pictures that are too large, and without the extra ``raster``.
    """
    place = place_of(path)
    kind = str(path).rpartition(".")[2].lower()
    if is_object_path(place) and (kind == "vrt" or size is None or size > MOST_FETCHED):
        return None
    try:
        with local_copy(place) as file:
            is_raster = kind in ("tif", "tiff", "vrt")
            picture = _read_raster(file, side, DRIVERS[kind]) if is_raster else _read_picture(file, side)
        return None if picture is None else _encoded(picture, most)
    except ImportError:
        return None


def _read_raster(file: Path, side: int, driver: str) -> Image.Image | None:
    import numpy as np
    import rasterio
    from rasterio.enums import ColorInterp

    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=CACHE):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(file, driver=driver) as tiff:
            if tiff.width * tiff.height > MOST_PIXELS_OF_TIFF and not tiff.overviews(1):
                return None
            thinned = max(1.0, max(tiff.width, tiff.height) / side)
            shape = max(1, round(tiff.height / thinned)), max(1, round(tiff.width / thinned))
            alpha = [number for number, use in enumerate(tiff.colorinterp, start=1) if use is ColorInterp.alpha]
            shown = [number for number in range(1, tiff.count + 1) if number not in alpha] or [1]
            shown = shown[:3] if len(shown) >= 3 else shown[:1]
            read = _thinned(tiff, [*shown, *alpha], shape)
            nodata = tiff.nodata
    pixels, has_data = read[: len(shown)], (read[len(shown) :] > 0).all(axis=0)
    if not alpha:
        has_data = (pixels != (0 if nodata is None else nodata)).any(axis=0)
    has_data &= np.isfinite(pixels).all(axis=0)
    return _picture(pixels, has_data)


def _thinned(tiff: Any, bands: list[int], shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Return so many rows and columns of bands.

    GDAL reads overviews, single rows of strips, and the files of a virtual raster directly. Of a tiled picture it would
    decode all tiles for each row. So each tile is decoded and thinned once, with all processors.
    """
    import numpy as np
    import rasterio

    height, width = tiff.block_shapes[0]
    if tiff.overviews(1) or width >= tiff.width or tiff.driver == "VRT":
        found: np.ndarray[Any, Any] = tiff.read(bands, out_shape=(len(bands), *shape))
        return found
    columns = list(_spans(tiff.width, width, shape[1]))

    def row_of_tiles(span: tuple[int, int, int]) -> np.ndarray[Any, Any]:
        *rows, count = span
        with rasterio.open(tiff.name, driver=tiff.driver, sharing=False) as own:
            tiles = [
                own.read(bands, window=(rows, (left, right)), out_shape=(len(bands), count, wanted))
                for left, right, wanted in columns
            ]
        return np.concatenate(tiles, axis=2)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "preview") as pool:
        return np.concatenate(list(pool.map(row_of_tiles, _spans(tiff.height, height, shape[0]))), axis=1)


def _spans(length: int, block: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Yield where each block begins and ends, and how many of ``count`` pixels it gives, where it gives any."""
    for start in range(0, length, block):
        end = min(length, start + block)
        wanted = round(end * count / length) - round(start * count / length)
        if wanted:
            yield start, end, wanted


def _read_picture(file: Path, side: int) -> Image.Image | None:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file, formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return None
            if picture.format == "PNG" and str(picture.tile[0][3]).endswith(";16B"):
                return _read_raster(file, side, DRIVERS["png"])  # Pillow would only read the upper eight bits
            picture.draft("RGB", (side, side))  # JPEG is decoded at a fraction of its size
            if picture.mode.startswith(("I", "F")):  # 16 bits and more
                thinned = max(1, -(-max(picture.size) // side))
                pixels = np.asarray(picture)[np.newaxis, ::thinned, ::thinned]
                return _picture(pixels, pixels[0] != 0)
            has_alpha = "A" in picture.mode or "transparency" in picture.info
            small = picture.convert("RGBA" if has_alpha else "RGB")
    except UnidentifiedImageError:
        return None
    small.thumbnail((side, side))
    return small


def _picture(pixels: np.ndarray[Any, Any], has_data: np.ndarray[Any, Any]) -> Image.Image:
    """Return bands as a picture. They are stretched together, so that colours keep their balance."""
    import numpy as np
    from PIL import Image

    if pixels.dtype != np.uint8 or len(pixels) == 1:
        values = pixels[:, has_data].astype("float64")
        low, high = np.percentile(values, (2, 98)) if values.size else (0, 0)
        low, high = (low, high) if high > low else (low - 1, low + 1)  # one value is grey
        scaled = np.nan_to_num((pixels.astype("float64") - low) * (255 / (high - low)))
        pixels = scaled.clip(0, 255).astype("uint8")
    bands = [*pixels] if len(pixels) == 3 else [pixels[0]] * 3
    bands += [] if has_data.all() else [has_data.astype("uint8") * 255]
    return Image.fromarray(np.ascontiguousarray(np.stack(bands, axis=-1)))


def _encoded(picture: Image.Image, most: int) -> bytes | None:
    """Return a picture as WebP, coarser and then smaller, until it is small enough."""
    lossless: list[dict[str, Any]] = [{"lossless": True}] if max(picture.size) <= SHARP else []
    while True:
        for options in (*lossless, {"quality": 80}, {"quality": 60}, {"quality": 40}):
            file = BytesIO()
            picture.save(file, "WEBP", **options)
            if file.tell() <= most:
                return file.getvalue()
        if min(picture.size) < 2:
            return None
        picture = picture.resize((picture.width // 2, picture.height // 2))

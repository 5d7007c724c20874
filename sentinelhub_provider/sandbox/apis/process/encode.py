"""Writes arrays as files, with sample types, PNG, JPEG, GeoTIFF, and several files in one answer."""

from __future__ import annotations

import hashlib
import io
import math
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.apis.process.formats import JPEG, MULTIPART, PNG, Format
from sentinelhub_provider.sandbox.world.evalscripts.contract import Output
from sentinelhub_provider.sandbox.world.evalscripts.errors import script_error
from sentinelhub_provider.sandbox.world.grid import Grid

_DTYPES: Final[dict[str, Any]] = {
    "AUTO": np.uint8,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "FLOAT32": np.float32,
}
_ALLOWED: Final[dict[str, tuple[tuple[str, ...], tuple[int, ...]]]] = {
    PNG: (("AUTO", "UINT8", "UINT16"), (1, 2, 3, 4)),
    # The documentation asks for JPEG with four bands: what is transparent is lost.
    JPEG: (("AUTO", "UINT8"), (1, 3, 4)),
}


@dataclass(frozen=True)
class File:
    """One file of an answer."""

    name: str
    content_type: str
    content: bytes


def check_encodable(output: Output, form: Format) -> None:
    """Refuse a sample type or a number of bands that the format cannot hold."""
    if form.media_type not in _ALLOWED:
        return
    types, bands = _ALLOWED[form.media_type]
    if output.sample_type not in types:
        raise script_error(
            f"Output '{output.id}' has sampleType {output.sample_type}, which {form.media_type} cannot hold; "
            f"use one of {', '.join(types)}, or image/tiff."
        )
    if output.bands not in bands:
        raise script_error(
            f"Output '{output.id}' has {output.bands} bands, but {form.media_type} can hold only "
            f"{', '.join(map(str, bands))}; use image/tiff for other numbers."
        )


def to_samples(values: NDArray[np.float64], sample_type: str) -> NDArray[Any]:
    """Convert the evalscript's values. AUTO stretches 0..1 to 0..255. Whole numbers are rounded and clamped.

    NaN becomes 0 in a type of whole numbers.
    """
    dtype = _DTYPES[sample_type]
    if sample_type == "FLOAT32":
        return values.astype(np.float32)
    if sample_type == "AUTO":
        values = values * 255.0
    limits = np.iinfo(dtype)
    rounded = np.floor(np.nan_to_num(values, nan=0.0, posinf=limits.max, neginf=limits.min) + 0.5)
    return np.clip(rounded, limits.min, limits.max).astype(dtype)


def encode(pixels: NDArray[Any], grid: Grid, form: Format, nodata: float | None = None) -> bytes:
    """Write an image. ``pixels`` has the shape ``(bands, height, width)``. A GeoTIFF has CRS and transform."""
    if form.media_type == JPEG:
        return _write_jpeg(pixels, form.quality)
    if form.media_type == PNG:
        return _write(pixels, grid, {"driver": "PNG"})
    return _write_tiff(pixels, grid, nodata)


def _write_jpeg(pixels: NDArray[Any], quality: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    picture = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels[:3], 0, -1)
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=max(1, quality))
    return buffer.getvalue()


def _write_tiff(pixels: NDArray[Any], grid: Grid, nodata: float | None) -> bytes:
    from sentinelhub_provider.sandbox.world.gdal import CRS

    bands, height, width = pixels.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "crs": CRS.from_epsg(grid.epsg),
        "compress": "deflate",
        "interleave": "pixel",
        "photometric": "RGB" if bands in (3, 4) and pixels.dtype == np.uint8 else "MINISBLACK",
        # Strips of about 64 kB; GDAL's default, few rows each, compresses badly.
        "blockysize": max(1, min(height, 65_536 // (width * bands * pixels.dtype.itemsize))),
    }
    # Types of whole numbers have no NaN.
    if nodata is not None and (math.isfinite(nodata) or pixels.dtype.kind == "f"):
        profile["nodata"] = _fitting(nodata, pixels.dtype)
    return _write(pixels, grid, profile)


def _write(pixels: NDArray[Any], grid: Grid, profile: dict[str, Any]) -> bytes:
    from sentinelhub_provider.sandbox.world.gdal import MemoryFile

    bands, height, width = pixels.shape
    with MemoryFile() as memory:
        with memory.open(
            width=width, height=height, count=bands, dtype=pixels.dtype.name, transform=grid.transform, **profile
        ) as target:
            target.write(pixels)
        return bytes(memory.read())


def _fitting(nodata: float, dtype: np.dtype[Any]) -> float:
    whole = np.issubdtype(dtype, np.integer)
    limits: Any = np.iinfo(dtype) if whole else np.finfo(dtype)
    within = float(limits.min) <= nodata <= float(limits.max)
    if math.isfinite(nodata) and not (within and (not whole or nodata.is_integer())):
        raise script_error(f"nodataValue {nodata:g} does not fit the output's sample type {dtype.name.upper()}.")
    return nodata


def pack(files: Sequence[File], media_type: str) -> tuple[bytes, str]:
    """Put several files into one answer, a tar archive or a multipart message. Return body and content type."""
    if media_type == MULTIPART:
        digest = hashlib.sha256(b"".join(file.content for file in files)).hexdigest()[:32]
        parts = []
        for file in files:
            head = (
                f"--{digest}\r\nContent-Type: {file.content_type}\r\n"
                f'Content-Disposition: attachment; filename="{file.name}"\r\n\r\n'
            )
            parts.append(head.encode() + file.content + b"\r\n")
        return b"".join(parts) + f"--{digest}--\r\n".encode(), f"{MULTIPART}; boundary={digest}"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in files:
            member = tarfile.TarInfo(file.name)
            member.size = len(file.content)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue(), media_type

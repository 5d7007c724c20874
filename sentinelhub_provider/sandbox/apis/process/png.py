"""Writes PNG files of one to four channels at 8 or 16 bits.

Pillow has no 16-bit colour, and GDAL warns of a missing georeference, which a PNG never has; the format itself is
small (W3C, "Portable Network Graphics Specification").
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES: Final = {1: 0, 2: 4, 3: 2, 4: 6}
"""Grey, grey with alpha, colour, colour with alpha, by the number of channels."""

_FILTER_SUB: Final = 1
_LEVEL: Final = 6


def write_png(pixels: NDArray[Any]) -> bytes:
    """Encode an array of shape ``(channels, height, width)``, of type uint8 or uint16."""
    channels, height, width = pixels.shape
    depth = pixels.dtype.itemsize
    # Network byte order; the channels of a pixel stand together.
    rows = np.ascontiguousarray(np.moveaxis(pixels, 0, -1)).astype(f">u{depth}").view(np.uint8)
    rows = rows.reshape(height, width * channels * depth)
    # Each byte is stored as the difference to the same byte of the pixel to the left, modulo 256.
    step = channels * depth
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _FILTER_SUB
    filtered[:, 1 : 1 + step] = rows[:, :step]
    np.subtract(rows[:, step:], rows[:, :-step], out=filtered[:, 1 + step :])
    header = struct.pack(">IIBBBBB", width, height, 8 * depth, _COLOUR_TYPES[channels], 0, 0, 0)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(filtered.tobytes(), _LEVEL)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

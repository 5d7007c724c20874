"""What a TIFF's header says of its pixels (TIFF 6.0, BigTIFF), read without a raster library; and mosaics of them.

A mosaic is GDAL's virtual raster (VRT, gdal.org/drivers/raster/vrt.html): a text that says where each tile lies, and is
opened like a picture.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO
from xml.sax.saxutils import escape

from sentinelhub_provider.api.tiling import PixelGrid, Tile

_WIDTH, _HEIGHT, _BITS, _SAMPLES, _SAMPLE_FORMAT, _NODATA = 256, 257, 258, 277, 339, 42113
_WANTED = (_WIDTH, _HEIGHT, _BITS, _SAMPLES, _SAMPLE_FORMAT, _NODATA)
_CODES = {1: "B", 2: "c", 3: "H", 4: "I", 16: "Q"}
"""struct's letters for TIFF's field types BYTE, ASCII, SHORT, LONG and LONG8; no other holds the fields above."""

_TYPES = {
    (1, 8): "Byte",
    (1, 16): "UInt16",
    (1, 32): "UInt32",
    (2, 8): "Int8",
    (2, 16): "Int16",
    (2, 32): "Int32",
    (3, 32): "Float32",
    (3, 64): "Float64",
}
"""GDAL's names of sample types, by TIFF's sample format and bits."""


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """The first picture of a TIFF; ``data_type`` is GDAL's name, such as ``Float32``, ``nodata`` a text."""

    width: int
    height: int
    bands: int
    data_type: str
    nodata: str | None = None


def read_tiff_header(file: BinaryIO) -> TiffHeader:
    """Read the header of a seekable file. Raises ``ValueError`` for other than a TIFF as Sentinel Hub writes it."""
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 8:
        raise ValueError("it does not begin as a TIFF")
    (version,) = struct.unpack(order + "H", start[2:4])
    if version not in (42, 43) or (version == 43 and len(start) < 16):
        raise ValueError(f"it has the TIFF version {version}")
    big = version == 43
    (position,) = struct.unpack(order + "Q", start[8:16]) if big else struct.unpack(order + "I", start[4:8])
    fields = _fields(file, position, order, big=big)
    try:
        bits, forms = set(fields[_BITS]), set(fields.get(_SAMPLE_FORMAT, (1,)))
        data_type = _TYPES[(forms.pop(), bits.pop())] if len(bits) == len(forms) == 1 else None
        if data_type is None:
            raise ValueError("its bands are of different types")
        nodata = b"".join(fields[_NODATA]).rstrip(b"\0 ").decode("ascii") if _NODATA in fields else None
        return TiffHeader(
            fields[_WIDTH][0], fields[_HEIGHT][0], fields.get(_SAMPLES, (1,))[0], data_type, nodata or None
        )
    except (KeyError, IndexError) as error:
        raise ValueError(f"its header lacks or has an unknown {error}") from error


def _fields(file: BinaryIO, position: int, order: str, *, big: bool) -> dict[int, tuple[Any, ...]]:
    """Read the fields that matter of the directory at ``position``."""
    file.seek(position)
    count_size, entry_size, room = (8, 20, 8) if big else (2, 12, 4)
    (count,) = struct.unpack(order + ("Q" if big else "H"), _exactly(file, count_size))
    if count > 4096:
        raise ValueError(f"its header has {count} fields")
    entries = _exactly(file, count * entry_size)
    fields = {}
    for number in range(count):
        entry = entries[number * entry_size : (number + 1) * entry_size]
        tag, kind = struct.unpack(order + "HH", entry[:4])
        (length,) = struct.unpack(order + ("Q" if big else "I"), entry[4:-room])
        if tag not in _WANTED or kind not in _CODES or length > 65_536:
            continue
        form = f"{order}{length}{_CODES[kind]}"
        size = struct.calcsize(form)
        value = entry[-room:]
        if size > room:
            file.seek(struct.unpack(order + ("Q" if big else "I"), value)[0])
            value = _exactly(file, size)
        fields[tag] = struct.unpack(form, value[:size])
    return fields


def _exactly(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise ValueError("it ends within its header")
    return content


def vrt_lines(grid: PixelGrid, tiles: Iterable[tuple[Tile, str]], header: TiffHeader) -> Iterator[str]:
    """Yield the lines of a virtual raster of tiles at paths relative to it; without a tile there are no data, or 0."""
    placed = list(tiles)
    transform = (grid.box.min_x, grid.box.width / grid.width, 0.0, grid.box.max_y, 0.0, -grid.box.height / grid.height)
    yield f'<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">'
    yield f"  <SRS>EPSG:{grid.crs.epsg}</SRS>"
    yield f"  <GeoTransform>{', '.join(repr(number) for number in transform)}</GeoTransform>"
    for band in range(1, header.bands + 1):
        yield f'  <VRTRasterBand dataType="{header.data_type}" band="{band}">'
        if header.nodata is not None:
            yield f"    <NoDataValue>{escape(header.nodata)}</NoDataValue>"
        for tile, path in placed:
            yield "    <SimpleSource>"
            yield f'      <SourceFilename relativeToVRT="1">{escape(path)}</SourceFilename>'
            yield f"      <SourceBand>{band}</SourceBand>"
            yield (
                f'      <SourceProperties RasterXSize="{tile.width}" RasterYSize="{tile.height}" '
                f'DataType="{header.data_type}" />'
            )
            yield f'      <SrcRect xOff="0" yOff="0" xSize="{tile.width}" ySize="{tile.height}" />'
            yield (
                f'      <DstRect xOff="{tile.offset_x}" yOff="{tile.offset_y}" '
                f'xSize="{tile.width}" ySize="{tile.height}" />'
            )
            yield "    </SimpleSource>"
        yield "  </VRTRasterBand>"
    yield "</VRTDataset>"

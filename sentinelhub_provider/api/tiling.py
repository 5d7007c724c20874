"""Splits large areas into tiles that one request each can deliver, and joins the pictures of tiles.

The whole area is one pixel grid, the same as that of a single request of that size. Tiles are cut out of it along pixel
borders. So they cover it once, and neighbours have the same coordinates at their border, bit for bit. For a geometry,
there are only tiles that contain some of it.

Time and memory grow with the number of tiles. A mosaic of their pictures is GDAL's virtual raster (VRT,
gdal.org/drivers/raster/vrt.html), a text with the place of each tile, which opens like a picture. The facts about
their pixels come from a TIFF's header.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import repeat
from typing import Any, BinaryIO
from xml.sax.saxutils import escape

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from sentinelhub_provider.api.geo.bounds import MAX_SIDE, Bounds, Size, parse_bounds, parse_size
from sentinelhub_provider.api.geo.crs import Crs, parse_crs
from sentinelhub_provider.api.geo.geometry import BBox
from sentinelhub_provider.api.values import read_whole_number
from sentinelhub_provider.exceptions import SentinelHubRequestError

MAX_TILES = 1_000_000
"""More tiles are probably due to a wrong resolution. At 2500 px, they are 6 * 10^12 pixels."""

_SNAP = 1e-6
"""Distance in pixels from a pixel border that counts as on it. Decimal fractions of degrees are seldom exact."""
_KINDS = {"u": "UInt", "i": "Int", "f": "Float"}
"""GDAL's names of sample types, by numpy's kinds."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a grid, and the pixels of the whole that lie west and north of it, where rows and columns begin."""

    bbox: tuple[float, float, float, float]
    width: int
    height: int
    column: int
    row: int
    offset_x: int
    offset_y: int

    @property
    def name(self) -> str:
        """A name that sorts from north to south, then west to east, such as ``r0003_c0012``."""
        return f"r{self.row:04d}_c{self.column:04d}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as XCom and ``.expand()`` take them."""
        return {**asdict(self), "bbox": list(self.bbox)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Tile:
        """Make a tile of what :meth:`to_dict` returned."""
        west, south, east, north = values["bbox"]
        return cls(**{**values, "bbox": (west, south, east, north)})


@dataclass(frozen=True, slots=True)
class PixelGrid:
    """A north-up raster over a box in units of the CRS."""

    box: BBox
    width: int
    height: int
    crs: Crs

    @classmethod
    def of(cls, bounds: Bounds, size: Size) -> PixelGrid:
        """Return the grid that a single request of these bounds and this size would have."""
        return cls(bounds.box, size.width, size.height, bounds.crs)

    @classmethod
    def snapped(cls, box: BBox, pixel: tuple[float, float], crs: Crs) -> PixelGrid:
        """Widen a box to multiples of the pixel (units of the CRS), so that grids of all areas lie on each other."""
        px, py = pixel
        left, right = _border(box.min_x / px, math.floor), _border(box.max_x / px, math.ceil)
        bottom, top = _border(box.min_y / py, math.floor), _border(box.max_y / py, math.ceil)
        wide = BBox(left * px, bottom * py, right * px, top * py)
        return cls(wide, right - left, top - bottom, crs)

    def x(self, column: int) -> float:
        """Coordinate of the border west of a pixel column."""
        if column == self.width:
            return self.box.max_x
        return self.box.min_x + self.box.width * column / self.width

    def y(self, row: int) -> float:
        """Coordinate of the border north of a pixel row."""
        if row == self.height:
            return self.box.min_y
        return self.box.max_y - self.box.height * row / self.height

    def to_pixels(self, points: Any) -> Any:
        """Convert rows of x and y into pixels from the north-western corner. Values close to a border move onto it."""
        scale = np.array([self.width / self.box.width, self.height / self.box.height])
        pixels = (points - (self.box.min_x, self.box.max_y)) * scale * (1, -1)
        whole = np.rint(pixels)
        return np.where(np.abs(pixels - whole) < _SNAP, whole, pixels)


def split_bbox(bbox: Any, *, crs: Any = None, **raster: Any) -> list[Tile]:
    """Split a box into tiles, from north to south and west to east.

    Raises :class:`~sentinelhub_provider.exceptions.SentinelHubRequestError` for impossible bounds or sizes, and for
    more than ``MAX_TILES`` tiles.

    :param bbox: west, south, east, north.
    :param crs: CRS of the box. Default: longitude and latitude.
    :param raster: ``width``, ``height``, ``resolution``, ``max_size`` and ``snap`` of :func:`split`.
    """
    return split(parse_bounds(bbox=bbox, crs=crs), **raster)


def split_geometry(geometry: Any, *, crs: Any = None, **raster: Any) -> list[Tile]:
    """Split the box around a geometry into tiles, and return those that have some of the geometry inside.

    Parameters are those of :func:`split_bbox`. ``geometry`` is GeoJSON or WKT, Polygon or MultiPolygon. A tile that
    only touches the geometry's border is left out.
    """
    return split(parse_bounds(geometry=geometry, crs=crs), **raster)


def split(
    bounds: Bounds,
    *,
    width: Any = None,
    height: Any = None,
    resolution: Any = None,
    max_size: Any = MAX_SIDE,
    snap: bool = False,
) -> list[Tile]:
    """Split bounds that were read already.

    :param width: pixels of the whole area, unless ``resolution`` is given.
    :param height: pixels of the whole area.
    :param resolution: metres per pixel.
    :param max_size: largest side of a tile, in pixels.
    :param snap: widen the area to multiples of the resolution (projected CRS only), so that pictures of different
        areas have common pixels. Without it, the whole is exactly the picture of a single request.
    """
    size = parse_size(bounds, width=width, height=height, resolution=resolution, max_side=None)
    grid = PixelGrid.of(bounds, size)
    if snap:
        if size.resolution is None:
            raise SentinelHubRequestError(
                f"snap=True needs a resolution in a projected CRS; the pixels of {bounds.crs} with the given size lie "
                "on no common grid."
            )
        grid = PixelGrid.snapped(bounds.box, size.resolution, bounds.crs)
    return list(tiles_of(grid, bounds.geometry and bounds.geometry.shape, max_size=max_size))


def tiles_of(grid: PixelGrid, shape: BaseGeometry | None = None, *, max_size: Any = MAX_SIDE) -> Iterator[Tile]:
    """Yield the tiles of a grid, from north to south and west to east, that have some of a valid shape inside."""
    max_size = read_whole_number(max_size, "max_size", most=MAX_SIDE, of="pixels")
    columns, rows = -(-grid.width // max_size), -(-grid.height // max_size)
    if columns * rows > MAX_TILES:
        raise SentinelHubRequestError(
            f"the area would be {columns} x {rows} = {columns * rows:,} tiles of {max_size} pixels; {MAX_TILES:,} are "
            "the limit. Take a coarser resolution, or larger tiles, or split the area first.",
            field="max_size",
        )
    edges_x = [grid.x(min(column * max_size, grid.width)) for column in range(columns + 1)]
    wanted = repeat(range(columns), rows) if shape is None else _wanted_by_row(grid, shape, max_size, columns, rows)
    for row, some in enumerate(wanted):
        offset_y = row * max_size
        high = min(max_size, grid.height - offset_y)
        north, south = grid.y(offset_y), grid.y(offset_y + high)
        for column in map(int, some):
            offset_x = column * max_size
            wide = min(max_size, grid.width - offset_x)
            box = (edges_x[column], south, edges_x[column + 1], north)
            yield Tile(box, wide, high, column, row, offset_x, offset_y)


def _wanted_by_row(grid: PixelGrid, shape: BaseGeometry, max_size: int, columns: int, rows: int) -> Iterator[Any]:
    """Yield for each row of tiles the columns of those that have some of a shape inside."""
    in_pixels = shapely.transform(shape, grid.to_pixels)
    shapely.prepare(in_pixels)
    # A little inside of each tile: what only touches its border leaves it out.
    west = np.arange(columns) * max_size
    east = np.minimum(west + max_size, grid.width) - _SNAP
    for row in range(rows):
        north = row * max_size
        south = min(north + max_size, grid.height)
        boxes = shapely.box(west + _SNAP, north + _SNAP, east, south - _SNAP)
        yield np.flatnonzero(shapely.intersects(in_pixels, boxes))


def _border(pixels: float, towards: Callable[[float], int]) -> int:
    """Round to a pixel border in one direction, unless one is close."""
    whole = round(pixels)
    return whole if abs(pixels - whole) < _SNAP else towards(pixels)


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """The first picture of a TIFF. ``data_type`` is GDAL's name, such as ``Float32``. ``nodata`` is a text."""

    width: int
    height: int
    bands: int
    data_type: str
    nodata: str | None = None


def read_tiff_header(file: BinaryIO) -> TiffHeader:
    """Read the header of a seekable file. Raises ``ValueError`` for other than a TIFF as Sentinel Hub writes it."""
    from tifffile import TiffFile, TiffFileError

    try:
        page = TiffFile(file).pages.first
        if page.dtype is None:
            raise ValueError("its bands are of different types")
        data_type = f"{_KINDS[page.dtype.kind]}{page.dtype.itemsize * 8}".replace("UInt8", "Byte")
        nodata = page.tags["GDAL_NODATA"].value.strip() if "GDAL_NODATA" in page.tags else None
        return TiffHeader(page.imagewidth, page.imagelength, page.samplesperpixel, data_type, nodata or None)
    except (TiffFileError, AttributeError, LookupError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"it has no header as Sentinel Hub writes it ({error})") from error


def read_tiff_grid(file: BinaryIO) -> tuple[Bounds, Size]:
    """Return the box and the size in pixels of a GeoTIFF, from a seekable file.

    Raises ``ValueError`` for another file, for a grid that does not point north, and for a CRS without EPSG code.
    """
    from tifffile import TiffFile, TiffFileError

    try:
        page = TiffFile(file).pages.first
        tags = page.geotiff_tags or {}
        x, y, _ = tags["ModelPixelScale"]
        column, row, _, west, north, _ = tags["ModelTiepoint"]
        crs = parse_crs(int(tags.get("ProjectedCSTypeGeoKey") or tags["GeographicTypeGeoKey"]))
        if int(tags.get("GTRasterTypeGeoKey", 1)) == 2:  # its coordinates are those of pixels' centres
            column, row = column + 0.5, row + 0.5
        size = Size(page.imagewidth, page.imagelength)
    except (TiffFileError, AttributeError, LookupError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"it has no header as Sentinel Hub writes it ({error})") from error
    left, top = west - column * x, north + row * y
    return Bounds(BBox(left, top - size.height * y, left + size.width * x, top), crs), size


def vrt_lines(grid: PixelGrid, tiles: Iterable[tuple[Tile, str]], header: TiffHeader) -> Iterator[str]:
    """Yield the lines of a virtual raster of tiles at paths relative to it. Other places have no data, or 0."""
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
            sides = f'xSize="{tile.width}" ySize="{tile.height}"'
            yield f"""    <SimpleSource>
      <SourceFilename relativeToVRT="1">{escape(path)}</SourceFilename>
      <SourceBand>{band}</SourceBand>
      <SourceProperties RasterXSize="{tile.width}" RasterYSize="{tile.height}" DataType="{header.data_type}" />
      <SrcRect xOff="0" yOff="0" {sides} />
      <DstRect xOff="{tile.offset_x}" yOff="{tile.offset_y}" {sides} />
    </SimpleSource>"""
        yield "  </VRTRasterBand>"
    yield "</VRTDataset>"

"""
A mosaic as GDAL's virtual raster (VRT): a text that says where each tile lies, and is opened like a picture.

Source: gdal.org/drivers/raster/vrt.html. GDAL, rasterio and QGIS read it; tiles are named relative to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from sentinelhub_provider.api.tiff import TiffHeader
from sentinelhub_provider.api.tiling import PixelGrid, Tile


def vrt_lines(grid: PixelGrid, tiles: Iterable[tuple[Tile, str]], header: TiffHeader) -> Iterator[str]:
    """Yield the lines of a virtual raster of tiles at paths relative to it; without a tile there are no data, or 0."""
    placed = list(tiles)
    transform = (
        grid.box.min_x,
        grid.box.width / grid.width,
        0.0,
        grid.box.max_y,
        0.0,
        -grid.box.height / grid.height,
    )
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

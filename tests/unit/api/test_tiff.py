"""TIFF headers and virtual rasters, held against what GDAL says of them."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio

from sentinelhub_provider.api.tiling import TiffHeader, read_tiff_grid, read_tiff_header

GDAL_NAMES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "float32": "Float32",
}
WARNING = "ignore::rasterio.errors.NotGeoreferencedWarning"


@pytest.mark.filterwarnings(WARNING)
@pytest.mark.parametrize("dtype", GDAL_NAMES)
@pytest.mark.parametrize("bands", [1, 3, 12])
@pytest.mark.parametrize("options", [{}, {"bigtiff": "YES"}, {"endianness": "BIG"}], ids=["plain", "big", "big-endian"])
def test_header_says_what_gdal_wrote(tmp_path: Path, dtype: str, bands: int, options: dict[str, str]):
    """Whatever the kind of samples, and of TIFF."""
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", width=7, height=5, count=bands, dtype=dtype, **options) as target:
        target.write(np.zeros((bands, 5, 7), dtype))
    with path.open("rb") as file:
        header = read_tiff_header(file)

    assert header == TiffHeader(7, 5, bands, GDAL_NAMES[dtype])


@pytest.mark.filterwarnings(WARNING)
def test_no_data_value_is_read(tmp_path: Path):
    """GDAL keeps it as text."""
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", width=1, height=1, count=1, dtype="int16", nodata=-9999):
        pass
    with path.open("rb") as file:
        assert read_tiff_header(file).nodata == "-9999"


VALUES = (struct.pack("<HHII", tag, 3, count, 8) for tag, count in ((256, 0), (257, 0), (258, 1)))
EMPTY_FIELDS = b"II*\0\x08\0\0\0" + struct.pack("<H12s12s12sI", 3, *VALUES, 0)


@pytest.mark.parametrize(
    "content",
    [b"", b"II", b"\x89PNG\r\n\x1a\n" * 4, b"II*\0\x08\0\0\0", b"II*\0\xff\xff\xff\0" + b"\0" * 8, EMPTY_FIELDS],
)
def test_what_is_no_tiff_is_refused(content: bytes):
    """Empty, too short, another format, cut off, or without values."""
    with pytest.raises(ValueError, match="it"):
        read_tiff_header(io.BytesIO(content))


@pytest.mark.parametrize("epsg", [4326, 32633, 3035, 32719])
@pytest.mark.parametrize("is_point", [False, True], ids=["area", "point"])
@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_grid_is_where_gdal_put_it(tmp_path: Path, epsg: int, is_point: bool, driver: str):
    """Whichever corner of a pixel its coordinates stand for."""
    path = tmp_path / "a.tif"
    whole = {"driver": driver, "width": 70, "height": 50, "count": 2, "dtype": "float32", "crs": f"EPSG:{epsg}"}
    with rasterio.open(path, "w", transform=rasterio.Affine(0.5, 0, 13.25, 0, -0.25, 46), **whole) as target:
        target.write(np.zeros((2, 50, 70), "float32"))
        if is_point:
            target.update_tags(AREA_OR_POINT="Point")
    with path.open("rb") as file:
        bounds, size = read_tiff_grid(file)

    with rasterio.open(path) as raster:
        assert tuple(bounds.box) == pytest.approx(tuple(raster.bounds), abs=1e-9)
    assert (bounds.crs.epsg, size.width, size.height) == (epsg, 70, 50)


@pytest.mark.filterwarnings(WARNING)
@pytest.mark.parametrize(
    "grid",
    [
        {},
        {"crs": "EPSG:32633", "transform": rasterio.Affine(7, 7, 500_000, 7, -7, 5_000_000)},
        {"crs": "+proj=laea +lat_0=1 +lon_0=2", "transform": rasterio.Affine(7, 0, 0, 0, -7, 0)},
    ],
    ids=["none", "turned", "CRS without a code"],
)
def test_a_grid_that_cannot_be_told_is_refused(tmp_path: Path, grid: dict[str, object]):
    """Rather than a wrong one is taken for it."""
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", width=7, height=5, count=1, dtype="uint8", **grid) as target:
        target.write(np.zeros((1, 5, 7), "uint8"))
    with path.open("rb") as file, pytest.raises(ValueError, match="header"):
        read_tiff_grid(file)

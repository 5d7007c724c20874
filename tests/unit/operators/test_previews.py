from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import rasterio.shutil
from PIL import Image

from sentinelhub_provider.api.imagery import MOST_BYTES, MOST_SIDE, webp_size
from sentinelhub_provider.operators import previews
from sentinelhub_provider.operators.previews import preview_of


def tiff(path: Path, bands: np.ndarray, **profile) -> Path:
    """Write bands as a GeoTIFF."""
    count, height, width = bands.shape
    given = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands.dtype.name}
    with rasterio.open(
        path, "w", **given, crs=4326, transform=rasterio.Affine(1e-4, 0, 10, 0, -1e-4, 45), **profile
    ) as file:
        file.write(bands)
    return path


def shown(webp: bytes | None) -> np.ndarray:
    """Return a preview's pixels, as red, green, blue and opacity."""
    assert webp is not None
    assert len(webp) <= MOST_BYTES
    assert max(webp_size(webp)) <= MOST_SIDE
    return np.asarray(Image.open(BytesIO(webp)).convert("RGBA")).astype(int)


def ramp(height: int, width: int, low: float, high: float) -> np.ndarray:
    """Values that grow from left to right."""
    return np.broadcast_to(np.linspace(low, high, width), (height, width))


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("float32", 0.1, 0.9), ("uint16", 200, 9000), ("int16", -60, -5), ("uint8", 3, 7)]
)
def test_values_of_one_band_are_stretched(dtype: str, low: float, high: float, tmp_path: Path):
    """Whatever they mean: the 2nd of their percentiles is black, the 98th white."""
    file = tiff(tmp_path / "a.tif", ramp(60, 100, low, high).astype(dtype)[None])

    pixels = shown(preview_of(file))

    assert pixels.shape[:2] == (60, 100)
    assert pixels[30, 3, 0] <= 12
    assert pixels[30, 97, 0] >= 243
    assert (pixels[..., 3] == 255).all()


def test_colours_of_eight_bit_stay_as_they_are(tmp_path: Path):
    """They were made to be looked at."""
    bands = np.stack([np.full((50, 50), value, "uint8") for value in (40, 90, 60)])

    pixels = shown(preview_of(tiff(tmp_path / "a.tif", bands)))

    assert abs(pixels[25, 25, :3] - [40, 90, 60]).max() <= 2


@pytest.mark.parametrize("missing", ["zero", "nan", "nodata", "alpha"])
def test_pixels_without_data_are_transparent(missing: str, tmp_path: Path):
    """The others are stretched without them."""
    bands = ramp(40, 40, 100, 200).astype("float32")[None].copy()
    profile = {}
    if missing == "alpha":
        bands, profile = (
            np.stack([bands[0], np.ones((40, 40), "float32")]),
            {"photometric": "minisblack", "alpha": "yes"},
        )
        bands[1, :20] = 0
    else:
        bands[0, :20] = {"zero": 0, "nan": np.nan, "nodata": -9999}[missing]
    if missing == "nodata":
        profile = {"nodata": -9999}

    pixels = shown(preview_of(tiff(tmp_path / "a.tif", bands, **profile)))

    assert (pixels[2:18, 2:38, 3] == 0).all()
    assert (pixels[22:, :, 3] == 255).all()
    assert pixels[30, 38, 0] > 235


@pytest.mark.parametrize("tiled", [True, False], ids=["tiles", "strips"])
def test_large_pictures_are_thinned_out(tiled: bool, tmp_path: Path):
    """Each pixel of the preview is one of the picture, from where it lies."""
    profile = {"tiled": True, "blockxsize": 256, "blockysize": 256} if tiled else {}
    rows, columns = np.mgrid[0:1500, 0:900]
    bands = np.stack([rows * 255 // 1500, columns * 255 // 900, 0 * rows + 9]).astype("uint8")

    pixels = shown(preview_of(tiff(tmp_path / "a.tif", bands, **profile)))

    assert pixels.shape[:2] == (384, 230)
    assert abs(pixels[192, 115, :3] - [127, 127, 9]).max() <= 6
    assert abs(pixels[300, 200, :2] - [300 * 255 // 384, 200 * 255 // 230]).max() <= 6


def test_a_virtual_raster_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """GDAL calls its blocks small. Read block by block, a large one takes seconds."""
    profile = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    source = tiff(tmp_path / "source.tif", ramp(1000, 2000, 0, 2000).astype("uint16")[None], **profile)
    rasterio.shutil.copy(source, tmp_path / "a.vrt", driver="VRT")
    opened: list[object] = []
    really_open = rasterio.open
    monkeypatch.setattr(rasterio, "open", lambda *paths, **more: opened.append(paths) or really_open(*paths, **more))

    pixels = shown(preview_of(tmp_path / "a.vrt"))

    assert len(opened) == 1
    assert (np.diff(pixels[100, :, 0]) >= -8).all()  # WebP's noise apart, it grows from left to right


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_pictures_for_people_are_made_smaller(suffix: str, tmp_path: Path):
    """As Pillow reads them."""
    Image.new("RGB", (1000, 500), (10, 120, 200)).save(tmp_path / f"a.{suffix}")

    pixels = shown(preview_of(tmp_path / f"a.{suffix}"))

    assert pixels.shape[:2] == (192, 384)
    assert abs(pixels[90, 90, :3] - [10, 120, 200]).max() <= 4


@pytest.mark.parametrize("count", [1, 3, 4], ids=["grey", "colours", "colours with opacity"])
def test_png_of_sixteen_bit_is_stretched(count: int, tmp_path: Path):
    """So is a GeoTIFF of the same values."""
    bands = np.stack([ramp(50, 800, 1000, 3000)] * count).astype("uint16")
    bands[3:] = 65535
    profile = {"driver": "PNG", "count": count, "height": 50, "width": 800, "dtype": "uint16"}
    with rasterio.open(tmp_path / "a.png", "w", **profile) as file:
        file.write(bands)

    pixels = shown(preview_of(tmp_path / "a.png"))

    assert pixels.shape[:2] == (24, 384)
    assert pixels[5, 3, 0] <= 12
    assert pixels[5, -4, 0] >= 243
    assert (pixels[..., 3] == 255).all()


def test_noise_becomes_coarser_until_it_fits(tmp_path: Path):
    """It hardly compresses."""
    noise = np.random.default_rng(0).integers(1, 255, (3, 400, 400), dtype="uint8")
    file = tiff(tmp_path / "a.tif", noise)

    assert len(preview_of(file)) <= MOST_BYTES
    small = preview_of(file, most=3000)
    assert len(small) <= 3000
    assert max(webp_size(small)) < MOST_SIDE
    assert preview_of(file, most=10) is None


def test_small_pictures_keep_their_pixels(tmp_path: Path):
    """A page enlarges them."""
    noise = np.random.default_rng(0).integers(1, 255, (3, 9, 5), dtype="uint8")

    pixels = shown(preview_of(tiff(tmp_path / "a.tif", noise)))

    np.testing.assert_array_equal(pixels[..., :3], noise.transpose(1, 2, 0))


@pytest.mark.parametrize("content", [b"", b"no picture", b'{"a": 1}'])
def test_what_is_no_picture_has_no_preview(content: bytes, tmp_path: Path):
    """The evalscript's own JSON, for example."""
    (tmp_path / "a.json").write_bytes(content)

    assert preview_of(tmp_path / "a.json") is None


def test_formats_that_name_other_files_are_not_read(tmp_path: Path):
    """A virtual raster of any address may bear the suffix of a GeoTIFF, and a program of PostScript that of a PNG."""
    file = tiff(tmp_path / "a.tif", np.ones((1, 9, 9), "uint8"))
    source = f"<SimpleSource><SourceFilename>{file}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    band = f'<VRTRasterBand dataType="Byte" band="1">{source}</VRTRasterBand>'
    (tmp_path / "b.tif").write_text(f'<VRTDataset rasterXSize="9" rasterYSize="9">{band}</VRTDataset>')
    Image.new("RGB", (9, 9)).save(tmp_path / "b.png", "EPS")

    with pytest.raises(rasterio.errors.RasterioIOError):
        preview_of(tmp_path / "b.tif")
    assert preview_of(tmp_path / "b.png") is None


def test_there_is_no_preview_without_the_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And no failure."""
    file = tiff(tmp_path / "a.tif", np.ones((1, 9, 9), "uint8"))
    for name in ("rasterio", "PIL"):
        monkeypatch.setitem(sys.modules, name, None)

    assert preview_of(file) is None


@pytest.mark.parametrize("limit", ["MOST_PIXELS", "MOST_PIXELS_OF_TIFF"])
def test_the_largest_pictures_are_left_alone(limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """They would have to be decoded as a whole."""
    Image.new("L", (30, 30), 9).save(tmp_path / "a.png")
    file = tiff(tmp_path / "a.tif", np.ones((1, 30, 30), "uint8")) if "TIFF" in limit else tmp_path / "a.png"
    assert preview_of(file) is not None
    monkeypatch.setattr(previews, limit, 800)

    assert preview_of(file) is None

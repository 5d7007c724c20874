"""The Process API: from a request's body to an image."""

from __future__ import annotations

import io
import json
import tarfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email import message_from_bytes
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from sentinelhub_provider.sandbox.apis.process.processing_units import processing_units
from sentinelhub_provider.sandbox.apis.process.render import process
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.grid import Grid
from sentinelhub_provider.sandbox.world.scenes import SyntheticScenes

UTM_BOX = (424_000.0, 5_096_000.0, 426_560.0, 5_098_560.0)
"""Metres in EPSG:32633: what the requests cover unless they say otherwise."""

UTM_33N = "http://www.opengis.net/def/crs/EPSG/0/32633"
TRUE_COLOR = """//VERSION=3
function setup() {
  return { input: ["B02", "B03", "B04"], output: { bands: 3 } };
}
function evaluatePixel(sample) {
  return [2.5 * sample.B04, 2.5 * sample.B03, 2.5 * sample.B02];
}
"""

Body = Callable[..., dict[str, Any]]


def tiff(content: bytes) -> tuple[np.ndarray, dict[str, Any]]:
    """Read an image back: values and profile."""
    with MemoryFile(content) as memory, memory.open() as image:
        return image.read(), {**image.profile, "bounds": image.bounds}


def script(
    returned: str, bands: int = 1, sample_type: str = "AUTO", inputs: str = '["B04", "B08"]', more: str = ""
) -> str:
    """Write an evalscript that returns an expression."""
    return (
        f"//VERSION=3\nfunction setup() {{ return {{ input: {inputs}, "
        f'output: {{ bands: {bands}, sampleType: "{sample_type}" {more} }} }}; }}\n'
        f"function evaluatePixel(s) {{ return {returned}; }}"
    )


def test_ndvi_is_ndvi(source: SyntheticScenes, body: Body):
    """The TIFF's values are those that numpy computes from the clearest scene's bands."""
    result = process(body(), accept=None, source=source)
    values, _ = tiff(result.content)
    start, end = datetime(2024, 6, 1, tzinfo=UTC), datetime(2024, 6, 30, 23, 59, 59, tzinfo=UTC)
    grid = Grid.from_bounds(32633, UTM_BOX, 64, 64)
    scene = min(
        source.search("sentinel-2-l2a", bbox=grid.lonlat_bounds(), start=start, end=end),
        key=lambda scene: scene.cloud_cover or 0.0,
    )
    bands = scene.read(["B04", "B08"], grid)
    red, near_infrared = bands["B04"].astype(float), bands["B08"].astype(float)
    np.testing.assert_allclose(values[0], (near_infrared - red) / (near_infrared + red), rtol=1e-6)
    assert values[0].std() > 0.05


def test_a_tiff_knows_where_it_lies(source: SyntheticScenes, body: Body):
    """CRS, transform, size, type: as requested."""
    _, profile = tiff(process(body(), accept=None, source=source).content)
    assert profile["crs"].to_epsg() == 32633
    assert tuple(profile["bounds"]) == UTM_BOX
    assert (profile["width"], profile["height"], profile["count"], profile["dtype"]) == (64, 64, 1, "float32")


@pytest.mark.parametrize(
    "crs", [None, "http://www.opengis.net/def/crs/OGC/1.3/CRS84", "http://www.opengis.net/def/crs/EPSG/0/4326"]
)
def test_degrees_are_longitude_first(source: SyntheticScenes, body: Body, crs: str | None):
    """Without a CRS, and with either name of WGS 84, a box is west, south, east, north."""
    bounds: dict[str, Any] = {"bbox": [14.02, 46.02, 14.06, 46.05]}
    if crs:
        bounds["properties"] = {"crs": crs}
    values, profile = tiff(process(body(bounds=bounds), accept=None, source=source).content)
    assert profile["crs"].to_epsg() == 4326
    assert tuple(profile["bounds"]) == pytest.approx((14.02, 46.02, 14.06, 46.05))
    assert (values != 0).all()


def test_web_mercator_and_laea_are_rendered(source: SyntheticScenes, body: Body):
    """Any CRS of the list works, also one that goes through PROJ."""
    for epsg, box in (
        (3857, [1_561_000, 5_780_000, 1_564_000, 5_783_000]),
        (3035, [4_640_000, 2_560_000, 4_643_000, 2_563_000]),
    ):
        bounds = {"bbox": box, "properties": {"crs": f"http://www.opengis.net/def/crs/EPSG/0/{epsg}"}}
        values, profile = tiff(process(body(bounds=bounds), accept=None, source=source).content)
        assert profile["crs"].to_epsg() == epsg
        assert (values != 0).all()


def test_a_mosaic_of_tiles_equals_one_request(source: SyntheticScenes, body: Body):
    """Four requests side by side give the pixels of one over all."""
    min_x, min_y, max_x, max_y = UTM_BOX
    mid_x, mid_y = (min_x + max_x) / 2, (min_y + max_y) / 2

    def part(x1: float, y1: float, x2: float, y2: float, size: int) -> np.ndarray:
        bounds = {"bbox": [x1, y1, x2, y2], "properties": {"crs": UTM_33N}}
        made = body(TRUE_COLOR, bounds=bounds, output={"width": size, "height": size})
        return tiff(process(made, accept="image/tiff", source=source).content)[0]

    north = np.concatenate([part(min_x, mid_y, mid_x, max_y, 32), part(mid_x, mid_y, max_x, max_y, 32)], axis=2)
    south = np.concatenate([part(min_x, min_y, mid_x, mid_y, 32), part(mid_x, min_y, max_x, mid_y, 32)], axis=2)
    np.testing.assert_array_equal(np.concatenate([north, south], axis=1), part(*UTM_BOX, 64))


def test_a_box_across_two_tiles_is_filled(source: SyntheticScenes, body: Body):
    """A box over the border of two tiles shows both."""
    bounds = {"bbox": [14.0, 45.98, 14.1, 46.1]}
    mask = script("[s.dataMask]", inputs='["dataMask"]', sample_type="UINT8")
    values, _ = tiff(process(body(mask, bounds=bounds), accept=None, source=source).content)
    assert (values == 1).all()


def test_resolution_instead_of_size(source: SyntheticScenes, body: Body):
    """Resx and resy are in units of the CRS and give width and height."""
    _, profile = tiff(process(body(output={"resx": 20, "resy": 40}), accept=None, source=source).content)
    assert (profile["width"], profile["height"]) == (128, 64)


def test_the_default_size_is_256_and_the_default_format_png(source: SyntheticScenes, body: Body):
    """Without an output object, the answer is a PNG of 256 x 256 pixels."""
    request = body(TRUE_COLOR, None)
    del request["output"]
    result = process(request, accept="*/*", source=source)
    image = Image.open(io.BytesIO(result.content))
    assert (result.content_type, image.format, image.size, image.mode) == ("image/png", "PNG", (256, 256), "RGB")


def test_auto_stretches_0_1_to_0_255_and_whole_types_round_and_clamp(source: SyntheticScenes, body: Body):
    """The documented conversions, with values chosen to hit the limits."""
    cases = {
        "AUTO": ("[-1, 0, 0.5, 1, 2, NaN]", [0, 0, 128, 255, 255, 0]),
        "UINT8": ("[-1, 0, 40.6, 255, 310, NaN]", [0, 0, 41, 255, 255, 0]),
        "INT8": ("[-200, -1, 0, 40.4, 127, 310]", [-128, -1, 0, 40, 127, 127]),
        "UINT16": ("[-1, 0, 40.6, 65535, 70000, Infinity]", [0, 0, 41, 65535, 65535, 65535]),
        "INT16": ("[-40000, -1.6, 0, 5, 32767, 40000]", [-32768, -2, 0, 5, 32767, 32767]),
        "UINT32": ("[-1, 0, 40.6, 65535, 70000, 4294967295]", [0, 0, 41, 65535, 70000, 4294967295]),
    }
    for sample_type, (returned, expected) in cases.items():
        made = body(script(returned, 6, sample_type), output={"width": 2, "height": 2})
        values, profile = tiff(process(made, accept=None, source=source).content)
        assert values[:, 0, 0].tolist() == expected, sample_type
        assert profile["dtype"] == ("uint8" if sample_type == "AUTO" else sample_type.lower())


@pytest.mark.parametrize(
    ("bands", "sample_type", "mode"),
    [(1, "AUTO", "L"), (2, "AUTO", "LA"), (3, "UINT8", "RGB"), (4, "AUTO", "RGBA"), (1, "UINT16", "I;16")],
)
def test_png_in_all_its_forms(source: SyntheticScenes, body: Body, bands: int, sample_type: str, mode: str):
    """One to four bands, 8 and 16 bits."""
    scale = {"AUTO": 1 / 255, "UINT8": 1, "UINT16": 250}[sample_type]
    values = ", ".join(str(value * scale) for value in (10, 20, 30, 40)[:bands])
    result = process(body(script(f"[{values}]", bands, sample_type), "image/png"), accept=None, source=source)
    image = Image.open(io.BytesIO(result.content))
    assert image.mode == mode
    first = image.getpixel((5, 5))
    assert first == (tuple((10, 20, 30, 40)[:bands]) if bands > 1 else (10 * (250 if sample_type == "UINT16" else 1)))


def test_16_bit_png_in_colour(source: SyntheticScenes, body: Body):
    """Three bands of 16 bits keep all their bits."""
    result = process(body(script("[1000, 20000, 65535]", 3, "UINT16"), "image/png"), accept=None, source=source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        assert tiff(result.content)[0][:, 3, 3].tolist() == [1000, 20000, 65535]


def test_jpeg_and_its_quality(source: SyntheticScenes, body: Body):
    """A lower quality makes a smaller file."""
    sizes = []
    for quality in (20, 95):
        made = body(
            TRUE_COLOR,
            None,
            output={
                "width": 64,
                "height": 64,
                "responses": [{"identifier": "default", "format": {"type": "image/jpeg", "quality": quality}}],
            },
        )
        result = process(made, accept=None, source=source)
        assert Image.open(io.BytesIO(result.content)).format == "JPEG"
        sizes.append(len(result.content))
    assert sizes[0] < sizes[1]


def test_nodata_is_tagged(source: SyntheticScenes, body: Body):
    """NodataValue ends up in the TIFF's tag."""
    made = body(script("[7]", 1, "INT16", more=", nodataValue: -999"))
    assert tiff(process(made, accept=None, source=source).content)[1]["nodata"] == -999


@pytest.mark.parametrize(
    ("value", "sample_type", "tag"),
    [
        ("NaN", "FLOAT32", "nan"),
        ("-Infinity", "FLOAT32", "-inf"),
        ("NaN", "UINT8", "None"),
        ("-9999", "FLOAT32", "-9999.0"),
    ],
)
def test_no_data_may_be_no_number(source: SyntheticScenes, body: Body, value: str, sample_type: str, tag: str):
    """NaN stands for no data in many scripts; types of whole numbers have none, and leave the tag away."""
    made = body(script("[7]", 1, sample_type, more=f", nodataValue: {value}"))
    assert str(tiff(process(made, accept=None, source=source).content)[1]["nodata"]) == tag


@pytest.mark.parametrize(
    ("value", "sample_type"), [("1e40", "FLOAT32"), ("Number.MAX_VALUE", "FLOAT32"), ("-1", "UINT8")]
)
def test_no_data_that_the_type_cannot_hold_is_refused(
    source: SyntheticScenes, body: Body, value: str, sample_type: str
):
    """The message names value and type."""
    with pytest.raises(ApiError, match="does not fit the output's sample type"):
        process(body(script("[7]", 1, sample_type, more=f", nodataValue: {value}")), accept=None, source=source)


def test_a_size_may_be_written_with_a_decimal_point(source: SyntheticScenes, body: Body):
    """JSON knows no difference between 8 and 8.0."""
    result = process(body(output={"width": 8.0, "height": 8}, media_type=None), accept="image/tiff", source=source)
    assert tiff(result.content)[1]["width"] == 8


def test_accept_beats_the_format(source: SyntheticScenes, body: Body):
    """The header has the last word; anything goes with */*."""
    assert process(body(TRUE_COLOR, "image/tiff"), accept="image/png", source=source).content_type == "image/png"
    assert process(body(TRUE_COLOR, "image/tiff"), accept="*/*", source=source).content_type == "image/tiff"
    weighed = "image/jpeg;q=0.5, image/png;q=0.9, */*;q=0.1"
    assert process(body(TRUE_COLOR), accept=weighed, source=source).content_type == "image/png"


MANY = """//VERSION=3
function setup() {
  return {
    input: ["B04", "B08"],
    output: [{ id: "ndvi", bands: 1, sampleType: SampleType.FLOAT32 }, { id: "picture", bands: 3 }]
  };
}
function evaluatePixel(s) {
  return { ndvi: [index(s.B08, s.B04)], picture: [s.B04, s.B04, s.B08] };
}
function updateOutputMetadata(scenes, inputMetadata, outputMetadata) {
  outputMetadata.userData = { factor: inputMetadata.normalizationFactor };
}
"""
MANY_RESPONSES = [
    {"identifier": "ndvi", "format": {"type": "image/tiff"}},
    {"identifier": "picture", "format": {"type": "image/png"}},
    {"identifier": "userdata", "format": {"type": "application/json"}},
]


@pytest.mark.parametrize("media_type", ["application/tar", "application/x-tar"])
def test_several_outputs_come_as_tar(source: SyntheticScenes, body: Body, media_type: str):
    """Each response is a file named by its identifier."""
    made = body(MANY, None, output={"width": 16, "height": 16, "responses": MANY_RESPONSES})
    result = process(made, accept=media_type, source=source)
    assert result.content_type == media_type
    with tarfile.open(fileobj=io.BytesIO(result.content)) as archive:
        assert archive.getnames() == ["ndvi.tif", "picture.png", "userdata.json"]
        assert json.load(archive.extractfile("userdata.json")) == {"factor": 0.0001}
        assert tiff(archive.extractfile("ndvi.tif").read())[1]["dtype"] == "float32"


def test_several_outputs_come_as_multipart(source: SyntheticScenes, body: Body):
    """The same files as parts of a message."""
    made = body(MANY, None, output={"width": 16, "height": 16, "responses": MANY_RESPONSES})
    result = process(made, accept="multipart/mixed", source=source)
    message = message_from_bytes(f"Content-Type: {result.content_type}\r\n\r\n".encode() + result.content)
    assert [part.get_content_type() for part in message.get_payload()] == [
        "image/tiff",
        "image/png",
        "application/json",
    ]
    assert message.get_payload()[1].get_payload(decode=True)[:4] == b"\x89PNG"


def test_user_data_alone(source: SyntheticScenes, body: Body):
    """A single response userdata is JSON."""
    made = body(MANY, None, output={"width": 4, "height": 4, "responses": MANY_RESPONSES[2:]})
    result = process(made, accept=None, source=source)
    assert (result.content_type, json.loads(result.content)) == ("application/json", {"factor": 0.0001})


def test_a_geometry_is_cut_out(source: SyntheticScenes, body: Body):
    """Outside the geometry the data mask and every output are 0; its box is the image's."""
    min_x, min_y, max_x, max_y = UTM_BOX
    triangle = {"type": "Polygon", "coordinates": [[[min_x, min_y], [max_x, min_y], [min_x, max_y], [min_x, min_y]]]}
    made = body(
        script("[s.dataMask, 1]", 2, "UINT8", '["dataMask"]'),
        bounds={"geometry": triangle, "properties": {"crs": UTM_33N}},
    )
    values, profile = tiff(process(made, accept=None, source=source).content)
    assert tuple(profile["bounds"]) == UTM_BOX
    np.testing.assert_array_equal(values[0], values[1])
    assert values[0][60, 2] == 1
    assert values[0][2, 60] == 0
    assert values[0].mean() == pytest.approx(0.5, abs=0.02)


def test_no_scene_gives_an_image_of_zeros(source: SyntheticScenes, body: Body):
    """A time without data is no error."""
    made = body(data_filter={"timeRange": {"from": "2012-01-01T00:00:00Z", "to": "2012-02-01T00:00:00Z"}})
    values, _ = tiff(process(made, accept=None, source=source).content)
    assert (values == 0).all()


def test_the_cloud_limit_excludes_scenes(source: SyntheticScenes, body: Body):
    """With a limit of 0 percent only scenes without any cloud are used."""
    classes = script("[s.SCL]", 1, "UINT8", '["SCL"]')
    free = tiff(process(body(classes, data_filter={"maxCloudCoverage": 0}), accept=None, source=source).content)[0]
    assert not np.isin(free, (3, 8, 9, 10)).any()
    assert (free > 0).all()


def test_mosaicking_orders_choose_different_scenes(source: SyntheticScenes, body: Body):
    """Most recent and least recent differ over a month in which crops grow."""
    pictures = {
        order: process(
            body(TRUE_COLOR, data_filter={"mosaickingOrder": order, "maxCloudCoverage": 0}), accept=None, source=source
        ).content
        for order in ("mostRecent", "leastRecent", "leastCC")
    }
    assert pictures["mostRecent"] != pictures["leastRecent"]


ORBITS = """//VERSION=3
function setup() {
  return {
    input: [{ bands: ["B04", "B08", "dataMask"] }],
    output: { bands: 1, sampleType: "UINT8" },
    mosaicking: "%s"
  };
}
function preProcessScenes(collections) {
  collections.scenes.%s = collections.scenes.%s.filter(
    (scene) => new Date(scene.%s) >= new Date("2024-06-10T00:00:00Z")
  );
  return collections;
}
function updateOutput(output, collection) {
  output.default.bands = collection.scenes.length;
}
function evaluatePixel(samples, scenes) {
  return samples.map((sample) => sample.dataMask);
}
function updateOutputMetadata(scenes, inputMetadata, outputMetadata) {
  outputMetadata.userData = scenes;
}
"""


@pytest.mark.parametrize(("mosaicking", "key", "time"), [("ORBIT", "orbits", "dateFrom"), ("TILE", "tiles", "date")])
def test_samples_of_several_dates(source: SyntheticScenes, body: Body, mosaicking: str, key: str, time: str):
    """One sample for each date, most recent first; preProcessScenes and updateOutput have their say."""
    made = body(
        ORBITS % (mosaicking, key, key, time),
        None,
        data_filter={"mosaickingOrder": "mostRecent"},
        output={
            "width": 16,
            "height": 16,
            "responses": [
                {"identifier": "default", "format": {"type": "image/tiff"}},
                {"identifier": "userdata", "format": {"type": "application/json"}},
            ],
        },
    )
    result = process(made, accept="application/tar", source=source)
    with tarfile.open(fileobj=io.BytesIO(result.content)) as archive:
        scenes = json.load(archive.extractfile("userdata.json"))[key]
        values = tiff(archive.extractfile("default.tif").read())[0]
    times = [scene[time] for scene in scenes]
    assert times == sorted(times, reverse=True)
    assert min(times) >= "2024-06-10"
    assert values.shape[0] == len(times) >= 4
    assert (values == 1).all()
    assert result.processing_units == pytest.approx(0.01 * 2 / 3 * len(times))


def test_no_scene_gives_an_evalscript_no_samples(source: SyntheticScenes, body: Body):
    """With mosaicking ORBIT and no scene, samples is an empty array."""
    made = body(
        script("[s.length + 5]", 1, "UINT8").replace("output:", 'mosaicking: "ORBIT", output:'),
        data_filter={"timeRange": {"from": "2012-01-01T00:00:00Z", "to": "2012-02-01T00:00:00Z"}},
    )
    assert (tiff(process(made, accept=None, source=source).content)[0] == 5).all()


def test_dn_is_reflectance_times_10000(source: SyntheticScenes, body: Body):
    """Digital numbers are whole."""
    dn = script("[s.B08]", 1, "FLOAT32", '[{ bands: ["B08"], units: "DN" }]')
    reflectance = script("[s.B08]", 1, "FLOAT32", '["B08"]')
    numbers, values = (tiff(process(body(text), accept=None, source=source).content)[0] for text in (dn, reflectance))
    np.testing.assert_allclose(numbers, values * 10_000, rtol=1e-5)
    np.testing.assert_array_equal(numbers, np.rint(numbers))


def test_processing_units_are_those_of_the_documentation(source: SyntheticScenes, body: Body):
    """The worked examples of the page, and the minimum."""
    assert processing_units(20, 20, ["B04", "B08"]) == pytest.approx(0.0067, abs=1e-4)
    assert processing_units(512, 512, ["B02", "B03", "B04", "dataMask"]) == 1.0
    four = ["a", "b", "c", "d"]
    assert 2 * processing_units(1024, 1024, four, samples=2, sample_types=["FLOAT32"]) == pytest.approx(
        42.667, abs=1e-3
    )
    assert processing_units(1, 1, ["dataMask"]) == 0.005
    assert process(
        body(output={"width": 512, "height": 512}), accept=None, source=source
    ).processing_units == pytest.approx(4 / 3)


def test_the_same_request_gives_the_same_bytes(source: SyntheticScenes, body: Body):
    """Nothing random, no time stamp."""
    assert process(body(), accept=None, source=source) == process(body(), accept=None, source=source)


def test_a_format_that_cannot_hold_the_values_is_refused(source: SyntheticScenes, body: Body):
    """FLOAT32 in a PNG, 16 bits in a JPEG, too many bands: said before any pixel is computed."""
    for returned, bands, sample_type, media_type, message in (
        ("[1]", 1, "FLOAT32", "image/png", "FLOAT32, which image/png cannot hold"),
        ("[1]", 1, "UINT16", "image/jpeg", "UINT16, which image/jpeg cannot hold"),
        ("[1,1,1,1,1]", 5, "AUTO", "image/png", "5 bands"),
        ("[1,1]", 2, "AUTO", "image/jpeg", "2 bands"),
    ):
        with pytest.raises(ApiError) as caught:
            process(body(script(returned, bands, sample_type), media_type), accept=None, source=source)
        assert caught.value.code == "RENDERER_EXCEPTION"
        assert message in caught.value.message


def test_requests_do_not_disturb_one_another(source: SyntheticScenes, body: Body):
    """Several threads at once get what one gets."""
    expected = process(body(TRUE_COLOR), accept=None, source=source).content
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: process(body(TRUE_COLOR), accept=None, source=source).content, range(8)))
    assert set(results) == {expected}

"""Requests of the Process API, and what is refused before they are sent."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from request_builders import build_with

from sentinelhub_provider.api.evalscripts import named_evalscript
from sentinelhub_provider.api.process import build_process_request, read_process_request, request_digest
from sentinelhub_provider.api.tiling import tiles_of
from sentinelhub_provider.exceptions import SentinelHubRequestError

UTM = [500_000, 5_000_000, 505_120, 5_005_120]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TWO_OUTPUTS = """//VERSION=3
function setup() {
  return {input: ["B04"], output: [{id: "default", bands: 1, sampleType: "FLOAT32"}, {id: "mask", bands: 1}]};
}
function evaluatePixel(s) { return {default: [s.B04], mask: [1]}; }
"""


def built(**changes: Any) -> Any:
    """Build a request whose parts are good, but for the changes."""
    arguments: dict[str, Any] = {
        "collection": "sentinel-2-l2a",
        "evalscript": "ndvi",
        "time_range": "2024-06-01/2024-06-30",
        "bbox": UTM,
        "crs": 32633,
        "resolution": 10,
        "outputs": "tiff",
        "deployment": "sentinel-hub",
        "now": NOW,
    }
    return build_with(build_process_request, **{**arguments, **changes})


def test_request():
    """The whole body, as the documentation writes it."""
    request = built(mosaicking_order="leastCC", max_cloud_cover=30, upsampling="bilinear")

    assert request.body == {
        "input": {
            "bounds": {"bbox": UTM, "properties": {"crs": "http://www.opengis.net/def/crs/EPSG/0/32633"}},
            "data": [
                {
                    "type": "sentinel-2-l2a",
                    "dataFilter": {
                        "timeRange": {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T23:59:59Z"},
                        "mosaickingOrder": "leastCC",
                        "maxCloudCoverage": 30,
                    },
                    "processing": {"upsampling": "BILINEAR"},
                }
            ],
        },
        "output": {
            "resx": 10,
            "resy": 10,
            "responses": [{"identifier": "default", "format": {"type": "image/tiff"}}],
        },
        "evalscript": named_evalscript("ndvi"),
    }
    assert request.accept == "image/tiff"


def test_several_outputs_come_as_an_archive():
    """Each with its own format."""
    request = built(evalscript=TWO_OUTPUTS, outputs={"default": "tiff", "mask": {"type": "jpeg", "quality": 70}})

    assert request.accept == "application/tar"
    assert request.formats == {"default": "image/tiff", "mask": "image/jpeg"}
    assert request.body["output"]["responses"][1]["format"] == {"type": "image/jpeg", "quality": 70}


def test_fused_collections_keep_what_they_say_themselves():
    """What holds for all fills the gaps, where the collection knows it."""
    entries = ["sentinel-2-l2a", {"type": "sentinel-1-grd", "id": "s1", "dataFilter": {"timeRange": "2024-05-01"}}]
    data = built(collection=entries, max_cloud_cover=20).body["input"]["data"]

    assert data[0]["dataFilter"]["maxCloudCoverage"] == 20
    assert data[1] == {
        "type": "sentinel-1-grd",
        "id": "s1",
        "dataFilter": {"timeRange": {"from": "2024-05-01T00:00:00Z", "to": "2024-05-01T23:59:59Z"}},
    }


def test_given_collections_are_not_changed():
    """A caller's mapping stays as it was."""
    entry = {"type": "sentinel-2-l2a", "dataFilter": {"mosaickingOrder": "leastrecent"}}
    before = deepcopy(entry)
    built(collection=entry)

    assert entry == before


def test_elevation_has_no_time():
    """A time range that holds for all is left out where there is none."""
    assert built(collection="dem", evalscript=TWO_OUTPUTS).body["input"]["data"] == [{"type": "dem"}]


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"collection": "byoc-2"}, "collection", "no name of an own"),
        ({"collection": "landsat-ot-l2"}, "collection", "lives at"),
        ({"collection": []}, "collection", "Give a collection's id"),
        ({"collection": {"type": "dem", "processing": 7}}, "collection", "Give a mapping"),
        ({"time_range": "2024-06-30/2024-06-01"}, "time_range", "reversed"),
        ({"time_range": "2027-06-01/2027-06-30"}, "time_range", "future"),
        ({"bbox": [505_120, 5_000_000, 500_000, 5_005_120]}, "bbox", "upside down"),
        ({"bbox": None}, "bbox", "both missing"),
        ({"width": 10, "height": 10}, "resolution", "both given"),
        ({"resolution": None}, "resolution", "missing"),
        ({"resolution": 1}, "resolution", "split_bbox"),
        ({"resolution": 2000}, "resolution", "coarser than the 1,500"),
        ({"resolution": 1e-4}, "resolution", "degrees"),
        ({"crs": "WGS84"}, "crs", "names no coordinate"),
        ({"evalscript": "[B04]"}, "evalscript", "no version"),
        ({"mosaicking_order": "best"}, "mosaicking_order", "mostRecent, leastRecent, leastCC"),
        ({"mosaicking_order": "leastCC", "collection": "sentinel-1-grd"}, "mosaicking_order", "for sentinel-1-grd"),
        ({"mosaicking_order": "leastCC", "collection": "dem"}, "mosaicking_order", "one picture"),
        ({"max_cloud_cover": 101}, "max_cloud_cover", "0 to 100"),
        ({"max_cloud_cover": "few"}, "max_cloud_cover", "0 to 100"),
        ({"max_cloud_cover": 20, "collection": "sentinel-1-grd"}, "max_cloud_cover", "no cloud cover"),
        ({"upsampling": "CUBIC"}, "upsampling", "NEAREST, BILINEAR, BICUBIC"),
        ({"outputs": "gif"}, "outputs", "png, jpeg, tiff, json"),
        ({"outputs": {}}, "outputs", "is empty"),
        ({"outputs": {"default": "json"}}, "outputs", "userdata"),
        ({"outputs": {"mask": "png"}}, "outputs", "it has default, dataMask"),
        ({"outputs": "png"}, "outputs", "only TIFF can hold"),
        ({"outputs": "jpeg", "evalscript": "//VERSION=3\nreturn [B04, B08];"}, "outputs", "2 bands"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], field: str, message: str):
    """Before anything is sent, with the argument's name."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        built(**changes)
    assert caught.value.field == field


def test_estimate():
    """512 x 512 pixels of two bands as 32-bit TIFF."""
    assert built().estimate().processing_units == pytest.approx(4 / 3)


def test_estimate_of_radar():
    """Sentinel-1's own factors and fusion are read from the datasets."""
    script = TWO_OUTPUTS.replace("B04", "VV")
    processing = {"orthorectify": True, "backCoeff": "GAMMA0_TERRAIN", "speckleFilter": {"type": "LEE"}}
    radar = {"type": "sentinel-1-grd", "processing": processing}

    assert built(collection=radar, evalscript=script).estimate().processing_units == pytest.approx(1 / 3 * 2 * 2.5 * 2)
    fused = built(collection=[radar, "landsat-ot-l2"], evalscript=script)
    assert fused.estimate().processing_units == pytest.approx(1 / 3 * 2 * 2.5 * 2 * 3)


@pytest.mark.parametrize(
    ("processing", "factor"),
    [
        (None, 1),
        ({"speckleFilter": None}, 1),
        ({"speckleFilter": {}}, 1),
        ({"speckleFilter": {"type": None}}, 1),
        ({"speckleFilter": {"type": "NONE"}}, 1),
        ({"speckleFilter": "LEE"}, 2),
        ({"backCoeff": None, "orthorectify": None}, 1),
    ],
    ids=repr,
)
def test_options_of_a_plain_request_may_be_null(processing: Any, factor: int):
    """As other clients write what they leave to the service."""
    script = TWO_OUTPUTS.replace("B04", "VV")
    body = built(collection={"type": "sentinel-1-grd"}, evalscript=script).body
    body["input"]["data"][0]["processing"] = processing

    assert read_process_request(body).estimate().processing_units == pytest.approx(2 / 3 * factor)


def test_estimate_of_many_samples():
    """With ORBIT, each orbit is a sample; with SIMPLE there is one, whatever is said."""
    orbits = TWO_OUTPUTS.replace("input:", "mosaicking: 'ORBIT', input:")

    assert built(evalscript=orbits).estimate(samples=7).processing_units == pytest.approx(7 * 2 / 3)
    assert built().estimate(samples=7).processing_units == pytest.approx(4 / 3)


def test_estimate_of_an_unreadable_script():
    """Nothing rather than a guess."""
    script = TWO_OUTPUTS.replace('["B04"]', "BANDS")

    assert built(evalscript=script).estimate() is None


def test_plain_request_is_sent_as_it_is():
    """What other clients write passes through, checked."""
    body = built().body
    request = read_process_request(deepcopy(body), deployment="sentinel-hub", now=NOW)

    assert request.body == body
    assert request.size.width == 512
    assert request.estimate() == built().estimate()


def test_plain_request_may_leave_out_what_has_a_default():
    """Size, CRS and responses."""
    script = named_evalscript("true-colour")
    body = {
        "input": {"bounds": {"bbox": [13, 45, 13.5, 45.5]}, "data": [{"type": "sentinel-2-l2a"}]},
        "evalscript": script,
    }
    for output in ({}, {"output": None}, {"output": {"responses": []}}):
        request = read_process_request({**body, **output})

        assert (request.size.width, request.formats) == (256, {"default": "image/png"})
        assert request.accept == "image/png"
        (tile,) = (request.of_tile(tile) for tile in tiles_of(request.grid))
        assert tile.body["output"]["width"] == 256


@pytest.mark.parametrize(
    ("path", "value", "field", "message"),
    [
        (("evalscript",), None, "evalscript", "None"),
        (("input",), None, "request", "input is missing"),
        (("input", "bounds"), None, "request", "input.bounds is missing"),
        (("input", "bounds", "bbox"), [13, 45, 14, 46], "bbox", "looks like longitude"),
        (("input", "data"), [], "request", "one or more datasets"),
        (("input", "data"), [{"type": "byoc-2"}], "collection", "no name of an own"),
        (("output", "resx"), 1, "request", "tile=True"),
        (("output", "width"), 10, "request", "Give one pair"),
        (("output",), {"width": 2, "height": 2}, "request", "coarser than"),
        (("output", "responses"), "png", "request", "list of mappings"),
        (("output", "responses"), [{"identifier": "x"}], "request", "no output 'x'"),
    ],
)
def test_plain_request_is_checked(path: tuple[str, ...], value: Any, field: str, message: str):
    """As far as it is understood."""
    body = deepcopy(built().body)
    *parents, last = path
    place = body
    for name in parents:
        place = place[name]
    place[last] = value
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        read_process_request(body, deployment="sentinel-hub", now=NOW)
    assert caught.value.field == field


def test_reversed_time_of_a_plain_request_is_named_by_its_path():
    """Where in the JSON it stands."""
    body = built().body
    body["input"]["data"][0]["dataFilter"]["timeRange"] = {"from": "2024-06-30T00:00:00Z", "to": "2024-06-01T00:00:00Z"}
    with pytest.raises(SentinelHubRequestError, match=r"input.data\[0\].dataFilter.timeRange is reversed"):
        read_process_request(body)


def test_what_is_no_request_is_refused():
    """A text is not read as JSON here."""
    with pytest.raises(SentinelHubRequestError, match="is a str"):
        read_process_request("{}")


def test_requests_of_tiles_are_parts_of_the_whole():
    """The size is the tile's, all else the whole's."""
    whole = built()
    tiles = [whole.of_tile(tile) for tile in tiles_of(whole.grid, max_size=300)]

    assert [(tile.size.width, tile.size.height) for tile in tiles] == [(300, 300), (212, 300), (300, 212), (212, 212)]
    assert tiles[0].body["input"]["bounds"]["bbox"] == [500_000, 5_002_120, 503_000, 5_005_120]
    assert "resx" not in tiles[0].body["output"]
    assert tiles[0].body["output"]["width"] == 300
    assert tiles[0].body["input"]["data"] == whole.body["input"]["data"]
    assert whole.body["output"]["resx"] == 10


def test_geometry_still_masks_tiles():
    """A tile's request has the tile's box and the whole's geometry."""
    whole = built(bbox=None, geometry="POLYGON((500000 5000000, 505120 5000000, 505120 5005120, 500000 5000000))")
    tile = whole.of_tile(next(tiles_of(whole.grid, max_size=300)))

    assert tile.body["input"]["bounds"]["geometry"] == whole.body["input"]["bounds"]["geometry"]
    assert tile.body["input"]["bounds"]["bbox"] == [500_000, 5_002_120, 503_000, 5_005_120]


def test_large_picture_may_be_built_to_be_split():
    """Without the limit of a side."""
    assert built(resolution=1, max_side=None).size.width == 5120


def test_digest_tells_requests_apart():
    """A changed evalscript is another picture; the order of members is not."""
    body = built().body

    assert request_digest(body) == request_digest(dict(reversed(body.items())))
    assert built().digest != built(evalscript="ndmi").digest
    assert len(built().digest) == 64


RADAR = TWO_OUTPUTS.replace("B04", "VV")


@pytest.mark.parametrize("is_request", [False, True], ids=["arguments", "request"])
@pytest.mark.parametrize("spelling", [True, False, "true", "True", "TRUE", "false", "False"], ids=repr)
def test_booleans_may_be_text(spelling: Any, is_request: bool):
    """As the documentation writes them; they cost what they mean, and are sent as booleans."""

    def request_of(value: Any) -> Any:
        entry = {"type": "sentinel-1-grd", "processing": {"orthorectify": value, "backCoeff": "SIGMA0_ELLIPSOID"}}
        if not is_request:
            return built(collection=entry, evalscript=RADAR)
        body = built(collection="sentinel-1-grd", evalscript=RADAR).body
        return read_process_request({**body, "input": {**body["input"], "data": [entry]}})

    meant, found = str(spelling).lower() == "true", request_of(spelling)
    plain = request_of(False).estimate().processing_units
    assert found.body["input"]["data"][0]["processing"]["orthorectify"] is meant
    assert found.estimate().processing_units == pytest.approx(plain * (1 + meant))


@pytest.mark.parametrize("name", ["orthorectify", "harmonizeValues", "egm", "clampNegative"])
@pytest.mark.parametrize("value", ["yes", 1, "", []])
def test_a_boolean_that_is_none_is_named(name: str, value: Any):
    """With the argument, and its name within."""
    with pytest.raises(SentinelHubRequestError, match=f"collection: {name} is") as caught:
        built(collection={"type": "sentinel-2-l2a", "processing": {name: value}})
    assert caught.value.field == "collection"

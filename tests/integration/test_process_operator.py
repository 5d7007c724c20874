"""The Process operator against the sandbox over real sockets: requests, files, costs, tiles."""

from __future__ import annotations

import errno
import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from airflow.sdk.exceptions import AirflowFailException
from task_instance import NDVI, TaskInstance

from sentinelhub_provider.exceptions import SentinelHubTransportError
from sentinelhub_provider.operators.raster import tiled

UTM = {"bbox": [400_000, 5_095_000, 403_200, 5_097_400], "crs": 32633}
LONLAT = [14.0, 46.0, 14.05, 46.04]
WHEN = ["2024-06-01", "2024-06-20"]
TRIANGLE = {
    "type": "Polygon",
    "coordinates": [[[400_100, 5_095_100], [403_100, 5_095_100], [401_000, 5_097_300], [400_100, 5_095_100]]],
}
BANDS = """//VERSION=3
function setup() { return { input: ["B04", "B08"], output: { bands: 2, sampleType: "UINT16" } } }
function evaluatePixel(sample) { return [10000 * sample.B04, 10000 * sample.B08] }"""


class Sent:
    """What the sandbox was asked to process."""

    def __init__(self, control: Any) -> None:
        self._control = control

    def _exchanges(self) -> list[Any]:
        return [one for one in self._control.exchanges() if one.path in ("/process/v1", "/api/v1/process")]

    def count(self) -> int:
        """How many requests there were, those that a fault kept from being read included."""
        return len(self._exchanges())

    def __call__(self) -> list[dict[str, Any]]:
        """Return the bodies of those that were read, in their order."""
        return [json.loads(one.request_body) for one in self._exchanges() if one.request_body]


@pytest.fixture(name="sent")
def fixture_sent(sentinelhub_sandbox) -> Sent:
    """The requests that come from now on."""
    sentinelhub_sandbox.control.record_exchanges()
    yield Sent(sentinelhub_sandbox.control)
    sentinelhub_sandbox.control.record_exchanges(False)


@pytest.fixture(name="run")
def fixture_run(process) -> Callable[..., dict[str, Any]]:
    """Execute the operator; see the fixture ``process``."""
    return process


@pytest.fixture(name="ndvi")
def fixture_ndvi(run, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Have an NDVI made in UTM; keywords change or add arguments, ``None`` leaves one out."""

    def make(**arguments: Any) -> dict[str, Any]:
        given = {**NDVI, **UTM, "resolution": 20, "output_path": str(tmp_path / "ndvi.tif"), **arguments}
        return run(**{name: value for name, value in given.items() if value is not None})

    return make


def pixels(path: str | Path) -> tuple[np.ndarray, Any, Any]:
    """Return what a raster holds, and where it lies."""
    with rasterio.open(path) as raster:
        return raster.read(), raster.transform, raster.crs


def assert_same_picture(one: str | Path, other: str | Path) -> None:
    """Assert that two rasters are alike, pixel by pixel, and lie at the same place."""
    (first, where, crs), (second, there, its_crs) = pixels(one), pixels(other)
    assert first.dtype == second.dtype
    np.testing.assert_array_equal(first, second)
    assert where.almost_equals(there, precision=1e-9)
    assert crs == its_crs


# --- one request -----------------------------------------------------------------------------------------------------


def test_picture_is_stored_and_described(ndvi, ti: TaskInstance, tmp_path: Path):
    """As large as area and resolution say, with what it cost."""
    result = ndvi()
    stored = tmp_path / "ndvi.tif"
    image, _, crs = pixels(stored)

    assert image.shape == (1, 120, 160)
    assert crs.to_epsg() == 32633
    assert -1 <= np.nanmin(image) < np.nanmax(image) <= 1
    assert result["path"] == str(stored)
    assert result["outputs"]["default"]["size"] == stored.stat().st_size
    assert result["outputs"]["default"]["sha256"] == hashlib.sha256(stored.read_bytes()).hexdigest()
    assert result["processing_units"] == ti.pushed["processing_units"] > 0


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"evalscript": "true-colour", "output_path": "{folder}/a.png"},
        {"evalscript": BANDS},
        {"bbox": LONLAT, "crs": None, "resolution": None, "width": 100},
        {"geometry": TRIANGLE, "bbox": None},
    ],
    ids=["float", "png", "two bands", "pixels", "geometry"],
)
def test_estimate_is_what_is_charged(ndvi, tmp_path: Path, arguments):
    """To the last digit that the service says."""
    path = str(arguments.get("output_path", "{folder}/a.tif")).replace("{folder}", str(tmp_path))
    result = ndvi(**{**arguments, "output_path": path})

    assert result["estimated_processing_units"] == pytest.approx(result["processing_units"], rel=1e-9)


def test_data_interval_is_the_time_range_by_default(ndvi, sent):
    """All of it but its last second, which is the next run's first."""
    ndvi(time_range=None)

    chosen = sent()[0]["input"]["data"][0]["dataFilter"]
    assert chosen["timeRange"] == {"from": "2024-06-01T00:00:00Z", "to": "2024-06-07T23:59:59Z"}


def test_elevation_needs_no_time(ndvi, sent):
    """It is one picture."""
    script = """//VERSION=3
    function setup() { return { input: ["DEM"], output: { bands: 1, sampleType: "FLOAT32" } } }
    function evaluatePixel(sample) { return [sample.DEM] }
    """
    ndvi(collection="dem", evalscript=script, time_range=None)

    assert "dataFilter" not in sent()[0]["input"]["data"][0]


def test_evalscript_from_a_file_beside_the_dag(ndvi, sent, tmp_path: Path):
    """By its name, with ``{{ ... }}`` filled in."""
    (tmp_path / "bands.js").write_text(BANDS.replace("10000 * sample.B04", "sample.B04 /* {{ ds }} */"))
    ndvi(evalscript="bands.js")

    assert "/* 2024-06-08 */" in sent()[0]["evalscript"]


def test_geometry_from_a_file_masks(ndvi, tmp_path: Path):
    """Outside of it there are no data."""
    (tmp_path / "field.geojson").write_text(json.dumps(TRIANGLE))
    ndvi(geometry="field.geojson", evalscript=BANDS)
    inside, _, _ = pixels(tmp_path / "ndvi.tif")

    assert inside[0, 0, -1] == 0
    assert (inside[0] > 0).mean() == pytest.approx(0.45, abs=0.15)


def test_several_outputs_go_to_files_of_their_own(ndvi, tmp_path: Path):
    """Taken out of one archive; one of them is the evalscript's own JSON."""
    script = """//VERSION=3
    function setup() { return { input: ["B04", "dataMask"], output: [
      { id: "default", bands: 1, sampleType: "FLOAT32" }, { id: "mask", bands: 1, sampleType: "UINT8" }] } }
    function evaluatePixel(sample) { return { default: [sample.B04], mask: [sample.dataMask] } }
    function updateOutputMetadata(scenes, inputMetadata, outputMetadata) { outputMetadata.userData = { made: true } }
    """
    paths = {
        name: str(tmp_path / f"{name}.{end}")
        for name, end in {"default": "tif", "mask": "png", "userdata": "json"}.items()
    }
    result = ndvi(evalscript=script, outputs={"default": "tiff", "mask": "png", "userdata": "json"}, output_path=paths)

    assert result["path"] is None
    assert {name: output["path"] for name, output in result["outputs"].items()} == paths
    assert pixels(paths["default"])[0].dtype == np.float32
    assert Path(paths["mask"]).read_bytes().startswith(b"\x89PNG")
    assert json.loads(Path(paths["userdata"]).read_text()) == {"made": True}
    assert result["processing_units"] == pytest.approx(result["estimated_processing_units"])


def test_output_names_may_be_put_into_one_path(ndvi, tmp_path: Path):
    """``{output}`` stands for them."""
    ndvi(outputs={"default": "tiff", "dataMask": "tiff"}, output_path=f"{tmp_path}/{{{{ ds }}}}/{{output}}.tif")

    assert sorted(path.name for path in (tmp_path / "2024-06-08").glob("*.tif")) == ["dataMask.tif", "default.tif"]


def test_plain_request_is_sent_as_it_is(run, sent, process_request, tmp_path: Path):
    """The JSON that the documentation and other clients use."""
    process_request["evalscript"] = process_request["evalscript"].strip()
    run(request=process_request, output_path=str(tmp_path / "a.png"))
    (tmp_path / "body.json").write_text(json.dumps(process_request))
    run(request="body.json", output_path=str(tmp_path / "b.png"))

    assert sent() == [process_request, process_request]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_plain_request_and_arguments_make_the_same_picture(run, ndvi, sent, tmp_path: Path):
    """What the arguments say can be taken as it was sent, and sent again."""
    ndvi()
    run(request=sent()[0], output_path=str(tmp_path / "again.tif"))

    assert_same_picture(tmp_path / "ndvi.tif", tmp_path / "again.tif")


# --- cost ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [False, True])
@pytest.mark.parametrize(("repeat_silent", "times"), [("{{ 'false' }}", "once"), (True, "twice")])
def test_silence_is_repeated_as_the_task_says(ndvi, sentinelhub_sandbox, repeat_silent: Any, times: str, tile: bool):
    """Once at most, also by the attempts at a tile; the error says what each request may have cost."""
    silence = {"kind": "silence", "seconds": 30}
    sentinelhub_sandbox.control.add_fault(path="/process/v1", action=silence, times=None)
    said = rf"sent {times}, .* may have charged .* By estimate, a request costs 0\.\d+ PU"

    with pytest.raises(SentinelHubTransportError, match=said) as raised:
        ndvi(repeat_silent=repeat_silent, tile=tile, timeout=0.3)

    assert not tile or "1 tile failed in 1 attempt:" in str(raised.value)


def test_too_dear_a_picture_is_not_asked_for(ndvi, sent):
    """With the arithmetic in the message."""
    with pytest.raises(AirflowFailException, match=r"max_processing_units=0\.01; nothing was sent.*160 x 120"):
        ndvi(max_processing_units=0.01)

    assert sent() == []


def test_cost_that_cannot_be_told_is_over_any_limit(ndvi, sent):
    """A limit that cannot be kept is no limit."""
    script = BANDS.replace("return { input", "const s = { input").replace("} } }", "} }; return s }")
    with pytest.raises(AirflowFailException, match="is unknown"):
        ndvi(evalscript=script, max_processing_units=100)

    assert sent() == []


# --- what is there already -------------------------------------------------------------------------------------------


def test_skip_keeps_what_the_same_request_made(ndvi, sent):
    """Nothing is asked for, and the result says the same but for that."""
    first = ndvi(if_exists="skip")
    second = ndvi(if_exists="skip")

    assert len(sent()) == 1
    assert (first["skipped"], second["skipped"]) == (False, True)
    assert second["outputs"] == first["outputs"]
    assert second["processing_units"] == 0


def test_skip_does_not_mistake_another_picture(ndvi, sent):
    """A changed evalscript is a changed picture."""
    ndvi(if_exists="skip")
    second = ndvi(if_exists="skip", evalscript="ndwi")

    assert len(sent()) == 2
    assert second["skipped"] is False


@pytest.mark.parametrize("harm", ["item", "picture", "size"])
def test_skip_trusts_only_a_whole_item(ndvi, sent, tmp_path: Path, harm):
    """A picture without an item, an item without a picture, a picture of another size."""
    ndvi(if_exists="skip")
    picture, item = tmp_path / "ndvi.tif", tmp_path / "ndvi.tif.stac.json"
    {
        "item": item.unlink,
        "picture": picture.unlink,
        "size": lambda: picture.write_bytes(b"II*\0 other"),
    }[harm]()
    ndvi(if_exists="skip")

    assert len(sent()) == 2


def test_overwrite_asks_again(ndvi, sent):
    """The default."""
    ndvi()
    ndvi()

    assert len(sent()) == 2


def test_fail_sends_nothing_where_a_file_is(ndvi, sent, tmp_path: Path):
    """Whatever it is."""
    (tmp_path / "ndvi.tif").write_bytes(b"precious")
    with pytest.raises(AirflowFailException, match=r"ndvi\.tif exists, and if_exists is 'fail'"):
        ndvi(if_exists="fail")

    assert sent() == []
    assert (tmp_path / "ndvi.tif").read_bytes() == b"precious"


def test_fail_knows_the_task_s_own_output(ndvi, sent):
    """A retry after the picture was stored has it, and pays nothing; another run's is refused."""
    first = ndvi(if_exists="fail")
    retried = ndvi(if_exists="fail")

    assert (len(sent()), retried["skipped"], retried["outputs"]) == (1, True, first["outputs"])
    with pytest.raises(AirflowFailException, match="if_exists is 'fail'"):
        ndvi(if_exists="fail", run_id="tuesday")


def test_fail_knows_the_task_s_own_output_also_after_a_vain_attempt(ndvi, sentinelhub_sandbox):
    """A cleared task with a corrected request replaces its picture, however many attempts that takes."""
    ndvi(if_exists="fail")
    fault = {"action": {"kind": "status", "status": 400}, "path": "/process/v1"}
    sentinelhub_sandbox.control.add_fault(**fault)
    with pytest.raises(AirflowFailException, match="400"):
        ndvi(if_exists="fail", evalscript="ndwi")

    assert ndvi(if_exists="fail", evalscript="ndwi")["skipped"] is False


def test_what_is_about_to_change_is_not_skipped(ndvi, sentinelhub_sandbox):
    """A picture that was not replaced in the end is made anew, for nobody knows how far that came."""
    ndvi()
    sentinelhub_sandbox.control.add_fault(action={"kind": "status", "status": 400}, path="/process/v1")
    with pytest.raises(AirflowFailException, match="400"):
        ndvi(evalscript="ndwi")

    assert ndvi(if_exists="skip")["skipped"] is False


def test_skip_does_not_keep_another_deployment_s_picture(ndvi, sent, tmp_path: Path):
    """The same request means other data there."""
    ndvi(if_exists="skip")
    item = tmp_path / "ndvi.tif.stac.json"
    told = json.loads(item.read_text())
    service = {"sentinelhub:service": "https://services.sentinel-hub.com"}
    item.write_text(json.dumps({**told, "properties": told["properties"] | service}))
    assert ndvi(if_exists="skip")["skipped"] is False

    kept = {name: value for name, value in told["properties"].items() if name != "sentinelhub:service"}
    item.write_text(json.dumps({**told, "properties": kept}))
    assert ndvi(if_exists="skip")["skipped"] is False


@pytest.mark.parametrize("where", [False, "false", "{folder}/items"], ids=str)
def test_item_lies_where_the_user_says(ndvi, tmp_path: Path, where: Any):
    """Or nowhere; tiles know it, too."""
    where = where.format(folder=tmp_path) if isinstance(where, str) else where
    ndvi(stac=where)
    ndvi(stac=where, tile=True, tile_size=64, output_path=str(tmp_path / "large.vrt"))

    assert list(tmp_path.glob("*.json")) == []
    assert len(list((tmp_path / "items").glob("*.stac.json"))) == (0 if "f" in str(where).lower()[:1] else 2)


def test_items_in_a_folder_serve_skip(ndvi, sent, tmp_path: Path):
    """Each by its output's whole path."""
    wanted = {"if_exists": "skip", "stac": str(tmp_path / "items")}
    for _ in range(2):
        ndvi(**wanted)
        ndvi(**wanted, evalscript="ndwi", output_path=str(tmp_path / "other" / "ndvi.tif"))

    assert len(sent()) == 2
    with pytest.raises(AirflowFailException, match="needs the items of pictures"):
        ndvi(if_exists="skip", stac=False)


@pytest.mark.parametrize("tile", [False, True], ids=["whole", "tiles"])
def test_item_that_cannot_be_kept_fails_no_paid_task(ndvi, tile: bool, monkeypatch: pytest.MonkeyPatch, caplog):
    """It is logged, as where a disk is full by then."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sentinelhub_provider.stac.folder.store", full)
    result = ndvi(tile=tile)

    assert result["item"] is None
    assert "ndvi.tif.stac.json cannot be written" in caplog.text
    assert Path(result["path"]).stat().st_size == result["outputs"]["default"]["size"]


# --- large areas -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"evalscript": BANDS},
        {"geometry": TRIANGLE, "evalscript": BANDS},
        {"bbox": LONLAT, "crs": None, "resolution": None, "width": 150, "height": 110},
    ],
    ids=["float with NaN", "two bands", "geometry", "degrees"],
)
@pytest.mark.parametrize("suffix", ["tif", "vrt"])
def test_mosaic_is_the_picture_of_one_request(ndvi, tmp_path: Path, arguments, suffix):
    """Pixel by pixel, and at the same place."""
    whole = ndvi(**{**arguments, "output_path": str(tmp_path / "whole.tif")})
    tiled = ndvi(**{**arguments, "output_path": str(tmp_path / f"tiled.{suffix}"), "tile": True, "tile_size": 64})

    assert_same_picture(whole["path"], tiled["path"])
    assert tiled["tiles"]["total"] == tiled["tiles"]["fetched"] > 3


def test_cog_has_the_same_pixels(ndvi, tmp_path: Path):
    """And is one."""
    whole = ndvi(output_path=str(tmp_path / "whole.tif"))
    tiled = ndvi(output_path=str(tmp_path / "cog.tif"), tile=True, tile_size=64, mosaic="cog")

    assert_same_picture(whole["path"], tiled["path"])
    with rasterio.open(tiled["path"]) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_tiles_cost_what_was_estimated(ndvi):
    """The sum of all."""
    result = ndvi(tile=True, tile_size=64)

    assert result["processing_units"] == pytest.approx(result["estimated_processing_units"], rel=1e-9)


def test_tiles_under_one_tiff_are_removed(ndvi, tmp_path: Path):
    """Only the picture and what describes it stay."""
    ndvi(tile=True, tile_size=64)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".collection.json.lock",
        "collection.json",
        "ndvi.tif",
        "ndvi.tif.stac.json",
    ]


def test_virtual_raster_can_be_moved_with_its_tiles(ndvi, tmp_path: Path):
    """It names them relative to itself."""
    ndvi(output_path=str(tmp_path / "a" / "ndvi.vrt"), tile=True, tile_size=64)
    before = pixels(tmp_path / "a" / "ndvi.vrt")[0]
    (tmp_path / "a").rename(tmp_path / "b")

    np.testing.assert_array_equal(pixels(tmp_path / "b" / "ndvi.vrt")[0], before)


def test_failed_tile_is_repeated_alone(ndvi, sent, sentinelhub_sandbox, tmp_path: Path):
    """The others are asked for once."""
    sentinelhub_sandbox.control.add_fault(action={"kind": "html"}, path="/process/v1", after=2, times=1)
    ndvi(tile=True, tile_size=64)
    boxes = [tuple(body["input"]["bounds"]["bbox"]) for body in sent()]

    assert len(set(boxes)) == len(boxes) == 6
    assert sent.count() == 7


@pytest.mark.parametrize("suffix", ["tif", "vrt"])
def test_retry_asks_only_for_tiles_that_are_missing(ndvi, sent, sentinelhub_sandbox, tmp_path: Path, suffix):
    """Finished tiles are kept when the task fails."""
    path = str(tmp_path / f"ndvi.{suffix}")
    fault = sentinelhub_sandbox.control.add_fault(action={"kind": "html"}, path="/process/v1", after=4, times=None)
    with pytest.raises(SentinelHubTransportError, match="2 tiles failed in 2 attempts"):
        ndvi(tile=True, tile_size=64, tile_attempts=2, concurrency=1, output_path=path)
    sentinelhub_sandbox.control.remove_fault(fault)
    assert sent.count() == 8
    result = ndvi(tile=True, tile_size=64, output_path=path)

    assert result["tiles"] == {"total": 6, "fetched": 2}
    assert sent.count() == 10
    anew = ndvi(tile=True, tile_size=64, output_path=str(tmp_path / "anew.tif"))
    assert result["processing_units"] == pytest.approx(anew["processing_units"])  # of both attempts together
    whole = ndvi(output_path=str(tmp_path / "whole.tif"))
    assert_same_picture(whole["path"], path)


KILLED = """
import os, signal, sys
from types import SimpleNamespace
from sentinelhub_provider.operators.process import SentinelHubProcessOperator

operator = SentinelHubProcessOperator(task_id="t", **eval(sys.argv[1]))
download, left = operator.hook.download, [9]

def until_killed(*arguments, **named):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return download(*arguments, **named)

operator.hook.download = until_killed
ti = SimpleNamespace(dag_id="d", task_id="t", map_index=-1, xcom_push=lambda key, value: None)
operator.execute({"ti": ti, "run_id": "monday"})
"""
"""A task whose worker loses power with its tenth tile."""


def test_killed_task_goes_on_where_it_stopped(connect, ndvi, sent, tmp_path: Path):
    """Of twenty tiles, those that were there are not asked for again."""
    connect()
    arguments = {
        "resolution": 160,
        "tile": True,
        "tile_size": 4,
        "concurrency": 1,
        "output_path": str(tmp_path / "a.tif"),
    }
    given = {**NDVI, **UTM, **arguments}
    died = subprocess.run([sys.executable, "-c", KILLED, repr(given)], capture_output=True, text=True)
    before = sent.count()
    result = ndvi(**arguments)

    assert died.returncode == -signal.SIGKILL, died.stderr
    assert before == 9
    assert result["tiles"] == {"total": 20, "fetched": 20 - 9}
    assert sent.count() == 20
    assert_same_picture(result["path"], ndvi(resolution=160, output_path=str(tmp_path / "whole.tif"))["path"])


def test_another_run_asks_for_all_tiles(ndvi, tmp_path: Path):
    """New scenes may have come; the older run's tiles go once the new picture is there."""
    arguments = {"output_path": str(tmp_path / "ndvi.vrt"), "tile": True, "tile_size": 64}
    ndvi(run_id="monday", **arguments)
    second = ndvi(run_id="tuesday", **arguments)

    assert second["tiles"]["fetched"] == 6
    assert len(list((tmp_path / "ndvi.vrt.tiles").iterdir())) == 1


def test_cleared_task_asks_for_all_tiles(ndvi, tmp_path: Path):
    """It was finished: what it made is to be made anew."""
    arguments = {"output_path": str(tmp_path / "ndvi.vrt"), "tile": True, "tile_size": 64}
    ndvi(**arguments)

    assert ndvi(**arguments, mosaic=" VRT")["tiles"]["fetched"] == 6


@pytest.mark.parametrize("suffix", ["vrt", "tif"])
def test_a_mosaic_that_is_made_anew_keeps_its_tiles_for_a_retry(ndvi, sentinelhub_sandbox, tmp_path: Path, suffix: str):
    """Those of the attempt before, and not those of the finished mosaic."""
    arguments = {"output_path": str(tmp_path / f"ndvi.{suffix}"), "tile": True, "tile_size": 64, "concurrency": 1}
    ndvi(**arguments)
    fault = {"action": {"kind": "status", "status": 400}, "path": "/process/v1"}
    sentinelhub_sandbox.control.add_fault(**fault, after=4)
    with pytest.raises(AirflowFailException, match="400"):
        ndvi(**arguments)

    assert ndvi(**arguments)["tiles"]["fetched"] <= 2


@pytest.mark.parametrize("name", ["ndvi.tif", "ndvi.vrt"])
def test_a_mosaic_that_cannot_be_stored_costs_nothing(ndvi, sent, tmp_path: Path, name: str):
    """Not one tile."""
    (tmp_path / name).mkdir()
    with pytest.raises(AirflowFailException, match="is a folder"):
        ndvi(output_path=str(tmp_path / name), outputs="tiff", tile=True, tile_size=64)
    assert sent.count() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stac": "{{ none }}"}, "stac is 'None'"),
        ({"stac": " "}, "stac is ' '"),
        ({"stac": 0}, "stac is 0"),
        ({"tile": True, "concurrency": 100_000}, "concurrency is 100000. Give a whole number from 1 to 100"),
    ],
)
def test_arguments_that_cannot_be_meant_cost_nothing(ndvi, sent, arguments: dict[str, Any], message: str):
    """A template that renders to nothing names no folder."""
    with pytest.raises(AirflowFailException, match=message):
        ndvi(**arguments)
    assert sent.count() == 0


def test_a_mosaic_s_path_may_name_its_output(ndvi, tmp_path: Path):
    """As that of a picture."""
    result = ndvi(output_path=str(tmp_path / "ndvi-{output}.tif"), tile=True, tile_size=64)

    assert result["path"] == str(tmp_path / "ndvi-default.tif")


def test_skip_keeps_a_mosaic(ndvi, sent):
    """As it keeps a picture."""
    ndvi(tile=True, tile_size=64, if_exists="skip")
    second = ndvi(tile=True, tile_size=64, if_exists="skip", run_id="tuesday")

    assert second["skipped"] is True
    assert len(sent()) == 6


def test_hopeless_error_ends_all(ndvi, sent, sentinelhub_sandbox):
    """What is wrong with one tile's request is wrong with all."""
    sentinelhub_sandbox.control.add_fault(action={"kind": "status", "status": 400}, path="/process/v1", times=None)
    with pytest.raises(AirflowFailException, match="400"):
        ndvi(tile=True, tile_size=16, concurrency=1)

    assert sent.count() < 5


# --- object storage --------------------------------------------------------------------------------------------------


@pytest.fixture(name="bucket")
def fixture_bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an object store in this process, empty before and after."""
    from airflow.sdk.io import fs
    from fsspec.implementations.memory import MemoryFileSystem

    # What a provider package with a file system does when Airflow starts.
    known = {**fs._register_filesystems(), "memory": lambda conn_id, options: MemoryFileSystem()}
    monkeypatch.setattr(fs, "_register_filesystems", lambda: known)
    MemoryFileSystem.store.clear()
    yield "memory://bucket"
    MemoryFileSystem.store.clear()


def test_object_storage_is_as_good_as_a_disk(ndvi, sent, bucket: str, tmp_path: Path):
    """A picture, its item, and what is skipped for it."""
    from airflow.sdk import ObjectStoragePath

    ndvi(output_path=f"{bucket}/a/ndvi.tif", if_exists="skip")
    second = ndvi(output_path=ObjectStoragePath(f"{bucket}/a/ndvi.tif"), if_exists="skip")
    stored = ObjectStoragePath(f"{bucket}/a/ndvi.tif").read_bytes()

    assert second["skipped"] is True
    assert len(sent()) == 1
    assert hashlib.sha256(stored).hexdigest() == second["outputs"]["default"]["sha256"]


def test_a_fault_while_tidying_up_fails_no_paid_task(ndvi, sent, bucket: str, monkeypatch: pytest.MonkeyPatch):
    """A retry would take the task for finished, and pay for all tiles again."""
    from fsspec.implementations.memory import MemoryFileSystem

    def down(*_: Any, **__: Any) -> None:
        raise OSError("the storage does not answer")

    monkeypatch.setattr(MemoryFileSystem, "rm", down)
    monkeypatch.setattr(tiled, "store", down)
    result = ndvi(tile=True, tile_size=64, output_path=f"{bucket}/ndvi.tif")

    assert result["tiles"] == {"total": 6, "fetched": 6}
    assert sent.count() == 6


def test_tiles_in_object_storage_are_kept_for_a_retry(ndvi, sent, sentinelhub_sandbox, bucket: str, tmp_path: Path):
    """Another worker without the first one's disk goes on where that one stopped; only the picture stays."""
    from fsspec.implementations.memory import MemoryFileSystem

    sentinelhub_sandbox.control.add_fault(action={"kind": "html"}, path="/process/v1", after=4, times=2)
    with pytest.raises(SentinelHubTransportError, match="2 tiles failed in 1 attempt:"):
        ndvi(tile=True, tile_size=64, tile_attempts=1, concurrency=1, output_path=f"{bucket}/ndvi.tif")
    result = ndvi(tile=True, tile_size=64, output_path=f"{bucket}/ndvi.tif")
    (tmp_path / "copy.tif").write_bytes(MemoryFileSystem().cat_file("/bucket/ndvi.tif"))
    ndvi(output_path=str(tmp_path / "whole.tif"))

    assert result["tiles"] == {"total": 6, "fetched": 2}
    assert_same_picture(tmp_path / "copy.tif", tmp_path / "whole.tif")
    assert sorted(MemoryFileSystem.store) == [
        "/bucket/collection.json",
        "/bucket/ndvi.tif",
        "/bucket/ndvi.tif.stac.json",
    ]

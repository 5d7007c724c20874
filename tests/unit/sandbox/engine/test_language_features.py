"""The folder of evalscripts: one for each feature of the language, run by the sandbox and read by the operators."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rasterio.io import MemoryFile

from sentinelhub_provider.api.evalscripts import check_evalscript, is_simple, parse_setup
from sentinelhub_provider.sandbox.apis.process.render import ProcessResult, process
from sentinelhub_provider.sandbox.apis.statistical.handlers import statistics
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.evalscripts.contract import DataSource
from sentinelhub_provider.sandbox.world.evalscripts.engine import Evalscript
from sentinelhub_provider.sandbox.world.evalscripts.simple import check_version
from sentinelhub_provider.sandbox.world.scenes import SyntheticScenes
from sentinelhub_provider.sandbox.world.scenes.collections import SENTINEL_1_GRD, SENTINEL_2_L2A

FOLDER = Path(__file__).parents[3] / "evalscripts"
SCRIPTS = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.js"))}
RADAR = ("simple_number", "radar_angles")
SIMPLE = [name for name in SCRIPTS if name.startswith("simple")]
Body = Callable[..., dict[str, Any]]


def run(source: SyntheticScenes, body: Body, script: str, *collections: str) -> ProcessResult:
    """Run a script over one collection, or several to fuse."""
    request = body(script)
    data = request["input"]["data"][0]
    if collections:
        chosen = {"timeRange": data["dataFilter"]["timeRange"]}
        request["input"]["data"] = [
            {"type": kind, "dataFilter": chosen, "id": {"sentinel-1-grd": "radar"}.get(kind, "optical")}
            for kind in collections
        ]
    return process(request, accept=None, source=source)


def pixels(result: ProcessResult) -> np.ndarray:
    """Read a TIFF: ``(bands, rows, columns)``."""
    with MemoryFile(result.content) as memory, memory.open() as image:
        return image.read()


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "statistics_of_a_script"])
def test_each_script_runs_in_the_sandbox(source: SyntheticScenes, body: Body, name: str) -> None:
    """It draws something."""
    collections = ("sentinel-1-grd",) if name in RADAR else ()
    if name == "fusion":
        collections = ("sentinel-2-l2a", "sentinel-1-grd")
    drawn = pixels(run(source, body, SCRIPTS[name], *collections))
    assert np.isfinite(drawn).all()
    assert drawn.any()


@pytest.mark.parametrize("name", SCRIPTS)
def test_operators_read_each_script_as_the_sandbox_runs_it(name: str) -> None:
    """Bands, outputs and mosaickings are those that V8 finds; a simple script's values may be too many to count."""
    check_evalscript(SCRIPTS[name])
    read = parse_setup(SCRIPTS[name])
    assert read is not None
    assert is_simple(SCRIPTS[name]) == check_version(SCRIPTS[name]) == name.startswith("simple")
    main = DataSource(SENTINEL_1_GRD if name in RADAR else SENTINEL_2_L2A, "optical")
    sources = [main, DataSource(SENTINEL_1_GRD, "radar")] if name == "fusion" else [main]
    with Evalscript(SCRIPTS[name]) as script:
        run = script.setup(sources)
    assert [set(bands) for bands in read.inputs] == [{band.name for band in each.bands} for each in run.inputs]
    assert list(read.mosaickings) == [each.mosaicking for each in run.inputs]
    if name not in ("simple_with_helpers", "simple_number"):
        assert [(each.id, each.bands) for each in read.outputs] == [(each.id, each.bands) for each in run.outputs]


@pytest.mark.parametrize(
    ("script", "collection", "bands"),
    [
        ("return [B08];", "sentinel-2-l2a", 1),
        ("//VERSION=1\nreturn [B04, B03, B02, dataMask];", "sentinel-2-l2a", 4),
        ("\ufeff//VERSION=3\nvar a = B04;\nreturn [a, a];", "sentinel-2-l2a", 2),
        ("return valueInterpolate(B04, [0, 1], [[0, 0, 0], [1, 1, 1]]);", "S2L1C", 3),
        ("if (DEM > 500) return [1]; else return [0];", "DEM", 1),
        ("return VV * 2", "S1GRD", 1),
        ("let B11 = 1; return [B11, B04];", "S2L2A", 2),
    ],
)
def test_simple_scripts_return_any_number_of_values(
    source: SyntheticScenes, body: Body, script: str, collection: str, bands: int
) -> None:
    """With a version line or without; what it returns says how many bands the picture has."""
    check_evalscript(script)
    assert pixels(run(source, body, script, collection)).shape[0] == bands


def test_a_simple_script_costs_what_its_bands_do(source: SyntheticScenes, body: Body) -> None:
    """As the same script with a setup() does."""
    full = """//VERSION=3
    function setup() { return { input: ["B02", "B03", "B04"], output: { bands: 3 } }; }
    function evaluatePixel(s) { return [s.B04 * 2.5, s.B03 * 2.5, s.B02 * 2.5]; }"""
    simple, whole = run(source, body, SCRIPTS["simple"]), run(source, body, full)
    assert simple.processing_units == whole.processing_units
    assert (pixels(simple) == pixels(whole)).all()


@pytest.mark.parametrize(
    "script",
    [
        "function evaluatePixel(s) { return [s.B04]; }",
        "function helper(a) { return [a]; }",
        "const f = (a) => { if (a) { return 1; } };",
        "class A { m(a) { return a; } }",
        "[B04, B03, B02]",
        "// return [B04];",
        "'return'",
    ],
)
def test_what_returns_nothing_by_itself_is_no_simple_script(script: str) -> None:
    """Returns of functions, in comments and in texts do not count; both sides agree."""
    assert not is_simple(script)
    with pytest.raises(ApiError):
        check_version(script)


def test_lines_of_simple_scripts_keep_their_numbers(source: SyntheticScenes, body: Body) -> None:
    """An error names the line of the user's own text."""
    with pytest.raises(ApiError) as caught:
        run(source, body, "//VERSION=3\nvar a = B04;\nreturn [a.b.c];")
    assert "line 3" in caught.value.message


def test_scenes_have_all_their_forms(source: SyntheticScenes, body: Body) -> None:
    """An array with a Date in each element, and the lists; as many as there are samples."""
    drawn = pixels(run(source, body, SCRIPTS["scenes_are_an_array"]))
    assert (drawn[0] == 0).all()
    assert (drawn[1] == 0).all()
    assert (drawn[2] >= 0).all()
    assert (drawn[3] == 1).all()
    tiles = pixels(run(source, body, SCRIPTS["scenes_of_tiles"]))
    assert [float(band.max()) for band in tiles] == [0, 5, 2024]
    fused = pixels(run(source, body, SCRIPTS["fusion"], "sentinel-2-l2a", "sentinel-1-grd"))
    assert [float(band.max()) for band in fused] == [0, 0, 2024]


def test_new_objects_keep_their_scenes(source: SyntheticScenes, body: Body) -> None:
    """preProcessScenes() returned two of six orbits as objects of its own: two samples, and two are paid."""
    result = run(source, body, SCRIPTS["new_objects_from_pre_process_scenes"])
    assert (pixels(result) == 2).all()


def test_orbits_do_not_tell_their_tiles_before_they_are_chosen(source: SyntheticScenes, body: Body) -> None:
    """preProcessScenes() sees numbered orbits without tiles, as on the service; evaluatePixel() sees the tiles."""
    drawn = pixels(run(source, body, SCRIPTS["orbits_before_they_are_chosen"]))
    assert [int(band.max()) for band in drawn] == [1, 0, 1]


def test_tiles_tell_where_their_data_lie(source: SyntheticScenes, body: Body) -> None:
    """Where the input asks for the metadata ``bounds``, and only there."""
    drawn = pixels(run(source, body, SCRIPTS["bounds_of_tiles"]))
    assert [float(band.max()) > 4 for band in drawn] == [True, True, True]
    for replaced in ("[]", '["shapes"]'):
        with pytest.raises(ApiError):
            run(source, body, SCRIPTS["bounds_of_tiles"].replace('["bounds"]', replaced))


def test_foreign_scenes_are_refused(source: SyntheticScenes, body: Body) -> None:
    """A scene that was never offered is an error, not an empty picture."""
    script = SCRIPTS["new_objects_from_pre_process_scenes"].replace("orbit.dateFrom,", '"1999-01-01T00:00:00Z",')
    with pytest.raises(ApiError, match="must return scenes that they were given"):
        run(source, body, script)


def test_filter_scenes_is_honoured(source: SyntheticScenes, body: Body) -> None:
    """It keeps the orbits of the last twenty days of June, of six or more."""
    kept = int(pixels(run(source, body, SCRIPTS["filter_scenes"])).max())
    everything = SCRIPTS["filter_scenes"].replace("function filterScenes", "function unused")
    assert 0 < kept < int(pixels(run(source, body, everything)).max())


def test_update_output_sees_the_scenes(source: SyntheticScenes, body: Body) -> None:
    """One band for each orbit."""
    bands = len(pixels(run(source, body, SCRIPTS["update_output"])))
    assert bands > 3


def test_radar_has_its_angle_and_misses_polarizations(source: SyntheticScenes, body: Body) -> None:
    """The look is between 20 and 60 degrees on gentle land; HH is not there, which the service says by its own code."""
    angle = pixels(run(source, body, SCRIPTS["radar_angles"], "sentinel-1-grd"))[0]
    assert 20 < np.median(angle) < 60
    with pytest.raises(ApiError) as caught:
        run(source, body, "return [HH];", "sentinel-1-grd")
    assert (caught.value.status, caught.value.code) == (400, "RENDERER_S1_MISSING_POLARIZATION")


@pytest.mark.parametrize("band", ["SCL", "CLM", "CLP", "B04"])
def test_units_that_a_band_does_not_have_are_refused(source: SyntheticScenes, body: Body, band: str) -> None:
    """Classes and masks are plain numbers; ``dataMask`` goes with any unit."""
    script = (
        "//VERSION=3\nfunction setup() { "
        f'return {{ input: [{{ bands: ["{band}", "dataMask"], units: "REFLECTANCE" }}], '
        f"output: {{ bands: 1 }} }}; }}\nfunction evaluatePixel(s) {{ return [s.{band}]; }}"
    )
    if band == "B04":
        assert pixels(run(source, body, script)).any()
        return
    with pytest.raises(ApiError, match=rf"Band '{band}' of collection 'S2L2A' requested in unsupported units"):
        run(source, body, script)


def test_a_missing_output_is_a_bad_payload(source: SyntheticScenes, body: Body) -> None:
    """The request, not the script, is at fault."""
    request = body(SCRIPTS["simple"])
    request["output"]["responses"][0]["identifier"] = "ndvi"
    with pytest.raises(ApiError) as caught:
        process(request, accept=None, source=source)
    assert caught.value.code == "COMMON_BAD_PAYLOAD"


@pytest.mark.parametrize(("written", "factor"), [("true", 2.0), ("TRUE", 2.0), ("false", 1.0), (True, 2.0)])
def test_booleans_may_be_written_as_text(source: SyntheticScenes, body: Body, written: object, factor: float) -> None:
    """As the documentation writes them; orthorectification doubles the cost."""
    request = body("return [VV];")
    request["input"]["data"] = [{"type": "S1GRD", "processing": {"orthorectify": written}}]
    plain = json.loads(json.dumps(request))
    del plain["input"]["data"][0]["processing"]
    costs = [process(each, accept=None, source=source).processing_units for each in (request, plain)]
    assert costs[0] / costs[1] == factor


def test_a_jpeg_of_four_bands_loses_the_fourth(source: SyntheticScenes, body: Body) -> None:
    """The documentation asks for such."""
    result = process(body("return [B04, B03, B02, dataMask];", "image/jpeg"), accept=None, source=source)
    assert Image.open(io.BytesIO(result.content)).mode == "RGB"


def test_statistics_of_a_script(source: SyntheticScenes, body: Body) -> None:
    """Units in a list, names of the constants, a mask of clear pixels."""
    request = body(SCRIPTS["statistics_of_a_script"])
    aggregation = {
        "timeRange": {"from": "2024-06-01T00:00:00Z", "to": "2024-07-01T00:00:00Z"},
        "aggregationInterval": {"of": "P30D"},
        "evalscript": request["evalscript"],
        "width": 32,
        "height": 32,
    }
    answer = statistics({"input": request["input"], "aggregation": aggregation}, source=source).body
    assert answer["status"] == "OK"

"""Evalscripts in V8: what they declare, what they can use, how they fail."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.evalscripts.contract import DataSource
from sentinelhub_provider.sandbox.world.evalscripts.engine import Evalscript, Limits, SceneList
from sentinelhub_provider.sandbox.world.scenes.collections import SENTINEL_2_L2A

HEAD = "//VERSION=3\n"
SETUP = 'function setup() { return { input: ["B04", "B08"], output: { bands: 1, sampleType: "FLOAT32" } }; }\n'


def evaluate(source: str, *bands: float, limits: Limits | None = None) -> list[float]:
    """Evaluate one pixel and return the values of the first output."""
    with Evalscript(source, limits=limits) as script:
        setup = script.setup([DataSource(SENTINEL_2_L2A)])
        script.begin(setup, [SceneList(None, [])])
        values = bands or (0.25,) * len(setup.bands)
        results = script.evaluate([[[np.array([value], np.float32) for value in values]]], 1)
        return results[setup.outputs[0].id][0].tolist()


def compute(expression: str) -> object:
    """Evaluate an expression within an evalscript and return its value."""
    source = f"{HEAD}{SETUP}function evaluatePixel() {{}}\n"
    source += f"function updateOutputMetadata(s, i, o) {{ o.userData = [{expression}]; }}"
    with Evalscript(source) as script:
        script.begin(script.setup([DataSource(SENTINEL_2_L2A)]), [SceneList(None, [])])
        return script.user_data()[0]


def failure(source: str, limits: Limits | None = None) -> ApiError:
    """Return the error of an evalscript that must fail."""
    with pytest.raises(ApiError) as caught:
        evaluate(source, limits=limits)
    assert caught.value.status == 400
    return caught.value


def test_a_pixel_is_what_the_function_returns():
    """Bands arrive as properties of the sample, results unrounded."""
    assert evaluate(HEAD + SETUP + "function evaluatePixel(s) { return [s.B08 - s.B04]; }", 0.25, 0.75) == [0.5]


def test_state_lives_from_pixel_to_pixel():
    """Global variables of the evalscript keep their values, and results land in order."""
    source = HEAD + SETUP + "let n = 0; function evaluatePixel(s) { return [n++]; }"
    with Evalscript(source) as script:
        script.begin(script.setup([DataSource(SENTINEL_2_L2A)]), [SceneList(None, [])])
        bands = [np.zeros(5, np.float32)] * 2
        assert script.evaluate([[bands]], 5)["default"].ravel().tolist() == [0, 1, 2, 3, 4]
        assert script.evaluate([[bands]], 5)["default"].ravel().tolist() == [5, 6, 7, 8, 9]


def test_arrow_functions_and_typed_arrays_are_welcome():
    """``const evaluatePixel = ...`` counts as a function, a Float32Array as an array."""
    source = HEAD + SETUP + "const evaluatePixel = (s) => new Float32Array([s.B04]);"
    assert evaluate(source, 0.5, 0.0) == [0.5]


def test_units_and_band_objects():
    """Input objects name units; an unnamed unit is the band's default."""
    source = HEAD + (
        'function setup() { return { input: [{ bands: ["B04", "SCL", "AOT"], units: ["DN", "DN", null] }],'
        " output: { bands: 3 } }; }\nfunction evaluatePixel(s) { return [s.B04, s.SCL, s.AOT]; }"
    )
    with Evalscript(source) as script:
        setup = script.setup([DataSource(SENTINEL_2_L2A)])
    assert [(band.name, band.unit, band.factor) for band in setup.bands] == [
        ("B04", "DN", 10_000.0),
        ("SCL", "DN", 1.0),
        ("AOT", "OPTICAL_DEPTH", 1.0),
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("index(0.6, 0.4)", 0.2),
        ("index(0.5, -0.5)", 0),
        ("inverse(5)", 0.2),
        ("int2rgb(65537)", [1, 0, 1]),
        ("rgb2int([0, 1, 0])", 256),
        ("combine([100, 0, 0], [0, 100, 0], 0.5)", [50, 50, 0]),
        ("valueMap(2, [1, 3, 5, 7, 10], [100, 300, 500, 700, 900])", 300),
        ("valueMap(12, [1, 3, 5, 7, 10], [100, 300, 500, 700, 900])", 900),
        ("valueMap(50)", 50),
        ("valueInterpolate(9, [-10, -5, 0, 5, 10], [-1000, -50, 0, 50, 1000])", 810),
        ("valueInterpolate(0.1, [0, 0.2, 1], [[0, 0, 0], [0.1, 0.2, 0.5], [1, 1, 1]])", [0.05, 0.1, 0.25]),
        ("colorBlend(0.5, [0, 1], [[0, 0], [1, 2]])", [0.5, 1]),
        ("new ColorMapVisualizer([[200, 0xff0000], [300, 0x0000ff]]).process(299)", [1, 0, 0]),
        ("new ColorMapVisualizer([[200, 0xff0000], [300, 0x0000ff]]).process(300)", [0, 0, 1]),
        ("new ColorMapVisualizer([[200, 0xff0000], [300, 0x0000ff]]).process(1)", [1, 0, 0]),
        ("new ColorRampVisualizer([[200, 0xff0000], [300, 0x0000ff]]).process(250)", [0.5, 0, 0.5]),
        ("new ColorRampVisualizer([[200, [1, 0, 0]], [300, [0, 0, 1]]], 0, 1).process(0.25)", [0.75, 0, 0.25]),
        ("new ColorRampVisualizer([[0, [1, 0, 0]], [1, [0, 0, 1]]]).inverse().process(0)", [0, 0, 1]),
        ("ColorRampVisualizer.createRedTemperature(0.0, 1.0).process(0)", [0, 0, 0]),
        ("ColorRampVisualizer.createRedTemperature(0.0, 1.0).process(1)", [1, 1, 1]),
        ("ColorRampVisualizer.createWhiteGreen(0.0, 1.0).process(0.3)", None),
        ("ColorRampVisualizer.createBlueRed(0.0, 1.0).process(0.5)", None),
        ("new HighlightCompressVisualizer(0.1, 0.4).process(0.1)", 0),
        ("new HighlightCompressVisualizer(0.1, 0.4).process(0.25)", 0.5),
        ("new HighlightCompressVisualizer(0.1, 0.4).process(0.376)", 0.92),
        ("new HighlightCompressVisualizer(0.1, 0.4).process(0.4)", 0.9259),
        ("new HighlightCompressVisualizer(0.1, 0.4).process(0.7)", 1),
        ("SampleType.UINT16", "UINT16"),
        ("Mosaicking.ORBIT", "ORBIT"),
    ],
)
def test_utility_functions_give_the_documented_values(expression: str, expected: object):
    """The documentation's own examples."""
    value = compute(expression)
    if expected is None:
        assert len(value) == 3
    elif isinstance(expected, str):
        assert value == expected
    else:
        np.testing.assert_allclose(value, expected, atol=1e-4)


def test_an_evalscript_may_declare_a_utilitys_name():
    """``let index`` of its own does not clash with ours."""
    source = HEAD + SETUP + "let index = (a, b) => 7; function evaluatePixel(s) { return [index(1, 2)]; }"
    assert evaluate(source) == [7]


def test_there_is_no_way_out_of_v8():
    """Neither files nor network nor host objects exist in there."""
    names = ["require", "process", "fetch", "XMLHttpRequest", "WebSocket", "Deno", "importScripts", "console"]
    assert json.loads(
        json.dumps(compute(json.dumps(names) + ".filter((n) => typeof globalThis[n] !== 'undefined')"))
    ) in (
        [],
        ["console"],
    )


@pytest.mark.parametrize(
    ("source", "message", "line"),
    [
        (
            HEAD + SETUP + "function evaluatePixel(s) {\n  return [s.B04.x.y];\n}",
            "Cannot read properties of undefined",
            4,
        ),
        (HEAD + SETUP + "function evaluatePixel(s) {\n  return [helper(s)];\n}", "helper is not defined", 4),
        (HEAD + "\n\nfunction setup() { return { input: [] output: {} }; }", "Unexpected identifier 'output'", 4),
        (HEAD + SETUP + "function evaluatePixel(s) {\n\n  throw new Error('no luck');\n}", "no luck", 5),
        (HEAD + SETUP + "function evaluatePixel(s) { throw 'text'; }", "text", 3),
        (HEAD + "function setup() {\n  throw new Error('in setup');\n}\nfunction evaluatePixel() {}", "in setup", 3),
        (
            "\n" + HEAD + SETUP + "let x = undefinedName;\nfunction evaluatePixel() {}",
            "undefinedName is not defined",
            4,
        ),
    ],
    ids=["property of undefined", "unknown function", "syntax", "thrown error", "thrown text", "setup", "top level"],
)
def test_a_failure_tells_message_and_line(source: str, message: str, line: int):
    """JavaScript's own words, and the line as the user counts it."""
    error = failure(source)
    assert error.code == "RENDERER_EXCEPTION"
    assert message in error.message
    assert f"line {line}" in error.message


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("[1, 2]", "array of 1 value(s) for output 'default', as setup() says; it returned 2"),
        ("[]", "it returned 0"),
        ("5", "Script must return an array"),
        ("null", "Script must return an array"),
        ("({other: [1]})", "for output 'default'"),
    ],
)
def test_a_wrong_return_value_is_refused(returned: str, message: str):
    """The number of values must be what setup() declares."""
    assert message in failure(HEAD + SETUP + f"function evaluatePixel(s) {{ return {returned}; }}").message


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ("5", "must return an object"),
        ("{ output: { bands: 1 } }", "input must be an array"),
        ("{ input: ['B99'], output: { bands: 1 } }", "band 'B99' does not exist in collection S2L2A"),
        ("{ input: ['B10'], output: { bands: 1 } }", "band 'B10' does not exist"),
        ("{ input: ['B04'] }", "output must be an output object"),
        ("{ input: ['B04'], output: {} }", "has bands None"),
        ("{ input: ['B04'], output: { bands: 0 } }", "has bands 0"),
        ("{ input: ['B04'], output: { bands: 1, sampleType: 'FLOAT64' } }", "sampleType 'FLOAT64'"),
        ("{ input: ['B04'], output: { bands: 1 }, mosaicking: 'DAY' }", "mosaicking is 'DAY'"),
        ("{ input: [{ bands: ['B04'], units: 'KELVIN' }], output: { bands: 1 } }", "unsupported units 'KELVIN'"),
        ("{ input: [{ bands: ['B04'], units: ['DN', 'DN'] }], output: { bands: 1 } }", "one unit for each band"),
        ("{ input: [{ bands: ['B04'], datasource: 'x' }], output: { bands: 1 } }", "Dataset with id: x not found"),
        ("{ input: [{ bands: ['B04'] }, { bands: ['B08'] }], output: { bands: 1 } }", "input has 2 objects"),
        ("{ input: ['B04'], output: [{ id: 'a', bands: 1 }, { id: 'a', bands: 1 }] }", "'a' occurs more than once"),
        ("{ input: ['B04'], output: { bands: 1, nodataValue: 'x' } }", "nodataValue 'x'"),
    ],
)
def test_a_wrong_setup_is_refused(setup: str, message: str):
    """Each property that setup() returns is checked, and named."""
    error = failure(f"{HEAD}function setup() {{ return {setup}; }}\nfunction evaluatePixel(s) {{ return [1]; }}")
    assert error.code == "RENDERER_EXCEPTION"
    assert message in error.message


@pytest.mark.parametrize("name", ["setup", "evaluatePixel"])
def test_both_functions_must_be_there(name: str):
    """A missing function is named."""
    rest = SETUP if name == "evaluatePixel" else "function evaluatePixel() {}"
    assert f"Function {name}() is missing" in failure(HEAD + rest).message


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ("function first(ds) { setInputComponents([ds.B04]); }", "COMMON_BAD_PAYLOAD"),
        ("//VERSION=2\n", "RENDERER_EXCEPTION"),
    ],
    ids=["1", "2"],
)
def test_the_version_must_be_3(first: str, code: str):
    """Evalscripts of version 1 are not run as if they were of version 3."""
    error = failure(first + SETUP + "function evaluatePixel() {}")
    assert error.code == code
    assert "//VERSION=3" in error.message


@pytest.mark.parametrize(
    "source",
    [HEAD + SETUP + "function evaluatePixel(s) { while (true); }", HEAD + "while (true);"],
    ids=["in a pixel", "at the top"],
)
def test_an_endless_loop_ends(source: str):
    """Running time is limited."""
    assert "longer than 0.2 s" in failure(source, Limits(seconds=0.2)).message


def test_memory_is_limited():
    """An evalscript that hoards is stopped, and the process lives on."""
    source = HEAD + SETUP + "const kept = []; while (true) kept.push(new Array(10000).fill(1.5));"
    assert "used more than 32 MiB" in failure(source, Limits(seconds=20, memory=32 * 2**20)).message
    assert compute("1 + 1") == 2

"""The named evalscripts, the checks of any other, and what is read from a script's text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from py_mini_racer import MiniRacer

from sentinelhub_provider.api.evalscripts import (
    EVALSCRIPTS,
    Output,
    Setup,
    check_evalscript,
    named_evalscript,
    parse_setup,
    read_evalscript,
)
from sentinelhub_provider.exceptions import SentinelHubRequestError

BODY = "function evaluatePixel(s) { return [1]; }"


@pytest.mark.parametrize("name", EVALSCRIPTS)
def test_named_script_is_good_for_both_apis(name: str):
    """Each has a version, says what it reads, cites a source, and returns dataMask."""
    script = named_evalscript(name)
    setup = parse_setup(script)

    check_evalscript(script, for_statistics=True)
    assert setup is not None
    assert [output.id for output in setup.outputs] == ["default", "dataMask"]
    assert any(word in script for word in ("NASA", "ESA", "Remote Sensing"))


def test_bands_of_the_named_scripts():
    """What a request of each costs hangs on them."""
    bands = {name: parse_setup(named_evalscript(name)).bands for name in EVALSCRIPTS}  # type: ignore[union-attr]

    assert bands == {
        "true-colour": ("B02", "B03", "B04", "dataMask"),
        "ndvi": ("B08", "B04", "dataMask"),
        "ndvi-clear": ("B04", "B08", "SCL", "dataMask"),
        "ndwi": ("B03", "B08", "dataMask"),
        "ndmi": ("B08", "B11", "dataMask"),
        "scl-mask": ("SCL", "dataMask"),
    }


SEEN = {"B02": 0.04, "B03": 0.06, "B04": 0.1, "B08": 0.3, "B11": 0.2, "SCL": 4, "dataMask": 1}


@pytest.mark.parametrize(
    ("name", "changes", "values", "mask"),
    [
        ("true-colour", {}, [0.25, 0.15, 0.1, 1], 1),
        ("true-colour", {"dataMask": 0}, [0.25, 0.15, 0.1, 0], 0),
        ("ndvi", {}, [0.5], 1),
        ("ndvi", {"SCL": 9}, [0.5], 1),
        ("ndvi", {"dataMask": 0}, [None], 0),
        ("ndvi", {"B04": 0, "B08": 0}, [None], 0),
        ("ndvi-clear", {}, [0.5], 1),
        ("ndvi-clear", {"SCL": 9}, [None], 0),
        ("ndwi", {}, [-2 / 3], 1),
        ("ndmi", {}, [0.2], 1),
        ("scl-mask", {}, [1], 1),
        ("scl-mask", {"SCL": 3}, [0], 1),
        ("scl-mask", {"dataMask": 0}, [0], 0),
    ],
)
def test_values_of_the_named_scripts(name: str, changes: dict[str, float], values: list[float | None], mask: int):
    """Run in V8: the index by its definition, and NaN (null in JSON) where it is not defined or not to count."""
    engine = MiniRacer()
    engine.eval(named_evalscript(name))
    pixel = json.loads(engine.eval(f"JSON.stringify(evaluatePixel({json.dumps(SEEN | changes)}))"))

    assert pixel["default"] == [value if value is None else pytest.approx(value) for value in values]
    assert pixel["dataMask"] == [mask]


@pytest.mark.parametrize("name", ["NDVI", "ndvi", " ndvi "])
def test_name_is_read_in_any_case(name: str):
    """As people write it."""
    assert read_evalscript(name) == named_evalscript("ndvi")


@pytest.mark.parametrize("name", ["true-color", "true_colour", "True Colour"])
def test_colour_in_both_spellings(name: str):
    """American and British."""
    assert read_evalscript(name) == named_evalscript("true-colour")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("nvdi", "Did you mean 'ndvi' or 'ndwi'"),
        ("", "is empty"),
        (None, "None"),
        ("function setup(ds) { setInputComponents([ds.B04]); } function evaluatePixel() {}", "has no version"),
        ("function setup() {}", "has no version"),
        (f"//VERSION=2\nfunction setup() {{}} {BODY}", "of version 2"),
        ("//VERSION=3\nfunction setup() {}", r"no function evaluatePixel\(\)"),
        (f"//VERSION=3\n{BODY}", r"no function setup\(\)"),
    ],
)
def test_what_is_no_evalscript_is_refused(script: Any, message: str):
    """The message says what is missing."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        read_evalscript(script)
    assert caught.value.field == "evalscript"


def test_statistics_need_a_mask():
    """Without dataMask, the Statistical API computes nothing."""
    script = f"//VERSION=3\nfunction setup() {{ return {{}}; }} {BODY}"

    check_evalscript(script)
    with pytest.raises(SentinelHubRequestError, match="no output dataMask"):
        check_evalscript(script, for_statistics=True)


ONE = Setup((("B04", "B08"),), (Output("default", 1, "AUTO"),), ("SIMPLE",))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('function setup() { return {input: ["B04", "B08"], output: {bands: 1}}; }', id="plain"),
        pytest.param("function setup ( ) {return ({'input':['B04','B08',],output:[{bands: 1,}], })}", id="commas"),
        pytest.param('const setup = () => ({input: [{bands: ["B04", "B08"]}], output: {bands: 1}});', id="arrow"),
        pytest.param('setup = function() { return {input: ["B04","B08"], output: {bands: ["x"]}} }', id="assigned"),
        pytest.param(
            "// function setup() { return 7 }\n"
            'function setup() { /* {} */ return { input: ["B04", // red "B01"\n"B08"], '
            'output: {id: "default", bands: 1, sampleType: SampleType.AUTO}, mosaicking: "SIMPLE" } }',
            id="comments",
        ),
        pytest.param('var setup=()=>{return {input:["B04","B08","B04"],output:{bands:1}}}', id="repeated-band"),
    ],
)
def test_setup_is_read_from_the_text(text: str):
    """In all the ways in which scripts are written."""
    assert parse_setup(f"//VERSION=3\n{text}\n{BODY}") == ONE


def test_setup_of_fused_data():
    """Bands and mosaicking of each dataset; the dataset's own mosaicking comes first."""
    setup = parse_setup(
        "function setup() { return { mosaicking: Mosaicking.ORBIT, input: ["
        '{datasource: "l2a", bands: ["SCL"], units: "DN", mosaicking: "SIMPLE"},'
        '{datasource: "s1", bands: ["VV", "VH"]}],'
        'output: [{id: "a", bands: 2, sampleType: "FLOAT32"}, {id: "b", bands: 1}] } }'
    )

    assert setup == Setup(
        (("SCL",), ("VV", "VH")), (Output("a", 2, "FLOAT32"), Output("b", 1, "AUTO")), ("SIMPLE", "ORBIT")
    )
    assert not setup.is_single_sample


@pytest.mark.parametrize("inputs", ['"B04"', '["B04"]', '[{bands: "B04"}]', '{bands: "B04"}'])
def test_one_band_is_one(inputs: str):
    """Not its letters, which would be paid for as three."""
    setup = parse_setup(
        f"//VERSION=3\nfunction setup() {{ return {{input: {inputs}, output: {{bands: 1}}}}; }}\n{BODY}"
    )
    assert setup is not None
    assert setup.bands == ("B04",)


def test_a_colour_that_a_simple_script_spreads_counts_three():
    """Pictures with transparency are not taken for such of two bands, which JPEG cannot hold."""
    assert parse_setup("return [...ramp.process(B04), dataMask];") == Setup(
        (("B04", "dataMask"),), (Output("default", 4, "AUTO"),), ("SIMPLE",)
    )


@pytest.mark.parametrize(
    "text",
    [
        'function setup() { const bands = ["B04"]; return {input: bands, output: {bands: 1}}; }',
        "function setup() { return {input: BANDS, output: {bands: 1}}; }",
        "function setup() { return {input: ['B04'], output: {bands: 1 + 1}}; }",
        "let n = 1; n = 2; function setup() { return {input: ['B04'], output: {bands: n}}; }",
        "let n = 1; n++; function setup() { return {input: ['B04'], output: {bands: n}}; }",
        "const n = 1 + 1; function setup() { return {input: ['B04'], output: {bands: n}}; }",
        "let n; if (f()) n = 2; function setup() { return {input: ['B04'], output: {bands: n}}; }",
        "function setup() { return {output: {bands: 1}}; }",
        "function setup() { return {input: ['B04'",
        "no script",
        "return [red, green, blue];",
        2 * "function setup() { return {input: ['B04'], output: {bands: 1}}; }\n",
    ],
)
def test_computed_setup_is_not_guessed(text: str):
    """Rather nothing than a wrong cost."""
    assert parse_setup(text) is None

"""Data fusion: several datasets in one request, their samples under their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rasterio.io import MemoryFile

from sentinelhub_provider.sandbox.apis.process.render import process
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.scenes import SyntheticScenes

Body = Callable[..., dict[str, Any]]
JUNE = {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T23:59:59Z"}
EARLY = {"from": "2024-04-01T00:00:00Z", "to": "2024-04-30T23:59:59Z"}


def optical(identifier: str | None = None, time: dict[str, str] = JUNE, kind: str = "sentinel-2-l2a") -> dict[str, Any]:
    """A dataset of the clearest scene."""
    entry: dict[str, Any] = {"type": kind, "dataFilter": {"timeRange": time, "mosaickingOrder": "leastCC"}}
    return entry if identifier is None else {**entry, "id": identifier}


def radar(identifier: str | None = None) -> dict[str, Any]:
    """A dataset of the newest radar scene."""
    entry: dict[str, Any] = {"type": "sentinel-1-grd", "dataFilter": {"timeRange": JUNE}}
    return entry if identifier is None else {**entry, "id": identifier}


def script(inputs: str, body: str, more: str = "") -> str:
    """Write an evalscript of one FLOAT32 band."""
    return (
        f"//VERSION=3\nfunction setup() {{ return {{ input: {inputs}, "
        'output: { bands: 1, sampleType: "FLOAT32" } }; }\n'
        f"function evaluatePixel(samples, scenes) {{ {body} }}\n{more}"
    )


def image(body: dict[str, Any], source: SyntheticScenes) -> np.ndarray:
    """Render and read back."""
    with MemoryFile(process(body, accept=None, source=source).content) as memory, memory.open() as tiff:
        return tiff.read(1)


def fused(body: Body, evalscript: str, *data: dict[str, Any]) -> dict[str, Any]:
    """A request with these datasets."""
    made = body(evalscript)
    made["input"]["data"] = list(data)
    return made


def alone(body: Body, source: SyntheticScenes, data: dict[str, Any], band: str) -> np.ndarray:
    """One band of one dataset, by a request of its own."""
    return image(fused(body, script(f'["{band}"]', f"return [samples.{band}];"), data), source)


def test_samples_lie_under_the_ids(source: SyntheticScenes, body: Body):
    """Each dataset is an array of one sample; the pixels are those of two requests."""
    inputs = '[{ datasource: "optical", bands: ["B08"] }, { datasource: "radar", bands: ["VV"] }]'
    both = fused(
        body,
        script(inputs, "return [samples.optical[0].B08 + samples.radar[0].VV];"),
        optical("optical"),
        radar("radar"),
    )
    expected = alone(body, source, optical(), "B08") + alone(body, source, radar(), "VV")
    np.testing.assert_allclose(image(both, source), expected, rtol=1e-6)


def test_the_order_of_the_inputs_does_not_matter_with_ids(source: SyntheticScenes, body: Body):
    """The ``datasource`` names the dataset, not its place."""
    inputs = '[{ datasource: "b", bands: ["B08"] }, { datasource: "a", bands: ["B08"] }]'
    made = fused(
        body, script(inputs, "return [samples.a[0].B08 - samples.b[0].B08];"), optical("a"), optical("b", EARLY)
    )
    expected = alone(body, source, optical(), "B08") - alone(body, source, optical(time=EARLY), "B08")
    np.testing.assert_allclose(image(made, source), expected, atol=1e-6)
    assert np.abs(expected).max() > 0.01


def test_without_ids_samples_lie_under_their_places(source: SyntheticScenes, body: Body):
    """'0' is the request's first dataset, '1' its second."""
    inputs = '[{ bands: ["B02"] }, { bands: ["B02"], units: "REFLECTANCE" }]'
    made = fused(
        body,
        script(inputs, 'return [samples["1"][0].B02 - samples["0"][0].B02];'),
        optical(),
        optical(kind="sentinel-2-l1c"),
    )
    haze = image(made, source)
    assert haze.mean() > 0.01, "the atmosphere adds blue light"


def test_each_input_has_its_own_mosaicking(source: SyntheticScenes, body: Body):
    """An array of many orbits beside one of a single mosaic; the metadata lie under the ids too."""
    inputs = '[{ datasource: "all", bands: ["B04"], mosaicking: "ORBIT" }, { datasource: "one", bands: ["B04"] }]'
    code = (
        "if (samples.all.length !== scenes.all.orbits.length || scenes.one.orbits !== undefined) return [-1];"
        "return [10 * samples.all.length + samples.one.length];"
    )
    result = process(fused(body, script(inputs, code), optical("all"), optical("one")), accept=None, source=source)
    with MemoryFile(result.content) as memory, memory.open() as tiff:
        values = tiff.read(1)
    assert (values == 61).all()
    # 64 x 64 pixels count as 0.01; 2 bands of 3; 32 bits; 6 samples; 2 collections.
    assert result.processing_units == pytest.approx(64 * 64 / 512**2 * 2 / 3 * 2 * 6 * 2)


def test_scenes_are_chosen_for_each_input(source: SyntheticScenes, body: Body):
    """The function preProcessScenes gets the collections by id, and gives them back so."""
    inputs = '[{ datasource: "a", bands: ["B04"] }, { datasource: "b", bands: ["B04"] }]'
    more = (
        "function preProcessScenes(c) { c.a.scenes.orbits = c.a.scenes.orbits.slice(0, 2);"
        " c.b.scenes.orbits = c.b.scenes.orbits.filter((o) => o.dateFrom < '2024-06-10'); return c; }"
    )
    code = script(inputs, "return [10 * samples.a.length + samples.b.length];", more)
    made = fused(
        body, code.replace("return { input", 'return { mosaicking: "ORBIT", input'), optical("a"), optical("b")
    )
    assert (image(made, source) == 22).all()


def test_a_dataset_without_scenes_is_an_empty_array(source: SyntheticScenes, body: Body):
    """Unlike a request of one dataset, whose one sample is always there."""
    inputs = '[{ datasource: "new", bands: ["B04"] }, { datasource: "old", bands: ["B04"] }]'
    ages_ago = {"from": "2010-01-01T00:00:00Z", "to": "2010-02-01T00:00:00Z"}
    made = fused(
        body,
        script(inputs, "return [10 * samples.new.length + samples.old.length];"),
        optical("new"),
        optical("old", ages_ago),
    )
    assert (image(made, source) == 10).all()


def test_the_price_multiplies_by_the_collections(source: SyntheticScenes, body: Body):
    """Two local collections: twice the cost."""
    inputs = '[{ bands: ["B02", "B03"] }, { bands: ["B04", "dataMask"] }]'
    code = script(inputs, 'return [samples["0"][0].B02];').replace("FLOAT32", "UINT8")
    made = fused(body, code, optical(), optical(kind="sentinel-2-l1c"))
    made["output"] |= {"width": 512, "height": 512}
    assert process(made, accept=None, source=source).processing_units == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ('[{ datasource: "c", bands: ["B04"] }]', "Dataset with id: c not found"),
        ('[{ bands: ["B04"] }, { bands: ["B04"] }, { bands: ["B04"] }]', "input has 3 objects"),
        ('[{ datasource: "b", bands: ["B04"] }, { bands: ["B04"] }]', "named by two input objects"),
        ('[{ datasource: "a", bands: ["VV"] }]', "band 'VV' does not exist in collection S2L2A"),
        ('[{ bands: ["B04"], mosaicking: "DAY" }]', "mosaicking is 'DAY'"),
    ],
)
def test_inputs_that_fit_no_dataset_are_refused(source: SyntheticScenes, body: Body, inputs: str, message: str):
    """Before any pixel is computed."""
    with pytest.raises(ApiError, match=message):
        process(fused(body, script(inputs, "return [0];"), optical("a"), optical("b")), accept=None, source=source)

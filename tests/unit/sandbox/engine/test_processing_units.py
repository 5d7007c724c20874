"""Processing units: the formula's factors one by one, and the worked examples of the documentation and the FAQ."""

from __future__ import annotations

from typing import Any

import pytest

from sentinelhub_provider.sandbox.apis.process.processing_units import (
    STATISTICAL_MINIMUM,
    processing_units,
    radar_factor,
)

RGB = ["B02", "B03", "B04"]
ORTHORECTIFIED = {"orthorectify": True}


def test_one_unit_is_the_definitions():
    """512 x 512 pixels, three bands, one sample, 16 bits."""
    assert processing_units(512, 512, RGB, sample_types=["UINT16"]) == 1.0


def test_sentinel_1_change_detection():
    """Worked example: 1024 x 1024, 4 bands, 32 bit float, 2 samples, orthorectified = 42.667."""
    bands = ["VV", "VH", "HH", "HV"]
    units = processing_units(1024, 1024, bands, samples=2, sample_types=["FLOAT32"], options=[ORTHORECTIFIED])
    assert units == pytest.approx(42.667, abs=5e-4)


def test_ndvi_of_a_parcel():
    """Worked example: 20 x 20 pixels, 2 bands, 16 bit = 0.0067."""
    assert processing_units(20, 20, ["B04", "B08"], sample_types=["UINT16"]) == pytest.approx(0.0067, abs=5e-5)


@pytest.mark.parametrize(("side", "units"), [(2000, 20.34), (500, 1.27)])
def test_orthorectified_radar_images(side: int, units: float):
    """Worked examples of the FAQ: 2 bands, 16 bit, orthorectified."""
    assert processing_units(side, side, ["VV", "VH"], options=[ORTHORECTIFIED]) == pytest.approx(units, abs=1e-2)


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ({"samples": 7}, 7),
        ({"samples": 0}, 1),
        ({"sample_types": ["UINT8", "FLOAT32"]}, 2),
        ({"sample_types": ["UINT32"]}, 2),
        ({"sample_types": ["AUTO", "INT16"]}, 1),
        ({"collections": 3}, 3),
        ({"options": [{}, ORTHORECTIFIED]}, 2),
        ({"options": [ORTHORECTIFIED, {"speckleFilter": {"type": "LEE"}}]}, 4),
        ({"options": [ORTHORECTIFIED, {"backCoeff": "GAMMA0_TERRAIN", "orthorectify": True}]}, 2.5),
    ],
    ids=str,
)
def test_every_factor_multiplies(change: dict[str, Any], factor: float):
    """Each on its own."""
    assert processing_units(512, 512, RGB, **change) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({"orthorectify": False}, 1.0),
        ({"orthorectify": True}, 2.0),
        ({"orthorectify": True, "backCoeff": "GAMMA0_TERRAIN"}, 2.5),
        ({"speckleFilter": {"type": "NONE"}}, 1.0),
        ({"speckleFilter": {"type": "LEE", "windowSizeX": 3, "windowSizeY": 3}}, 2.0),
        ({"orthorectify": True, "speckleFilter": {"type": "LEE"}}, 4.0),
        ({"demInstance": "MAPZEN", "egm": True}, 1.0),
    ],
    ids=str,
)
def test_radar_processing(options: dict[str, Any], factor: float):
    """Terrain correction replaces the factor of the orthorectification that it needs."""
    assert radar_factor(options) == factor


def test_data_mask_is_free_unless_it_is_alone():
    """In each of several collections."""
    assert processing_units(512, 512, [*RGB, "dataMask", "dataMask"]) == 1.0
    assert processing_units(512, 512, ["dataMask"]) == pytest.approx(1 / 3)


def test_the_least_price_is_the_apis():
    """An area counts as 0.01 at least, a request as 0.005, or 0.01 for statistics."""
    assert processing_units(1, 1, RGB) == 0.01
    assert processing_units(1, 1, ["B04"]) == 0.005
    assert processing_units(1, 1, ["B04"], minimum=STATISTICAL_MINIMUM) == 0.01

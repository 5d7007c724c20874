"""What a request costs: the documentation's own examples, each factor, and the arithmetic in words."""

from __future__ import annotations

from typing import Any

import pytest

from sentinelhub_provider.api.processing_units import (
    Service,
    check_budget,
    estimate,
    estimate_catalog,
    total,
)
from sentinelhub_provider.exceptions import SentinelHubBudgetError


def test_definition():
    """One PU: 512 x 512 pixels of three bands, one sample, 16 bits."""
    assert estimate(512, 512, bands=["B02", "B03", "B04"]).processing_units == 1


def test_sentinel_1_change_detection():
    """Documentation, "Request cost calculation examples", the first: 42.667 PU."""
    change = estimate(1024, 1024, bands=4, bits=32, samples=2, orthorectify=True)

    assert change.processing_units == pytest.approx(42.667, abs=0.0005)
    assert change.explanation == (
        "area 1024 x 1024 / 512 x 512 px (4) x bands 4 / 3 (1.333) x format 32 bit (2) x samples 2 (2) "
        "x orthorectification yes (2) = 42.67 PU"
    )


def test_ndvi_of_a_parcel():
    """The second example: 0.0067 PU for four hectares at 10 m."""
    assert estimate(20, 20, bands=["B04", "B08"]).processing_units == pytest.approx(0.0067, abs=0.00005)


def test_fusion_of_the_rules():
    """The example beside the rule of data fusion: two local collections and a remote one are a factor of 4."""
    fused = estimate(512, 512, bands=3, local_collections=2, remote_collections=1)

    assert fused.processing_units == 4


def test_sentinel_1_picture_of_the_faq():
    """Page "How can I know how many processing units I need", example 1: 2000 x 2000 px, 2 bands, orthorectified."""
    picture = estimate(2000, 2000, bands=["VV", "VH"], orthorectify=True)

    assert picture.processing_units == pytest.approx(20.345, abs=0.001)


def test_five_hundred_small_pictures_of_the_faq():
    """The same with 500 x 500 px: 1.27 PU each, 635.78 for 500 of them."""
    pictures = estimate(500, 500, bands=["VV", "VH"], orthorectify=True).repeated(500)

    assert pictures.processing_units == pytest.approx(635.78, abs=0.01)


@pytest.mark.parametrize(
    ("changed", "factor"),
    [
        pytest.param({"bands": 6}, 2, id="bands"),
        pytest.param({"bands": ["B02", "B03", "B04", "dataMask"]}, 1, id="mask-is-free"),
        pytest.param({"bands": ["dataMask"]}, 1 / 3, id="mask-alone"),
        pytest.param({"bits": 32}, 2, id="float"),
        pytest.param({"bits": 8}, 1, id="byte"),
        pytest.param({"octet_stream": True}, 1.4, id="octet-stream"),
        pytest.param({"samples": 5}, 5, id="samples"),
        pytest.param({"samples": 0}, 1, id="no-scene"),
        pytest.param({"local_collections": 2}, 2, id="fusion"),
        pytest.param({"local_collections": 1, "remote_collections": 1}, 3, id="remote"),
        pytest.param({"orthorectify": True}, 2, id="orthorectified"),
        pytest.param({"terrain_correction": True}, 2.5, id="terrain"),
        pytest.param({"terrain_correction": True, "orthorectify": True}, 2.5, id="terrain-includes-orthorectification"),
        pytest.param({"speckle_filter": True}, 2, id="speckle"),
        pytest.param({"service": Service.STATISTICAL}, 1, id="statistical"),
    ],
)
def test_factor(changed: dict[str, Any], factor: float):
    """Each factor of the rules, alone."""
    assert estimate(512, 512, **{"bands": 3, **changed}).processing_units == pytest.approx(factor)


@pytest.mark.parametrize(
    ("service", "least"),
    [
        (Service.PROCESS, 0.005),
        (Service.STATISTICAL, 0.01),
        (Service.ASYNC, 10),
        (Service.BATCH, 100),
        (Service.BATCH_STATISTICAL, 100),
    ],
)
def test_least_cost(service: Service, least: float):
    """One pixel of one band costs the least that a request of each API costs."""
    small = estimate(1, 1, bands=1, service=service)

    assert small.processing_units == least
    assert f"at least {least:g} for a request" in small.explanation


def test_least_cost_is_of_each_request():
    """Three requests cost three times the least."""
    assert estimate(1, 1, bands=1).repeated(3).processing_units == pytest.approx(0.015)


@pytest.mark.parametrize(
    ("service", "side", "share"),
    [
        (Service.ASYNC, 5120, 2 / 3),
        (Service.BATCH, 5120, 1 / 3),
        (Service.BATCH_STATISTICAL, 5120, 1),
        (Service.PROCESS, 5120, 1),
    ],
)
def test_discount(service: Service, side: int, share: float):
    """Async and Batch are cheaper; Batch Statistical is not."""
    assert estimate(side, side, bands=30, service=service).processing_units == pytest.approx(1000 * share)


def test_small_requests_have_no_discount():
    """From 10,000 pixels on."""
    below = estimate(100, 99, bands=9000, samples=10, service=Service.ASYNC)
    at = estimate(100, 100, bands=9000, samples=10, service=Service.ASYNC)

    assert below.processing_units == pytest.approx(100 * 99 / 512**2 * 3000 * 10)
    assert at.processing_units == pytest.approx(100 * 100 / 512**2 * 3000 * 10 * 2 / 3)


@pytest.mark.parametrize(
    ("area", "days", "cost"),
    [(1_000_000, 30, 1), (10_000, 365, 0.13), (1, 1, 0.01), (9_000_000, 30, 1), (500_000, 31, 1), (250_000, 60, 0.5)],
)
def test_catalog(area: float, days: float, cost: float):
    """By area and begun months, at least 0.01 and at most 1."""
    assert estimate_catalog(area, days).processing_units == pytest.approx(cost)


def test_sum_of_likes_keeps_the_arithmetic():
    """Tiles are mostly alike; those at the border are not."""
    tile = estimate(2500, 2500, bands=3)

    assert (
        total([tile, tile]).explanation
        == "area 2500 x 2500 / 512 x 512 px (23.84) x bands 3 / 3 (1), x 2 requests = 47.68 PU"
    )
    assert total([tile, estimate(100, 2500, bands=3)]).processing_units == pytest.approx(23.842 + 0.954, abs=0.001)
    assert total([]).processing_units == 0


def test_budget():
    """Over it, the arithmetic is in the message."""
    costs = estimate(512, 512, bands=6)

    check_budget(costs, None)
    check_budget(costs, 2)
    with pytest.raises(
        SentinelHubBudgetError, match=r"2 PU, more than max_processing_units=1.9; nothing was sent.*bands 6 / 3"
    ):
        check_budget(costs, 1.9)


def test_many_within_one_request() -> None:
    """The minimum holds once for all of them, not for each."""
    tile = estimate(512, 512, bands=3, service=Service.BATCH)

    assert tile.processing_units == 100
    assert tile.times(30, "tiles").processing_units == 100
    assert tile.times(900, "tiles").processing_units == pytest.approx(300)
    assert "x tiles 900 (900)" in str(tile.times(900, "tiles"))

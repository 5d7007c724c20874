"""Values of arguments, as templates, numpy and pandas hand them over."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sentinelhub_provider.api.geo.bounds import parse_bounds, parse_size
from sentinelhub_provider.api.geo.geometry import feature_id
from sentinelhub_provider.api.values import read_flag, read_number, read_positive, read_whole_number
from sentinelhub_provider.exceptions import SentinelHubRequestError


@pytest.mark.parametrize(
    "value", [10, 10.0, "10", " 10.0 ", "1e1", np.int64(10), np.float32(10), Decimal("10.0")], ids=repr
)
def test_whole_numbers(value: Any):
    """In every spelling, as Python's own, which JSON can hold."""
    for found in (read_whole_number(value, "width"), read_number(value, "width"), read_positive(value, "width")):
        assert (found, type(found)) == (10, int)


@pytest.mark.parametrize(
    "value", ["ten", "", True, np.bool_(True), None, 10.5, "10.5", [10], float("nan"), float("inf"), 10**400], ids=repr
)
def test_what_is_no_whole_number(value: Any):
    """It is refused by name."""
    with pytest.raises(
        SentinelHubRequestError, match=r"^width is .* Give a whole number of pixels, 1 or more"
    ) as caught:
        read_whole_number(value, "width", of="pixels")
    assert caught.value.field == "width"


@pytest.mark.parametrize("value", [0, -1, "0", "-0.0", np.float64(-1), float("nan")], ids=repr)
def test_what_is_not_positive(value: Any):
    """Also the zero below zero."""
    with pytest.raises(SentinelHubRequestError, match="greater than 0"):
        read_positive(value, "resolution")


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), (np.bool_(False), False), ("TRUE", True), (" false ", False)], ids=repr
)
def test_flags(value: Any, expected: bool):
    """In any case."""
    assert read_flag(value, "overwrite") is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((7, 7), (7.0, 7), (np.int64(7), 7), (np.float64(7), 7), (Decimal(7), 7), ("7", "7"), (np.str_("a"), "a")),
        *((7.5, None), (True, None), (np.bool_(True), None), ("", None), (None, None), (pd.NA, None), (pd.NaT, None)),
    ],
    ids=repr,
)
def test_identifiers(value: Any, expected: Any):
    """Texts and whole numbers, whoever wrote them."""
    found = feature_id(value)

    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("resolution", [(10, 20), [10, "20"], np.array([10, 20]), pd.Series([10.0, 20.0])], ids=repr)
def test_a_resolution_for_each_axis(resolution: Any):
    """As a list of any kind."""
    bounds = parse_bounds(bbox=[500_000, 5e6, 500_100, 5_000_100], crs=32633)

    assert parse_size(bounds, resolution=resolution).resolution == (10, 20)

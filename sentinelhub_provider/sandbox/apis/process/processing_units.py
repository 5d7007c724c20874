"""The cost of a request in processing units (PU).

Rules and worked examples of the documentation's page "Processing Unit definition"
(documentation.dataspace.copernicus.eu/APIs/SentinelHub/Overview/ProcessingUnit.html): 512 x 512 pixels x 3 input bands
x 1 sample at up to 16 bits is one PU; every factor scales it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sentinelhub_provider.sandbox.world.scenes.model import DATA_MASK

AREA: Final = 512 * 512
"""Pixels of one PU."""

MINIMUM_AREA_FACTOR: Final = 0.01
BANDS: Final = 3
MINIMUM: Final = 0.005
"""PU that any successful Process request costs at least."""

STATISTICAL_MINIMUM: Final = 0.01
"""PU that any successful Statistical request costs at least."""

FACTOR_32_BIT: Final = 2.0
FACTOR_ORTHORECTIFIED: Final = 2.0
FACTOR_TERRAIN_CORRECTED: Final = 2.5
"""Radiometric terrain correction; it includes the orthorectification that it needs."""
FACTOR_SPECKLE_FILTER: Final = 2.0

TERRAIN_CORRECTED: Final = "GAMMA0_TERRAIN"
"""Value of ``backCoeff`` that asks for radiometric terrain correction."""


def processing_units(
    width: int,
    height: int,
    bands: Sequence[str],
    *,
    samples: int = 1,
    sample_types: Iterable[str] = (),
    collections: int = 1,
    options: Iterable[Mapping[str, Any]] = (),
    minimum: float = MINIMUM,
) -> float:
    """Cost of a request in PU.

    ``width``, ``height``: pixels of the request's box. ``bands``: the input bands of all collections; ``dataMask`` is
    free unless there is nothing else. ``samples``: data samples per pixel (one with mosaicking SIMPLE, one per orbit or
    tile otherwise; over all intervals of a Statistical request). ``sample_types``: those of the outputs; one of 32 bits
    doubles the cost. ``collections``: how many are fused, all of them at this endpoint. ``options``: the
    ``processing`` of each dataset, see :func:`radar_factor`; what one of them asks for, the request costs. ``minimum``:
    PU of the cheapest request of the API.
    """
    area = max(width * height / AREA, MINIMUM_AREA_FACTOR)
    counted = sum(1 for band in bands if band != DATA_MASK) or 1
    depth = FACTOR_32_BIT if any(kind.endswith("32") for kind in sample_types) else 1.0
    radar = radar_factor(_together(options))
    return max(minimum, area * counted / BANDS * max(1, samples) * depth * max(1, collections) * radar)


def _together(options: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Put the ``processing`` of fused datasets together: the documentation has each factor once for a request."""
    whole: dict[str, Any] = {}
    for each in options:
        if each.get("orthorectify"):
            whole["orthorectify"] = True
        if each.get("backCoeff") == TERRAIN_CORRECTED:
            whole["backCoeff"] = TERRAIN_CORRECTED
        if _speckle_filter(each) != "NONE":
            whole["speckleFilter"] = each["speckleFilter"]
    return whole


def radar_factor(options: Mapping[str, Any]) -> float:
    """Factor of Sentinel-1's ``input.data[n].processing``: ``orthorectify``, ``backCoeff``, ``speckleFilter``."""
    factor = 1.0
    if options.get("backCoeff") == TERRAIN_CORRECTED:
        factor *= FACTOR_TERRAIN_CORRECTED
    elif options.get("orthorectify"):
        factor *= FACTOR_ORTHORECTIFIED
    if _speckle_filter(options) != "NONE":
        factor *= FACTOR_SPECKLE_FILTER
    return factor


def _speckle_filter(options: Mapping[str, Any]) -> str:
    return str((options.get("speckleFilter") or {}).get("type", "NONE"))

"""The cost of a request in processing units (PU).

Rules and worked examples of the documentation's page "Processing Unit definition"
(documentation.dataspace.copernicus.eu/APIs/SentinelHub/Overview/ProcessingUnit.html). One PU is 512 x 512 pixels x
3 input bands x 1 sample at up to 16 bits. Every factor scales it.
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
"""Radiometric terrain correction. It includes the orthorectification that it needs."""
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

    ``width`` and ``height`` are in pixels of the request's box. ``bands`` are the input bands of all collections.
    ``dataMask`` is free unless it is the only one. ``samples`` are data samples per pixel, over all intervals of a
    Statistical request. They are one with mosaicking SIMPLE, else one per orbit or tile. ``sample_types`` are those of
    the outputs. One of 32 bits doubles the cost. ``collections`` is the number of fused ones, all at this endpoint.
    ``options`` are the ``processing`` of each dataset (see :func:`radar_factor`). The request costs as much as the
    options of any of them. ``minimum`` is the PU of the API's cheapest request.
    """
    area = max(width * height / AREA, MINIMUM_AREA_FACTOR)
    counted = sum(1 for band in bands if band != DATA_MASK) or 1
    depth = FACTOR_32_BIT if any(kind.endswith("32") for kind in sample_types) else 1.0
    radar = radar_factor(_together(options))
    return max(minimum, area * counted / BANDS * max(1, samples) * depth * max(1, collections) * radar)


def _together(options: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Join the ``processing`` of fused datasets, because the documentation has each factor once for a request."""
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
    """Factor of Sentinel-1's ``orthorectify``, ``backCoeff`` and ``speckleFilter`` in ``input.data[n].processing``."""
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

"""What a request costs, in processing units (PU).

Rules of the documentation's page "Processing Unit definition": 512 x 512 pixels x 3 input bands x 1 sample at up to 16
bits is one PU; every factor scales it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sentinelhub_provider.sandbox.scenes.model import DATA_MASK

AREA: Final = 512 * 512
"""Pixels of one PU."""

MINIMUM_AREA_FACTOR: Final = 0.01
BANDS: Final = 3
MINIMUM: Final = 0.005
"""PU that any successful Process request costs at least."""

FACTOR_32_BIT: Final = 2.0


def processing_units(
    width: int, height: int, bands: Sequence[str], *, samples: int = 1, sample_types: Iterable[str] = ()
) -> float:
    """Cost of a request in PU.

    ``bands``: the input bands; ``dataMask`` is free unless it is the only one. ``samples``: data samples per pixel (one
    with mosaicking SIMPLE, one per orbit or tile otherwise). ``sample_types``: those of the outputs; one of 32 bits
    doubles the cost.
    """
    area = max(width * height / AREA, MINIMUM_AREA_FACTOR)
    counted = sum(1 for band in bands if band != DATA_MASK) or 1
    depth = FACTOR_32_BIT if any(kind.endswith("32") for kind in sample_types) else 1.0
    return max(MINIMUM, area * counted / BANDS * max(1, samples) * depth)

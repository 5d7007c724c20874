"""The cost of asynchronous work (documentation, "Processing Unit definition"), which is lower than at once."""

from __future__ import annotations

from typing import Final

DISCOUNT_FROM: Final = 10_000
"""Pixels of an image or a feature from which on the discount is given."""

BATCH_FACTOR: Final = 1 / 3
ASYNC_FACTOR: Final = 2 / 3


def discounted(processing_units: float, pixels: int, factor: float) -> float:
    """Return the cost in PU of an image or a feature with so many pixels; ``processing_units``: without discount."""
    return processing_units * factor if pixels >= DISCOUNT_FROM else processing_units

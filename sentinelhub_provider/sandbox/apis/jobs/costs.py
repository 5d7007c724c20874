"""The discounts of Async Process and Batch Process (documentation, "Processing Unit definition")."""

from __future__ import annotations

from typing import Final

DISCOUNT_FROM: Final = 10_000
"""Least number of pixels of an image or a feature with a discount."""

BATCH_FACTOR: Final = 1 / 3
ASYNC_FACTOR: Final = 2 / 3


def discounted(processing_units: float, pixels: int, factor: float) -> float:
    """Return the cost in PU of an image or a feature, from its PU without discount and its number of pixels."""
    return processing_units * factor if pixels >= DISCOUNT_FROM else processing_units

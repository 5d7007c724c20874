"""The backscatter of the synthetic landscape's surfaces for a radar in C band.

Each surface has its gamma nought in decibels for VV and VH. The values are round numbers near published ones. Only
their order matters. Calm water is dark, roofs are bright, and plants depolarise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from sentinelhub_provider.sandbox.world.scenes.noise import Coordinates, Values, derive, hash_cells, rehash, split, unit

POLARISATIONS: Final = ("VV", "VH")

DECIBELS: Final[dict[str, tuple[float, float]]] = {
    #                  VV     VH
    "crop":          (-10.5, -16.5),
    "meadow":        (-12.0, -18.5),
    "flowering":     (-10.0, -15.0),
    "straw":         (-12.5, -20.0),
    "brown soil":    (-11.0, -20.5),
    "pale soil":     (-12.0, -21.5),
    "broadleaf":     (-8.5,  -13.5),
    "autumn leaves": (-9.0,  -14.0),
    "bare trees":    (-9.0,  -14.5),
    "conifer":       (-8.8,  -14.0),
    "clear water":   (-20.5, -28.0),
    "turbid water":  (-19.5, -27.5),
    "road":          (-16.0, -24.0),
    "red roof":      (-3.0,  -11.5),
    "grey roof":     (-2.5,  -11.0),
    "bright roof":   (0.0,   -9.0),
    "snow":          (-13.5, -20.5),
}  # fmt: skip

LOOKS: Final = 4
"""Number of looks of a pixel. Sentinel-1's GRD in high resolution has about 4.4."""

SPECKLE_CELL: Final = 10.0
"""Side in metres of a square on the landscape's plane within which speckle is the same."""


def mix(shares: Mapping[str, Values], polarisation: str) -> Values:
    """Compute gamma nought of a mixed pixel, in linear power."""
    column = POLARISATIONS.index(polarisation)
    total = np.zeros_like(next(iter(shares.values())))
    for surface, share in shares.items():
        total += share * np.float32(10 ** (DECIBELS[surface][column] / 10))
    return total


def speckle(x: Coordinates, y: Coordinates, seed: int, *, averaged: int = 1) -> Values:
    """Compute multiplicative noise of mean 1 at points of the plane (metres), like that of a coherent image.

    :param averaged: number of source pixels in a filter's window. The noise is dampened as by their mean.
    """
    cells = hash_cells(split(x, SPECKLE_CELL)[0], split(y, SPECKLE_CELL)[0], derive(seed, 110))
    # The mean of exponentially distributed intensities has a gamma distribution.
    total = np.zeros(x.shape, np.float64)
    for look in range(LOOKS):
        total -= np.log(unit(rehash(cells, look)).astype(np.float64) + 1e-9)
    noise: Values = (1.0 + (total / LOOKS - 1.0) / np.sqrt(averaged)).astype(np.float32)
    return noise

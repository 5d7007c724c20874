"""The reflectance of the synthetic landscape's surfaces, band by band.

Each surface has its reflectance (0..1, bottom of the atmosphere) at Sentinel-2's bands. The values are round numbers
near those of published spectral libraries. Only their order matters. Vegetation is dark in the red and bright in the
near infrared. Water is dark in the near infrared, and snow is dark in the short-wave infrared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

OPTICAL_BANDS: Final = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""Order of the columns of every spectrum here."""

SURFACES: Final[dict[str, tuple[float, ...]]] = {
    #                 B01   B02   B03   B04   B05   B06   B07   B08   B8A   B09   B10    B11   B12
    "crop":          (.032, .042, .100, .046, .118, .34,  .43,  .46,  .48,  .46,  .002,  .21,  .100),
    "meadow":        (.038, .049, .106, .066, .128, .30,  .37,  .40,  .42,  .40,  .002,  .23,  .12),
    "flowering":     (.040, .048, .185, .165, .23,  .37,  .43,  .46,  .48,  .46,  .002,  .21,  .11),
    "straw":         (.075, .095, .148, .195, .225, .25,  .27,  .29,  .31,  .31,  .002,  .35,  .26),
    "brown soil":    (.055, .066, .092, .128, .150, .165, .18,  .195, .21,  .22,  .002,  .28,  .25),
    "pale soil":     (.085, .105, .148, .192, .218, .235, .25,  .265, .28,  .29,  .002,  .35,  .32),
    "broadleaf":     (.028, .034, .069, .039, .088, .26,  .33,  .36,  .38,  .37,  .002,  .16,  .072),
    "autumn leaves": (.035, .042, .072, .098, .14,  .22,  .26,  .28,  .30,  .30,  .002,  .20,  .115),
    "bare trees":    (.040, .045, .055, .064, .080, .10,  .115, .13,  .14,  .15,  .002,  .16,  .11),
    "conifer":       (.023, .028, .048, .032, .056, .15,  .185, .205, .22,  .215, .002,  .095, .042),
    "clear water":   (.030, .034, .030, .016, .012, .009, .008, .006, .005, .004, .001,  .003, .002),
    "turbid water":  (.055, .068, .088, .062, .050, .030, .028, .022, .020, .015, .001,  .008, .005),
    "road":          (.090, .105, .118, .128, .135, .14,  .145, .15,  .155, .16,  .002,  .17,  .16),
    "red roof":      (.070, .080, .100, .165, .190, .205, .215, .225, .235, .24,  .002,  .28,  .26),
    "grey roof":     (.125, .140, .152, .162, .170, .180, .185, .19,  .195, .20,  .002,  .21,  .19),
    "bright roof":   (.260, .290, .305, .315, .320, .330, .335, .34,  .34,  .34,  .002,  .30,  .25),
    "snow":          (.840, .850, .850, .840, .830, .810, .790, .77,  .75,  .68,  .010,  .10,  .060),
}  # fmt: skip

CLOUD: Final = (.70, .70, .69, .69, .70, .71, .72, .73, .73, .55, .035, .52, .40)  # fmt: skip
CIRRUS: Final = (.40, .39, .38, .37, .37, .37, .37, .37, .37, .33, .060, .28, .21)  # fmt: skip

PATH_RADIANCE: Final = (.105, .072, .042, .024, .019, .015, .012, .010, .009, .004, .000, .003, .001)  # fmt: skip
"""Reflectance that clear air adds at the top of the atmosphere. It is strong in the blue and weak in the infrared."""

TRANSMITTANCE: Final = (.80, .84, .88, .92, .92, .93, .94, .94, .95, .35, .03, .95, .93)  # fmt: skip
"""Share of the surface's light that reaches the satellite. Water vapour absorbs most of it in B09 and B10."""

SKY_LIGHT: Final = (.42, .36, .28, .22, .20, .18, .17, .16, .16, .15, .5, .12, .10)  # fmt: skip
"""Share of the light that still reaches a cloud's shadow from the blue sky."""

_COLUMN = {band: index for index, band in enumerate(OPTICAL_BANDS)}


def of(spectrum: tuple[float, ...], band: str) -> np.float32:
    """Read one band of a spectrum."""
    return np.float32(spectrum[_COLUMN[band]])


def mix(shares: Mapping[str, NDArray[np.float32]], band: str) -> NDArray[np.float32]:
    """Compute the reflectance of a mixed pixel, the sum of its surfaces' reflectances weighted by their shares."""
    total: NDArray[np.float32] | None = None
    for surface, share in shares.items():
        part = share * of(SURFACES[surface], band)
        total = part if total is None else np.add(total, part, out=total)
    if total is None:
        raise ValueError("a pixel needs at least one surface")
    return total

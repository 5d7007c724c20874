"""Computes the values of bands from land and sky, such as reflectances, scene classification and probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.world.scenes import spectra
from sentinelhub_provider.sandbox.world.scenes.clouds import CIRRUS_OPACITY, CLOUD_OPACITY, Sky
from sentinelhub_provider.sandbox.world.scenes.landscape import Land
from sentinelhub_provider.sandbox.world.scenes.model import DATA_MASK
from sentinelhub_provider.sandbox.world.scenes.noise import Values, derive, fraction
from sentinelhub_provider.sandbox.world.scenes.seasons import brightness, surfaces

TOP_OF_ATMOSPHERE: Final = "sentinel-2-l1c"

# Sen2Cor's scene classification.
DARK, SHADOW, VEGETATION, BARE, WATER, UNCLASSIFIED, CLOUD_MEDIUM, CLOUD_HIGH, CIRRUS, SNOW = (
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
)


def render(
    collection: str, bands: Sequence[str], seed: int, day: date, land: Land, over: Sky, sun: tuple[float, float]
) -> dict[str, NDArray[np.float32]]:
    """Compute bands for points that have data, each in its default unit.

    ``sun`` is its azimuth and zenith angle in degrees. Raises :class:`KeyError` for an unknown band.
    """
    return _Pixels(collection, seed, day, land, over, sun).bands(bands)


class _Pixels:
    def __init__(self, collection: str, seed: int, day: date, land: Land, over: Sky, sun: tuple[float, float]) -> None:
        self._top = collection == TOP_OF_ATMOSPHERE
        self._land, self._over, self._sun = land, over, sun
        self._shares = surfaces(seed, land, day)
        self._brightness = brightness(land)
        self._haze = 0.05 + 0.16 * fraction(derive(seed, 95, day.toordinal()))
        self._ground: dict[str, Values] = {}

    def bands(self, names: Sequence[str]) -> dict[str, Values]:
        return {name: self._band(name) for name in names}

    def _band(self, name: str) -> Values:
        if name in spectra.OPTICAL_BANDS:
            return self._reflectance(name)
        special: dict[str, Callable[[], Values]] = {
            DATA_MASK: lambda: self._all(1.0),
            "SCL": self._classification,
            "SNW": lambda: np.rint(self._share("snow") * (1 - self._over.cloud) * np.float32(100)),
            "CLD": lambda: np.rint(self._cloudiness() * np.float32(100)),
            "CLP": lambda: np.rint(self._cloudiness() * np.float32(255)),
            "CLM": lambda: self._over.cloudy().astype(np.float32),
            "AOT": lambda: self._all(round(self._haze, 3)),
            "sunAzimuthAngles": lambda: self._all(self._sun[0]),
            "sunZenithAngles": lambda: self._all(self._sun[1]),
            "viewAzimuthMean": lambda: self._all(104.0),
            "viewZenithMean": lambda: self._all(5.0),
        }
        return special[name]()

    def _all(self, value: float) -> Values:
        return np.full(self._brightness.shape, value, np.float32)

    def _share(self, surface: str) -> Values:
        return self._shares[surface] if surface in self._shares else self._all(0.0)

    def _cloudiness(self) -> Values:
        veil = np.minimum(self._over.cirrus * np.float32(2.5), np.float32(0.8))
        cloudiness: Values = np.maximum(self._over.cloud, veil)
        return cloudiness

    def _surface(self, band: str) -> Values:
        """Return the reflectance of the ground in full light."""
        if band not in self._ground:
            self._ground[band] = spectra.mix(self._shares, band) * self._brightness
        return self._ground[band]

    def _reflectance(self, band: str) -> Values:
        over = self._over
        value = self._surface(band)
        shade = np.float32(1 - spectra.of(spectra.SKY_LIGHT, band)) * over.shadow * np.float32(0.82)
        value = value * (1 - shade)
        # Clouds are brighter in the middle, where they are thick, than at their edges.
        white = spectra.of(spectra.CLOUD, band) * (np.float32(0.5) + np.float32(0.5) * over.cloud)
        value = value * (1 - over.cloud) + white * over.cloud
        veil = over.cirrus * np.float32(0.75)
        value = value * (1 - veil) + spectra.of(spectra.CIRRUS, band) * veil
        if self._top:
            path = spectra.of(spectra.PATH_RADIANCE, band) * np.float32(0.8 + 2 * self._haze)
            value = value * spectra.of(spectra.TRANSMITTANCE, band) + path
            if band == "B10":
                value = value + over.cirrus * np.float32(0.06) + over.cloud * np.float32(0.006)
        # Products store whole digital numbers.
        stored: Values = np.rint(np.clip(value, 0.0001, 1.6) * np.float32(10_000)) * np.float32(0.0001)
        return stored

    def _classification(self) -> Values:
        red, near_infrared = self._surface("B04"), self._surface("B08")
        greenness = (near_infrared - red) / (near_infrared + red)
        over = self._over
        classes = np.where(greenness > 0.4, np.float32(VEGETATION), np.float32(BARE))
        classes[(greenness <= 0.4) & (near_infrared < 0.06)] = DARK
        classes[self._land.water > 0.5] = WATER
        classes[self._share("snow") > 0.4] = SNOW
        classes[over.shadow > 0.4] = SHADOW
        classes[over.cloud > 0.12] = UNCLASSIFIED
        classes[over.cirrus >= CIRRUS_OPACITY] = CIRRUS
        classes[over.cloud >= CLOUD_OPACITY] = CLOUD_MEDIUM
        classes[over.cloud >= 0.65] = CLOUD_HIGH
        result: Values = classes
        return result

"""What the features of a Batch job cost together: each is a raster of its own, added up without keeping any."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sentinelhub_provider.api.processing_units import (
    DISCOUNT,
    DISCOUNT_PIXELS,
    LEAST_AREA,
    MINIMUM,
    PIXELS,
    Estimate,
    Factor,
    Service,
)


@dataclass(slots=True)
class FeatureSizes:
    """
    The rasters of many features: their number, pixels, longest side, and areas in units of 512 x 512 pixels.

    ``large_area`` is that of features with a discount. An area is at least the least that counts.
    """

    count: int = 0
    pixels: int = 0
    largest: int = 0
    small_area: float = 0.0
    large_area: float = 0.0

    def add(self, width: int, height: int, times: int = 1) -> None:
        """Count features with a raster of that many pixels."""
        area = max(LEAST_AREA, width * height / PIXELS) * times
        self.count += times
        self.pixels += width * height * times
        self.largest = max(self.largest, width, height)
        if width * height >= DISCOUNT_PIXELS:
            self.large_area += area
        else:
            self.small_area += area

    @classmethod
    def alike(cls, count: int, width: int, height: int) -> FeatureSizes:
        """Return the sizes of features that all have the same."""
        sizes = cls()
        sizes.add(width, height, count)
        return sizes

    def estimate(self, one: Estimate, service: Service) -> Estimate:
        """
        Estimate the cost of a job; ``one`` is that of a single raster, whatever its size, without a discount.

        The discount of ``service`` goes to each feature that is large enough. Its minimum holds once for the job.
        """
        discounted = self.small_area + self.large_area * DISCOUNT.get(service, 1.0)
        area = self.small_area + self.large_area
        factors = [Factor("area", area, f"{self.count:,} features of {self.pixels:,} px in all")]
        factors += [factor for factor in one.factors if factor.name not in ("area", "discount")]
        if discounted != area:
            factors.append(Factor("discount", discounted / area, f"{service} from {DISCOUNT_PIXELS:,} px"))
        product = math.prod(factor.value for factor in factors)
        return Estimate(max(MINIMUM[service], product), tuple(factors), 1, MINIMUM[service])

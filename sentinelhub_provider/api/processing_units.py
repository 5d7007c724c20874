"""Estimates the cost of a request in processing units (PU) before it is sent.

Source: the documentation's page "Processing Unit definition" (docs.sentinel-hub.com/api/latest/api/overview/
processing-unit and documentation.dataspace.copernicus.eu/APIs/SentinelHub/Overview/ProcessingUnit.html, which agree).
One PU is 512 x 512 pixels of 3 input bands with one sample per pixel and up to 16 bits. Every factor scales it. The
estimate leaves out announced surcharges that do not apply yet (long evalscripts, data brought to another region).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sentinelhub_provider.api.evalscripts import DATA_MASK
from sentinelhub_provider.exceptions import SentinelHubBudgetError

PIXELS = 512 * 512  # Pixels of one PU
LEAST_AREA = 0.01  # Least factor of the area: 51 x 51 pixels cost as much as one
BANDS = 3  # Input bands of one PU

# Factors of the output's format: TIFF of 32 bits, and raw bytes
FLOAT_TIFF = 2.0
OCTET_STREAM = 1.4
REMOTE = 2  # The count of a fused collection of another deployment. One of the same counts 1

# Factors of Sentinel-1; terrain correction includes orthorectification
ORTHORECTIFICATION = 2.0
TERRAIN_CORRECTION = 2.5
SPECKLE_FILTER = 2.0
DISCOUNT_PIXELS = 10_000  # Pixels of a request or a tile from which on Async and Batch are cheaper
INGESTION = 1.0  # PU of each request to the BYOC and Zarr APIs but GET
CATALOG_AREA = 1_000_000.0  # Square kilometres of one PU in the Catalog, for each month begun


class Service(StrEnum):
    """The APIs that process pixels, whose least costs and discounts differ."""

    PROCESS = "Process"
    STATISTICAL = "Statistical"
    ASYNC = "Async"
    BATCH = "Batch"
    BATCH_STATISTICAL = "Batch Statistical"


MINIMUM = {
    Service.PROCESS: 0.005,
    Service.STATISTICAL: 0.01,
    Service.ASYNC: 10.0,
    Service.BATCH: 100.0,
    Service.BATCH_STATISTICAL: 100.0,
}
"""PU that a request costs at least."""

DISCOUNT = {Service.ASYNC: 2 / 3, Service.BATCH: 1 / 3}
"""Factors for requests (Async) and tiles (Batch) of at least ``DISCOUNT_PIXELS``."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of the product with its name, its value, and its origin, such as ``4 / 3``."""

    name: str
    value: float
    detail: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated cost in PU. It has the factors of one request other than 1, and the number of requests."""

    processing_units: float
    factors: tuple[Factor, ...] = ()
    requests: int = 1
    minimum: float = 0.0

    @property
    def explanation(self) -> str:
        """The arithmetic as text, such as ``area 1024 x 1024 / 512 x 512 (4) x bands 4 / 3 (1.3333) = 5.333 PU``."""
        product = math.prod(factor.value for factor in self.factors)
        parts = [f"{factor.name} {factor.detail} ({factor.value:.4g})" for factor in self.factors]
        text = " x ".join(parts) if parts else f"{_pu(self.processing_units)}"
        if parts and product < self.minimum:
            text += f" = {product:.3g}, at least {self.minimum:g} for a request"
        if self.requests > 1:
            text += f", x {self.requests} requests"
        return f"{text} = {_pu(self.processing_units)}" if parts else text

    def repeated(self, number: int) -> Estimate:
        """Return the cost of that many requests of the same kind."""
        return Estimate(self.processing_units * number, self.factors, self.requests * number, self.minimum)

    def times(self, number: int, name: str) -> Estimate:
        """Return the cost of that many within one request, for which the minimum holds once. ``name``: of what."""
        factors = (*self.factors, Factor(name, float(number), f"{number:,}"))
        product = math.prod(factor.value for factor in factors)
        return Estimate(max(self.minimum, product), factors, self.requests, self.minimum)

    def __str__(self) -> str:
        return f"{_pu(self.processing_units)}: {self.explanation}" if self.factors else self.explanation


def estimate(
    width: int,
    height: int,
    *,
    bands: int | Sequence[str],
    samples: float = 1,
    bits: int = 16,
    octet_stream: bool = False,
    local_collections: int = 1,
    remote_collections: int = 0,
    orthorectify: bool = False,
    terrain_correction: bool = False,
    speckle_filter: bool = False,
    service: Service = Service.PROCESS,
) -> Estimate:
    """Estimate the cost of a request. See :meth:`Estimate.repeated` for several equal ones.

    ``width`` and ``height`` are those of the bounds' box, even if the request has a geometry within it. ``dataMask`` is
    free unless it is the only band. ``samples`` is the number per pixel. It is 1 with mosaicking SIMPLE, else that of
    the orbits or tiles, times the intervals of a Statistical request. ``bits`` are those of the deepest TIFF output.
    Other formats have 8 or 16. ``remote_collections`` come from other deployments. The last three switches are for
    Sentinel-1 (terrain correction is ``backCoeff`` ``GAMMA0_TERRAIN``).
    """
    counted = bands if isinstance(bands, int) else sum(band != DATA_MASK for band in bands) or 1
    is_fused = local_collections + remote_collections > 1
    fused = local_collections + REMOTE * remote_collections if is_fused else 1
    factors = [
        _area(width, height),
        Factor("bands", counted / BANDS, f"{counted} / {BANDS}"),
        Factor("format", OCTET_STREAM, "octet-stream")
        if octet_stream
        else Factor("format", FLOAT_TIFF if bits > 16 else 1.0, f"{bits} bit"),
        Factor("samples", float(max(samples, 1)), f"{max(samples, 1):g}"),
        Factor("fusion", float(fused), f"{local_collections} + {REMOTE} x {remote_collections} collections"),
        Factor("terrain correction", TERRAIN_CORRECTION if terrain_correction else 1.0, "yes"),
        Factor("orthorectification", ORTHORECTIFICATION if orthorectify and not terrain_correction else 1.0, "yes"),
        Factor("speckle filter", SPECKLE_FILTER if speckle_filter else 1.0, "yes"),
    ]
    if service in DISCOUNT and width * height >= DISCOUNT_PIXELS:
        factors.append(Factor("discount", DISCOUNT[service], f"{service} from {DISCOUNT_PIXELS:,} px"))
    kept = tuple(factor for factor in factors if factor.value != 1.0 or factor.name in ("area", "bands"))
    minimum = MINIMUM[service]
    return Estimate(max(minimum, math.prod(factor.value for factor in kept)), kept, minimum=minimum)


@dataclass(slots=True)
class FeatureSizes:
    """The rasters of many features. Areas are in units of 512 x 512 pixels, ``large_area`` with a discount."""

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

    def estimate(self, one: Estimate, service: Service) -> Estimate:
        """Estimate the cost of a job, whose minimum holds once. ``one`` is the cost of a raster without a discount."""
        discounted = self.small_area + self.large_area * DISCOUNT.get(service, 1.0)
        area = self.small_area + self.large_area
        factors = [Factor("area", area, f"{self.count:,} features of {self.pixels:,} px in all")]
        factors += [factor for factor in one.factors if factor.name not in ("area", "discount")]
        if discounted != area:
            factors.append(Factor("discount", discounted / area, f"{service} from {DISCOUNT_PIXELS:,} px"))
        product = math.prod(factor.value for factor in factors)
        return Estimate(max(MINIMUM[service], product), tuple(factors), 1, MINIMUM[service])


def estimate_catalog(area_km2: float, days: float) -> Estimate:
    """Estimate one Catalog search. Each begun month (30 days) counts."""
    months = max(1, math.ceil(days / 30))
    area = max(LEAST_AREA, area_km2 / CATALOG_AREA)
    factors = (
        Factor("area", area, f"{area_km2:,.0f} / {CATALOG_AREA:,.0f} km2"),
        Factor("months", float(months), str(months)),
    )
    return Estimate(min(1.0, max(0.01, area * months)), factors, minimum=0.01)


def total(estimates: Iterable[Estimate]) -> Estimate:
    """Add up estimates. The arithmetic is kept if all of them are equal."""
    all_of_them = list(estimates)
    units = math.fsum(one.processing_units for one in all_of_them)
    requests = sum(one.requests for one in all_of_them)
    if all_of_them and len({(one.factors, one.minimum) for one in all_of_them}) == 1:
        return Estimate(units, all_of_them[0].factors, requests, all_of_them[0].minimum)
    return Estimate(units, (), requests)


SMALLER_PICTURE = "Take a smaller area, a coarser resolution, fewer bands or a shorter time"


def check_budget(
    estimated: Estimate, max_processing_units: float | None, *, advice: str = SMALLER_PICTURE, arithmetic: str = ""
) -> None:
    """Raise :class:`SentinelHubBudgetError` if the cost is over the budget. ``advice`` says how to lower the cost."""
    if max_processing_units is not None and estimated.processing_units > max_processing_units:
        raise SentinelHubBudgetError(
            f"This would cost {_pu(estimated.processing_units)}, more than max_processing_units="
            f"{max_processing_units:g}; nothing was sent. The arithmetic{arithmetic or f': {estimated.explanation}'}. "
            f"{advice}, or raise max_processing_units."
        )


def _area(width: int, height: int) -> Factor:
    share = width * height / PIXELS
    if share < LEAST_AREA:
        return Factor("area", LEAST_AREA, f"{width} x {height} px, at least")
    return Factor("area", share, f"{width} x {height} / 512 x 512 px")


def _pu(units: float) -> str:
    return f"{units:.4g} PU" if units < 1000 else f"{units:,.0f} PU"

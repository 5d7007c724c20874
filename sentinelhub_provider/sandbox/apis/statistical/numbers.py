"""Computes the statistics of a band's samples in double precision.

Histograms follow the documentation's examples to the last digit. Edges are the low edge plus whole multiples of the
bins' width. Bins contain their low edge, and the last one also its high edge.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.apis.statistical.calculations import MAX_BINS, Calculation, Histogram, Percentiles

Samples = NDArray[np.float64]


def band_statistics(
    values: Samples, valid: NDArray[np.bool_], calculation: Calculation, band: str, *, whole: bool
) -> dict[str, Any]:
    """Sum up one band. ``valid`` are the samples that count. ``whole`` means that the output has whole numbers.

    A sample that counts and is not a number makes every figure ``"NaN"``, and so does the lack of samples. The service
    writes such figures as strings, because JSON has no others.
    """
    counted = values[valid]
    stats: dict[str, Any] = {
        "min": number(counted.min() if counted.size else math.nan),
        "max": number(counted.max() if counted.size else math.nan),
        "mean": number(counted.mean() if counted.size else math.nan),
        # Of the population: the documentation's examples divide by n, not by n - 1.
        "stDev": number(_deviation(counted)),
        "sampleCount": int(values.size),
        "noDataCount": int(values.size - counted.size),
    }
    percentiles = calculation.percentile(band)
    if percentiles is not None and percentiles.k:
        stats["percentiles"] = _percentiles(counted, percentiles)
    result: dict[str, Any] = {"stats": stats}
    histogram = calculation.histogram(band)
    if histogram is not None:
        result["histogram"] = _histogram(counted, histogram, whole=whole)
    return result


def number(value: float) -> float | str:
    """Write a number as the service does. Numbers that JSON lacks become strings."""
    value = float(value)
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def _deviation(counted: Samples) -> float:
    if not counted.size or not np.isfinite(counted).all():
        return math.nan
    return float(counted.std())


def _percentiles(counted: Samples, wanted: Percentiles) -> dict[str, float | str]:
    if not counted.size or np.isnan(counted).any():
        return {str(k): "NaN" for k in wanted.k}
    # The names of the methods are numpy's too.
    method: Any = wanted.method
    found = np.percentile(counted, wanted.k, method=method)
    return {str(k): number(value) for k, value in zip(wanted.k, found, strict=True)}


def _histogram(counted: Samples, wanted: Histogram, *, whole: bool) -> dict[str, Any]:
    finite = counted[np.isfinite(counted)]
    edges = _edges(finite, wanted)
    if not edges:
        low, high = (
            (-math.inf if wanted.low is None else wanted.low),
            (math.inf if wanted.high is None else wanted.high),
        )
        over, under = np.count_nonzero(finite > high), np.count_nonzero(finite < low)
        return {"bins": [], "overflowCount": int(over), "underflowCount": int(under)}
    bounds = np.asarray(edges, np.float64)
    if len(edges) == 2 and edges[0] == edges[1]:
        counts = np.asarray([np.count_nonzero(finite == bounds[0])])
    else:
        counts, _ = np.histogram(finite, bins=bounds)
    shown = [int(edge) if whole and float(edge).is_integer() else float(edge) for edge in edges]
    return {
        "bins": [
            {"lowEdge": low, "highEdge": high, "count": int(count)}
            for (low, high), count in zip(itertools.pairwise(shown), counts, strict=True)
        ],
        "overflowCount": int(np.count_nonzero(counted > bounds[-1])),
        "underflowCount": int(np.count_nonzero(counted < bounds[0])),
    }


def _edges(finite: Samples, wanted: Histogram) -> list[float]:
    """Edges of the bins. They are empty if they depend on missing data."""
    if wanted.bins is not None:
        return list(wanted.bins)
    if not finite.size and (wanted.low is None or wanted.high is None):
        return []
    low = float(finite.min()) if wanted.low is None else float(wanted.low)
    high = float(finite.max()) if wanted.high is None else float(wanted.high)
    if high < low:
        return []
    if high == low:
        return [low, high]
    if wanted.count is not None:
        width = (high - low) / wanted.count
        return [low + number * width for number in range(wanted.count)] + [high]
    assert wanted.width is not None  # noqa: S101 - one of the three is there
    # A last bin of no width, made by rounding, would be none.
    count = min(MAX_BINS, max(1, math.ceil((high - low) / wanted.width - 1e-9)))
    edges = [low + number * wanted.width for number in range(count + 1)]
    if wanted.high is not None:
        edges[-1] = min(edges[-1], high)
    elif edges[-1] < high:
        edges.append(low + (count + 1) * wanted.width)
    return edges

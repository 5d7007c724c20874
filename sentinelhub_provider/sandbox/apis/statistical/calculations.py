"""Checks ``calculations``, the histograms and percentiles of each band, field by field."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sentinelhub_provider.sandbox.errors import invalid
from sentinelhub_provider.sandbox.world.evalscripts.contract import Output

DEFAULT: Final = "default"
"""Key for all outputs, or all bands, that have no definition of their own."""

METHODS: Final = ("higher", "lower", "nearest", "midpoint", "linear")
"""Interpolations of a percentile that lies between two samples. The first is the default.

The description does not name the service's own. All percentiles of its documentation's examples are values of samples.
"""

MAX_BINS: Final = 10_000
"""A guard of the sandbox's own."""

_HISTOGRAM_FIELDS: Final = ("bins", "nBins", "binWidth", "lowEdge", "highEdge")


@dataclass(frozen=True)
class Histogram:
    """A histogram by ``bins`` (edges), ``count`` or ``width``, from ``low`` to ``high``. ``None`` means the data's."""

    bins: tuple[float, ...] | None = None
    count: int | None = None
    width: float | None = None
    low: float | None = None
    high: float | None = None

    def edges_given(self) -> tuple[float, ...]:
        """List the numbers of the request that the bins' edges come from."""
        return tuple(edge for edge in (*(self.bins or ()), self.width, self.low, self.high) if edge is not None)


@dataclass(frozen=True)
class Percentiles:
    """Percentiles. ``k`` is in percent, 0..100."""

    k: tuple[float, ...] = ()
    method: str = METHODS[0]


@dataclass(frozen=True)
class Calculation:
    """The calculations of one output, by band's name or :data:`DEFAULT`."""

    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    percentiles: Mapping[str, Percentiles] = field(default_factory=dict)

    def histogram(self, band: str) -> Histogram | None:
        """Return the histogram wanted of a band, if any."""
        return self.histograms.get(band, self.histograms.get(DEFAULT))

    def percentile(self, band: str) -> Percentiles | None:
        """Return the percentiles wanted of a band, if any."""
        return self.percentiles.get(band, self.percentiles.get(DEFAULT))


@dataclass(frozen=True)
class Calculations:
    """The requested calculations, by output's id or :data:`DEFAULT`."""

    by_output: Mapping[str, Calculation] = field(default_factory=dict)

    def of(self, output: str) -> Calculation:
        """Return what is wanted of an output."""
        return self.by_output.get(output, self.by_output.get(DEFAULT, Calculation()))

    def check(self, outputs: Sequence[Output]) -> None:
        """Refuse keys that name no output or band, and edges that do not fit whole numbers."""
        by_id = {output.id: output for output in outputs}
        for identifier, calculation in self.by_output.items():
            path = f"calculations->{identifier}"
            if identifier != DEFAULT and identifier not in by_id:
                raise invalid(path, f"is no output of the evalscript; it has {', '.join(by_id)}")
            for part, definitions in (
                ("histograms", calculation.histograms),
                ("statistics", calculation.percentiles),
            ):
                for band in definitions:
                    known = band_names(by_id[identifier]) if identifier in by_id else ()
                    if identifier != DEFAULT and band not in (DEFAULT, *known):
                        raise invalid(
                            f"{path}->{part}->{band}", f"is no band of this output; it has {', '.join(known)}"
                        )
        for output in outputs:
            if output.sample_type not in ("FLOAT32", "AUTO"):
                self._check_whole(output)

    def _check_whole(self, output: Output) -> None:
        for band in band_names(output):
            histogram = self.of(output.id).histogram(band)
            if histogram is not None and not all(float(edge).is_integer() for edge in histogram.edges_given()):
                raise invalid(
                    f"calculations->{output.id}->histograms->{band}",
                    f"edges must be whole numbers: the output's sampleType is {output.sample_type}",
                )


def band_names(output: Output) -> tuple[str, ...]:
    """Names of an output's bands, which are those of ``setup()``, or ``B0``, ``B1``, ..."""
    return output.band_names or tuple(f"B{number}" for number in range(output.bands))


def parse_calculations(value: Any) -> Calculations:
    """Check ``calculations``. Raises :class:`~..errors.ApiError` 400."""
    entries = _mapping(value, "calculations")
    return Calculations({name: _calculation(entry, f"calculations->{name}") for name, entry in entries.items()})


def _calculation(value: Any, path: str) -> Calculation:
    entry = _mapping(value, path)
    _only(entry, path, ("histograms", "statistics"))
    histograms = _mapping(entry.get("histograms"), f"{path}->histograms")
    statistics = _mapping(entry.get("statistics"), f"{path}->statistics")
    return Calculation(
        {band: _histogram(each, f"{path}->histograms->{band}") for band, each in histograms.items()},
        {band: _percentiles(each, f"{path}->statistics->{band}") for band, each in statistics.items()},
    )


def _histogram(value: Any, path: str) -> Histogram:
    entry = _mapping(value, path)
    _only(entry, path, _HISTOGRAM_FIELDS)
    chosen = [name for name in ("bins", "nBins", "binWidth") if entry.get(name) is not None]
    if len(chosen) != 1:
        raise invalid(path, "needs exactly one of bins, nBins and binWidth", dict(entry))
    if chosen[0] == "bins":
        for name in ("lowEdge", "highEdge"):
            if entry.get(name) is not None:
                raise invalid(f"{path}->{name}", "goes with nBins or binWidth, not with bins", entry[name])
        return Histogram(bins=_bins(entry["bins"], f"{path}->bins"))
    low, high = _number(entry, path, "lowEdge"), _number(entry, path, "highEdge")
    if low is not None and high is not None and low >= high:
        raise invalid(f"{path}->lowEdge", "must be less than highEdge", low)
    if chosen[0] == "nBins":
        count = entry["nBins"]
        whole = isinstance(count, int | float) and not isinstance(count, bool) and float(count).is_integer()
        if not whole or not 1 <= count <= MAX_BINS:
            raise invalid(f"{path}->nBins", f"must be a whole number from 1 to {MAX_BINS}", count)
        return Histogram(count=int(count), low=low, high=high)
    width = _number(entry, path, "binWidth")
    if width is None or width <= 0:
        raise invalid(f"{path}->binWidth", "must be a number greater than 0", width)
    return Histogram(width=width, low=low, high=high)


def _bins(value: Any, path: str) -> tuple[float, ...]:
    if not isinstance(value, list) or not 2 <= len(value) <= MAX_BINS + 1 or not all(map(_is_number, value)):
        raise invalid(path, "must be an array of two or more numbers: the edges of the bins", value)
    if any(left >= right for left, right in itertools.pairwise(value)):
        raise invalid(path, "must rise from edge to edge", value)
    return tuple(value)


def _percentiles(value: Any, path: str) -> Percentiles:
    entry = _mapping(value, path)
    _only(entry, path, ("percentiles",))
    if entry.get("percentiles") is None:
        return Percentiles()
    path = f"{path}->percentiles"
    wanted = _mapping(entry["percentiles"], path)
    _only(wanted, path, ("k", "interpolation"))
    k = wanted.get("k")
    if not isinstance(k, list) or not k or not all(_is_number(each) and 0 <= each <= 100 for each in k):
        raise invalid(f"{path}->k", "is required and must be an array of percentages from 0 to 100", k)
    method = wanted.get("interpolation")
    if method is not None and method not in METHODS:
        raise invalid(f"{path}->interpolation", f"must be one of {', '.join(METHODS)}", method)
    return Percentiles(tuple(float(each) for each in k), METHODS[0] if method is None else method)


def _mapping(value: Any, path: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise invalid(path, "must be an object", value)
    return value


def _only(entry: Mapping[str, Any], path: str, known: Sequence[str]) -> None:
    for name in entry:
        if name not in known:
            raise invalid(f"{path}->{name}", f"is not known here; known are {', '.join(known)}")


def _number(entry: Mapping[str, Any], path: str, name: str) -> float | None:
    value = entry.get(name)
    if value is None:
        return None
    if not _is_number(value):
        raise invalid(f"{path}->{name}", "must be a number", value)
    number: float = value
    return number


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

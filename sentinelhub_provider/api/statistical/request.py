"""Builds requests of the Statistical API from arguments, or reads them from JSON, and checks them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any, Unpack

from sentinelhub_provider.api.arguments import StatisticsArguments
from sentinelhub_provider.api.datasets import Checks, Datasets, RasterRequest, build_datasets, member, read_datasets
from sentinelhub_provider.api.evalscripts import DATA_MASK, Setup, check_evalscript, parse_setup, read_evalscript
from sentinelhub_provider.api.geo.bounds import Bounds, check_side, parse_bounds, parse_size, read_bounds, read_size
from sentinelhub_provider.api.processing_units import Estimate, Service
from sentinelhub_provider.api.statistical.table import column_names
from sentinelhub_provider.api.time_range import (
    Duration,
    TimeRange,
    as_sent,
    format_time,
    parse_duration,
    parse_time_range,
)
from sentinelhub_provider.api.values import as_number, listed, read_choice, read_number, read_whole_number
from sentinelhub_provider.exceptions import SentinelHubRequestError

LAST_INTERVAL_BEHAVIORS = ("SKIP", "SHORTEN", "EXTEND")
SHORTEST = timedelta(days=1)  # The shortest that the service takes (documentation, "Statistical API")
_CLOCK_CHANGE = timedelta(hours=1)
_MONTH = timedelta(days=365.2425 / 12)
_MONTHS_DIFFER_BY = timedelta(days=2.5)
"""Neighbouring months together are never further than this from as many average ones."""


@dataclass(frozen=True, slots=True)
class SplitTime:
    """A range, the length of its intervals, what becomes of a last one that does not fit, and what is left out."""

    time_range: TimeRange
    length: Duration
    last: str = "SKIP"
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return these members of ``aggregation``. ``SKIP`` is the service's default and left out."""
        last = {} if self.last == "SKIP" else {"lastIntervalBehavior": self.last}
        return {
            "timeRange": self.time_range.to_half_open_json(),
            "aggregationInterval": {"of": self.length.text, **last},
        }

    @property
    def intervals(self) -> list[TimeRange]:
        """The intervals, in order."""
        whole, found = self.time_range, list[TimeRange]()
        for start, end in pairwise(map(self._border, count())):
            if start >= whole.end or (end > whole.end and self.last == "SKIP"):
                break
            found.append(TimeRange(start, min(end, whole.end) if self.last == "SHORTEN" else end))
        return found

    def _border(self, number: int) -> datetime:
        try:
            return self.length.after(self.time_range.start, number)
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)


def alone(interval: TimeRange) -> SplitTime:
    """Return the time that has one interval only, whatever calendar it comes from."""
    length = parse_duration(max(interval.end - interval.start, SHORTEST)) or Duration("P1D", 0, SHORTEST)
    return SplitTime(interval, length, "SHORTEN")


def split_time(time_range: Any, length: Any = "P1D", last: str | None = None, *, now: datetime | None) -> SplitTime:
    """Read a range and its intervals' length, which is an ISO 8601 duration, a number of days, or a ``timedelta``.

    Without ``last``, an interval that does not fit is skipped in a user's range, and shortened in that of the run.
    The run's range may be one interval of a local calendar. Such a day has 23 hours when clocks are put forward, and 25
    when they are put back. A local month begins within the last day of another month in UTC.
    """
    times, each = parse_time_range(time_range, now=now), _read_length(length, "aggregation_interval")
    by_run = times.of_run and last is None
    nominal = each.rest + each.months * _MONTH
    tolerance = _CLOCK_CHANGE + (_MONTHS_DIFFER_BY if each.months else timedelta())
    if by_run and abs(times.end - times.start - nominal) <= tolerance:
        return alone(times)
    return _checked(times, each, last or ("SHORTEN" if times.of_run else "SKIP"), "time_range", by_run=by_run)


def read_split_time(aggregation: Mapping[str, Any], *, now: datetime | None) -> tuple[SplitTime, dict[str, Any]]:
    """Read these members of a request's JSON. Return them, and ``aggregation`` with days in the service's form."""
    length = aggregation.get("aggregationInterval")
    if not isinstance(length, Mapping):
        raise SentinelHubRequestError("request: aggregation.aggregationInterval is missing. Give {'of': 'P1D'}.")
    given = aggregation.get("timeRange")
    times = parse_time_range(given, "request: aggregation.timeRange", now=now)
    each = _read_length(length.get("of"), "request: aggregation.aggregationInterval.of")
    found = _checked(times, each, str(length.get("lastIntervalBehavior") or "SKIP"), "request")
    return found, {**aggregation, "timeRange": as_sent(given, times.to_half_open_json())}


def _read_length(value: Any, field: str) -> Duration:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    length = parse_duration(timedelta(days=value) if is_number else value)
    if length is None:
        raise SentinelHubRequestError(
            f"{field} is {value!r}. Give an ISO 8601 duration of a day or more, such as 'P1D', 'P7D' or 'P1M'."
        )
    days, _, hours = length.text.removeprefix("P").partition("T")
    if days and hours:
        raise SentinelHubRequestError(
            f"{field} {value!r} mixes days and hours, which the service refuses. Give one, as 'P1D' or 'PT36H'."
        )
    if not length.months and length.rest < SHORTEST:
        raise SentinelHubRequestError(
            f"{field} {value!r} is shorter than a day, the least that the service takes. Give 'P1D' or longer."
        )
    return length


def _checked(times: TimeRange, length: Duration, last: str, field: str, *, by_run: bool = False) -> SplitTime:
    """Refuse a time without any interval, and say what is not whole at its end."""
    time = SplitTime(times, length, read_choice(last, LAST_INTERVAL_BEHAVIORS, "last_interval"))
    whole = replace(time, last="SKIP").intervals
    end = whole[-1].end if whole else times.start
    if times.end <= times.start or (not whole and time.last == "SKIP"):
        raise SentinelHubRequestError(
            f"{field}: {times.to_interval()} is shorter than one interval of {length.text}, so that there is "
            "nothing to answer. Take a longer time or a shorter interval, or last_interval='SHORTEN'."
        )
    if end == times.end or not (by_run or time.last == "SKIP"):
        return time
    rest = f"{format_time(end)} to {format_time(times.end)}, the end of {field}, is shorter than {length.text}"
    skipped = f"{rest} and is left out. To have it too, give last_interval='SHORTEN'."
    return replace(time, warnings=(skipped if time.last == "SKIP" else f"{rest}, so the last interval is shortened.",))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticalRequest(RasterRequest):
    """A checked request, with its time."""

    time: SplitTime

    @property
    def intervals(self) -> list[TimeRange]:
        """The intervals that the service answers, those without data included."""
        return self.time.intervals

    def estimate(
        self, *, samples: float = 1, intervals: int | None = None, service: Service = Service.STATISTICAL
    ) -> Estimate | None:
        """Estimate the cost of so many intervals, all by default. Return ``None`` if the evalscript is not plain."""
        number = len(self.intervals) if intervals is None else intervals
        return self.datasets.estimate(self.size, self.setup, service, samples=samples, times=number)

    def of_interval(self, interval: TimeRange) -> StatisticalRequest:
        """Return the request for one of the intervals alone, to repeat one that failed."""
        return self._at(alone(interval))

    def pieces(self) -> list[StatisticalRequest]:
        """Return requests for a quarter of the intervals each, or for one month each. A single interval gives none."""
        intervals = self.intervals
        if len(intervals) == 1:
            return []
        if self.time.length.months:  # whose length depends on where a range begins
            return [self.of_interval(interval) for interval in intervals]
        size = math.ceil(len(intervals) / 4)
        parts = [intervals[number : number + size] for number in range(0, len(intervals), size)]
        ranges = [TimeRange(part[0].start, part[-1].end) for part in parts]
        return [self._at(SplitTime(one, self.time.length, "SHORTEN")) for one in ranges]

    def _at(self, time: SplitTime) -> StatisticalRequest:
        aggregation = {**self.body["aggregation"], **time.to_json()}
        return replace(self, body={**self.body, "aggregation": aggregation}, time=time)


def build_statistical_request(
    wanted: StatisticsArguments, *, bbox: Any = None, geometry: Any = None, crs: Any = None, **checks: Unpack[Checks]
) -> StatisticalRequest:
    """Build a request for an area, which :func:`~sentinelhub_provider.api.geo.bounds.parse_bounds` reads."""
    script = read_evalscript(wanted.evalscript)
    setup = statistics_setup(script)
    bounds = parse_bounds(bbox=bbox, geometry=geometry, crs=crs)
    size = parse_size(bounds, width=wanted.width, height=wanted.height, resolution=wanted.resolution)
    time = split_time(wanted.time_range, wanted.aggregation_interval, wanted.last_interval, now=checks.get("now"))
    datasets = build_statistical_datasets(wanted, **checks)
    datasets.check_resolution(bounds, size, "resolution" if wanted.resolution is not None else "width")
    body: dict[str, Any] = {
        "input": {"bounds": bounds.to_json(), "data": datasets.data},
        "aggregation": {**time.to_json(), **size.to_json(), "evalscript": script},
        **build_calculations(wanted),
    }
    return _request(body, bounds, time, size=size, datasets=datasets, setup=setup)


def read_statistical_request(body: Any, **checks: Unpack[Checks]) -> StatisticalRequest:
    """Check a request's JSON in the spellings of the documentation and other clients. It is sent unchanged."""
    request_input, aggregation = member(body, "input"), member(body, "aggregation")
    setup = statistics_setup(aggregation.get("evalscript"))
    bounds = read_bounds(request_input.get("bounds"))
    size = read_size(aggregation, bounds, path="aggregation")
    check_side(size, field="request")
    time, aggregation = read_split_time(aggregation, now=checks.get("now"))
    check_calculations(body.get("calculations"), "request: calculations")
    datasets = read_datasets(request_input.get("data"), **checks)
    datasets.check_resolution(bounds, size, "request")
    body = {**body, "input": {**request_input, "data": datasets.data}, "aggregation": aggregation}
    return _request(body, bounds, time, size=size, datasets=datasets, setup=setup)


def _request(body: dict[str, Any], bounds: Bounds, time: SplitTime, **found: Any) -> StatisticalRequest:
    warnings = (*bounds.warnings, *time.warnings)
    return StatisticalRequest(body=body, bounds=bounds, time=time, warnings=warnings, **found)


def build_statistical_datasets(wanted: StatisticsArguments, **checks: Unpack[Checks]) -> Datasets:
    """Make ``input.data``. The time is in the aggregation. A second one in the datasets would only narrow it."""
    return build_datasets(replace(wanted, time_range=None), **checks)


def statistics_setup(script: Any) -> Setup | None:
    """Return the declarations of an evalscript. Refuse one that does not tell which pixels count."""
    check_evalscript(script, for_statistics=True)
    setup = parse_setup(script)
    if setup is not None and all(output.id != DATA_MASK for output in setup.outputs):
        raise SentinelHubRequestError(
            f"evalscript has outputs {', '.join(output.id for output in setup.outputs)}, but no {DATA_MASK}, which the "
            "Statistical API needs to know the pixels that count. Add {id: 'dataMask', bands: 1} to them."
        )
    return setup


def build_calculations(wanted: StatisticsArguments) -> dict[str, Any]:
    """Make a request's ``calculations`` member, empty for the plain statistics.

    It is the same for every band of every output. ``percentiles`` are from 0 to 100. ``histogram`` is a number of bins,
    a list of their edges, or the API's definition (``nBins`` or ``binWidth`` with ``lowEdge`` and ``highEdge``, or
    ``bins``). Otherwise, it is the API's own ``calculations``.
    """
    percentiles, histogram, calculations = listed(wanted.percentiles), listed(wanted.histogram), wanted.calculations
    has_percentiles = percentiles not in (None, "", [], ())
    if calculations is not None:
        if has_percentiles or histogram is not None:
            raise SentinelHubRequestError(
                "calculations and percentiles or histogram are both given. Give one: calculations holds both."
            )
        check_calculations(calculations, "calculations")
        return {"calculations": dict(calculations)} if calculations else {}
    everything: dict[str, Any] = {}
    if has_percentiles:
        if not isinstance(percentiles, list | tuple):
            percentiles = [percentiles]
        what = "numbers from 0 to 100, such as 50 for the median"
        wanted_k = [read_number(value, "percentiles", least=0, most=100, what=what) for value in percentiles]
        everything["statistics"] = {"default": {"percentiles": {"k": wanted_k}}}
    if histogram is not None:
        everything["histograms"] = {"default": _histogram(histogram)}
    return {"calculations": {"default": everything}} if everything else {}


def check_calculations(value: Any, field: str) -> None:
    """Refuse another shape than the API's, because the table's columns come from it."""
    try:
        column_names({"calculations": dict(value or {})})
    except (AttributeError, TypeError, ValueError) as error:
        raise SentinelHubRequestError(
            f"{field} is {value!r}. Give a mapping by output, such as {{'default': {{'statistics': {{'default': "
            "{'percentiles': {'k': [50]}}}}}."
        ) from error


def _histogram(value: Any) -> dict[str, Any]:
    if not math.isnan(as_number(value)):
        return {"nBins": read_whole_number(value, "histogram")}
    if isinstance(value, Mapping) and value:
        if sum(name in value for name in ("nBins", "binWidth", "bins")) != 1:
            raise SentinelHubRequestError(
                f"histogram is {dict(value)!r}. Give exactly one of nBins, binWidth and bins."
            )
        return dict(value)
    if isinstance(value, list | tuple) and len(value) > 1:
        edges = [read_number(edge, "histogram", what="a rising list of edges") for edge in value]
        if edges == sorted(set(edges)):
            return {"bins": edges}
    raise SentinelHubRequestError(
        f"histogram is {value!r}. Give a number of bins, a rising list of their edges, or a mapping as the API has it."
    )

"""The time of a Statistical request, which intervals it is split into, and what the service would leave out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sentinelhub_provider.api.time_range import (
    Duration,
    TimeRange,
    as_sent,
    format_time,
    parse_duration,
    parse_time_range,
)
from sentinelhub_provider.exceptions import SentinelHubRequestError

LAST_INTERVAL_BEHAVIORS = ("SKIP", "SHORTEN", "EXTEND")
SHORTEST = timedelta(days=1)  # What the service takes at least (documentation, "Statistical API")
_CLOCK_CHANGE = timedelta(hours=1)
_MONTH = timedelta(days=365.2425 / 12)
_MONTHS_DIFFER_BY = timedelta(days=2.5)
"""Neighbouring months together are never further than this from as many average ones."""


@dataclass(frozen=True, slots=True)
class AggregationInterval:
    """Length of the intervals of a Statistical request, and what happens to a last one that does not fit."""

    length: Duration
    last: str = "SKIP"

    @property
    def of(self) -> str:
        """ISO 8601 duration."""
        return self.length.text

    def to_json(self) -> dict[str, str]:
        """Return what ``aggregationInterval`` says; ``SKIP`` is the service's default and left out."""
        return {"of": self.of} if self.last == "SKIP" else {"of": self.of, "lastIntervalBehavior": self.last}

    def split(self, whole: TimeRange) -> Iterator[TimeRange]:
        """Yield the intervals of a range, in order."""
        number = 0
        while (start := self._after(whole.start, number)) < whole.end:
            end = self._after(whole.start, number + 1)
            if end > whole.end:
                if self.last == "SKIP":
                    return
                end = whole.end if self.last == "SHORTEN" else end
            yield TimeRange(start, end)
            number += 1

    def count(self, whole: TimeRange) -> int:
        """Return how many intervals a range has."""
        return sum(1 for _ in self.split(whole))

    def is_length_of(self, whole: TimeRange) -> bool:
        """Tell whether a range is one such interval of a local calendar.

        A day has 23 hours when clocks are put forward, and 25 when they are put back; a local month begins within the
        last day of another month in UTC.
        """
        nominal = self.length.rest + self.length.months * _MONTH
        tolerance = _CLOCK_CHANGE + (_MONTHS_DIFFER_BY if self.length.months else timedelta())
        return abs(whole.end - whole.start - nominal) <= tolerance

    def _after(self, start: datetime, times: int) -> datetime:
        try:
            return self.length.after(start, times)
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SplitTime:
    """A range with the length of the intervals that it is split into, and what is left out or shortened."""

    time_range: TimeRange
    interval: AggregationInterval
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return these members of ``aggregation``."""
        return {"timeRange": self.time_range.to_half_open_json(), "aggregationInterval": self.interval.to_json()}


def alone(interval: TimeRange) -> SplitTime:
    """Return the time that has one interval only, whatever calendar it comes from."""
    length = parse_duration(max(interval.end - interval.start, SHORTEST)) or Duration("P1D", 0, SHORTEST)
    return SplitTime(interval, AggregationInterval(length, "SHORTEN"))


def split_time(
    time_range: Any, length: Any = "P1D", last: str | None = None, *, field: str = "time_range", now: datetime | None
) -> SplitTime:
    """Read a range and the length of its intervals.

    Without ``last``, one that does not fit is skipped where the user says the range, and shortened where the run does.
    """
    times = parse_time_range(time_range, field, now=now)
    interval = parse_interval(length, last=last or ("SHORTEN" if times.of_run else "SKIP"))
    if times.of_run and last is None and interval.is_length_of(times):
        return alone(times)
    return _checked(times, interval, field, is_said=times.of_run and last is None)


def read_split_time(aggregation: Mapping[str, Any], *, now: datetime | None) -> tuple[SplitTime, dict[str, Any]]:
    """Read these members of a request's JSON; return them, and ``aggregation`` with days as the service has them."""
    length = aggregation.get("aggregationInterval")
    if not isinstance(length, Mapping):
        raise SentinelHubRequestError("request: aggregation.aggregationInterval is missing. Give {'of': 'P1D'}.")
    given = aggregation.get("timeRange")
    times = parse_time_range(given, "request: aggregation.timeRange", now=now)
    interval = parse_interval(
        length.get("of"),
        last=str(length.get("lastIntervalBehavior") or "SKIP"),
        field="request: aggregation.aggregationInterval.of",
    )
    found = _checked(times, interval, "request")
    return found, {**aggregation, "timeRange": as_sent(given, times.to_half_open_json())}


def parse_interval(value: Any, *, last: str = "SKIP", field: str = "aggregation_interval") -> AggregationInterval:
    """Read the length of intervals: an ISO 8601 duration, a number of days, or a ``timedelta``."""
    if last not in LAST_INTERVAL_BEHAVIORS:
        raise SentinelHubRequestError(f"last_interval is {last!r}. Give one of {', '.join(LAST_INTERVAL_BEHAVIORS)}.")
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
    return AggregationInterval(length, last)


def _checked(times: TimeRange, interval: AggregationInterval, field: str, *, is_said: bool = False) -> SplitTime:
    """Refuse a time without any interval, and say what is not whole at its end."""
    *_, end = (times.start, *(one.end for one in replace(interval, last="SKIP").split(times)))
    if times.end <= times.start or (end == times.start and interval.last == "SKIP"):
        raise SentinelHubRequestError(
            f"{field}: {times.to_interval()} is shorter than one interval of {interval.of}, so that there is nothing "
            "to answer. Take a longer time or a shorter interval, or last_interval='SHORTEN'."
        )
    if end == times.end or not (is_said or interval.last == "SKIP"):
        return SplitTime(times, interval)
    rest = f"{format_time(end)} to {format_time(times.end)}, the end of {field}, is shorter than {interval.of}"
    if interval.last == "SKIP":
        return SplitTime(times, interval, (f"{rest} and is left out. To have it too, give last_interval='SHORTEN'.",))
    return SplitTime(times, interval, (f"{rest}, so the last interval is shortened.",))

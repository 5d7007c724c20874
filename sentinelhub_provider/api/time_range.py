"""
Times as requests carry them: RFC 3339 in UTC, from a start to an end that are both included.

Statistical requests split a range into intervals of equal length; how many, and which, is worked out here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubRequestError

_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
LAST_INTERVAL_BEHAVIORS = ("SKIP", "SHORTEN", "EXTEND")


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A start and an end, both aware and in UTC."""

    start: datetime
    end: datetime

    def to_json(self) -> dict[str, str]:
        """Return what ``timeRange`` says in Process and Statistical requests."""
        return {"from": format_time(self.start), "to": format_time(self.end)}

    def to_interval(self) -> str:
        """Return what ``datetime`` says in a Catalog search."""
        return f"{format_time(self.start)}/{format_time(self.end)}"


def format_time(value: datetime) -> str:
    """Write a time as requests do: UTC, whole seconds where it has no others."""
    value = value.astimezone(UTC)
    return (
        value.strftime("%Y-%m-%dT%H:%M:%S") + (f".{value.microsecond // 1000:03d}" if value.microsecond else "") + "Z"
    )


def parse_time(value: Any, field: str = "time_range", *, is_end: bool = False) -> datetime:
    """
    Read a time: a ``datetime`` (naive ones are UTC, as Airflow's are), a ``date``, or an ISO 8601 text of either.

    :param is_end: a date without a time means its last second rather than its first.
    :raises SentinelHubRequestError: for anything else.
    """
    if isinstance(value, str):
        text = value.strip()
        try:
            value = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else datetime.fromisoformat(text)
        except ValueError as error:
            raise SentinelHubRequestError(_not_a_time(text, field), field=field) from error
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        midnight = datetime(value.year, value.month, value.day, tzinfo=UTC)
        return midnight + timedelta(days=1, seconds=-1) if is_end else midnight
    raise SentinelHubRequestError(_not_a_time(value, field), field=field)


def parse_time_range(value: Any, field: str = "time_range", *, now: datetime | None = None) -> TimeRange:
    """
    Read a range: a pair, a mapping with ``from`` and ``to``, or a text ``start/end`` as STAC writes it.

    :param now: the time of asking; see :func:`refuse_future`.
    :raises SentinelHubRequestError: for other than two times, an end before the start, or a start in the future.
    """
    if isinstance(value, TimeRange):
        start, end = value.start, value.end
    else:
        first, last = _pair(value, field)
        start, end = parse_time(first, field), parse_time(last, field, is_end=True)
    if end < start:
        raise SentinelHubRequestError(
            f"{field} is reversed: it ends {format_time(end)}, before its start {format_time(start)}. "
            "Give the earlier time first.",
            field=field,
        )
    refuse_future(start, field, now)
    return TimeRange(start, end)


def refuse_future(start: datetime, field: str, now: datetime | None) -> None:
    """
    Refuse a range that begins after the time of asking, since nothing was seen then yet.

    :param now: the time of asking; ``None`` to let it pass.
    :raises SentinelHubRequestError: names ``field``.
    """
    if now is not None and start > now:
        raise SentinelHubRequestError(
            f"{field} begins {format_time(start)}, which is in the future (now is {format_time(now)}). "
            "Nothing was seen then yet.",
            field=field,
        )


def _pair(value: Any, field: str) -> tuple[Any, Any]:
    parts: list[Any]
    if isinstance(value, str):
        parts = value.split("/")
        if len(parts) == 1 and re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip()):
            parts *= 2  # one day
    elif isinstance(value, Mapping):
        parts = [value.get("from"), value.get("to")]
    else:
        parts = list(value) if isinstance(value, list | tuple) else []
    if len(parts) != 2 or any(part in (None, "", "..") for part in parts):
        raise SentinelHubRequestError(
            f"{field} is {value!r}. Give a start and an end, such as ['2024-06-01', '2024-06-30'] or "
            "'2024-06-01T00:00:00Z/2024-06-30T23:59:59Z'.",
            field=field,
        )
    return parts[0], parts[1]


def _not_a_time(value: Any, field: str) -> str:
    return f"{field} has {value!r} where a time belongs. Write it like 2024-06-01 or 2024-06-01T00:00:00Z."


@dataclass(frozen=True, slots=True)
class AggregationInterval:
    """
    Length of the intervals that a Statistical request splits its time range into.

    :param of: ISO 8601 duration, such as ``P7D``.
    :param months: its calendar part.
    :param rest: its part of fixed length.
    :param last: what happens to a last interval that does not fit: ``SKIP``, ``SHORTEN`` or ``EXTEND``.
    """

    of: str
    months: int
    rest: timedelta
    last: str = "SKIP"

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

    def _after(self, start: datetime, times: int) -> datetime:
        months = start.month - 1 + self.months * times
        year, month = start.year + months // 12, months % 12 + 1
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        longest = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
        try:
            return start.replace(year=year, month=month, day=min(start.day, longest)) + self.rest * times
        except (ValueError, OverflowError):
            return datetime.max.replace(tzinfo=UTC)


def parse_interval(value: Any, *, last: str = "SKIP", field: str = "aggregation_interval") -> AggregationInterval:
    """
    Read the length of intervals: an ISO 8601 duration, a number of days, or a ``timedelta``.

    :raises SentinelHubRequestError: for anything else, less than a day, or days and hours mixed, which the service
        refuses (documentation, "Statistical API").
    """
    if last not in LAST_INTERVAL_BEHAVIORS:
        raise SentinelHubRequestError(
            f"last_interval is {last!r}. Give one of {', '.join(LAST_INTERVAL_BEHAVIORS)}.", field="last_interval"
        )
    if isinstance(value, timedelta) or (isinstance(value, int) and not isinstance(value, bool)):
        length = value if isinstance(value, timedelta) else timedelta(days=value)
        seconds = int(length.total_seconds())
        value = f"P{seconds // 86_400}D" if seconds % 86_400 == 0 else f"PT{seconds}S"
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    parts = {name: int(number) for name, number in match.groupdict().items() if number} if match else {}
    if not parts or str(value).endswith("T"):
        raise SentinelHubRequestError(
            f"{field} is {value!r}. Give an ISO 8601 duration of a day or more, such as 'P1D', 'P7D' or 'P1M'.",
            field=field,
        )
    if {"years", "months", "weeks", "days"} & parts.keys() and {"hours", "minutes", "seconds"} & parts.keys():
        raise SentinelHubRequestError(
            f"{field} {value!r} mixes days and hours, which the service refuses. Give one, as 'P1D' or 'PT36H'.",
            field=field,
        )
    months = parts.pop("years", 0) * 12 + parts.pop("months", 0)
    rest = timedelta(**parts)
    if not months and rest < timedelta(days=1):
        raise SentinelHubRequestError(
            f"{field} {value!r} is shorter than a day, the least that the service takes. Give 'P1D' or longer.",
            field=field,
        )
    return AggregationInterval(str(value), months, rest, last)

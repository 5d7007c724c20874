"""Reads times, durations and time ranges in every spelling, and writes them in the form of each API.

A range reaches from its first moment up to, not including, its ``end``. The Process API and the Catalog include both
ends, so a range also knows the ``last`` moment that they are told.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubRequestError

_DATE = r"\d{4}-?\d\d-?\d\d|\d{4}-?W\d\d-?\d"
_TEXT = re.compile(rf"(?P<date>{_DATE})(?:[T ](?P<time>\d.*))?")
_MIDNIGHT = re.compile(r"24(?::?00){0,2}(?:[.,]0+)?(?P<zone>Z|[+-].*)?")
"""The end of a day as ISO 8601 has it, which Python does not read."""
_AS_SENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)")  # How requests write times
_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration such as ``P7D`` or ``P1M``, with its text in ISO 8601, its calendar months, and its fixed rest."""

    text: str
    months: int
    rest: timedelta

    def after(self, moment: datetime, times: int = 1) -> datetime:
        """Return the time so many durations after a moment. A shorter month does not shift the 31st for later ones."""
        year, month = divmod(moment.year * 12 + moment.month - 1 + self.months * times, 12)
        if not date.min.year <= year <= date.max.year:
            raise OverflowError(f"{self.text} leads out of the calendar")
        day = min(moment.day, calendar.monthrange(year, month + 1)[1])
        return moment.replace(year=year, month=month + 1, day=day) + self.rest * times


_NOTHING = Duration("P0D", 0, timedelta())


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range's start, the first moment after it, and its last one, in UTC. ``of_run`` means that of the DAG run."""

    start: datetime
    end: datetime
    last: datetime | None = field(default=None, compare=False)
    of_run: bool = field(default=False, compare=False)

    def to_json(self) -> dict[str, str]:
        """Return what ``timeRange`` says in Process requests, whose ends are both included."""
        return {"from": format_time(self.start), "to": format_time(self.last or self.end)}

    def to_half_open_json(self) -> dict[str, str]:
        """Return what ``timeRange`` says in Statistical requests, whose intervals end where the next begin."""
        return {"from": format_time(self.start), "to": format_time(self.end)}

    def to_interval(self) -> str:
        """Return what ``datetime`` says in a Catalog search, both ends included."""
        return "/".join(self.to_json().values())


def format_time(value: datetime) -> str:
    """Write a time as requests do, in UTC, with a fraction of seconds only if it has one."""
    value = in_utc(value)
    return value.isoformat(timespec="milliseconds" if value.microsecond else "seconds").replace("+00:00", "Z")


def in_utc(value: datetime) -> datetime:
    """Return a time in UTC, as the standard library's own type. Naive times are in UTC, like Airflow's.

    Airflow's times are pendulum's, whose sums with a ``timedelta`` lose their zone. Other libraries have subclasses of
    ``datetime`` as well. Inside of this package there are none of them.
    """
    value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return datetime.combine(value.date(), value.time(), UTC)


def parse_time(value: Any, field: str = "time_range") -> datetime:
    """Read a ``datetime``, a ``date`` (its first moment), or an ISO 8601 text of either, cut to milliseconds."""
    found = _read(value, field)
    with _calendar(value, field):
        if isinstance(found, datetime):
            moment = in_utc(found)
            return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        return datetime.combine(date(found.year, found.month, found.day), time(), UTC)


def time_or_none(value: Any) -> datetime | None:
    """Read a time as :func:`parse_time` does. Return ``None`` for anything else."""
    try:
        return parse_time(value)
    except SentinelHubRequestError:
        return None


def parse_duration(value: Any) -> Duration | None:
    """Read a duration in ISO 8601, a ``timedelta``, or pendulum's, dateutil's or numpy's. Else return ``None``."""
    text = value.strip().upper() if isinstance(value, str) else _duration_text(value)
    match = _DURATION.fullmatch(text)
    parts = {name: int(number) for name, number in match.groupdict().items() if number} if match else {}
    if not parts or text.endswith("T"):
        return None
    months = parts.pop("years", 0) * 12 + parts.pop("months", 0)
    try:
        return Duration(text, months, timedelta(**parts))
    except OverflowError:
        return None


def _duration_text(value: Any) -> str:
    value = value.item() if type(value).__name__ == "timedelta64" else value
    years, months = getattr(value, "years", 0), getattr(value, "months", 0)
    if isinstance(value, timedelta):
        if hasattr(value, "start"):  # between two given times
            years = months = 0
        seconds = int(value.total_seconds()) - (365 * years + 30 * months) * 86_400  # as pendulum counts them
    elif hasattr(value, "months"):
        days, hours, minutes, rest = (getattr(value, name, 0) for name in ("days", "hours", "minutes", "seconds"))
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    else:
        return ""
    months += 12 * years
    whole = f"{months}M" if months else ""
    if seconds or not months:
        whole += f"{seconds // 86_400}D" if seconds % 86_400 == 0 else f"T{seconds}S"
    return f"P{whole}"


def parse_end(value: Any, field: str = "time_range") -> tuple[datetime, datetime]:
    """Read the end of a range. Return its last moment and the first one after it.

    A date means that whole day. So does a time at its end (``23:59``, ``23:59:59``, ``23:59:59.999999`` or ``24:00``).
    The last second of another minute ends with that minute. Any other time ends at itself.
    """
    found = _read(value, field)
    with _calendar(value, field):
        if not isinstance(found, datetime):
            end = parse_time(found, field) + _DAY
            return end - _SECOND, end
        if found.time() >= time(23, 59):
            step = _DAY - timedelta(hours=found.hour, minutes=found.minute, seconds=found.second)
        else:
            step = _SECOND if found.second == 59 else timedelta()
        last = parse_time(found, field)
        end = last.replace(microsecond=0) + step if step else last
        return max(last, end - _SECOND) if step else last, end


def parse_time_range(
    value: Any, field: str = "time_range", *, now: datetime | None = None, until: datetime | None = None
) -> TimeRange:
    """Read a range, which is a pair, a mapping with ``from`` and ``to``, or STAC's text ``start/end``.

    Either end may be a duration, which is counted back from ``until``, the DAG run's ``run_after``. A single duration
    is a range up to it. A range that begins after ``now`` is refused.
    """
    found = value if isinstance(value, TimeRange) else _read_range(value, field, until)
    last = found.last or found.end
    if last < found.start:
        raise SentinelHubRequestError(
            f"{field} is reversed: it ends {format_time(last)}, before its start {format_time(found.start)}. "
            "Give the earlier time first."
        )
    refuse_future(found.start, field, now)
    return found


def run_range(start: datetime, end: datetime) -> TimeRange:
    """Return the range between two times that a DAG run has, in whole seconds, so that two runs share no moment."""
    start, end = (in_utc(moment).replace(microsecond=0) for moment in (start, end))
    return TimeRange(start, end, end - _SECOND if start < end else end, of_run=True)


def with_times_of_run(document: Any, until: datetime, field: str) -> Any:
    """Return a request, or entries of its datasets, with relative ranges counted back from ``until``."""
    if isinstance(document, Mapping):
        return {
            name: parse_time_range(member, f"{field}: {name}", until=until)
            if name == "timeRange" and is_relative(member)
            else with_times_of_run(member, until, field)
            for name, member in document.items()
        }
    if isinstance(document, list | tuple) and document and isinstance(document[0], str | Mapping):
        return [with_times_of_run(member, until, field) for member in document]
    return document


def span_of(ranges: Collection[Mapping[str, Any]]) -> dict[str, str] | None:
    """Return the span ``from`` the earliest ``to`` the latest of time ranges, ``None`` if an end is open."""
    starts, ends = ([str(one[name]) for one in ranges if one.get(name)] for name in ("from", "to"))
    return {"from": min(starts), "to": max(ends)} if starts and ends else None


def as_sent(given: Any, wanted: dict[str, str]) -> Any:
    """Return a request's time range as it was given where that says what is ``wanted`` as the service reads it."""
    times = [given.get(name) for name in wanted] if isinstance(given, Mapping) else [None]
    if all(isinstance(text, str) and _AS_SENT.fullmatch(text.upper()) for text in times):
        is_same = all(parse_time(given[name]) == parse_time(wanted[name]) for name in wanted)
        return given if is_same else wanted
    return wanted


def is_relative(value: Any) -> bool:
    """Tell whether a range is counted back from the DAG run, at least at one end."""
    if isinstance(value, TimeRange):
        return False
    return any(_duration(part) is not None for part in (value, *_parts(value)))


def is_instant(value: Any) -> bool:
    """Tell whether a value is one moment. A date is not."""
    value = plain_time(value)
    if isinstance(value, str):
        match = _TEXT.fullmatch(value.strip().upper())
        return match is not None and match["time"] is not None
    return isinstance(value, datetime)


def refuse_future(start: datetime, field: str, now: datetime | None) -> None:
    """Refuse a range that begins after ``now``, because there are no scenes of the future. ``None`` allows it."""
    if now is not None and start > now:
        raise SentinelHubRequestError(
            f"{field} begins {format_time(start)}, which is in the future (now is {format_time(now)}). "
            "Nothing was seen then yet."
        )


def _read_range(value: Any, field: str, until: datetime | None) -> TimeRange:
    back = _duration(value)
    if back is not None:
        return run_range(_before(back, until, value, field), _before(_NOTHING, until, value, field))
    parts = _parts(value)
    if len(parts) != 2 or any(part in (None, "", "..") for part in parts):
        raise SentinelHubRequestError(
            f"{field} is {value!r}. Give a start and an end, such as ['2024-06-01', '2024-06-30'] or "
            "'2024-06-01T00:00:00Z/2024-06-30T23:59:59Z', or how far to look back from the run, such as 'P7D'."
        )
    backs = [_duration(part) for part in parts]
    if isinstance(value, str) and (backs[0] is None) != (backs[1] is None):
        raise SentinelHubRequestError(
            f"{field} is {value!r}, a time and a duration. To count the duration back from the run, give a list, "
            "such as ['2024-06-01', 'P7D']; else give two times."
        )
    start = parse_time(parts[0], field) if backs[0] is None else _before(backs[0], until, value, field)
    if backs[1] is None:
        last, end = parse_end(parts[1], field)
        return TimeRange(start, end, last)
    found = run_range(start, _before(backs[1], until, value, field))
    return found if backs[0] is not None else TimeRange(start, found.end, found.last, of_run=True)


def _parts(value: Any) -> list[Any]:
    """Return the ends of a range as given, and a single day twice."""
    value = plain_time(value)
    if isinstance(value, str):
        parts = [part.strip() for part in value.split("/")]
        return parts * 2 if len(parts) == 1 and re.fullmatch(_DATE, parts[0].upper()) else parts
    if isinstance(value, Mapping):
        return [value.get("from"), value.get("to")]
    if isinstance(value, date) and not isinstance(value, datetime):
        return [value, value]
    if hasattr(value, "start") and hasattr(value, "end"):
        return [value.start, value.end]
    return [plain_time(part) for part in value] if isinstance(value, list | tuple) else []


def plain_time(value: Any) -> Any:
    """Return a time of numpy as text, and several times of numpy or pandas as a list."""
    if type(value).__name__ == "datetime64":
        return str(value)
    return list(value) if getattr(value, "ndim", 0) == 1 else value


def _duration(value: Any) -> Duration | None:
    return None if hasattr(value, "start") else parse_duration(value)


def _before(back: Duration, until: datetime | None, value: Any, field: str) -> datetime:
    if until is None:
        raise SentinelHubRequestError(
            f"{field} is {value!r}, which is counted back from a DAG run, and there is none here. Give times."
        )
    with _calendar(value, field):
        return back.after(in_utc(until).replace(microsecond=0), -1)


def _read(value: Any, field: str) -> date:
    """Return a ``datetime`` or a ``date``."""
    given = plain_time(value)
    with _calendar(value, field):
        if isinstance(given, date) and given == given:  # pandas' "not a time" does not equal itself
            return given
        match = _TEXT.fullmatch(given.strip().upper()) if isinstance(given, str) else None
        if match is None:
            raise ValueError
        day = date.fromisoformat(match["date"])
        if match["time"] is None:
            return day
        midnight = _MIDNIGHT.fullmatch(match["time"])
        if midnight is not None:
            return datetime.fromisoformat(f"{day}T00:00:00{midnight['zone'] or ''}") + _DAY
        return datetime.fromisoformat(f"{day}T{match['time']}")


@contextmanager
def _calendar(value: Any, field: str) -> Iterator[None]:
    """Turn what the calendar refuses into an error that names the argument."""
    try:
        yield
    except SentinelHubRequestError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise SentinelHubRequestError(
            f"{field} has {value!r} where a time belongs. Write it like 2024-06-01 or 2024-06-01T00:00:00Z."
        ) from error

"""Splits a time range into intervals. This module is pure, with durations in ISO 8601 and times in UTC."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

LAST_INTERVAL: Final = ("SKIP", "SHORTEN", "EXTEND")
"""Treatments of a last interval that the time range does not fill. The first is the default."""

_PERIOD: Final = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?")
_TIME: Final = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
_ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Duration:
    """A duration of calendar ``months`` and, on top, a fixed ``rest``."""

    months: int
    rest: timedelta

    def after(self, start: datetime, times: int = 1) -> datetime:
        """Return the time ``times`` durations after ``start``. Raises :class:`OverflowError` beyond year 9999.

        Months are counted from ``start``, so a shorter month does not shift the 31st for later ones.
        """
        month = start.year * 12 + start.month - 1 + self.months * times
        year, month = divmod(month, 12)
        if year > 9999:
            raise OverflowError("beyond year 9999")
        day = min(start.day, calendar.monthrange(year, month + 1)[1])
        return start.replace(year=year, month=month + 1, day=day) + self.rest * times


def parse_duration(text: str) -> Duration:
    """Read a period (``P10D``, ``P1M``, ``P2W``) or a time (``PT36H``).

    The service takes period or time designators, not both, and nothing below a day. Raises :class:`ValueError` saying
    what is wrong.
    """
    match = _PERIOD.fullmatch(text)
    if match is not None and any(match.groups()):
        years, months, weeks, days = (int(part or 0) for part in match.groups())
        duration = Duration(12 * years + months, _span(weeks=weeks, days=days))
    else:
        match = _TIME.fullmatch(text)
        if match is None or not any(match.groups()):
            raise ValueError(
                "must be an ISO 8601 duration with period or time designators, not both, such as P10D, P1M or PT24H"
            )
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        duration = Duration(0, _span(hours=hours, minutes=minutes, seconds=seconds))
    if not duration.months and duration.rest < _ONE_DAY:
        raise ValueError("must be at least one day long")
    return duration


def _span(**parts: float) -> timedelta:
    try:
        return timedelta(**parts)
    except OverflowError as error:
        raise ValueError("must end before the year 10000") from error


def cut(
    start: datetime, end: datetime, of: Duration, last: str = "SKIP", *, limit: int
) -> list[tuple[datetime, datetime]]:
    """Cut ``start`` .. ``end`` into intervals, each from its first moment up to, not including, its second.

    ``last`` is one of :data:`LAST_INTERVAL`. Raises :class:`ValueError` for more than ``limit`` intervals.
    """
    intervals: list[tuple[datetime, datetime]] = []
    begin = start
    while begin < end:
        if len(intervals) == limit:
            raise ValueError(f"gives more than {limit} intervals")
        stop = of.after(start, len(intervals) + 1)
        if stop > end and last == "SKIP":
            break
        intervals.append((begin, end if stop > end and last == "SHORTEN" else stop))
        begin = stop
    return intervals

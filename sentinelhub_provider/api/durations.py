"""Durations in ISO 8601, such as ``P7D`` and ``P1M``: of intervals, and of how far back a relative range reaches."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
_LONGEST = 9_999
"""Years. Python's calendar ends there."""


@dataclass(frozen=True, slots=True)
class Duration:
    """
    A duration.

    :param text: in ISO 8601.
    :param months: its calendar part.
    :param rest: its part of fixed length.
    """

    text: str
    months: int
    rest: timedelta

    def after(self, moment: datetime, times: int = 1) -> datetime:
        """
        Return the time so many durations after a moment, or before it where ``times`` is negative.

        Months are counted from ``moment`` itself, so that the 31st comes back after a shorter month.

        :raises OverflowError: outside of the years 1 to 9999.
        """
        year, month = divmod(moment.year * 12 + moment.month - 1 + self.months * times, 12)
        if not 1 <= year <= _LONGEST:
            raise OverflowError(f"{self.text} leads out of the calendar")
        day = min(moment.day, calendar.monthrange(year, month + 1)[1])
        return moment.replace(year=year, month=month + 1, day=day) + self.rest * times


def parse_duration(value: Any) -> Duration | None:
    """Read a duration: a text in ISO 8601 of whole numbers, or a ``timedelta``; return ``None`` for anything else."""
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        value = f"P{seconds // 86_400}D" if seconds % 86_400 == 0 else f"PT{seconds}S"
    text = value.strip().upper() if isinstance(value, str) else ""
    match = _DURATION.fullmatch(text)
    parts = {name: int(number) for name, number in match.groupdict().items() if number} if match else {}
    if not parts or text.endswith("T"):
        return None
    months = parts.pop("years", 0) * 12 + parts.pop("months", 0)
    try:
        return Duration(text, months, timedelta(**parts))
    except OverflowError:
        return None

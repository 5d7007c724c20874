"""RFC 3339 instants and the ``datetime`` parameter of a STAC search."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from sentinelhub_provider.sandbox.apis.catalog.errors import bad_request

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)")

Interval = tuple[datetime | None, datetime | None]
"""Start and end, both included. ``None`` is an open end."""


def parse_instant(text: str) -> datetime:
    """Return an RFC 3339 date and time as an aware UTC datetime. Raises ``ApiError`` (400)."""
    match = _RFC3339.fullmatch(text)
    try:
        if match is None:
            raise ValueError("not RFC 3339")
        day, time, fraction, zone = match.groups()
        # datetime keeps microseconds; RFC 3339 allows any number of digits.
        digits = (fraction or ".0")[1:7].ljust(6, "0")
        offset = "+00:00" if zone in "Zz" else zone
        return datetime.fromisoformat(f"{day}T{time}.{digits}{offset}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise bad_request(
            f"datetime: {text!r} is not an RFC 3339 date and time; write it like 2024-06-01T00:00:00Z"
        ) from error


def parse_interval(text: str) -> Interval:
    """Return the interval of a ``datetime`` parameter, which is an instant, ``start/end``, or open at one end (``..``).

    Raises ``ApiError`` (400) for a wrong format, for both ends open and for an end before its start.
    """
    if "/" not in text:
        instant = parse_instant(text)
        return instant, instant
    first, _, last = text.partition("/")
    start = None if first in ("", "..") else parse_instant(first)
    end = None if last in ("", "..") else parse_instant(last)
    if start is None and end is None:
        raise bad_request("datetime: at least one end of the interval must be given")
    if start is not None and end is not None and end < start:
        raise bad_request("Cannot parse parameter `datetime`.", "400")
    return start, end


def format_instant(moment: datetime) -> str:
    """Write an aware datetime as RFC 3339 in UTC, with milliseconds unless these are zero."""
    moment = (moment + timedelta(microseconds=500)).astimezone(UTC) if moment.microsecond else moment.astimezone(UTC)
    base = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{base}.{moment.microsecond // 1000:03d}Z" if moment.microsecond // 1000 else f"{base}Z"

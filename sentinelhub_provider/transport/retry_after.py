"""How long to wait before the next attempt.

``Retry-After`` is **milliseconds** at Sentinel Hub (its documentation's example: 3398 means 3.4 s), against RFC 9110.
Proxies in front of it write seconds, dates or nonsense all the same, so every form is read and none is trusted blindly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_WAIT = 1.0  # seconds before the first repetition, before jitter
LONGEST_BACKOFF = 60.0  # seconds that the exponential back-off never exceeds
# Seconds of ``Retry-After`` that are believed: one odd answer must not stop everybody for longer without a probe.
LONGEST_ASKED = 120.0


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Read ``Retry-After`` in seconds, :data:`LONGEST_ASKED` at most; ``None`` for absence and nonsense."""
    # An integer is milliseconds, a decimal is seconds, a date counts from ``now``. An integer that was meant as seconds
    # thus reads as next to nothing; the back-off, which is never undercut, makes up for it.
    text = (value or "").strip()
    try:
        number = float(text)
    except ValueError:
        seconds = _seconds_until(text, now or datetime.now(UTC)) if text else None
    else:
        seconds = number / 1000 if text.isdecimal() else number
    return min(seconds, LONGEST_ASKED) if seconds is not None and 0 <= seconds < math.inf else None


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds())


def backoff(attempt: int, random: Callable[[], float]) -> float:
    """Return the seconds to wait after failed attempt number ``attempt`` (from 1); ``random`` is a number in [0, 1)."""
    # Doubles from FIRST_WAIT; jitter comes after the cap, so that a fleet at the cap stays spread out.
    ceiling = min(LONGEST_BACKOFF, FIRST_WAIT * 2.0 ** min(attempt - 1, 16))
    return ceiling * (0.5 + 0.5 * random())


def wait_before_retry(attempt: int, retry_after: float | None, random: Callable[[], float]) -> float:
    """Return the larger of what the service asks for and the back-off, in seconds."""
    # What the service asks for is stretched by up to a tenth: a fleet that was told one moment must not return in it.
    asked = 0.0 if retry_after is None else retry_after * (1 + 0.1 * random())
    return max(asked, backoff(attempt, random))

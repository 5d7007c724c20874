"""Rate limits as token buckets of requests and processing units per minute, in the way that Sentinel Hub describes.

This module is pure. Time comes in as an argument (seconds on any steady clock). Any broken limit gives a 429.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
SECONDS_PER_MINUTE = 60.0


class TokenBucket:
    """A bucket that holds ``per_minute`` tokens and refills evenly over a minute. Unused tokens do not pile up.

    A cost that is known only afterwards (processing units) may drive it below zero. Then nothing passes until it has
    refilled to the requested amount.
    """

    def __init__(self, per_minute: float, *, now: float) -> None:
        self.capacity = per_minute
        self._per_second = per_minute / SECONDS_PER_MINUTE
        self._level = per_minute
        self._updated = now

    def wait_for(self, amount: float, *, now: float) -> float:
        """Return how many seconds must pass until ``amount`` tokens are there, 0 if they are there now."""
        self._refill(now)
        # A bucket never holds more than its capacity: asking for more must not mean waiting for ever.
        missing = min(amount, self.capacity) - self._level
        # Refills are sums of small floats; a shortage below one part in a billion is rounding, not a shortage.
        return missing / self._per_second if missing > self.capacity * 1e-9 else 0.0

    def take(self, amount: float, *, now: float) -> None:
        """Remove ``amount`` tokens, below zero if need be."""
        self._refill(now)
        self._level -= amount

    def _refill(self, now: float) -> None:
        elapsed = max(0.0, now - self._updated)
        self._level = min(self.capacity, self._level + elapsed * self._per_second)
        self._updated = max(self._updated, now)


@dataclass(frozen=True)
class Limits:
    """Limits per minute. ``None`` sets no limit."""

    requests_per_minute: float | None = None
    processing_units_per_minute: float | None = None
    token_requests_per_minute: float | None = None


class RateLimiter:
    """The buckets of all clients under one set of limits."""

    def __init__(self, limits: Limits, *, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._limits = limits
        self._buckets: dict[tuple[str, str], TokenBucket] = {}

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self._limits

    def set_limits(self, limits: Limits) -> None:
        """Put new limits in force, with full buckets."""
        with self._lock:
            self._limits = limits
            self._buckets.clear()

    def admit_request(self, client_id: str) -> float:
        """Count one API request of a client. Returns 0, or the seconds to wait if it breaks a limit.

        A request that breaks a limit counts for nothing.
        """
        with self._lock:
            now = self._clock()
            requests = self._bucket("requests", client_id, self._limits.requests_per_minute, now)
            units = self._bucket("units", client_id, self._limits.processing_units_per_minute, now)
            wait = max(
                requests.wait_for(1, now=now) if requests else 0.0,
                # The cost of a request is known when it is done; any positive level lets it through.
                units.wait_for(min(0.01, units.capacity), now=now) if units else 0.0,
            )
            if wait == 0 and requests:
                requests.take(1, now=now)
            return wait

    def spend_processing_units(self, client_id: str, amount: float) -> None:
        """Take processing units that a request turned out to cost."""
        with self._lock:
            now = self._clock()
            if units := self._bucket("units", client_id, self._limits.processing_units_per_minute, now):
                units.take(amount, now=now)

    def admit_token_request(self) -> float:
        """Count one token request. Returns 0, or the seconds to wait if it breaks the limit."""
        with self._lock:
            now = self._clock()
            bucket = self._bucket("tokens", "", self._limits.token_requests_per_minute, now)
            if bucket is None:
                return 0.0
            wait = bucket.wait_for(1, now=now)
            if wait == 0:
                bucket.take(1, now=now)
            return wait

    def _bucket(self, kind: str, client_id: str, per_minute: float | None, now: float) -> TokenBucket | None:
        if per_minute is None:
            return None
        return self._buckets.setdefault((kind, client_id), TokenBucket(per_minute, now=now))

"""Token buckets, with a clock that is moved by hand."""

from __future__ import annotations

import pytest

from sentinelhub_provider.sandbox.errors import rate_limited
from sentinelhub_provider.sandbox.gateway.limits import Limits, RateLimiter


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at some moment."""
    return Clock()


def test_a_full_bucket_takes_a_burst_and_then_one_request_per_interval(clock: Clock) -> None:
    """60 per minute: 60 at once, then one per second."""
    limiter = RateLimiter(Limits(requests_per_minute=60), clock=clock)
    assert [limiter.admit_request("a") for _ in range(60)] == [0.0] * 60
    assert limiter.admit_request("a") == pytest.approx(1.0)
    clock.now += 0.4
    assert limiter.admit_request("a") == pytest.approx(0.6)
    clock.now += 0.6
    assert limiter.admit_request("a") == 0.0
    assert limiter.admit_request("a") == pytest.approx(1.0)


def test_waiting_exactly_as_told_is_enough(clock: Clock) -> None:
    """Whoever waits for what the answer said gets through, whatever the rate."""
    limiter = RateLimiter(Limits(requests_per_minute=7), clock=clock)
    for _ in range(200):
        if wait := limiter.admit_request("a"):
            clock.now += wait
            assert limiter.admit_request("a") == 0.0


def test_unused_capacity_does_not_pile_up(clock: Clock) -> None:
    """After a quiet hour the bucket holds one minute's worth."""
    limiter = RateLimiter(Limits(requests_per_minute=2), clock=clock)
    clock.now += 3600
    assert [limiter.admit_request("a") == 0 for _ in range(3)] == [True, True, False]


def test_processing_units_are_taken_afterwards(clock: Clock) -> None:
    """A request that turns out dear drives the bucket below zero; the next one waits until it is paid off."""
    limiter = RateLimiter(Limits(processing_units_per_minute=60), clock=clock)
    assert limiter.admit_request("a") == 0
    limiter.spend_processing_units("a", 90)
    assert limiter.admit_request("a") == pytest.approx(30, abs=0.1)


def test_a_limit_below_the_smallest_charge_still_lets_requests_through(clock: Clock) -> None:
    """A tiny allowance refills to the full, not to what it can never hold."""
    limiter = RateLimiter(Limits(processing_units_per_minute=0.005), clock=clock)
    limiter.spend_processing_units("a", 0.005)
    wait = limiter.admit_request("a")
    assert wait == pytest.approx(60)
    clock.now += wait
    assert limiter.admit_request("a") == 0


def test_each_client_has_its_own_buckets(clock: Clock) -> None:
    """One client's requests do not limit another's."""
    limiter = RateLimiter(Limits(requests_per_minute=1), clock=clock)
    assert limiter.admit_request("a") == 0
    assert limiter.admit_request("a") > 0
    assert limiter.admit_request("b") == 0


def test_without_limits_everything_passes(clock: Clock) -> None:
    """``None`` is no limit."""
    limiter = RateLimiter(Limits(), clock=clock)
    limiter.spend_processing_units("a", 1e9)
    assert [limiter.admit_request("a") for _ in range(1000)] == [0.0] * 1000
    assert limiter.admit_token_request() == 0


@pytest.mark.parametrize(("seconds", "header"), [(3.398, "3398"), (0.0001, "1"), (0.25, "250"), (1.0004, "1001")])
def test_retry_after_is_in_milliseconds(seconds: float, header: str) -> None:
    """Rounded up, so that waiting that long is never too short."""
    assert rate_limited(seconds).headers["Retry-After"] == header

"""How long to wait: what the service asks for, in every form, and the back-off."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentinelhub_provider.transport.rate_limit import LONGEST_BACKOFF, backoff, parse_retry_after, wait_before_retry

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3398", 3.398),
        (" 1000 ", 1.0),
        ("0", 0.0),
        ("3.5", 3.5),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_every_form_is_read(value: str | None, seconds: float | None):
    """Milliseconds by the service's documentation, seconds and dates by the habit of proxies, else nothing."""
    assert parse_retry_after(value, now=NOW) == seconds


@given(st.text())
@example("9" * 5000)
@example("Sun, 06 Nov 1994 08:49:37 +99999999999999999999")
@example("Sun, 31 Dec 9999 23:59:59 -2359")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_no_value_is_too_strange(value: str):
    """Reading a header never fails, and never asks for a negative wait."""
    seconds = parse_retry_after(value, now=NOW)

    assert seconds is None or seconds >= 0


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_backoff_stays_below_its_ceiling(attempt: int, jitter: float):
    """And never comes at once."""
    assert 0.5 <= backoff(attempt, lambda: jitter) <= LONGEST_BACKOFF


def test_backoff_keeps_its_jitter_at_the_ceiling():
    """A fleet that has waited long must not come back in one moment."""
    assert backoff(50, lambda: 0.0) == 30.0
    assert backoff(50, lambda: 0.9) == pytest.approx(57.0)


@given(attempt=st.integers(1, 20), asked=st.none() | st.floats(0, 1e9), jitter=st.floats(0, 1, exclude_max=True))
def test_wait_undercuts_neither(attempt: int, asked: float | None, jitter: float):
    """The larger of what is asked for and the back-off."""
    seconds = wait_before_retry(attempt, asked, lambda: jitter)

    assert seconds >= (asked or 0.0)
    assert seconds >= backoff(attempt, lambda: jitter)

"""Times as requests carry them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from sentinelhub_provider.api.time_range import TimeRange, parse_interval, parse_time_range
from sentinelhub_provider.exceptions import SentinelHubRequestError

JUNE = {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T23:59:59Z"}


@pytest.mark.parametrize(
    "value",
    [
        ("2024-06-01", "2024-06-30"),
        ["2024-06-01T00:00:00Z", "2024-06-30T23:59:59Z"],
        (date(2024, 6, 1), date(2024, 6, 30)),
        (datetime(2024, 6, 1), datetime(2024, 6, 30, 23, 59, 59)),  # noqa: DTZ001 - naive times are UTC
        (datetime(2024, 6, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2024-07-01T01:59:59+02:00"),
        JUNE,
        "2024-06-01/2024-06-30",
        "2024-06-01T00:00:00Z/2024-06-30T23:59:59Z",
    ],
)
def test_spellings(value: Any):
    """Each gives the same range; a date at its end includes that day."""
    assert parse_time_range(value).to_json() == JUNE


def test_single_day():
    """One date is that day."""
    assert parse_time_range("2024-06-01").to_interval() == "2024-06-01T00:00:00Z/2024-06-01T23:59:59Z"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (("2024-06-30", "2024-06-01"), "is reversed"),
        (("2025-01-02", "2025-01-03"), "in the future"),
        ("June", "a start and an end"),
        (["2024-06-01"], "a start and an end"),
        ("2024-06-01/..", "a start and an end"),
        (("2024-06-01", "soon"), "'soon' where a time belongs"),
        (("2024-06-01", 7), "7 where a time belongs"),
        (None, "a start and an end"),
    ],
)
def test_bad_range_is_refused(value: Any, message: str):
    """Reversed, in the future, or no times at all."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        parse_time_range(value, now=datetime(2025, 1, 1, tzinfo=UTC))
    assert caught.value.field == "time_range"


def test_range_may_reach_into_the_future():
    """Only what begins there is without data for sure."""
    parse_time_range(("2024-12-31", "2025-01-31"), now=datetime(2025, 1, 1, tzinfo=UTC))


def days(start: str, end: str) -> TimeRange:
    """Return a range whose end is midnight, as the documentation writes them."""
    return parse_time_range((f"{start}T00:00:00Z", f"{end}T00:00:00Z"))


def test_intervals_of_the_documentation():
    """Its example: two months by ten days are six intervals."""
    intervals = list(parse_interval("P10D").split(days("2020-06-01", "2020-07-31")))

    assert len(intervals) == 6
    assert intervals[0].to_json() == {"from": "2020-06-01T00:00:00Z", "to": "2020-06-11T00:00:00Z"}
    assert intervals[-1].to_json() == {"from": "2020-07-21T00:00:00Z", "to": "2020-07-31T00:00:00Z"}


@pytest.mark.parametrize(("last", "ends"), [("SKIP", "11"), ("SHORTEN", "15"), ("EXTEND", "21")])
def test_last_interval(last: str, ends: str):
    """Dismissed, shortened or lengthened."""
    intervals = list(parse_interval("P10D", last=last).split(days("2020-06-01", "2020-06-15")))

    assert intervals[-1].to_json()["to"] == f"2020-06-{ends}T00:00:00Z"


def test_months_keep_their_day():
    """Calendar months from the last of January do not drift."""
    intervals = list(parse_interval("P1M").split(days("2024-01-31", "2024-05-01")))

    assert [interval.start.day for interval in intervals] == [31, 29, 31]


@pytest.mark.parametrize(
    ("value", "of"), [(7, "P7D"), (timedelta(days=2), "P2D"), (timedelta(hours=36), "PT129600S"), ("P1W", "P1W")]
)
def test_interval_spellings(value: Any, of: str):
    """Days as a number, durations as Python has them."""
    assert parse_interval(value).to_json() == {"of": of}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("PT12H", "shorter than a day"),
        (0, "shorter than a day"),
        ("P1DT12H", "mixes days and hours"),
        ("P", "ISO 8601"),
        ("P1DT", "ISO 8601"),
        ("weekly", "ISO 8601"),
        (True, "ISO 8601"),
        (None, "ISO 8601"),
    ],
)
def test_bad_interval_is_refused(value: Any, message: str):
    """What the service would refuse."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        parse_interval(value)
    assert caught.value.field == "aggregation_interval"


def test_unknown_last_interval_is_refused():
    """There are three ways."""
    with pytest.raises(SentinelHubRequestError, match="SKIP, SHORTEN, EXTEND"):
        parse_interval("P1D", last="DROP")

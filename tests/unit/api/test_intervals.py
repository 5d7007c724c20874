"""The time of Statistical requests, split into intervals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider.api.statistical.request import SplitTime, alone, read_split_time, split_time
from sentinelhub_provider.api.time_range import TimeRange, parse_duration, parse_time_range, run_range
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.sandbox.apis.statistical.bodies import parse_intervals

BERLIN = "Europe/Berlin"


def days(start: str, end: str) -> TimeRange:
    """Return a range whose end is midnight, as the documentation writes them."""
    return parse_time_range((f"{start}T00:00:00Z", f"{end}T00:00:00Z"))


def run_of(start: str, end: str) -> TimeRange:
    """Return a run's range between two local midnights in Berlin."""
    return run_range(pendulum.parse(start, tz=BERLIN), pendulum.parse(end, tz=BERLIN))


def test_intervals_of_the_documentation():
    """Its example: two months by ten days are six intervals."""
    intervals = split_time(days("2020-06-01", "2020-07-31"), "P10D", now=None).intervals

    assert len(intervals) == 6
    assert intervals[0].to_json() == {"from": "2020-06-01T00:00:00Z", "to": "2020-06-11T00:00:00Z"}
    assert intervals[-1].to_json() == {"from": "2020-07-21T00:00:00Z", "to": "2020-07-31T00:00:00Z"}


@pytest.mark.parametrize(("last", "ends"), [("SKIP", "11"), ("SHORTEN", "15"), ("EXTEND", "21")])
def test_last_interval(last: str, ends: str):
    """Dismissed, shortened or lengthened."""
    intervals = split_time(days("2020-06-01", "2020-06-15"), "P10D", last, now=None).intervals

    assert intervals[-1].to_json()["to"] == f"2020-06-{ends}T00:00:00Z"


@pytest.mark.parametrize(
    ("length", "borders"),
    [
        ("P1M", "2023-01-31 2023-02-28 2023-03-31 2023-04-30 2023-05-31 2023-06-30 2023-07-31"),
        ("P1M", "2024-01-31 2024-02-29 2024-03-31 2024-04-30"),
        ("P1M", "2023-10-31 2023-11-30 2023-12-31 2024-01-31 2024-02-29 2024-03-31"),
        ("P1M", "2100-01-31 2100-02-28 2100-03-31"),
        ("P1M", "2023-01-30 2023-02-28 2023-03-30"),
        ("P1M", "2023-01-29 2023-02-28 2023-03-29"),
        ("P1M", "2024-01-28 2024-02-28 2024-03-28"),
        ("P1M", "2024-02-29 2024-03-29 2024-04-29"),
        ("P2M", "2023-12-31 2024-02-29 2024-04-30 2024-06-30"),
        ("P3M", "2023-11-30 2024-02-29 2024-05-30"),
        ("P1Y", "2024-02-29 2025-02-28 2026-02-28 2027-02-28 2028-02-29"),
        (pendulum.duration(months=1), "2024-01-31 2024-02-29 2024-03-31"),
    ],
    ids=str,
)
@pytest.mark.parametrize("last", ["SKIP", "SHORTEN", "EXTEND"])
def test_months_keep_their_day(length: Any, borders: str, last: str):
    """Calendar months from the last days of a month do not drift, and leave nothing out between them."""
    expected = [datetime.fromisoformat(border).replace(tzinfo=UTC) for border in borders.split()]

    found = split_time(TimeRange(expected[0], expected[-1]), length, last, now=None).intervals

    assert [(one.start, one.end) for one in found] == list(pairwise(expected))


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2090, 12, 31)),  # noqa: DTZ001 - zone is added
    st.integers(1, 14),
    st.integers(1, 1500),
)
def test_months_adjoin(start: datetime, months: int, length: int):
    """From any moment: each begins where the one before it ends, and none is empty."""
    whole = TimeRange(start.replace(tzinfo=UTC), start.replace(tzinfo=UTC) + timedelta(days=length))

    found = split_time(whole, f"P{months}M", "SHORTEN", now=None).intervals

    assert found[0].start == whole.start
    assert found[-1].end == whole.end
    assert all(one.start < one.end for one in found)
    assert all(one.end == following.start for one, following in pairwise(found))


@pytest.mark.parametrize(
    "end",
    ["2024-06-30", "2024-06-30T23:59:59Z", "2024-06-30T23:59:59.999Z", pendulum.datetime(2024, 6, 30).end_of("day")],
)
@pytest.mark.parametrize("length", ["P1D", "P5D", "P10D"])
def test_last_day_is_whole_in_every_spelling(end: Any, length: str):
    """Nothing is left out, and nothing is said."""
    found = split_time(["2024-06-01", end], length, now=None)

    assert found.warnings == ()
    assert found.to_json()["timeRange"]["to"] == "2024-07-01T00:00:00Z"
    assert found.intervals[-1].end == datetime(2024, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "times",
    [
        {"from": "2024-06-01", "to": "2024-06-30"},
        {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T23:59:59Z"},
        {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T23:59:59.999Z"},
        "2024-06-01/2024-06-30",
    ],
    ids=str,
)
def test_last_day_of_a_plain_request_is_whole(times: Any):
    """Also there, no interval is lost without a word."""
    found, aggregation = read_split_time({"timeRange": times, "aggregationInterval": {"of": "P1D"}}, now=None)

    assert found.warnings == ()
    assert aggregation["timeRange"] == {"from": "2024-06-01T00:00:00Z", "to": "2024-07-01T00:00:00Z"}
    assert len(parse_intervals(aggregation)) == 30


def test_plain_request_is_sent_as_it_is():
    """Where the service reads it in the same way."""
    given = {
        "timeRange": {"from": "2024-06-01T00:00:00.000Z", "to": "2024-06-15T00:00:00+00:00"},
        "aggregationInterval": {"of": "P10D"},
    }
    found, aggregation = read_split_time(given, now=None)

    assert aggregation == given
    assert "2024-06-11T00:00:00Z to 2024-06-15T00:00:00Z, the end of request, is shorter than P10D" in found.warnings[0]


def test_what_is_left_out_is_said():
    """With what to do."""
    found = split_time(["2024-06-01", "2024-06-14"], "P10D", now=None)

    assert found.to_json()["aggregationInterval"] == {"of": "P10D"}
    assert "is left out. To have it too, give last_interval='SHORTEN'" in found.warnings[0]


@pytest.mark.parametrize("last", ["SHORTEN", "EXTEND"])
def test_what_was_asked_for_is_not_said(last: str):
    """The user knows."""
    assert split_time(["2024-06-01", "2024-06-14"], "P10D", last, now=None).warnings == ()


def test_run_is_shortened_at_its_end():
    """Nobody chose its end, so nothing is left out."""
    found = split_time(run_of("2024-06-01", "2024-06-15"), "P10D", now=None)

    assert found.to_json()["aggregationInterval"] == {"of": "P10D", "lastIntervalBehavior": "SHORTEN"}
    assert "so the last interval is shortened" in found.warnings[0]
    assert split_time(run_of("2024-06-01", "2024-06-15"), "P10D", "SKIP", now=None).last == "SKIP"


@pytest.mark.parametrize(
    ("start", "end", "length", "hours"),
    [
        ("2025-03-30", "2025-03-31", "P1D", 23),
        ("2025-10-26", "2025-10-27", "P1D", 25),
        ("2025-06-01", "2025-06-02", "P1D", 24),
        ("2025-03-24", "2025-03-31", "P7D", 167),
        ("2025-10-20", "2025-10-27", "P1W", 169),
        ("2025-02-01", "2025-03-01", "P1M", 28 * 24),
        ("2025-03-01", "2025-04-01", "P1M", 31 * 24 - 1),
        ("2025-10-01", "2025-11-01", "P1M", 31 * 24 + 1),
        ("2025-01-01", "2025-04-01", "P3M", 90 * 24 - 1),
        ("2024-01-01", "2025-01-01", "P1Y", 366 * 24),
    ],
)
def test_run_of_one_local_interval_is_one(start: str, end: str, length: str, hours: int):
    """Whatever its clocks did; the service takes it and gives one interval."""
    found = split_time(run_of(start, end), length, now=None)

    (only,) = found.intervals
    assert only.end - only.start == timedelta(hours=hours)
    assert found.warnings == ()
    assert [tuple(one) for one in parse_intervals(found.to_json())] == [(only.start, only.end)]


def test_week_with_a_short_day_has_all_its_days():
    """The last is an hour short."""
    found = split_time(run_of("2025-03-24", "2025-03-31"), "P1D", now=None)

    lengths = [one.end - one.start for one in found.intervals]
    assert lengths == [timedelta(days=1)] * 6 + [timedelta(hours=23)]
    assert len(found.warnings) == 1


def test_start_with_microseconds():
    """Is cut to what a request can say, so that the service's intervals are those that are expected."""
    start = pendulum.datetime(2024, 6, 1, 6, 0, 0, 123456)
    found = split_time([start, start.add(days=3)], "P1D", now=None)

    expected = [(one.start, one.end) for one in found.intervals]
    assert [tuple(one) for one in parse_intervals(found.to_json())] == expected


@given(
    st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001 - zone is added
    st.timedeltas(timedelta(hours=1), timedelta(days=200)),
    st.sampled_from(["P1D", "P3D", "P7D", "P1W", "P1M", "P2M", "P1Y", "PT36H"]),
    st.sampled_from([None, "SKIP", "SHORTEN", "EXTEND"]),
    st.booleans(),
)
def test_intervals_are_the_services(start: datetime, length: timedelta, of: str, last: Any, is_run: bool):
    """Half open, without gaps, and none is lost from a run's range without being asked for."""
    first = pendulum.instance(start, tz="UTC")
    value = run_range(first, first + length) if is_run else [first, first + length]
    left_out = last == "SKIP" or (last is None and not is_run)
    if left_out and not SplitTime(parse_time_range(value), parse_duration(of)).intervals:
        with pytest.raises(SentinelHubRequestError, match="nothing to answer"):
            split_time(value, of, last, now=None)
        return
    found = split_time(value, of, last, now=None)
    intervals = found.intervals

    assert [tuple(one) for one in parse_intervals(found.to_json())] == [(one.start, one.end) for one in intervals]
    assert all(one.end == following.start for one, following in pairwise(intervals))
    if is_run and last is None:
        assert (intervals[0].start, intervals[-1].end) == (found.time_range.start, found.time_range.end)
    assert found.warnings or intervals[-1].end >= found.time_range.end


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2024-02-29T00:00:00Z", "2024-03-31T00:00:00Z"),
        ("2024-01-31T00:00:00Z", "2024-02-29T00:00:00Z"),
        ("2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z"),
        ("2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z"),
        ("2024-06-01T00:00:00Z", "2024-06-01T00:20:00.250Z"),
    ],
)
def test_one_interval_alone_is_one(start: str, end: str):
    """A month from the 31st, and a last one that was shortened, can be asked for again."""
    interval = parse_time_range((start, end))

    assert [tuple(one) for one in parse_intervals(alone(interval).to_json())] == [(interval.start, interval.end)]


@pytest.mark.parametrize(
    ("value", "of"),
    [(7, "P7D"), (timedelta(days=2), "P2D"), (timedelta(hours=36), "PT129600S"), ("P1W", "P1W"), ("p1d", "P1D")],
)
def test_interval_spellings(value: Any, of: str):
    """Days as a number, durations as Python has them."""
    found = split_time(days("2020-01-01", "2020-12-31"), value, now=None)
    assert found.to_json()["aggregationInterval"] == {"of": of}


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
        split_time(days("2020-06-01", "2020-07-31"), value, now=None)
    assert caught.value.field == "aggregation_interval"


def test_unknown_last_interval_is_refused():
    """There are three ways."""
    with pytest.raises(SentinelHubRequestError, match="SKIP, SHORTEN, EXTEND"):
        split_time(days("2020-06-01", "2020-07-31"), "P1D", "DROP", now=None)

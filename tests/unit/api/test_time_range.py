"""Times as requests carry them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pendulum
import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider.api.time_range import (
    TimeRange,
    as_sent,
    format_time,
    is_instant,
    is_relative,
    parse_duration,
    parse_end,
    parse_time,
    parse_time_range,
    run_range,
    with_times_of_run,
)
from sentinelhub_provider.exceptions import SentinelHubRequestError

JUNE = {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T23:59:59Z"}
JULY = datetime(2024, 7, 1, tzinfo=UTC)
BERLIN = pendulum.timezone("Europe/Berlin")
RUN_AFTER = datetime(2024, 7, 1, 6, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        ("2024-06-01", "2024-06-30"),
        ("20240601", "20240630"),
        ("2024-W22-6", "2024W267"),
        (" 2024-06-01", "2024-06-30 "),
        ["2024-06-01T00:00:00Z", "2024-06-30T23:59:59Z"],
        ["2024-06-01t00:00:00z", "2024-06-30 23:59:59z"],
        (date(2024, 6, 1), date(2024, 6, 30)),
        (pendulum.date(2024, 6, 1), pendulum.date(2024, 6, 30)),
        (datetime(2024, 6, 1), datetime(2024, 6, 30, 23, 59, 59)),  # noqa: DTZ001 - naive times are UTC
        (pendulum.datetime(2024, 6, 1), pendulum.datetime(2024, 6, 30, 23, 59, 59)),
        pendulum.interval(pendulum.datetime(2024, 6, 1), pendulum.datetime(2024, 6, 30, 23, 59, 59)),
        (datetime(2024, 6, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2024-07-01T01:59:59+02:00"),
        (pd.Timestamp("2024-06-01"), pd.Timestamp("2024-06-30 23:59:59", tz="UTC")),
        pd.DatetimeIndex(["2024-06-01 00:00:00", "2024-06-30 23:59:59"]),
        pd.Series(pd.to_datetime(["2024-06-01 00:00:00", "2024-06-30 23:59:59"])),
        (np.datetime64("2024-06-01"), np.datetime64("2024-06-30")),
        np.array(["2024-06-01", "2024-06-30"], dtype="datetime64[D]"),
        np.array(["2024-06-01T00:00", "2024-06-30T23:59:59"], dtype="datetime64[ns]"),
        JUNE,
        "2024-06-01/2024-06-30",
        "2024-06-01T00:00:00Z/2024-06-30T23:59:59Z",
        ("2024-06-01", "2024-06-30T23:59Z"),
    ],
    ids=str,
)
def test_spellings(value: Any):
    """Each gives the same range; a date at its end includes that day."""
    found = parse_time_range(value)

    assert found.to_json() == JUNE
    assert found.end == JULY


@pytest.mark.parametrize(
    "end",
    [
        "2024-06-30",
        "20240630",
        "2024-W26-7",
        date(2024, 6, 30),
        pendulum.date(2024, 6, 30),
        "2024-06-30T23:59",
        "2024-06-30T23:59Z",
        "2024-06-30T23:59:59",
        "2024-06-30T23:59:59.9Z",
        "2024-06-30T23:59:59.999Z",
        "2024-06-30T23:59:59.999999Z",
        "2024-06-30T23:59:59.999999999Z",
        "2024-06-30 23:59:59.999+00:00",
        "2024-06-30T24:00:00Z",
        "2024-06-30T24:00",
        "20240630T235959Z",
        "2024-07-01T00:00:00Z",
        "2024-06-30T17:59:59.999-06:00",
        datetime.combine(date(2024, 6, 30), time.max, UTC),
        datetime.combine(date(2024, 6, 30), time.max),  # naive
        pendulum.datetime(2024, 6, 30, 7).end_of("day"),
        pendulum.datetime(2024, 6, 30).end_of("month"),
        pendulum.datetime(2024, 7, 1),
    ],
    ids=str,
)
def test_end_of_a_day_in_every_spelling(end: Any):
    """The range ends where the next day begins, and what both-ends-included APIs are told lies before or at that."""
    last, after = parse_end(end)

    assert (after, type(after)) == (JULY, datetime)
    assert JULY - timedelta(seconds=1) <= last <= JULY


@pytest.mark.parametrize("zone", [BERLIN, "America/Los_Angeles", "Asia/Kathmandu"])
@pytest.mark.parametrize("day", ["2025-03-30", "2025-10-26", "2025-11-02", "2025-06-30"])
def test_end_of_a_day_elsewhere(day: str, zone: Any):
    """A local day's end is the next one's start, also when clocks change."""
    local = pendulum.parse(day, tz=zone)

    assert parse_end(local.end_of("day"))[1] == parse_time(local.add(days=1))


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - zones are drawn apart
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Pacific/Kiritimati"]),
)
def test_pendulum_and_standard_times_are_read_alike(value: datetime, zone: str):
    """Into the standard library's own type, in whole milliseconds, which what is written says again."""
    theirs = pendulum.instance(value, tz=zone)
    mine = datetime.fromisoformat(theirs.isoformat())

    found = parse_time(theirs)
    assert found == parse_time(mine) == parse_time(theirs.isoformat())
    assert type(found) is datetime
    assert (found + timedelta(days=1)).tzinfo is UTC
    assert parse_time(format_time(found)) == found
    assert parse_end(theirs) == parse_end(mine)


@given(st.datetimes(datetime(2015, 1, 1), datetime(2040, 1, 1)), st.integers(1, 40))  # noqa: DTZ001 - zone is added
def test_ranges_of_successive_runs_share_no_moment(start: datetime, hours: int):
    """And leave no second between them."""
    borders = [pendulum.instance(start, tz="UTC").add(hours=hours * number) for number in range(4)]
    found = [run_range(*pair) for pair in pairwise(borders)]

    for one, following in pairwise(found):
        assert one.end == following.start
        assert one.last == following.start - timedelta(seconds=1)


def test_single_day():
    """One date is that day."""
    assert parse_time_range("2024-06-01").to_interval() == "2024-06-01T00:00:00Z/2024-06-01T23:59:59Z"
    assert parse_time_range(date(2024, 6, 1)) == parse_time_range("2024-06-01")


def test_other_ends_are_sent_as_they_are():
    """What is no end of a minute stays."""
    found = parse_time_range("2024-06-01T00:00:00Z/2024-06-30T12:30:00.5Z")

    assert found.to_json()["to"] == found.to_half_open_json()["to"] == "2024-06-30T12:30:00.500Z"


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        ("P7D", "2024-06-24T06:00:00Z", "2024-07-01T05:59:59Z"),
        ("p1w", "2024-06-24T06:00:00Z", "2024-07-01T05:59:59Z"),
        (timedelta(days=7), "2024-06-24T06:00:00Z", "2024-07-01T05:59:59Z"),
        (pendulum.duration(days=7), "2024-06-24T06:00:00Z", "2024-07-01T05:59:59Z"),
        (pd.Timedelta(days=7), "2024-06-24T06:00:00Z", "2024-07-01T05:59:59Z"),
        (np.timedelta64(7, "D"), "2024-06-24T06:00:00Z", "2024-07-01T05:59:59Z"),
        (relativedelta(weeks=1), "2024-06-24T06:00:00Z", "2024-07-01T05:59:59Z"),
        (pendulum.duration(months=1), "2024-06-01T06:00:00Z", "2024-07-01T05:59:59Z"),
        (relativedelta(months=1), "2024-06-01T06:00:00Z", "2024-07-01T05:59:59Z"),
        ("PT36H", "2024-06-29T18:00:00Z", "2024-07-01T05:59:59Z"),
        ("P1M", "2024-06-01T06:00:00Z", "2024-07-01T05:59:59Z"),
        (["P14D", "P7D"], "2024-06-17T06:00:00Z", "2024-06-24T05:59:59Z"),
        ("P14D/P7D", "2024-06-17T06:00:00Z", "2024-06-24T05:59:59Z"),
        ({"from": "P14D", "to": "P7D"}, "2024-06-17T06:00:00Z", "2024-06-24T05:59:59Z"),
        (["P7D", "P0D"], "2024-06-24T06:00:00Z", "2024-07-01T05:59:59Z"),
        (["2024-06-01", "P7D"], "2024-06-01T00:00:00Z", "2024-06-24T05:59:59Z"),
        (["P7D", "2024-06-30"], "2024-06-24T06:00:00Z", "2024-06-30T23:59:59Z"),
    ],
    ids=str,
)
@pytest.mark.parametrize("run_after", [RUN_AFTER, pendulum.instance(RUN_AFTER).in_timezone(BERLIN)], ids=["std", "pen"])
def test_relative_ranges(value: Any, start: str, end: str, run_after: datetime):
    """They are counted back from the run."""
    assert is_relative(value)
    assert parse_time_range(value, until=run_after).to_json() == {"from": start, "to": end}


MONTHS = """
P1M    2024-03-31  2024-02-29
P1M    2023-03-31  2023-02-28
P1M    2024-03-30  2024-02-29
P1M    2024-07-31  2024-06-30
P1M    2024-01-31  2023-12-31
P2M    2024-04-30  2024-02-29
P1Y    2024-02-29  2023-02-28
P1M1D  2024-03-31  2024-02-28
"""


@pytest.mark.parametrize(("back", "run_after", "start"), [row.split() for row in MONTHS.strip().splitlines()])
def test_a_month_before_its_last_days(back: str, run_after: str, start: str):
    """Begins on the last day that there is."""
    found = parse_time_range(back, until=datetime.fromisoformat(run_after).replace(tzinfo=UTC))

    assert format_time(found.start) == f"{start}T00:00:00Z"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pendulum.duration(months=1), "P1M"),
        (pendulum.duration(years=1, months=2), "P14M"),
        (pendulum.duration(months=1, days=3), "P1M3D"),
        (relativedelta(years=1), "P12M"),
        (relativedelta(hours=36), "PT129600S"),
        (timedelta(days=31), "P31D"),
        (pendulum.datetime(2024, 3, 1) - pendulum.datetime(2024, 2, 1), "P29D"),
        (timedelta(0), "P0D"),
    ],
    ids=str,
)
def test_durations_of_other_libraries(value: Any, text: str):
    """Months stay months; between two given times are days."""
    found = parse_duration(value)

    assert found is not None
    assert found.text == text


@pytest.mark.parametrize(
    "value", [timedelta(days=-1), relativedelta(days=-1), relativedelta(months=-1), pd.NaT, 7, 7.0, b"P7D", {"days": 7}]
)
def test_what_is_no_duration(value: Any):
    """What goes back in time, and what is no length of time."""
    assert parse_duration(value) is None


@pytest.mark.parametrize("value", ["P7D", ["P7D", "P0D"], {"from": "P7D", "to": "P0D"}, timedelta(days=7)], ids=str)
def test_relative_ranges_in_documents(value: Any):
    """They are found wherever a request, or an entry of its datasets, has a time range; all else stays."""
    entry = {"type": "sentinel-2-l2a", "dataFilter": {"timeRange": value, "maxCloudCoverage": 20}}
    other = {"type": "dem", "dataFilter": {"timeRange": JUNE}}

    found = with_times_of_run({"input": {"data": [entry, other]}, "evalscript": "P7D"}, RUN_AFTER, "request")

    expected = parse_time_range("P7D", until=RUN_AFTER)
    filters = {"timeRange": expected, "maxCloudCoverage": 20}
    assert found == {"input": {"data": [{**entry, "dataFilter": filters}, other]}, "evalscript": "P7D"}
    assert found["input"]["data"][0]["dataFilter"]["timeRange"].of_run


@pytest.mark.parametrize("collection", ["sentinel-2-l2a", ["sentinel-2-l2a", {"type": "dem"}], None, []], ids=str)
def test_collections_without_a_time_stay(collection: Any):
    """By name or as entries."""
    assert with_times_of_run(collection, RUN_AFTER, "collection") == collection


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        (JUNE, True),
        ({"from": "2024-06-01T02:00:00+02:00", "to": "2024-06-30T23:59:59.000Z"}, True),
        ({"from": "2024-06-01", "to": "2024-06-30"}, False),
        ({"from": "2024-06-01T00:00:00", "to": "2024-06-30T23:59:59"}, False),
        ({"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T24:00:00Z"}, False),
        ("2024-06-01/2024-06-30", False),
    ],
    ids=str,
)
def test_times_are_sent_as_given_where_the_service_reads_them_alike(given: Any, is_kept: bool):
    """Days, times without a zone and other spellings are written as it reads them."""
    assert as_sent(given, JUNE) is (given if is_kept else JUNE)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-06-01T10:00:00Z", True),
        ("2024-06-01t10:00z", True),
        (pendulum.datetime(2024, 6, 1), True),
        (pd.Timestamp("2024-06-01"), True),
        (np.datetime64("2024-06-01T10:00"), True),
        ("2024-06-01", False),
        (date(2024, 6, 1), False),
        (np.datetime64("2024-06-01"), False),
        (JUNE, False),
        (None, False),
    ],
    ids=str,
)
def test_instants(value: Any, expected: bool):
    """A day has many."""
    assert is_instant(value) is expected


@pytest.mark.parametrize("value", ["2024-06-01/2024-06-30", JUNE, None, "June", ["2024-06-01"], 7])
def test_what_is_not_relative(value: Any):
    """Times, and what is no range at all."""
    assert not is_relative(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (("2024-06-30", "2024-06-01"), "is reversed"),
        (("P7D", "P14D"), "is reversed"),
        (("2025-01-02", "2025-01-03"), "in the future"),
        ("June", "a start and an end"),
        ("2024-06", "a start and an end"),
        (["2024-06-01"], "a start and an end"),
        ("2024-06-01/..", "a start and an end"),
        ("2024-06-01/P7D", "a time and a duration"),
        ("P9999Y", "where a time belongs"),
        ("P999999999999D", "a start and an end"),
        (("2024-06-01", "soon"), "'soon' where a time belongs"),
        (("2024-06-01", "2024-06"), "where a time belongs"),
        (("2024-06-01", "2024-W26"), "where a time belongs"),
        (("2024-06-01", "2024-06-31"), "where a time belongs"),
        (("2024-06-01", "2024-06-30+02:00"), "where a time belongs"),
        (("2024-06-01", "2024-06-30T25:00"), "where a time belongs"),
        (("2024-06-01", "9999-12-31"), "where a time belongs"),
        (("2024-06-01", 7), "7 where a time belongs"),
        (("2024-06-01", pd.NaT), "NaT where a time belongs"),
        (("2024-06-01", np.datetime64("NaT")), "where a time belongs"),
        (("2024-06-01", float("nan")), "nan where a time belongs"),
        (None, "a start and an end"),
    ],
    ids=str,
)
def test_bad_range_is_refused(value: Any, message: str):
    """Reversed, in the future, or no times at all."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        parse_time_range(value, now=datetime(2025, 1, 1, tzinfo=UTC), until=RUN_AFTER)
    assert caught.value.field == "time_range"


def test_relative_range_without_a_run():
    """There is nothing to count back from."""
    with pytest.raises(SentinelHubRequestError, match="counted back from a DAG run"):
        parse_time_range("P7D")


def test_range_may_reach_into_the_future():
    """Only what begins there is without data for sure."""
    parse_time_range(("2024-12-31", "2025-01-31"), now=datetime(2025, 1, 1, tzinfo=UTC))


def test_range_is_read_once():
    """What was read passes."""
    found = parse_time_range("2024-06-01/2024-06-30")

    assert parse_time_range(found) is found
    assert isinstance(found, TimeRange)

"""RFC 3339 in the ``datetime`` parameter."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sentinelhub_provider.sandbox.apis.catalog.datetimes import format_instant, parse_interval
from sentinelhub_provider.sandbox.errors import ApiError

JUNE = datetime(2024, 6, 1, tzinfo=UTC)
JULY = datetime(2024, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-06-01T00:00:00Z", (JUNE, JUNE)),
        ("2024-06-01T00:00:00Z/2024-07-01T00:00:00Z", (JUNE, JULY)),
        ("2024-06-01T00:00:00Z/..", (JUNE, None)),
        ("../2024-07-01T00:00:00Z", (None, JULY)),
        ("2024-06-01T00:00:00Z/", (JUNE, None)),
        ("/2024-07-01T00:00:00Z", (None, JULY)),
        ("2024-06-01T02:00:00+02:00/2024-07-01t00:00:00z", (JUNE, JULY)),
        ("2024-06-01T00:00:00.000000000Z", (JUNE, JUNE)),
    ],
)
def test_intervals_are_understood(text: str, expected: tuple[datetime | None, datetime | None]) -> None:
    """Instants, closed and open intervals, offsets, and any number of digits after the point."""
    assert parse_interval(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2024-06-01",
        "2024-06-01T00:00:00",
        "2024-13-01T00:00:00Z",
        "yesterday",
        "",
        "../..",
        "/",
        "2024-07-01T00:00:00Z/2024-06-01T00:00:00Z",
        "2024-06-01T00:00:00Z/2024-06-02T00:00:00Z/2024-06-03T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_what_is_no_interval_is_refused(text: str) -> None:
    """Dates alone, missing zones, both ends open and reversed ends are errors of the request."""
    with pytest.raises(ApiError) as caught:
        parse_interval(text)
    assert caught.value.status == 400
    assert "datetime" in caught.value.message


def test_instants_are_written_in_utc() -> None:
    """Whole seconds have no fraction; fractions are rounded to milliseconds."""
    assert format_instant(JUNE) == "2024-06-01T00:00:00Z"
    assert format_instant(JUNE.replace(microsecond=24_600)) == "2024-06-01T00:00:00.025Z"

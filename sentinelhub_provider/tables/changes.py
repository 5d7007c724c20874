"""The changes of statistics from an earlier interval to a later one."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.time_range import parse_duration, parse_time
from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubRequestError
from sentinelhub_provider.features.files import require, unreadable
from sentinelhub_provider.hooks.output import forget_listings, is_object_path, place_of
from sentinelhub_provider.tables.dataset import TIMES, parquet_files
from sentinelhub_provider.tables.delta import is_delta, open_delta

if TYPE_CHECKING:
    import pyarrow

log = logging.getLogger(__name__)

CLOCK_CHANGE = timedelta(hours=1)
FARTHEST_ZONE = timedelta(hours=14)
"""A local month begins up to so long before the same month in UTC."""


def changes(path: Any, *, compare_with: Any = "P7D", column: str = "mean", interval_from: Any = None) -> pyarrow.Table:
    """Compare the rows of one interval with those of an earlier one, for each feature, output and band.

    ::

        fell = [row["feature_id"] for row in changes("/data/ndvi").to_pylist() if (row["change"] or 0) < -0.2]

    :param path: a dataset that the Statistics operator writes with ``partition_by``, or a Parquet file. It is a local
        path or a URL that Airflow's object storage knows.
    :param compare_with: how much earlier, as an ISO 8601 duration such as ``P7D`` or ``P1Y``, or a ``timedelta``. The
        earlier interval of a local calendar is found also where the clocks change in between.
    :param column: the column of numbers to compare.
    :param interval_from: start of the interval. Default: the latest of the dataset.
    :returns: a table with ``feature_id``, ``interval_from``, ``output``, ``band``, the column, its earlier value as
        ``<column>_before``, and ``change``, their difference. The latter two are null if there is no earlier row.
    :raises SentinelHubRequestError: names the wrong argument.
    """
    arrow = require("pyarrow", field="path", otherwise="compare them by other means", what="Comparing intervals")

    back = parse_duration(compare_with)
    if back is None:
        raise SentinelHubRequestError(f"compare_with is {compare_with!r}. Give a duration such as P7D.")
    is_remote = "://" in str(path)
    try:
        place: Any = place_of(path)
        is_remote = is_object_path(place)
        forget_listings(place)
        rows = open_delta(place).to_pyarrow_dataset() if is_delta(place) else _parquet(place)
        if not rows.files:
            raise SentinelHubRequestError(f"path: {path} is empty, so there is no interval to compare.")
        names = _numbers(rows.schema)
        if column not in names:
            raise SentinelHubRequestError(
                f"column: {path} has no column of numbers {column!r}. Choose one of: {', '.join(names)}."
            )
        now = _latest(rows) if interval_from is None else parse_time(interval_from, "interval_from")
        before = _start_before(rows, now, back)
        key = ["feature_id", "output", "band"]
        later, earlier = (
            rows.to_table([*key, "interval_from", column], filter=_between(rows, moment, moment))
            for moment in (now, before)
        )
        if not later:  # nobody would notice an alarm that never comes
            latest = _latest(rows)
            log.warning("no interval in %s begins at %s. The latest one begins at %s", path, now, latest)
        elif not earlier:
            log.info("no interval in %s begins at %s, so there are no changes since then", path, before)
    except SentinelHubError:
        raise
    except Exception as error:  # of the storage's library, or of pyarrow
        raise unreadable(path, error, "path", "a dataset or a Parquet file", is_remote=is_remote) from error
    earlier = earlier.select([*key, column]).rename_columns([*key, f"{column}_before"])
    joined = later.join(earlier, keys=key, join_type="left outer").sort_by([(name, "ascending") for name in key])
    change = arrow.compute.subtract(joined[column], joined[f"{column}_before"])
    return joined.append_column("change", change).select(
        ["feature_id", "interval_from", "output", "band", column, f"{column}_before", "change"]
    )


def _numbers(schema: pyarrow.Schema) -> list[str]:
    """Return the names of columns that can be subtracted."""
    import pyarrow.types

    return [one.name for one in schema if pyarrow.types.is_integer(one.type) or pyarrow.types.is_floating(one.type)]


def _before(moment: datetime, back: Any) -> datetime:
    try:
        return back.after(moment, -1)  # type: ignore[no-any-return]
    except (ValueError, OverflowError) as error:
        raise SentinelHubRequestError(f"compare_with leads out of the calendar from {moment:%Y-%m-%d}.") from error


def _start_before(rows: Any, now: datetime, back: Any) -> datetime:
    """Return the start of the earlier interval, in a calendar of UTC or of a local time whose clocks may change."""
    exact = _before(now, back)
    wanted = (exact, _before(now + FARTHEST_ZONE, back) - FARTHEST_ZONE)  # 28 February, 23:00 is March in Berlin
    there = [
        _utc(start)
        for moment in dict.fromkeys(wanted)
        for start in rows.to_table(
            ["interval_from"], filter=_between(rows, moment - CLOCK_CHANGE, moment + CLOCK_CHANGE)
        )["interval_from"]
        .unique()
        .to_pylist()
    ]

    def distance(start: datetime) -> tuple[timedelta, timedelta]:
        return min(abs(start - moment) for moment in wanted), abs(start - exact)

    return min(there, key=distance, default=exact)


def _between(rows: Any, first: datetime, last: datetime) -> Any:
    """Return the filter of rows whose intervals start in between. Times without a zone are in UTC."""
    import pyarrow
    import pyarrow.compute

    start, kind = pyarrow.compute.field("interval_from"), rows.schema.field("interval_from").type
    return (start >= pyarrow.scalar(first, kind)) & (start <= pyarrow.scalar(last, kind))


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _latest(rows: Any) -> datetime:
    """Return the start of the latest interval. Raises :class:`SentinelHubRequestError` if there are no rows."""
    import pyarrow.compute

    found: datetime | None = None
    for batch in rows.to_batches(columns=["interval_from"]):
        latest = pyarrow.compute.max(batch["interval_from"]).as_py()
        found = latest if found is None or (latest is not None and latest > found) else found
    if found is None:
        raise SentinelHubRequestError("path: the dataset is empty, so there is no interval to compare.")
    return _utc(found)


def _parquet(place: Any) -> Any:
    """Return the dataset of the Parquet files at a place. A month in a folder's name, such as ``2026-11``, is text."""
    import pyarrow.dataset

    names = pyarrow.schema([(name, pyarrow.string()) for name in TIMES])
    is_remote = is_object_path(place)
    files = parquet_files(place) if place.is_dir() else [place]
    base, *paths = [one.path if is_remote else str(one) for one in (place, *sorted(files, key=str))]
    return pyarrow.dataset.dataset(
        paths,
        format="parquet",
        partitioning=pyarrow.dataset.partitioning(names, flavor="hive"),
        partition_base_dir=base,
        filesystem=place.fs if is_remote else None,
    )

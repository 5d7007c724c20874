"""Datasets that grow: rows replaced by key, partitions, two merges at once, kills, foreign files, object storage."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import deltalake
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from s3_server import BUCKET, S3Server
from together import start_together

from sentinelhub_provider.exceptions import SentinelHubOutputError, SentinelHubRequestError
from sentinelhub_provider.tables import KEY, Dataset, DeltaDataset, changes

SCHEMA = pyarrow.schema(
    [
        ("feature_id", pyarrow.string()),
        ("crop", pyarrow.string()),
        ("interval_from", pyarrow.timestamp("us", tz="UTC")),
        ("output", pyarrow.string()),
        ("band", pyarrow.string()),
        ("state", pyarrow.string()),
        ("mean", pyarrow.float64()),
        ("histogram", pyarrow.list_(pyarrow.struct([("low", pyarrow.float64()), ("count", pyarrow.int64())]))),
    ]
)
START = datetime(2026, 11, 23, tzinfo=UTC)
BOTH = pytest.mark.parametrize("kind", [Dataset, DeltaDataset])


def rows(weeks: range, features: range, mean: float | None = 0.5, **more: Any) -> pyarrow.Table:
    """Return a row for each feature and week after :data:`START`."""
    return pyarrow.Table.from_pylist(
        [
            {
                "feature_id": f"field {feature}",
                "crop": "wheat",
                "interval_from": START + timedelta(weeks=week),
                "output": "default",
                "band": "B0",
                "state": "ok",
                "mean": mean,
                "histogram": [{"low": 0.0, "count": feature}],
                **more,
            }
            for feature in features
            for week in weeks
        ],
        schema=SCHEMA,
    )


def merge(
    path: Any,
    *tables: pyarrow.Table,
    partition_by: Any = "interval_month",
    kind: type[Dataset] = Dataset,
    **options: Any,
) -> list[str]:
    """Merge tables into a dataset as one task does."""
    with kind(path, partition_by, **options) as dataset:
        dataset.check(SCHEMA)
        for table in tables:
            dataset.add(table)
        return dataset.merge()


def read(path: Path) -> pyarrow.Table:
    """Read a dataset as anybody would."""
    if (path / "_delta_log").exists():
        return deltalake.DeltaTable(path).to_pyarrow_table()
    return pyarrow.dataset.dataset(path, format="parquet", partitioning="hive").to_table()


def means(path: Path) -> dict[tuple[str, int], float]:
    """Return each row's mean by feature and week."""
    table = read(path)
    found = {
        (row["feature_id"], (row["interval_from"] - START).days // 7): row["mean"]
        for row in table.select(["feature_id", "interval_from", "mean"]).to_pylist()
    }
    assert len(found) == len(table), "a row is there twice"
    return found


def contents(path: Path) -> dict[str, str]:
    """Return the digest of each file."""
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_weeks_are_added_and_replaced(tmp_path: Path):
    """Exactly the rows that a run is about."""
    assert merge(tmp_path, rows(range(3), range(2))) == ["interval_month=2026-11", "interval_month=2026-12"]
    assert merge(tmp_path, rows(range(1, 2), range(1, 3), 0.9)) == ["interval_month=2026-11"]
    assert means(tmp_path) == {
        ("field 0", 0): 0.5,
        ("field 0", 1): 0.5,
        ("field 0", 2): 0.5,
        ("field 1", 0): 0.5,
        ("field 1", 1): 0.9,
        ("field 1", 2): 0.5,
        ("field 2", 1): 0.9,
    }
    assert sorted(contents(tmp_path)) == [
        ".lock",
        "interval_month=2026-11/data.parquet",
        "interval_month=2026-12/data.parquet",
    ]


@BOTH
def test_same_day_again_changes_nothing(tmp_path: Path, kind: type[Dataset]):
    """Not a byte."""
    merge(tmp_path, rows(range(3), range(2)), kind=kind)
    before = contents(tmp_path)
    merge(tmp_path, rows(range(1, 2), range(2)), kind=kind)
    merge(tmp_path, rows(range(2), range(1)), rows(range(2), range(1, 2)), kind=kind)
    assert contents(tmp_path) == before


@BOTH
@pytest.mark.parametrize(
    ("partition_by", "folder"),
    [
        ("interval_year", "interval_year=2026"),
        (["interval_day"], "interval_day=2026-11-23"),
        (("interval_year", "interval_month"), "interval_year=2026/interval_month=2026-11"),
    ],
)
def test_partitions(tmp_path: Path, kind: type[Dataset], partition_by: Any, folder: str):
    """Those that a row's key decides on, so that no row is in two of them."""
    for _ in range(2):
        assert merge(tmp_path, rows(range(1), range(2)), partition_by=partition_by, kind=kind) == [folder]
    found = read(tmp_path)
    assert len(found) == 2
    assert set(KEY) <= set(found.column_names)


@pytest.mark.parametrize(
    "partition_by",
    [
        *([], "", "crop", ["interval_month", "interval_month"], ["feature_id"], "month"),
        *(5, True, None, [["interval_month"]], {"interval_month": 1}, [None]),
    ],
)
def test_other_partitions_are_refused(tmp_path: Path, partition_by: Any):
    """By name."""
    with pytest.raises(SentinelHubRequestError, match="partition_by: give one or more of interval_year") as refused:
        Dataset(tmp_path, partition_by)
    assert refused.value.field == "partition_by"


@BOTH
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda schema: schema.append(pyarrow.field("p50", pyarrow.float64())), "p50 is new"),
        (lambda schema: schema.remove(1), "crop is missing"),
        (lambda schema: schema.set(6, pyarrow.field("mean", pyarrow.int64())), "mean is int64, there double"),
    ],
)
def test_other_columns_are_refused(tmp_path: Path, kind: type[Dataset], change: Callable[[Any], Any], said: str):
    """Before anything is paid for."""
    merge(tmp_path, rows(range(1), range(1)), kind=kind)
    before = contents(tmp_path)
    with kind(tmp_path, "interval_month") as dataset, pytest.raises(SentinelHubRequestError, match=said) as refused:
        dataset.check(change(SCHEMA))
    assert refused.value.field == "output_path"
    assert contents(tmp_path) == before


@BOTH
def test_columns_in_another_order_are_the_same(tmp_path: Path, kind: type[Dataset]):
    """As where ``properties`` are named the other way round."""
    merge(tmp_path, rows(range(1), range(1)), kind=kind)
    later = rows(range(1), range(2), 0.9).select(SCHEMA.names[::-1])
    with kind(tmp_path, "interval_month") as dataset:
        dataset.check(later.schema)
        dataset.add(later)
        dataset.merge()
    assert means(tmp_path) == {("field 0", 0): 0.9, ("field 1", 0): 0.9}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("crop", pyarrow.large_string()),
        ("crop", pyarrow.string_view()),
        ("feature_id", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
        ("interval_from", pyarrow.timestamp("ns", tz="UTC")),
        ("interval_from", pyarrow.timestamp("ms", tz="Europe/Berlin")),
    ],
    ids=str,
)
def test_partition_that_others_rewrote_is_merged_into(tmp_path: Path, name: str, kind: pyarrow.DataType):
    """As pandas does after a correction by hand: the same rows, in types of its own."""
    merge(tmp_path, rows(range(2), range(2)))
    (file,) = tmp_path.rglob("*.parquet")
    table = pyarrow.parquet.ParquetFile(file).read()
    at = table.schema.get_field_index(name)
    column = table[name].dictionary_encode() if pyarrow.types.is_dictionary(kind) else table[name].cast(kind)
    pyarrow.parquet.write_table(table.set_column(at, name, column), file)
    assert pyarrow.parquet.read_schema(file).field(name).type == kind

    merge(tmp_path, rows(range(1, 2), range(3), 0.75))

    assert means(tmp_path) == {(f"field {n}", w): 0.75 if w else 0.5 for n in range(3) for w in (0, 1) if n < 2 or w}
    assert pyarrow.parquet.read_schema(file).equals(SCHEMA)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more"])
def test_damaged_partition_is_named(tmp_path: Path, content: bytes):
    """It is not a matter of the folder's permissions, and no retry helps."""
    merge(tmp_path, rows(range(1), range(1)))
    (file,) = tmp_path.rglob("*.parquet")
    file.write_bytes(content)
    with pytest.raises(SentinelHubRequestError, match=r"interval_month=2026-11/data.parquet, which is damaged"):
        merge(tmp_path, rows(range(1), range(1)))
    with Dataset(tmp_path, "interval_month") as dataset:
        dataset.add(rows(range(1), range(1)))
        with pytest.raises(SentinelHubRequestError, match="is damaged"):
            dataset.merge()


@pytest.mark.parametrize("name", ["._data.parquet", "_SUCCESS", "README.md", "pictures/field.tif", "notes.csv"])
def test_other_files_are_not_those_of_a_dataset(tmp_path: Path, name: str):
    """Such as macOS and users leave beside the data. Neither a merge nor a comparison reads them."""
    merge(tmp_path, rows(range(1), range(1)))
    other = tmp_path / "interval_month=2026-11" / name
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(b"Mac OS X")
    merge(tmp_path, rows(range(1, 2), range(1)))
    assert other.exists()
    assert changes(tmp_path)["change"].to_pylist() == [0.0]


def test_property_that_is_called_like_a_partition_is_refused(tmp_path: Path):
    """Readers would see the column twice."""
    schema = SCHEMA.append(pyarrow.field("interval_month", pyarrow.string()))
    with Dataset(tmp_path, "interval_month") as dataset, pytest.raises(SentinelHubRequestError) as refused:
        dataset.check(schema)
    assert refused.value.field == "partition_by"


def test_object_storage_has_no_lock_file(tmp_path: Path):
    """Also where its paths are those of ``pathlib``, as on Airflow 3.1."""

    class ObjectPath(type(Path())):  # type: ignore[misc]
        fs, protocol = None, "s3"

    with Dataset(ObjectPath(tmp_path), "interval_month")._own_lock():
        assert list(tmp_path.iterdir()) == []


def test_files_of_something_else_are_refused(tmp_path: Path):
    """They would be read as rows of this dataset."""
    pyarrow.parquet.write_table(rows(range(1), range(1)), tmp_path / "part-0.parquet")
    with pytest.raises(SentinelHubRequestError, match=r"part-0\.parquet, which is not a file of a dataset"):
        merge(tmp_path, rows(range(1), range(1)))


def test_other_folders_are_refused(tmp_path: Path):
    """A row would be in two of them."""
    merge(tmp_path, rows(range(1), range(1)))
    with pytest.raises(SentinelHubRequestError, match="not a file of a dataset partitioned by interval_year"):
        merge(tmp_path, rows(range(1), range(1)), partition_by="interval_year")


@BOTH
def test_folder_that_cannot_be_written_is_found_out_first(tmp_path: Path, kind: type[Dataset]):
    """Here a file is in its place."""
    (tmp_path / "file").write_bytes(b"")
    with kind(tmp_path / "file" / "ndvi", "interval_month") as dataset, pytest.raises(SentinelHubOutputError):
        dataset.check(SCHEMA)


@BOTH
def test_check_leaves_nothing_behind(tmp_path: Path, kind: type[Dataset]):
    """Neither a file nor a lock."""
    with kind(tmp_path / "ndvi", "interval_month") as dataset:
        dataset.check(SCHEMA)
    assert contents(tmp_path) == {}


def states(path: Path) -> list[tuple[str, str | None, float | None]]:
    """Return each row's feature, output and mean."""
    columns = ("feature_id", "output", "mean")
    return sorted(
        (tuple(row[name] for name in columns) for row in read(path).select(columns).to_pylist()),
        key=lambda row: tuple(map(str, row)),
    )


@BOTH
def test_row_without_an_output_is_about_all_of_them(tmp_path: Path, kind: type[Dataset]):
    """A week without a scene that gets one, one that loses it, and other outputs in the same dataset."""
    empty = rows(range(1), range(1), None, output=None, band=None)
    for _ in range(2):
        merge(tmp_path, empty, kind=kind)
        assert states(tmp_path) == [("field 0", None, None)]
    merge(tmp_path, rows(range(1), range(1), 0.5), kind=kind)
    assert states(tmp_path) == [("field 0", "default", 0.5)]
    merge(tmp_path, rows(range(1), range(2), 0.7, output="water"), kind=kind)
    assert states(tmp_path) == [("field 0", "default", 0.5), ("field 0", "water", 0.7), ("field 1", "water", 0.7)]
    merge(tmp_path, rows(range(1), range(1), 0.1), kind=kind)
    assert states(tmp_path) == [("field 0", "default", 0.1), ("field 0", "water", 0.7), ("field 1", "water", 0.7)]
    merge(tmp_path, empty, kind=kind)
    assert states(tmp_path) == [("field 0", None, None), ("field 1", "water", 0.7)]


@BOTH
def test_interval_that_failed_replaces_nothing_that_is_known(tmp_path: Path, kind: type[Dataset]):
    """It is kept until it gets an answer."""
    failed = rows(range(1), range(2), None, output=None, band=None, state="failed")
    merge(tmp_path, rows(range(1), range(1), 0.5), kind=kind)
    for _ in range(2):
        merge(tmp_path, failed, kind=kind)
        assert states(tmp_path) == [("field 0", "default", 0.5), ("field 1", None, None)]
    merge(tmp_path, rows(range(1), range(1, 2), 0.7), kind=kind)
    assert states(tmp_path) == [("field 0", "default", 0.5), ("field 1", "default", 0.7)]


@BOTH
@given(
    merges=st.lists(
        st.tuples(st.integers(0, 6), st.integers(1, 3), st.integers(0, 3), st.integers(1, 2)), min_size=1, max_size=4
    )
)
@settings(max_examples=15)
def test_dataset_is_what_the_last_merge_of_each_row_says(
    tmp_path_factory, kind: type[Dataset], merges: list[tuple[int, int, int, int]]
):
    """Whatever overlaps."""
    path, expected = tmp_path_factory.mktemp("dataset"), {}
    for mean, (week, weeks, feature, features) in enumerate(merges):
        merge(path, rows(range(week, week + weeks), range(feature, feature + features), float(mean)), kind=kind)
        for one in range(feature, feature + features):
            expected |= {(f"field {one}", each): float(mean) for each in range(week, week + weeks)}
    assert means(path) == expected


def _merge_own(path: Path, number: int, kind: type[Dataset], together: Any = None) -> None:
    if together is not None:
        together.wait()
    for week in range(6):
        merge(path, rows(range(week, week + 1), range(number * 10, number * 10 + 10), float(number)), kind=kind)


@BOTH
def test_merges_at_once_lose_nothing_and_a_reader_sees_no_half(tmp_path: Path, kind: type[Dataset]):
    """Three processes write into the same months; one that is killed in the middle leaves a dataset that is whole."""
    merge(tmp_path, rows(range(6), range(100, 101)), kind=kind)
    # Who reads while the others load would only keep them from it.
    writers = start_together(_merge_own, *((tmp_path, number, kind) for number in range(3)))
    seen = 0
    while any(writer.is_alive() for writer in writers):
        found = means(tmp_path)
        assert len(found) >= seen
        seen = len(found)
        if seen >= 20 and writers[2].is_alive():
            writers[2].kill()  # which may have ended meanwhile
    for writer in writers:
        writer.join()
    _merge_own(tmp_path, 2, kind)  # its retry
    assert [writer.exitcode for writer in writers[:2]] == [0, 0]
    assert len(means(tmp_path)) == 6 * 31


def test_dataset_in_an_object_storage(tmp_path: Path):
    """Under the lock that is given."""
    from airflow.sdk import ObjectStoragePath
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem

    attach("memory", fs=MemoryFileSystem())  # Airflow knows no memory:// by itself
    locked: list[str] = []

    class Lock:
        def __enter__(self) -> None:
            locked.append("taken")

        def __exit__(self, *_: object) -> None:
            locked.append("freed")

    url = f"memory://{tmp_path.name}/ndvi"
    for path in (url, ObjectStoragePath(url), f"{url}/"):
        merge(path, rows(range(2), range(2)), lock=Lock)
    assert locked == ["taken", "freed"] * 3
    found = changes(url, interval_from="2026-11-30")
    assert found.column("change").to_pylist() == [0.0, 0.0]


def test_merges_of_two_hosts_into_an_object_storage(s3_for_all: S3Server, tmp_path: Path, monkeypatch):
    """What the storage's library has listed before does not count."""
    monkeypatch.setenv("AIRFLOW_CONN_BUCKET", s3_for_all.connection())
    s3_for_all.empty()
    url, name = f"s3://bucket@{BUCKET}/ndvi", "interval_month=2026-11/data.parquet"
    merge(url, rows(range(2), range(1)))
    merge(tmp_path, rows(range(2), range(100)))
    with Dataset(url, "interval_month") as dataset:
        dataset.check(SCHEMA)
        s3_for_all.put(f"ndvi/{name}", (tmp_path / name).read_bytes())  # by another host, with rows of a hundred fields
        dataset.add(rows(range(1), range(100, 102)))
        dataset.merge()
    assert len(changes(url, interval_from=START)) == 102
    s3_for_all.put(f"ndvi/{name}", (tmp_path / name).read_bytes())
    assert len(changes(url, interval_from=START)) == 100
    s3_for_all.empty()


@BOTH
def test_changes_between_intervals(tmp_path: Path, kind: type[Dataset]):
    """Feature by feature; a feature without an earlier interval has no change."""
    merge(tmp_path, rows(range(2), range(2), 0.75), rows(range(2, 3), range(3), 0.5), kind=kind)
    later = changes(tmp_path)
    assert later.column_names == ["feature_id", "interval_from", "output", "band", "mean", "mean_before", "change"]
    assert later.select(["feature_id", "mean_before", "change"]).to_pylist() == [
        {"feature_id": "field 0", "mean_before": 0.75, "change": -0.25},
        {"feature_id": "field 1", "mean_before": 0.75, "change": -0.25},
        {"feature_id": "field 2", "mean_before": None, "change": None},
    ]
    assert set(changes(tmp_path, interval_from=START + timedelta(weeks=1))["change"].to_pylist()) == {0.0}
    assert set(changes(tmp_path, compare_with=timedelta(weeks=2))["change"].to_pylist()) == {-0.25, None}


@BOTH
@pytest.mark.parametrize(
    ("zone", "earlier", "later", "compare_with"),
    [
        ("Europe/Berlin", "2025-10-20", "2025-10-27", "P7D"),
        ("Europe/Berlin", "2025-03-24", "2025-03-31", timedelta(days=7)),
        ("America/New_York", "2025-10-27", "2025-11-03", "P1W"),
        ("Australia/Lord_Howe", "2025-03-31", "2025-04-07", "P7D"),
        ("Europe/Berlin", "2025-02-01", "2025-03-01", "P1M"),
        ("Europe/Berlin", "2025-10-01", "2025-11-01", "P1M"),
        ("Europe/Berlin", "2024-03-01", "2025-03-01", "P1Y"),
        ("Pacific/Kiritimati", "2025-02-01", "2025-03-01", "P1M"),
        ("America/Los_Angeles", "2025-03-01", "2025-04-01", "P1M"),
        ("UTC", "2025-02-28", "2025-03-31", "P1M"),
    ],
)
def test_changes_of_a_local_calendar(
    tmp_path: Path, kind: type[Dataset], zone: str, earlier: str, later: str, compare_with: Any
):
    """Its weeks and months begin at other hours in UTC when the clocks change, its months also on other days."""
    starts = [datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)) for day in (earlier, later)]
    days = [start + timedelta(days=day) for start in starts for day in (-1, 1)]
    merge(tmp_path, *(rows(range(1), range(2), 0.75, interval_from=start) for start in [*days, starts[0]]), kind=kind)
    merge(tmp_path, rows(range(1), range(2), 0.5, interval_from=starts[1]), kind=kind)
    found = changes(tmp_path, compare_with=compare_with, interval_from=starts[1])
    assert found["change"].to_pylist() == [-0.25, -0.25]


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("interval_from", [None, START + timedelta(weeks=1)])
def test_changes_of_a_file_with_times_of_another_kind(tmp_path: Path, zone: str | None, interval_from: Any):
    """As pandas writes them: in nanoseconds, without a zone or in a local one."""
    table = pyarrow.concat_tables([rows(range(1), range(1), 0.75), rows(range(1, 2), range(1), 0.5)])
    times = table["interval_from"].cast(pyarrow.timestamp("ns", tz=zone))
    path = tmp_path / "ndvi.parquet"
    pyarrow.parquet.write_table(table.set_column(2, "interval_from", times), path)
    assert changes(path, interval_from=interval_from)["change"].to_pylist() == [-0.25]


@BOTH
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"compare_with": "last week"}, "compare_with is 'last week'"),
        ({"column": "median"}, "column: .* has no column of numbers 'median'. Choose one of: mean"),
        *(({"column": name}, f"column: .* has no column of numbers '{name}'") for name in ("crop", "histogram")),
        *(({"column": name}, f"column: .* has no column of numbers '{name}'") for name in ("band", "interval_month")),
        ({"compare_with": "P99999Y"}, "compare_with leads out of the calendar from 2026-11-23"),
        ({"compare_with": "P999999D"}, "compare_with leads out of the calendar"),
        ({"interval_from": "some day"}, "interval_from"),
    ],
)
def test_comparison_that_cannot_be_is_refused(
    tmp_path: Path, kind: type[Dataset], arguments: dict[str, Any], said: str
):
    """By the argument's name."""
    merge(tmp_path, rows(range(1), range(1)), kind=kind)
    with pytest.raises(SentinelHubRequestError, match=said):
        changes(tmp_path, **arguments)


@BOTH
def test_comparison_without_an_interval_says_so(tmp_path: Path, kind: type[Dataset], caplog):
    """An alarm that can never come has to be noticed; a first week without an earlier one is as it should be."""
    merge(tmp_path, rows(range(1), range(2)), kind=kind)
    caplog.set_level("INFO", "sentinelhub_provider.tables")
    assert changes(tmp_path, interval_from=START)["change"].to_pylist() == [None, None]
    assert changes(tmp_path, interval_from=START + timedelta(hours=3)).num_rows == 0
    said = [(record.levelname, record.getMessage()) for record in caplog.records if "begins at" in record.getMessage()]
    assert [level for level, _ in said] == ["INFO", "WARNING"]
    assert "begins at 2026-11-16" in said[0][1]
    assert said[1][1].endswith(
        "begins at 2026-11-23 03:00:00+00:00. The latest one begins at 2026-11-23 00:00:00+00:00"
    )


@pytest.mark.parametrize("path", [None, 5, "nowhere://bucket/ndvi", "/no/such/folder"])
def test_comparison_of_what_is_no_dataset_is_refused(path: Any):
    """Of whichever kind."""
    with pytest.raises(SentinelHubRequestError, match=r"path names the file .*, which cannot be read"):
        changes(path)


def test_comparison_in_an_empty_folder_is_refused(tmp_path: Path):
    """As before the first run."""
    with pytest.raises(SentinelHubRequestError, match=r"path: .* is empty, so there is no interval"):
        changes(tmp_path)


def test_column_without_any_value_that_pandas_rewrote_is_merged_into(tmp_path: Path):
    """It has no type there, so it fits."""
    schema = SCHEMA.append(pyarrow.field("error", pyarrow.string()))
    table = pyarrow.Table.from_pylist(rows(range(1), range(2)).to_pylist(), schema)

    def merge_again() -> None:
        with Dataset(tmp_path, "interval_month") as dataset:
            dataset.check(schema)
            dataset.add(table)
            dataset.merge()

    merge_again()
    file = tmp_path / "interval_month=2026-11" / "data.parquet"
    there = pyarrow.parquet.ParquetFile(file).read()
    pyarrow.parquet.write_table(there.set_column(len(schema) - 1, "error", pyarrow.nulls(2)), file)
    merge_again()
    assert pyarrow.parquet.ParquetFile(file).read().equals(there)

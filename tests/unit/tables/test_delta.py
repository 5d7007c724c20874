"""Tables of Delta Lake: versions, other writers, foreign folders, S3."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import deltalake
import pyarrow
import pytest
import s3fs
from s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server

from sentinelhub_provider.exceptions import SentinelHubOutputError, SentinelHubRequestError
from sentinelhub_provider.tables import Dataset, DeltaDataset, changes, delta

TIME = pyarrow.timestamp("us", tz="UTC")
TEXT = ("feature_id", "output", "band")
SCHEMA = pyarrow.schema(
    [("interval_from", TIME), *((name, pyarrow.string()) for name in TEXT), ("mean", pyarrow.float64())]
)


def row(feature: str, mean: float = 0.5, *, month: int = 11) -> pyarrow.Table:
    """Return one row."""
    one = {"interval_from": datetime(2026, month, 2, tzinfo=UTC), "feature_id": feature, "output": "x", "band": "B0"}
    return pyarrow.Table.from_pylist([one | {"mean": mean}], schema=SCHEMA)


def merge(path: Any, *tables: pyarrow.Table, partition_by: Any = "interval_month", kind: Any = DeltaDataset) -> None:
    """Merge tables as one task does."""
    with kind(path, partition_by) as dataset:
        dataset.check(SCHEMA)
        for table in tables:
            dataset.add(table)
        dataset.merge()


def means(table: deltalake.DeltaTable) -> dict[str, float]:
    """Return each feature's mean."""
    found: list[dict[str, Any]] = table.to_pyarrow_table().to_pylist()
    assert len({one["feature_id"] for one in found}) == len(found), "a row is there twice"
    return {one["feature_id"]: one["mean"] for one in found}


def test_merge_is_a_version_and_one_that_changes_nothing_is_none(tmp_path: Path):
    """Readers of a table's changes see only what changed."""
    merge(tmp_path, row("north"), row("south"))
    first = deltalake.DeltaTable(tmp_path)
    merge(tmp_path, row("north"))
    assert deltalake.DeltaTable(tmp_path).version() == first.version()
    merge(tmp_path, row("north", 0.9))
    newest = deltalake.DeltaTable(tmp_path)
    assert newest.version() == first.version() + 1
    assert means(first) == {"north": 0.5, "south": 0.5}
    assert means(newest) == {"north": 0.9, "south": 0.5}
    assert newest.metadata().partition_columns == ["interval_month"]


@pytest.mark.parametrize("value", [math.nan, None], ids=["NaN", "null"])
def test_a_value_that_is_not_known_makes_no_version_when_it_comes_again(tmp_path: Path, value: Any):
    """NaN is the mean of a field below clouds; what differs beside it is a version still."""
    merge(tmp_path, row("north", value), row("south"))
    first = deltalake.DeltaTable(tmp_path).version()
    merge(tmp_path, row("south"), row("north", value))
    assert deltalake.DeltaTable(tmp_path).version() == first
    merge(tmp_path, row("north", value), row("south", 0.6))
    assert deltalake.DeltaTable(tmp_path).version() == first + 1


@pytest.mark.parametrize("is_there", [True, False], ids=["into a table", "into none"])
def test_what_another_writer_commits_meanwhile_stays(tmp_path: Path, monkeypatch, is_there: bool):
    """Such as Spark, which knows no lock of ours: the merge is repeated over its version."""
    if is_there:
        merge(tmp_path, row("north"))
    merged, met = delta.merged, []

    def late(former: Any, rows: Any) -> Any:
        if not met:
            met.append(former)
            other = row("west").append_column("interval_month", pyarrow.array(["2026-11"]))
            deltalake.write_deltalake(tmp_path, other, mode="append")
        return merged(former, rows)

    monkeypatch.setattr(delta, "merged", late)
    merge(tmp_path, row("south"))
    expected = {"south": 0.5, "west": 0.5} | ({"north": 0.5} if is_there else {})
    assert means(deltalake.DeltaTable(tmp_path)) == expected


def test_table_that_others_write_to_all_the_time_is_for_the_next_try(tmp_path: Path, monkeypatch):
    """The error says that it may pass, and nothing is written."""
    merge(tmp_path, row("north"))
    merged = delta.merged

    def late(former: Any, rows: Any) -> Any:
        other = row("west", float(len(met))).append_column("interval_month", pyarrow.array(["2026-11"]))
        deltalake.write_deltalake(tmp_path, other, mode="overwrite", predicate="interval_month = '2026-11'")
        met.append(former)
        return merged(former, rows)

    met: list[Any] = []
    monkeypatch.setattr(delta, "merged", late)
    monkeypatch.setattr(delta, "PAUSE", 0)
    with pytest.raises(SentinelHubOutputError, match="could not be committed to 30 times") as refused:
        merge(tmp_path, row("south"))
    assert not refused.value.final
    assert len(met) == delta.TRIES
    assert means(deltalake.DeltaTable(tmp_path)) == {"west": 29.0}


def test_other_months_are_not_touched(tmp_path: Path):
    """Their files stay as they are, also where the table is large."""
    merge(tmp_path, row("north"), row("north", month=10))
    october = set((tmp_path / "interval_month=2026-10").iterdir())
    merge(tmp_path, row("south"))
    assert set((tmp_path / "interval_month=2026-10").iterdir()) == october
    assert {"interval_month=2026-10"} < {Path(uri).parent.name for uri in deltalake.DeltaTable(tmp_path).file_uris()}


def test_folder_of_another_kind_is_refused(tmp_path: Path):
    """A dataset of Parquet files is no Delta table, nor the other way round."""
    merge(tmp_path / "parquet", row("north"), kind=Dataset)
    with pytest.raises(SentinelHubRequestError, match=r"data\.parquet, and is not a Delta Lake table") as refused:
        merge(tmp_path / "parquet", row("north"))
    assert refused.value.field == "output_path"
    merge(tmp_path / "delta", row("north"))
    with pytest.raises(SentinelHubRequestError, match="which is not a file of a dataset"):
        merge(tmp_path / "delta", row("north"), kind=Dataset)


def test_log_without_a_commit_is_no_table(tmp_path: Path):
    """As a worker leaves it that is killed as it makes the table."""
    (tmp_path / "_delta_log").mkdir()
    (tmp_path / "_delta_log" / "00000000000000000000.json.tmp").touch()
    merge(tmp_path, row("north"))
    assert means(deltalake.DeltaTable(tmp_path)) == {"north": 0.5}


def test_table_with_features_that_cannot_be_read_is_refused(tmp_path: Path):
    """Before anything is paid for: deletion vectors, as Databricks makes them."""
    merge(tmp_path, row("north"))
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    protocol = {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}}
    (tmp_path / "_delta_log" / "00000000000000000002.json").write_text(json.dumps(protocol))
    with pytest.raises(SentinelHubRequestError, match="features that deltalake cannot read") as refused:
        merge(tmp_path, row("south"))
    assert refused.value.field == "output_path"


@pytest.mark.parametrize("name", ["per%cent", "per%20cent/ndvi", "[a", "a]/ndvi"])
def test_folder_that_deltalake_mistakes_for_another_is_refused(tmp_path: Path, name: str):
    """It would write to one and read the other, or end the process's thread by a panic."""
    with pytest.raises(SentinelHubRequestError, match=r"cannot be below a name with '[%\[\]]'"):
        merge(tmp_path / name, row("north"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["with space", "hash#a", "quest?ion", "ümlaut", "a+b&c=d"])
def test_names_of_folders_are_taken_as_they_are(tmp_path: Path, name: str):
    """Although deltalake takes an address."""
    for feature in ("north", "south"):
        merge(tmp_path / name, row(feature))
    assert len(changes(tmp_path / name)) == 2
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("kind", [Dataset, DeltaDataset])
def test_missing_connection_is_named_first(kind: type[Dataset]):
    """The storage's library would ask without one."""
    with (
        kind("s3://no_such@bucket/ndvi", "interval_month") as dataset,
        pytest.raises(SentinelHubOutputError) as refused,
    ):
        dataset.check(SCHEMA)
    assert "no_such" in str(refused.value)
    assert refused.value.final


def test_table_of_other_partitions_is_refused(tmp_path: Path):
    """Before anything is paid for."""
    merge(tmp_path, row("north"))
    with pytest.raises(SentinelHubRequestError, match="partitioned by interval_month, not by interval_year"):
        merge(tmp_path, row("north"), partition_by="interval_year")


@pytest.mark.parametrize("module", ["deltalake", "pyarrow"])
def test_what_is_not_installed_is_said(tmp_path: Path, monkeypatch, module: str):
    """With the extra to install."""
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(SentinelHubRequestError, match=r"airflow-provider-sentinelhub\[(delta|parquet)\]"):
        DeltaDataset(tmp_path, "interval_month")


def test_storage_that_delta_cannot_write_to_is_refused():
    """By its name."""
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem

    attach("memory", fs=MemoryFileSystem())
    with pytest.raises(SentinelHubRequestError, match=r"memory://bucket/ndvi: a Delta Lake table has to be on a local"):
        DeltaDataset("memory://bucket/ndvi", "interval_month")


@pytest.mark.parametrize("has_connection", [True, False], ids=["a connection's keys", "the machine's keys"])
def test_table_in_s3(s3_for_all: S3Server, monkeypatch, has_connection: bool):
    """Of the connection in the URL, or with what the worker's environment has."""
    monkeypatch.setattr("airflow.sdk.io.store._STORE_CACHE", {})  # with the storage of a test before, without keys
    s3fs.S3FileSystem.clear_instance_cache()
    s3_for_all.empty()
    if has_connection:
        monkeypatch.setenv("AIRFLOW_CONN_BUCKET", s3_for_all.connection())
        url = f"s3://bucket@{BUCKET}/a farm#1/ndvi/"
    else:
        keys = {"ACCESS_KEY_ID": ACCESS_KEY, "SECRET_ACCESS_KEY": SECRET_KEY, "DEFAULT_REGION": "us-east-1"}
        for name, value in {**keys, "ENDPOINT_URL": s3_for_all.endpoint, "ALLOW_HTTP": "true"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        url = f"s3://{BUCKET}/farm/ndvi"
    merge(url, row("north", 0.75, month=10), row("north"))
    merge(url, row("north"), row("south"))
    there = s3_for_all.keys()
    logs = [key for key in there if "/ndvi/_delta_log/" in key]
    assert {key.partition("/")[0] for key in there} == {url.split("/")[3]}
    assert len(logs) == 4  # the table, two partitions, and the second merge's one
    found = changes(url, compare_with="P31D").to_pylist()
    assert [(one["feature_id"], one["change"]) for one in found] == [("north", -0.25), ("south", None)]
    s3_for_all.empty()


@pytest.mark.parametrize("name", ["MEAN", "Interval_Month"])
def test_columns_that_differ_in_case_alone_are_refused(tmp_path: Path, name: str):
    """Before the first row is paid for, because the table could not be written."""
    with (
        DeltaDataset(tmp_path, "interval_month") as dataset,
        pytest.raises(SentinelHubRequestError, match=f"differ in case alone.*{name}"),
    ):
        dataset.check(SCHEMA.append(pyarrow.field(name, pyarrow.string())))


def test_partitions_of_another_type_are_refused(tmp_path: Path):
    """As others write years, before the first row is paid for."""
    years = row("north").append_column("interval_year", pyarrow.array([2026], pyarrow.int32()))
    deltalake.write_deltalake(tmp_path, years, partition_by=["interval_year"])
    with (
        DeltaDataset(tmp_path, "interval_year") as dataset,
        pytest.raises(SentinelHubRequestError, match="not text: interval_year is int32"),
    ):
        dataset.check(SCHEMA)


def test_folder_with_a_backslash_is_refused(tmp_path: Path):
    """The library takes it for a slash."""
    with pytest.raises(SentinelHubRequestError, match="cannot be below a name with"):
        DeltaDataset(tmp_path / "a\\b", "interval_month")

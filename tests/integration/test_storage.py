"""Results in an object store, a real S3 server: what cannot be is found out unpaid, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clocks import FakeClock
from s3_server import BUCKET, S3Server

from sentinelhub_provider.exceptions import SentinelHubOutputError
from sentinelhub_provider.hooks.output import check_writable, place_of, store
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.operators.feature_statistics.answers import (
    KEEP_AFTER_FAULT,
    KEEP_EVERY,
    PartFile,
    PartStore,
)
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

PICTURE = {"input": {}, "output": {}}
TABLE = f"s3://storage@{BUCKET}/tables/table.csv"


@pytest.fixture(name="s3")
def fixture_s3(s3_for_all: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An empty bucket, and connections: to it, and to a server that is away."""
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE", s3_for_all.connection())
    away = {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"total_max_attempts": 1}}}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", s3_for_all.connection(extra=away))
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    s3_for_all.empty()
    return s3_for_all


def left_in(s3: S3Server) -> tuple[list[str], list[Any]]:
    """Return the objects and the uploads that nobody finished."""
    return s3.keys(), s3.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])


def test_a_test_of_access_leaves_nothing(s3: S3Server):
    """Neither an object nor an upload."""
    check_writable(f"s3://storage@{BUCKET}/a.tif")

    assert left_in(s3) == ([], [])


@pytest.mark.parametrize(
    ("path", "final"),
    [
        ("s3://storage@no-such-bucket/a.tif", True),
        (f"s3://no_such_connection@{BUCKET}/a.tif", True),
        (f"s3://away@{BUCKET}/a.tif", False),
        ("s3://storage@results/folder/", True),
    ],
    ids=["bucket", "connection", "away", "folder"],
)
def test_path_that_cannot_be_written_is_found_out_unpaid(
    path: str, final: bool, s3: S3Server, connect, sentinelhub_sandbox
):
    """No request is sent, and the error knows whether a retry may help."""
    hook = connect()
    hook.get_token()
    before = sentinelhub_sandbox.control.counters().requests
    with pytest.raises(SentinelHubOutputError, match="cannot be written") as caught:
        hook.download("POST", "/process/v1", path, json=PICTURE)

    assert sentinelhub_sandbox.control.counters().requests == before
    assert caught.value.final == final
    assert left_in(s3) == ([], [])


def test_object_is_stored_whole(s3: S3Server):
    """Also where its file is larger than what S3 takes in one part."""
    body = b"0123456789abcdef" * 1_000_000
    stored = store(body, f"s3://storage@{BUCKET}/large.bin", content_type="")

    assert stored.size == len(body)
    assert s3.get("large.bin") == body
    assert left_in(s3)[1] == []


def statistics(**changes: Any) -> Any:
    """Execute an operator that asks about three fields, one after the other."""
    areas = [{"type": "Polygon", "coordinates": [[[x, 46], [x + 0.01, 46], [x, 46.01], [x, 46]]]} for x in (14, 15, 16)]
    arguments = {
        "features": areas,
        "collection": "sentinel-2-l2a",
        "evalscript": "ndvi",
        "time_range": ["2024-06-01", "2024-06-10"],
        "aggregation_interval": "P10D",
        "resolution": 100,
        "concurrency": 1,
        "output_path": TABLE,
        **changes,
    }
    instance = SimpleNamespace(xcom_push=lambda **_: None, dag_id="d", run_id="r", map_index=-1)
    return SentinelHubStatisticsOperator(task_id="t", **arguments).execute({"ti": instance})  # type: ignore[arg-type]


class KilledError(BaseException):
    """Ends a worker."""


@pytest.mark.parametrize("folder", [None, f"s3://storage@{BUCKET}/parts"], ids=["beside", "elsewhere"])
def test_statistics_go_on_where_workers_share_no_disk(folder: Any, s3, connect, monkeypatch, tmp_path: Path):
    """The second worker requests what the first has not, and leaves the table alone."""
    connect()
    calls: list[Any] = []
    post = SentinelHubHook.arequest

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(kwargs["json"])
        if len(calls) == 3:
            raise KilledError
        return await post(self, *args, **kwargs)

    monkeypatch.setattr(SentinelHubHook, "arequest", counted)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "first"))
    with pytest.raises(KilledError):
        statistics(part_folder=folder)
    kept = s3.keys()
    assert [key.startswith("parts/" if folder else "tables/.table.csv.") for key in kept] == [True]

    monkeypatch.setenv("TMPDIR", str(tmp_path / "second"))
    result = statistics(part_folder=folder)

    assert (len(calls), result["features"]) == (4, 3)
    assert left_in(s3) == (["tables/table.csv"], [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [TABLE.replace("storage@", "away@"), TABLE.replace(BUCKET, "no-such-bucket")])
@pytest.mark.parametrize("field", ["output_path", "part_folder"])
def test_statistics_that_cannot_be_stored_are_not_requested(path: str, field: str, s3, connect, sentinelhub_sandbox):
    """The table and the answers on their way are tried first."""
    connect().get_token()
    before = sentinelhub_sandbox.control.counters().requests
    with pytest.raises(Exception, match="cannot be written"):
        statistics(**{field: path})

    assert sentinelhub_sandbox.control.counters().requests == before
    assert s3.keys() == []


def test_a_store_that_is_away_costs_no_answer(s3: S3Server, monkeypatch: pytest.MonkeyPatch):
    """It is tried again later, and gets all lines."""
    clock, wall = FakeClock(), FakeClock()
    place: Any = place_of(f"s3://storage@{BUCKET}/parts")
    good = place.fs.pipe_file

    def refuse(*_: Any) -> None:
        raise ConnectionRefusedError

    with PartFile(None, PartStore(place, clock=clock, wall_clock=wall)) as part:
        clock.sleep(KEEP_EVERY)
        monkeypatch.setattr(place.fs, "pipe_file", refuse)
        part.add("a", {"n": 1}, units=1, is_complete=True)
        monkeypatch.setattr(place.fs, "pipe_file", good)
        clock.sleep(KEEP_EVERY)
        part.add("b", {"n": 2}, units=1, is_complete=True)
        assert s3.keys() == []
        clock.sleep(KEEP_AFTER_FAULT)
        part.add("c", {"n": 3}, units=1, is_complete=True)
        assert len(s3.keys()) == 1

    with PartFile(None, PartStore(place, clock=clock, wall_clock=wall)) as part:
        assert (len(part), part.spent, part.get("b")) == (3, 3, {"n": 2})
        part.remove()
    assert left_in(s3) == ([], [])

"""Buckets of jobs on a real S3 server: features go up, results are read, keys stay out of sight."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server

from sentinelhub_provider.api.job_requests.delivery import Access
from sentinelhub_provider.features import open_features
from sentinelhub_provider.hooks.delivery import access_of
from sentinelhub_provider.operators.jobs.buckets import BucketError, entries, open_path
from sentinelhub_provider.operators.jobs.features import prepare_features
from sentinelhub_provider.operators.jobs.files import DeliveredFiles, files_of_batch_process
from sentinelhub_provider.operators.jobs.results import (
    AsyncResults,
    FeatureResults,
    check_async_process,
    check_batch_process,
    check_batch_statistics,
)

JOB = "0a1b2c3d-0000-4000-8000-000000000000"
CONN_ID = "my_bucket"
FIELD = {
    "type": "Feature",
    "id": "north",
    "properties": {},
    "geometry": {"type": "Polygon", "coordinates": [[[13, 45], [13.1, 45], [13.1, 45.1], [13, 45]]]},
}


@pytest.fixture(name="bucket")
def fixture_bucket(s3_for_all: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The server with an empty bucket, and a connection to it."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", s3_for_all.connection())
    s3_for_all.empty()
    yield s3_for_all
    s3_for_all.empty()


def put_database(bucket: S3Server, tmp_path: Path, key: str) -> None:
    """Put a result database with one failure into the bucket."""
    path = tmp_path / "execution.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE features (id INTEGER, name TEXT, status TEXT, error TEXT, delivered BOOLEAN)")
        rows = [(1, "33TVL_1", "DONE", None, True), (2, "33TVL_2", "FATAL", "Timed out", False)]
        database.executemany("INSERT INTO features VALUES (?, ?, ?, ?, ?)", rows)
    database.close()
    bucket.put(key, path.read_bytes())


def test_features_are_uploaded_once(bucket: S3Server, tmp_path: Path) -> None:
    """A retry finds the object that the first try put there; it is whole."""
    with prepare_features(FIELD) as prepared:
        url = prepared.upload(f"s3://{BUCKET}/features", CONN_ID)
    (key,) = bucket.keys()
    written = bucket.client.head_object(Bucket=BUCKET, Key=key)["LastModified"]
    assert url == f"s3://{BUCKET}/{key}"

    with prepare_features(FIELD) as prepared:
        assert prepared.upload(f"s3://{BUCKET}/features", CONN_ID) == url

    copy = tmp_path / "features.gpkg"
    copy.write_bytes(bucket.get(key))
    with open_features(copy, id_property="identifier") as features:
        assert [feature.id for feature in features] == ["north"]
    assert bucket.client.head_object(Bucket=BUCKET, Key=key)["LastModified"] == written


def test_result_database_is_read(bucket: S3Server, tmp_path: Path) -> None:
    """Failures of a Batch Process job come from the database that lies in the bucket."""
    put_database(bucket, tmp_path, f"results/execution-{JOB}.sqlite")

    found = check_batch_process(f"s3://{BUCKET}/results/<requestId>/<tileName>.tif", JOB, CONN_ID)

    assert isinstance(found, FeatureResults)
    assert (found.total, found.done, found.failed) == (2, 1, 1)
    assert found.source == f"s3://{BUCKET}/results/execution-{JOB}.sqlite"
    assert str(found.causes[0]) == "1 x 'Timed out' (33TVL_2)"


def test_result_files_are_read(bucket: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """More files than are listed at a time are all counted, and the failures found among them."""
    monkeypatch.setattr("sentinelhub_provider.operators.jobs.buckets.LIST_PAGE", 20)
    for number in range(50):
        bucket.put(f"out/{JOB}/{number}.json", f'{{"id": {number}, "response": {{"status": "OK", "data": []}}}}')
    bucket.put(f"out/{JOB}/2000.json", '{"id": 2000, "error": {"type": "TIMEOUT"}}')

    found = check_batch_statistics(f"s3://{BUCKET}/out", JOB, CONN_ID, most=5)

    assert isinstance(found, FeatureResults)
    assert (found.total, found.failed, found.unread) == (51, 1, 46)
    assert str(found.causes[0]) == "1 x 'TIMEOUT' (2000)"


@pytest.mark.parametrize(
    ("template", "mine", "others"),
    [
        ("", [f"{JOB}/33TVL_1/default.tif"], ["33TVL_1.tif", "other-job/33TVL_1/default.tif"]),
        ("/<requestId>/<tileName>.<format>", [f"{JOB}/33TVL_1.tif"], [f"{JOB}/a/b.tif", "other-job/33TVL_1.tif"]),
        ("/<tileName>-<outputId>.tif", ["33TVL_1-default.tif"], ["33TVL_1-default.tif.aux.xml", "33TVL_1.tif"]),
        ("/<requestId>-<tileName>.<format>", [f"{JOB}-33TVL_1.tif"], ["other-job-33TVL_1.tif"]),
    ],
    ids=["default", "own folder", "shared folder", "own prefix"],
)
def test_files_of_a_job_are_told_from_others(
    bucket: S3Server, template: str, mine: list[str], others: list[str]
) -> None:
    """By what the delivery's URL makes of them; reports of the service are none of them."""
    reports = [f"{name}-{JOB}" for name in ("request", "featureManifest", "execution")]
    for name in (*mine, *others, f"{reports[0]}.json", f"{reports[1]}.gpkg", f"{JOB}/{reports[2]}.sqlite"):
        bucket.put(f"out/{name}", "12345")

    found = files_of_batch_process(f"s3://{BUCKET}/out{template}", JOB, CONN_ID)

    assert isinstance(found, DeliveredFiles)
    assert found.first == tuple(f"s3://{BUCKET}/out/{name}" for name in mine)
    assert (found.count, found.size) == (len(mine), 5 * len(mine))
    assert all(url.startswith(f"{found.folder}/") for url in found.first)


def test_files_of_a_large_job_are_counted_and_the_first_named(
    bucket: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page."""
    monkeypatch.setattr("sentinelhub_provider.operators.jobs.buckets.LIST_PAGE", 20)
    for number in range(110):
        bucket.put(f"out/{JOB}/{number:03}/default.tif", "12")

    found = files_of_batch_process(f"s3://{BUCKET}/out/", JOB, CONN_ID)

    assert isinstance(found, DeliveredFiles)
    assert (found.count, found.size, len(found.first)) == (110, 220, 100)
    assert found.first[0] == f"s3://{BUCKET}/out/{JOB}/000/default.tif"


def test_objects_of_a_zarr_group_are_counted(bucket: S3Server) -> None:
    """Whatever their names are."""
    for name in (".zgroup", "ndvi/.zarray", "ndvi/0.0.0"):
        bucket.put(f"out/{JOB}/{name}", "123")

    found = files_of_batch_process(f"s3://{BUCKET}/out/<requestId>", JOB, CONN_ID, is_zarr=True)

    assert isinstance(found, DeliveredFiles)
    assert (found.count, found.size, found.folder) == (3, 9, f"s3://{BUCKET}/out/{JOB}")


def test_outputs_and_errors_are_found(bucket: S3Server) -> None:
    """Async Process leaves its outputs, or an ``error.json``, and before that nothing."""
    url = f"s3://{BUCKET}/pictures"
    assert str(check_async_process(url, JOB, ["default"], CONN_ID)).endswith("has neither outputs nor an error.json")

    bucket.put(f"pictures/{JOB}/default.tif", "x")
    delivered = check_async_process(url, JOB, ["default"], CONN_ID)
    assert isinstance(delivered, AsyncResults)
    assert (delivered.files, delivered.size) == ((f"{url}/{JOB}/default.tif",), 1)

    bucket.put(f"pictures/{JOB}/error.json", '{"error": {"message": "Out of memory"}}')
    failed = check_async_process(url, JOB, ["default"], CONN_ID)
    assert isinstance(failed, AsyncResults)
    assert failed.error == "Out of memory"


@pytest.mark.parametrize(
    "check",
    [check_batch_process, check_batch_statistics, files_of_batch_process],
    ids=["process", "statistics", "files"],
)
def test_bucket_that_is_not_there(bucket: S3Server, check: Any) -> None:
    """It is said what could not be checked, and why; never that all is well."""
    with pytest.raises(BucketError, match="no-such-bucket"):
        check("s3://no-such-bucket/a", JOB, CONN_ID)


def test_server_that_is_not_there(s3_for_all: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where nobody listens."""
    refused = {"retries": {"total_max_attempts": 1}}
    extra = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": refused}
    monkeypatch.setenv("AIRFLOW_CONN_DEAD", s3_for_all.connection(extra=extra))

    with pytest.raises(BucketError, match="EndpointConnectionError"):
        check_async_process(f"s3://{BUCKET}/pictures", JOB, ["default"], "dead")


def test_listing_goes_page_by_page(bucket: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page is asked for when its turn comes."""
    monkeypatch.setattr("sentinelhub_provider.operators.jobs.buckets.LIST_PAGE", 2)
    for number in range(5):
        bucket.put(f"many/{number}.json", "x" * number)
    folder = open_path(f"s3://{BUCKET}/many", CONN_ID)

    assert [tuple(entry) for entry in entries(folder)] == [(f"{n}.json", n) for n in range(5)]


def test_same_connection_serves_sentinel_hub(bucket: S3Server) -> None:
    """The keys that Airflow reads the bucket with are those that the request carries."""
    assert access_of(CONN_ID, f"s3://{BUCKET}/a") == Access(ACCESS_KEY, SECRET_KEY, region="us-east-1")


def test_keys_stay_out_of_sight(bucket: S3Server, caplog: pytest.LogCaptureFixture) -> None:
    """No log and no result of a look into the bucket has them, nor of one that fails."""
    caplog.set_level(logging.INFO)
    results: list[Any] = [check_async_process(f"s3://{BUCKET}/results", JOB, ["default"], CONN_ID)]
    for check, name in ((check_batch_process, BUCKET), (check_batch_statistics, "no-such-bucket")):
        with pytest.raises(BucketError) as error:
            check(f"s3://{name}/results", JOB, CONN_ID)
        results += [error.value, str(error.value)]
    with prepare_features(FIELD) as prepared:
        prepared.upload(f"s3://{BUCKET}/features", CONN_ID)

    for secret in (ACCESS_KEY, SECRET_KEY):
        assert secret not in caplog.text
        assert secret not in repr(results)

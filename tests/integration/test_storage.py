"""Results in an object store, a real S3 server: what cannot be is found out unpaid, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from s3_server import BUCKET, S3Server, s3_server

from sentinelhub_provider.exceptions import SentinelHubOutputError
from sentinelhub_provider.hooks.output import check_writable, store

PICTURE = {"input": {}, "output": {}}


@pytest.fixture(scope="module", name="s3_of_module")
def fixture_s3_of_module() -> Iterator[S3Server]:
    """One S3 server for all tests of this file."""
    with s3_server() as server:
        yield server


@pytest.fixture(name="s3")
def fixture_s3(s3_of_module: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An empty bucket, and connections: to it, and to a server that is away."""
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE", s3_of_module.connection())
    away = {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"max_attempts": 1}}}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", s3_of_module.connection(extra=away))
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    s3_of_module.empty()
    return s3_of_module


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

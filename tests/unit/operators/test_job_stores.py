"""What survives an attempt: a record in the task state store, or in the bucket, or nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from job_tasks import StateStore, Variables

from sentinelhub_provider.operators.jobs.attempt import (
    RECORD_NAME,
    bucket_store,
    task_state_store,
    variable_store,
)

RECORD = {"sent": "2026-01-05T06:00:00+00:00", "id": None}


LOG = logging.getLogger(__name__)


@pytest.fixture(name="stores", params=["store", "bucket", "variable"])
def fixture_stores(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes the store of another attempt."""
    store = StateStore()
    if request.param == "variable":
        monkeypatch.setattr("airflow.sdk.Variable", Variables())
        return lambda tag="m": variable_store(tag)
    for tag in ("m", "before", "after"):
        (tmp_path / tag).mkdir()  # S3 needs no folders
    if request.param == "store":
        return lambda tag="m": task_state_store({"task_state_store": store}, tag)  # type: ignore[typeddict-unknown-key]
    return lambda tag="m": bucket_store(f"file://{tmp_path}/{tag}", None, LOG)


def test_a_record_outlives_an_attempt(stores):
    """Kept by one, read by the next, replaced, dropped."""
    assert stores().read() is None
    stores().write(RECORD)
    assert stores().read() == RECORD
    stores().write({**RECORD, "id": "1"})
    assert stores().read() == {**RECORD, "id": "1"}
    stores().delete()
    assert stores().read() is None
    assert stores().is_durable


def test_a_record_is_its_task_s_own(stores):
    """A cleared task has another tag, and finds none."""
    stores("before").write(RECORD)

    assert stores("after").read() is None


def test_before_airflow_3_3_nothing_is_kept():
    """There is no store in the context."""
    store = task_state_store({}, "m")  # type: ignore[typeddict-item]
    store.write(RECORD)

    assert store.read() is None
    assert not store.is_durable


def test_a_bucket_that_cannot_be_written_keeps_nothing():
    """Found out before anything is entrusted to it."""
    record = bucket_store("file:///proc/no-such-folder", None, LOG)

    assert not record.is_durable
    record.write(RECORD)
    assert record.read() is None


@pytest.mark.parametrize(
    ("content", "words"), [("half a no", "Expecting value"), ("[]", "not hold a JSON"), ("null", "not hold a JSON")]
)
def test_a_record_that_is_none_is_an_error(tmp_path: Path, content: str, words: str):
    """Nobody knows then whether a job was sent, and it must not be taken for no."""
    (tmp_path / RECORD_NAME).write_text(content)

    with pytest.raises(ValueError, match=words):
        bucket_store(f"file://{tmp_path}", None, LOG).read()

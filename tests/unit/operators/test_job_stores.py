"""What survives an attempt: a record in the task state store, or in the bucket, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from job_tasks import StateStore

from sentinelhub_provider.operators.jobs.stores import (
    RECORD_NAME,
    BucketJobStore,
    JobStore,
    NoJobStore,
    TaskStateJobStore,
    first_durable,
    job_store_of,
)

RECORD = {"sent": "2026-01-05T06:00:00+00:00", "id": None}


@pytest.fixture(name="stores", params=["store", "bucket"])
def fixture_stores(request: pytest.FixtureRequest, tmp_path: Path):
    """Return a function that makes the store of another attempt."""
    store = StateStore()
    for tag in ("m", "before", "after"):
        (tmp_path / tag).mkdir()  # S3 needs no folders
    if request.param == "store":
        return lambda tag="m": TaskStateJobStore(store, tag)
    return lambda tag="m": BucketJobStore(f"file://{tmp_path}/{tag}", None)


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
    store = job_store_of({}, "m")  # type: ignore[typeddict-item]
    store.write(RECORD)

    assert store.read() is None
    assert not store.is_durable


def test_a_bucket_that_cannot_be_written_keeps_nothing():
    """Found out before anything is entrusted to it."""
    record = BucketJobStore("file:///proc/no-such-folder", None)

    assert not record.is_durable
    record.write(RECORD)
    assert record.read() is None


def test_airflow_s_store_comes_before_the_bucket(tmp_path: Path):
    """And where it is there, nothing is written into the bucket."""
    store, record = TaskStateJobStore(StateStore(), "m"), BucketJobStore(f"file://{tmp_path}/m", None)
    nothing: JobStore = NoJobStore()
    (tmp_path / "m").mkdir()

    assert first_durable(store, record) is store
    assert list((tmp_path / "m").iterdir()) == []
    assert first_durable(nothing, record) is record
    assert first_durable(nothing, BucketJobStore("file:///proc/no", None)) is nothing


def test_a_record_that_is_none_is_an_error(tmp_path: Path):
    """Nobody knows then whether a job was sent, and it must not be taken for no."""
    (tmp_path / RECORD_NAME).write_text("half a no")

    with pytest.raises(ValueError, match="Expecting value"):
        BucketJobStore(f"file://{tmp_path}", None).read()

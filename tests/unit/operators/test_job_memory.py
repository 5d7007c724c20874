"""What outlives an attempt: a note in the task state store, or in the bucket, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from job_tasks import StateStore

from sentinelhub_provider.operators.jobs.memory import Memory, NoMemory, TaskStateMemory, memory_of
from sentinelhub_provider.operators.jobs.notes import NAME, NoteInBucket, first_durable

NOTE = {"sent": "2026-01-05T06:00:00+00:00", "id": None}


@pytest.fixture(name="memories", params=["store", "bucket"])
def fixture_memories(request: pytest.FixtureRequest, tmp_path: Path):
    """Return a function that makes the memory of another attempt."""
    store = StateStore()
    for mark in ("m", "before", "after"):
        (tmp_path / mark).mkdir()  # S3 needs no folders
    if request.param == "store":
        return lambda mark="m": TaskStateMemory(store, mark)
    return lambda mark="m": NoteInBucket(f"file://{tmp_path}/{mark}", None)


def test_a_note_outlives_an_attempt(memories):
    """Kept by one, read by the next, replaced, dropped."""
    assert memories().recall() is None
    memories().keep(NOTE)
    assert memories().recall() == NOTE
    memories().keep({**NOTE, "id": "1"})
    assert memories().recall() == {**NOTE, "id": "1"}
    memories().forget()
    assert memories().recall() is None
    assert memories().is_durable


def test_a_note_is_its_task_s_own(memories):
    """A cleared task has another mark, and finds none."""
    memories("before").keep(NOTE)

    assert memories("after").recall() is None


def test_before_airflow_3_3_nothing_is_kept():
    """There is no store in the context."""
    memory = memory_of({}, "m")  # type: ignore[typeddict-item]
    memory.keep(NOTE)

    assert memory.recall() is None
    assert not memory.is_durable


def test_a_bucket_that_cannot_be_written_keeps_nothing():
    """Found out before anything is entrusted to it."""
    note = NoteInBucket("file:///proc/no-such-folder", None)

    assert not note.is_durable
    note.keep(NOTE)
    assert note.recall() is None


def test_airflow_s_store_comes_before_the_bucket(tmp_path: Path):
    """And where it is there, nothing is written into the bucket."""
    store, note = TaskStateMemory(StateStore(), "m"), NoteInBucket(f"file://{tmp_path}/m", None)
    nothing: Memory = NoMemory()
    (tmp_path / "m").mkdir()

    assert first_durable(store, note) is store
    assert list((tmp_path / "m").iterdir()) == []
    assert first_durable(nothing, note) is note
    assert first_durable(nothing, NoteInBucket("file:///proc/no", None)) is nothing


def test_a_note_that_is_none_is_an_error(tmp_path: Path):
    """Nobody knows then whether a job was sent, and it must not be taken for no."""
    (tmp_path / NAME).write_text("half a no")

    with pytest.raises(ValueError, match="Expecting value"):
        NoteInBucket(f"file://{tmp_path}", None).recall()

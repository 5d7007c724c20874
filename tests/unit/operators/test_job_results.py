from __future__ import annotations

import json
import sqlite3
import tracemalloc
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sentinelhub_provider.operators.jobs.buckets import BucketError
from sentinelhub_provider.operators.jobs.results import (
    AsyncResults,
    Cause,
    check_async_process,
    check_batch_process,
    check_batch_statistics,
)

JOB = "0a1b2c3d-0000-4000-8000-000000000000"
Row = tuple[str, str, str | None, bool]


def write_database(folder: Path, rows: Iterable[Row], job_id: str = JOB) -> None:
    """Write a result database as the service does."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / f"execution-{job_id}.sqlite")) as database:
        database.execute(
            "CREATE TABLE features (id INTEGER PRIMARY KEY, name TEXT, status TEXT, error TEXT, delivered BOOLEAN)"
        )
        database.executemany("INSERT INTO features (name, status, error, delivered) VALUES (?, ?, ?, ?)", rows)
        database.commit()


def write_results(folder: Path, results: dict[str, Any]) -> None:
    """Write result files of Batch Statistics."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, result in results.items():
        (folder / f"{name}.json").write_text(result if isinstance(result, str) else json.dumps(result))


def good(number: int) -> dict[str, Any]:
    """Return the result of a feature that is good, longer than any error."""
    interval = {"interval": {"from": "2024-06-01T00:00:00Z", "to": "2024-06-02T00:00:00Z"}, "outputs": {}}
    return {"id": number, "identifier": f"field-{number}", "response": {"status": "OK", "data": [interval] * 5}}


class TestBatchProcess:
    """The result database."""

    def test_failures_and_their_causes(self, tmp_path: Path) -> None:
        """They are counted by cause, the most frequent first, with the names of some."""
        rows: list[Row] = [(f"tile-{number}", "DONE", None, True) for number in range(90)]
        rows += [(f"dark-{number}", "DONE", "No data", False) for number in range(4)]
        rows += [(f"bad-{number}", "FATAL", "Evalscript timed out", False) for number in range(5)]
        rows += [("odd", "FAILED", "Internal error", False), ("late", "PENDING", None, False)]
        write_database(tmp_path / "results", rows)

        found = check_batch_process(f"{tmp_path.as_uri()}/results/<requestId>/<tileName>.tif", JOB)

        assert (found.total, found.done, found.failed, found.pending, found.empty) == (101, 94, 6, 1, 4)
        assert found.causes == (
            Cause("Evalscript timed out", 5, ("bad-0", "bad-1", "bad-2")),
            Cause("Internal error", 1, ("odd",)),
        )
        assert not found.is_good
        assert "6 failed, 1 were not processed" in str(found)
        assert "5 x 'Evalscript timed out' (bad-0, bad-1, bad-2, ...)" in str(found)

    def test_features_without_data_are_done(self, tmp_path: Path) -> None:
        """Where no scene was seen there is nothing to deliver, and nothing wrong."""
        write_database(tmp_path, [("a", "DONE", "No data", False), ("b", "DONE", None, True)])

        found = check_batch_process(tmp_path.as_uri(), JOB)

        assert found.is_good
        assert (found.empty, found.undelivered) == (1, 0)

    def test_skipped_features_are_told(self, tmp_path: Path) -> None:
        """Features that are done, but were not delivered, are no failure."""
        write_database(tmp_path, [("a", "DONE", None, False)])

        found = check_batch_process(tmp_path.as_uri(), JOB)

        assert found.is_good
        assert "1 of them not delivered" in str(found)

    @pytest.mark.parametrize("place", ["results", f"results/{JOB}"])
    def test_place_of_the_database(self, tmp_path: Path, place: str) -> None:
        """It lies in the folder that the URL names, or in the job's own below it."""
        write_database(tmp_path / place, [("a", "DONE", None, True)])

        assert check_batch_process(f"{tmp_path.as_uri()}/results", JOB).total == 1

    def test_no_database(self, tmp_path: Path) -> None:
        """Then nothing is known, which is said with the places that were looked at."""
        write_database(tmp_path, [("a", "FATAL", None, True)], job_id="another")

        with pytest.raises(BucketError, match=f"{tmp_path.as_uri()}/execution-{JOB}.sqlite"):
            check_batch_process(tmp_path.as_uri(), JOB)

    @pytest.mark.parametrize("content", [b"no database at all, but a text of some length", b""], ids=["text", "empty"])
    def test_no_sqlite(self, tmp_path: Path, content: bytes) -> None:
        """A file that cannot be read is not taken for success."""
        (tmp_path / f"execution-{JOB}.sqlite").write_bytes(content)

        with pytest.raises(BucketError, match="not a database of features"):
            check_batch_process(tmp_path.as_uri(), JOB)

    @pytest.mark.parametrize("url", ["nowhere://bucket/a", "s3://bucket/a"], ids=["scheme", "connection"])
    def test_bucket_that_cannot_be_opened(self, url: str) -> None:
        """An unknown scheme or connection is said, and the job not taken for a success."""
        with pytest.raises(BucketError, match="cannot be opened"):
            check_batch_process(url, JOB, "no_such_connection" if url.startswith("s3") else None)

    def test_memory_is_bounded(self, tmp_path: Path) -> None:
        """Of many features no more than the answer is in memory: 100,000 take less than a megabyte."""
        write_database(
            tmp_path, ((f"tile-{n}", "FATAL" if n % 10 else "DONE", f"cause {n % 50}", True) for n in range(100_000))
        )
        check_batch_process(tmp_path.as_uri(), JOB)  # what is imported with the first look does not count

        tracemalloc.start()
        found = check_batch_process(tmp_path.as_uri(), JOB)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert found.failed == 90_000
        assert len(found.causes) == 5
        assert peak < 1_000_000


class TestBatchStatistics:
    """One file for each feature."""

    def test_failures_and_their_causes(self, tmp_path: Path) -> None:
        """A feature has failed with an error of its own, or with intervals that have one."""
        broken = {"status": "PARTIAL", "data": [{"error": {"type": "TIMEOUT"}}, {"outputs": {}}]}
        write_results(
            tmp_path / "out" / JOB,
            {
                **{str(number): good(number) for number in range(20)},
                "20": {"id": 20, "identifier": "field-20", "error": {"type": "EXECUTION_ERROR"}},
                "21": {"id": 21, "error": {"type": "EXECUTION_ERROR"}},
                "22": {"id": 22, "identifier": "field-22", "response": broken},
                "23": "not json",
            },
        )

        found = check_batch_statistics(f"{tmp_path.as_uri()}/out", JOB, expected=26)

        assert (found.total, found.done, found.failed, found.pending) == (26, 20, 4, 2)
        assert found.causes[0] == Cause("EXECUTION_ERROR", 2, found.causes[0].features)
        assert set(found.causes[0].features) == {"field-20", "21"}
        assert {cause.text for cause in found.causes} == {
            "EXECUTION_ERROR",
            "status PARTIAL: TIMEOUT in 1 of 2 intervals",
            "the file is not JSON",
        }

    @pytest.mark.parametrize("data", [[None], ["x", 5], {"a": 1}, "x", 5, [{"error": 5}], [{"error": {"type": [1]}}]])
    def test_odd_results_are_failures(self, tmp_path: Path, data: Any) -> None:
        """A file in a shape of its own fails no task with a traceback: its job is paid for."""
        write_results(tmp_path / JOB, {"1": {"id": 1, "response": {"status": "PARTIAL", "data": data}}, "2": good(2)})

        found = check_batch_statistics(tmp_path.as_uri(), JOB)

        assert (found.done, found.failed) == (1, 1)
        assert found.causes[0].text.startswith("status PARTIAL")

    def test_smallest_are_read_first(self, tmp_path: Path) -> None:
        """Of very many files some are read, and errors, which are short, are among them."""
        write_results(tmp_path / JOB, {str(number): good(number) for number in range(50)})
        write_results(tmp_path / JOB, {"99": {"id": 99, "error": {"type": "TIMEOUT"}}})

        found = check_batch_statistics(tmp_path.as_uri(), JOB, most=5)

        assert (found.failed, found.unread) == (1, 46)
        assert "46 result files were not read" in str(found)

    def test_all_good(self, tmp_path: Path) -> None:
        """A template may give the files other names."""
        write_results(tmp_path / "airflow-1a2b", {f"field-{number}": good(number) for number in range(3)})

        url = f"{tmp_path.as_uri()}/airflow-1a2b/<IDENTIFIER>.json"
        assert check_batch_statistics(url, JOB, expected=3).is_good

    def test_nothing_there(self, tmp_path: Path) -> None:
        """Without any file nothing is known; where features are known, they were not processed."""
        with pytest.raises(BucketError, match="there is no result"):
            check_batch_statistics(tmp_path.as_uri(), JOB)
        assert check_batch_statistics(tmp_path.as_uri(), JOB, expected=3).pending == 3


class TestAsyncProcess:
    """Outputs, or ``error.json``."""

    def test_outputs(self, tmp_path: Path) -> None:
        """All outputs are there; a copy of the request is none of them."""
        folder = tmp_path / JOB
        folder.mkdir()
        for name in ("red.tif", "ratio.tif", f"request-{JOB}.json"):
            (folder / name).write_text("x")

        found = check_async_process(tmp_path.as_uri(), JOB, ["red", "ratio"])

        assert isinstance(found, AsyncResults)
        assert found.outcome == "delivered"
        assert found.files == (f"{folder.as_uri()}/red.tif", f"{folder.as_uri()}/ratio.tif")

    @pytest.mark.parametrize(
        "content",
        ['{"error": {"status": 400, "message": "Band B99 is unknown"}}', '{"message": "Band B99 is unknown"}',
         "Band B99 is unknown"],
        ids=["wrapped", "plain", "text"],
    )  # fmt: skip
    def test_error(self, tmp_path: Path, content: str) -> None:
        """What the service says is told."""
        (tmp_path / JOB).mkdir()
        (tmp_path / JOB / "error.json").write_text(content)

        found = check_async_process(tmp_path.as_uri(), JOB, ["default"])

        assert isinstance(found, AsyncResults)
        assert (found.outcome, found.error) == ("failed", "Band B99 is unknown")
        assert str(found) == f"{(tmp_path / JOB).as_uri()}/error.json says: Band B99 is unknown"

    def test_some_outputs_are_not_all(self, tmp_path: Path) -> None:
        """As long as one is missing the job is not over well."""
        (tmp_path / JOB).mkdir()
        (tmp_path / JOB / "red.tif").write_text("x")

        found = check_async_process(tmp_path.as_uri(), JOB, ["red", "ratio"])

        assert isinstance(found, AsyncResults)
        assert found.outcome == "nothing"

    def test_job_without_a_known_id(self, tmp_path: Path) -> None:
        """A folder of the request's own is looked at whole, whatever the job's id is."""
        (tmp_path / "airflow-1a2b" / JOB).mkdir(parents=True)
        (tmp_path / "airflow-1a2b" / JOB / "default.tif").write_text("x")

        found = check_async_process(f"{tmp_path.as_uri()}/airflow-1a2b", None, ["default"])

        assert isinstance(found, AsyncResults)
        assert found.outcome == "delivered"

    def test_nothing_there(self, tmp_path: Path) -> None:
        """A folder that is not there yet says nothing."""
        found = check_async_process(tmp_path.as_uri(), JOB, ["default"])

        assert isinstance(found, AsyncResults)
        assert found.outcome == "nothing"

    def test_bucket_that_cannot_be_opened(self) -> None:
        """Then nothing is known."""
        with pytest.raises(BucketError, match="cannot be opened"):
            check_async_process("nowhere://bucket/a", JOB, ["default"])

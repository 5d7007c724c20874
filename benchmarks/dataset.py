"""Merging one week of many fields into a dataset of years: seconds and memory.

python -m benchmarks.dataset WEEKS FOLDER       what one measured process does
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.harness import ROOT
from benchmarks.report import Row, Table, progress
from benchmarks.task import peak_memory

FIELDS = 10_000
WEEKS = (50, 500)
MOST_SECONDS = 10.0
MOST_MEMORY = 400.0
"""MiB."""


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    rows = []
    for weeks in WEEKS[:1] if quick else WEEKS:
        progress(f"{weeks * FIELDS:,} rows")
        with TemporaryDirectory(prefix="benchmark-") as folder:
            command = [sys.executable, "-m", "benchmarks.dataset", str(weeks), folder]
            subprocess.run([*command, "make"], cwd=ROOT, check=True)
            answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        seconds, memory, count = json.loads(answer.stdout)
        met = seconds <= MOST_SECONDS and memory <= MOST_MEMORY and count == weeks * FIELDS
        rows.append(Row((count, FIELDS, round(seconds, 2), round(memory)), met))
    return [
        Table(
            "One week merged into a dataset that is partitioned by month",
            ("rows", "of them replaced", "s", "MiB at most"),
            tuple(rows),
            f"Targets: {MOST_SECONDS:.0f} s and {MOST_MEMORY:.0f} MiB.",
        )
    ]


def _week(number: int) -> Any:
    """Return the table of one week."""
    import pyarrow

    start = datetime(2017, 1, 2, tzinfo=UTC) + timedelta(weeks=number)
    time_type = pyarrow.timestamp("us", tz="UTC")
    columns: dict[str, Any] = {
        "feature_id": [f"field-{number}" for number in range(FIELDS)],
        "interval_from": pyarrow.array([start] * FIELDS, time_type),
        "interval_to": pyarrow.array([start + timedelta(weeks=1)] * FIELDS, time_type),
        "output": ["default"] * FIELDS,
        "band": ["B0"] * FIELDS,
        "state": ["ok"] * FIELDS,
    }
    random = np.random.default_rng(number)
    columns |= {name: random.random(FIELDS) for name in ("min", "max", "mean", "stdev")}
    columns |= {name: random.integers(0, 1000, FIELDS) for name in ("count", "sample_count", "no_data_count")}
    return pyarrow.table(columns)


def _merge(folder: Path, weeks: range) -> None:
    from sentinelhub_provider.tables import Dataset

    with Dataset(folder, "interval_month") as dataset:
        for number in weeks:
            table = _week(number)
            dataset.check(table.schema)
            dataset.add(table)
        dataset.merge()


def _main(weeks: int, folder: Path, *, make: bool) -> None:
    """Make a dataset, or merge one week into it and print what that took."""
    if make:
        for first in range(0, weeks, 25):
            _merge(folder, range(first, first + 25))
        return
    import pyarrow.dataset

    start = time.monotonic()
    _merge(folder, range(weeks // 2, weeks // 2 + 1))
    seconds, memory = time.monotonic() - start, peak_memory()
    count = pyarrow.dataset.dataset(folder, partitioning="hive").count_rows()
    print(json.dumps([seconds, memory, count]))


if __name__ == "__main__":
    _main(int(sys.argv[1]), Path(sys.argv[2]), make=len(sys.argv) > 3)

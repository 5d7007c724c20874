"""The pages of *Satellite imagery*: how long the API server takes for the contact sheet of a large mapped task.

A slow page would keep the heartbeats of tasks waiting where the API server is one process.
"""

from __future__ import annotations

import logging
import sys
import time
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import ROOT, airflow_environment, in_environment
from benchmarks.report import Row, Table, progress

TASKS = (100, 1000, 10_000)
MOST_SECONDS = 2.0


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    logging.disable(logging.INFO)  # the client's line about each request
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    rows = []
    with airflow_environment("{}") as environment, in_environment(environment), TemporaryDirectory() as folder:
        support = import_module("imagery_pages")
        with support.imagery_pages(Path(folder)) as pages:
            for count in TASKS[:1] if quick else TASKS:
                progress(f"{count:,} tasks")
                pages.clear()
                pages.log_in()
                for index in range(count):
                    pages.picture("mapped", map_index=index, name=f"field {index}")
                run = f"runs/weekly/{support.RUN}"
                paths = {"a page of the sheet": f"{run}?task=mapped&page=2", "the run": run, "all DAGs": ""}
                seconds = {name: _seconds(pages, path) for name, path in paths.items()}
                seconds["a page of the sheet"] += _seconds(pages, f"{run}?task=mapped")  # 100 tasks are two pages
                picture = f"pictures/weekly/{support.RUN}/mapped/7/0"
                seconds["60 previews"] = 60 * _seconds(pages, picture)
                rows.append(Row((count, *seconds.values()), sum(seconds.values()) < MOST_SECONDS))
    return [
        Table(
            "Pages of a mapped task, in seconds",
            ("tasks", "first two pages", "the run", "all DAGs", "60 previews"),
            tuple(rows),
            f"Target: {MOST_SECONDS:.0f} s for all of them together. The database is SQLite.",
        )
    ]


def _seconds(pages: Any, path: str) -> float:
    """Return the median of five times that an answer takes."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        answer = pages.client.get(f"/air/flow/sentinelhub/{path}")
        times.append(time.perf_counter() - start)
        if answer.status_code != 200:
            raise RuntimeError(answer.text)
    return median(times)

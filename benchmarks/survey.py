"""Checking features before anything is sent: seconds and memory for a file of many fields.

python -m benchmarks.survey FEATURES FOLDER     what one measured process does
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import ROOT
from benchmarks.report import Row, Table, progress
from benchmarks.statistics import _WEEK
from benchmarks.task import peak_memory, write_features

FEATURES = (10_000, 100_000)
MOST_SECONDS = 20.0
"""For the larger file."""
MOST_GROWTH = 40.0
"""MiB that the survey of 100,000 features may take: what it keeps of each is its key and its id."""


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    rows = []
    for features in FEATURES[:1] if quick else FEATURES:
        progress(f"{features:,} features")
        with TemporaryDirectory(prefix="benchmark-") as folder:
            command = [sys.executable, "-m", "benchmarks.survey", str(features), folder]
            answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        seconds, before, memory = json.loads(answer.stdout.splitlines()[-1])
        met = seconds <= MOST_SECONDS and memory - before <= MOST_GROWTH
        rows.append(Row((features, round(seconds, 1), round(before), round(memory)), met))
    return [
        Table(
            "Survey of a GeoJSON file",
            ("features", "s", "MiB before", "MiB at most"),
            tuple(rows),
            f"Targets: {FEATURES[-1]:,} features in {MOST_SECONDS:.0f} s of CPU and {MOST_GROWTH:.0f} MiB.",
        )
    ]


def _survey(features: int, folder: Path) -> None:
    """Survey a file, and print what it took: seconds of CPU, MiB before and at most."""
    from sentinelhub_provider.api.arguments import StatisticsArguments
    from sentinelhub_provider.api.statistical.survey import survey, template_of_arguments
    from sentinelhub_provider.features import open_features

    path = folder / "fields.geojson"
    write_features(path, features)
    wanted = StatisticsArguments(
        collection="sentinel-2-l2a",
        evalscript="ndvi-clear",
        time_range=_WEEK,
        resolution=10,
        aggregation_interval="P7D",
    )
    before, start = peak_memory(), time.process_time()
    with open_features(path) as opened:
        found = survey(opened, lambda one: template_of_arguments(wanted, one, now=datetime.now(UTC)))
    if found.usable != features:
        raise RuntimeError(f"{found.usable} of {features} features")
    print(json.dumps([time.process_time() - start, before, peak_memory()]))


if __name__ == "__main__":
    _survey(int(sys.argv[1]), Path(sys.argv[2]))

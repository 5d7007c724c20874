"""A picture of each of thousands of features in one task: how much of what the connections can give, in what memory.

python -m benchmarks.pictures FEATURES WHAT FOLDER     what one measured process does
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.area import stream
from benchmarks.harness import Loopback, loopback, measure_process
from benchmarks.report import Row, Table, progress
from benchmarks.statistics import CONNECTIONS, LATENCY
from benchmarks.task import execute_for_features

FEATURES = (2_000, 10_000, 20_000)
LEAST_SHARE = 0.9
MOST_MEMORY = 250.0
"""MiB of a whole process, Airflow's own included."""

SIDE = 64
"""Pixels."""


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    rows = []
    with loopback() as server, TemporaryDirectory(prefix="benchmark-") as folder:
        picture = Path(folder) / "picture.tif"
        _write_picture(picture)
        for features in FEATURES[:1] if quick else FEATURES:
            progress(f"{features:,} features")
            bare = _measure(server, features, picture, "bare")["seconds"]
            found = _measure(server, features, picture, "task")
            share = bare / found["seconds"]
            met = share >= LEAST_SHARE and found["memory"] < MOST_MEMORY
            of_latency = features * LATENCY / CONNECTIONS / found["seconds"]
            rates = (features / bare, features / found["seconds"], of_latency, share)
            rows.append(Row((features, *rates, found["before"], found["memory"]), met))
    return [
        Table(
            f"Pictures of {SIDE} x {SIDE} px, {CONNECTIONS} connections, {LATENCY * 1000:.0f} ms latency",
            ("features", "bare/s", "pictures/s", "share of latency", "share of bare", "MiB before", "MiB at most"),
            tuple(rows),
            f"Targets: {LEAST_SHARE} of bare, {MOST_MEMORY:.0f} MiB. Bare is a requests.Session to a connection, which "
            "streams the same pictures to files, with a fixed token. A task's time is its whole execution: reading and "
            "checking the features, requesting, storing pictures and their STAC items.",
        )
    ]


def _write_picture(path: Path) -> None:
    import numpy
    import rasterio

    random = numpy.random.default_rng(0)
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(1e-4, 0, 10, 0, -1e-4, 45)) as raster:
        raster.write(random.integers(0, 255, (3, SIDE, SIDE), dtype="uint8"))


def _measure(server: Loopback, features: int, picture: Path, what: str) -> dict[str, float]:
    """Run one task in a process of its own."""
    server.behave(latency=LATENCY, file=str(picture))
    return measure_process(server, features, "benchmarks.pictures", features, what)


def _main(features: int, folder: Path, what: str) -> None:
    """Do one measured process's work, and print what it took."""
    if what == "task":
        _task(features, folder)
        return
    start = time.perf_counter()
    stream(features, CONNECTIONS, folder)
    print(json.dumps({"seconds": time.perf_counter() - start}))


def _task(features: int, folder: Path) -> None:
    """Execute the operator as a task's process does, and print what it took."""
    from sentinelhub_provider.operators.process import SentinelHubProcessOperator

    execute_for_features(
        SentinelHubProcessOperator,
        features,
        folder,
        evalscript="true-colour",
        time_range=("2025-06-01", "2025-06-07"),
        width=SIDE,
        height=SIDE,
        output_path=str(folder / "pictures" / "{feature_id}.tif"),
        concurrency=CONNECTIONS,
    )


if __name__ == "__main__":
    _main(int(sys.argv[1]), Path(sys.argv[3]), sys.argv[2])

"""A large area in one task: how much of what its connections can carry, and in how much memory.

python -m benchmarks.area SIDE WHAT FOLDER     what one measured process does
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.clients import load_package
from benchmarks.harness import CONN_ID, Loopback, loopback, measure_process
from benchmarks.report import Row, Table, progress
from benchmarks.task import execute, peak_memory

LEAST_SHARE = 0.9
MOST_MEMORY = 300.0
"""MiB of a whole process, Airflow's own included."""

SIDE = 20_000
"""Pixels of the area's side."""

TILE = 2_000
CONNECTIONS = 4
LATENCY = 0.5
"""Seconds until a tile's first byte: the service takes longer than that to render four million pixels."""

METRES = 10

_ROUNDS = 3
_SEED = 0
_MOSAICS = {"vrt": "vrt", "geotiff": "tif", "cog": "tif"}
"""Mosaics, and what their paths end with."""

EVALSCRIPT = """//VERSION=3
function setup() { return { input: ["B04"], output: { bands: 1, sampleType: "UINT16" } }; }
function evaluatePixel(sample) { return [sample.B04 * 10000]; }
"""


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    side = SIDE // 2 if quick else SIDE
    rounds = 1 if quick else _ROUNDS
    found: dict[str, list[dict[str, float]]] = {}
    with TemporaryDirectory(prefix="benchmark-") as folder, loopback() as server:
        tile = Path(folder) / "tile.tif"
        _write_tile(tile)
        for number in range(rounds):
            for what in ("bare", *_MOSAICS):
                if number and what in ("geotiff", "cog"):
                    continue
                progress(f"{side:,} px, {what}, round {number + 1}")
                found.setdefault(what, []).append(_measure(server, side, what, tile))
        megabytes = tile.stat().st_size * (side // TILE) ** 2 / 1e6
    floor = median(one["seconds"] for one in found["bare"])
    return [
        Table(
            f"{side:,} x {side:,} px in {(side // TILE) ** 2} tiles, {megabytes:,.0f} MB, {CONNECTIONS} connections, "
            f"{LATENCY * 1000:.0f} ms to a tile's first byte",
            ("", "s", "MB/s", "share of floor", "MiB before", "MiB at most", "target"),
            tuple(_row(what, runs, floor, megabytes) for what, runs in found.items()),
            "Bare is a requests.Session to a connection, which streams the same tiles to files, with a fixed token. A "
            "task's time is its whole execution: tiles are fetched, hashed and kept, and made one picture, which for "
            "geotiff and cog means that each pixel is decoded and compressed once more.",
        )
    ]


def _row(what: str, runs: list[dict[str, float]], floor: float, megabytes: float) -> Row:
    seconds = median(run["seconds"] for run in runs)
    memory = max(run["memory"] for run in runs)
    figures = (seconds, megabytes / seconds, floor / seconds, runs[0]["before"], memory)
    if what == "bare":
        return Row((what, *figures, None))
    judged = what == "vrt"
    target = f">= {LEAST_SHARE}, < {MOST_MEMORY:.0f} MiB" if judged else f"< {MOST_MEMORY:.0f} MiB"
    met = memory < MOST_MEMORY and (not judged or floor / seconds >= LEAST_SHARE)
    return Row((f"tile=True, {what}", *figures, target), met)


def _write_tile(path: Path) -> None:
    """Write what the server answers: reflectances with noise in their low bits, so that nothing compresses well."""
    import numpy
    import rasterio

    numbers = numpy.frombuffer(random.Random(_SEED).randbytes(2 * TILE * TILE), "uint16") % 10_000
    profile = {"driver": "GTiff", "width": TILE, "height": TILE, "count": 1, "dtype": "uint16", "crs": "EPSG:32633"}
    transform = rasterio.Affine(METRES, 0, 300_000, 0, -METRES, 5_300_000)
    with rasterio.open(path, "w", **profile, transform=transform) as raster:
        raster.write(numbers.reshape(1, TILE, TILE))


def _measure(server: Loopback, side: int, what: str, tile: Path) -> dict[str, float]:
    """Fetch the area in a process of its own."""
    server.behave(latency=LATENCY, file=str(tile))
    return measure_process(server, (side // TILE) ** 2, "benchmarks.area", side, what)


def stream(count: int, connections: int, folder: Path) -> None:
    """Stream so many answers to files, by the loop that everyone writes."""
    import requests

    url = f"{json.loads(os.environ[f'AIRFLOW_CONN_{CONN_ID.upper()}'])['host']}/process/v1"
    left = iter(range(count))

    def work(_: int) -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {os.environ['BENCHMARK_TOKEN']}"
            for number in left:
                with (
                    session.post(url, json={"tile": number}, stream=True, timeout=60) as response,
                    (folder / f"{number}.tif").open("wb") as file,
                ):
                    response.raise_for_status()
                    for chunk in response.iter_content(256 * 1024):
                        file.write(chunk)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(work, range(connections)))


def _task(side: int, mosaic: str, folder: Path) -> None:
    """Execute the operator as a task's process does."""
    from sentinelhub_provider.operators.process import SentinelHubProcessOperator

    west, north = 300_000, 5_300_000
    operator = SentinelHubProcessOperator(
        task_id="area",
        collection="sentinel-2-l2a",
        evalscript=EVALSCRIPT,
        time_range=("2025-06-01", "2025-06-30"),
        bbox=(west, north - side * METRES, west + side * METRES, north),
        crs=32633,
        resolution=METRES,
        output_path=str(folder / f"area.{_MOSAICS[mosaic]}"),
        outputs="tiff",
        tile=True,
        tile_size=TILE,
        mosaic=mosaic,
        concurrency=CONNECTIONS,
    )
    result = execute(operator)
    if result["tiles"]["fetched"] != (side // TILE) ** 2:
        raise RuntimeError(f"{result}")


def _main(side: int, what: str, folder: Path) -> None:
    """Do one measured process's work, and print what it took."""
    if what == "bare":
        import requests  # noqa: F401
    else:
        import sentinelhub_provider.operators.process  # noqa: F401

        load_package("api", "oauth", "transport", "hooks", "operators", "stac")
    logging.disable(logging.INFO)
    before, start = peak_memory(), time.perf_counter()
    if what == "bare":
        stream((side // TILE) ** 2, CONNECTIONS, folder)
    else:
        _task(side, what, folder)
    print(json.dumps({"seconds": time.perf_counter() - start, "before": before, "memory": peak_memory()}))


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))

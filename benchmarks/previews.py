"""The preview of the largest pictures that there are: time, and memory of a whole process.

python -m benchmarks.previews FILE [KIND SIDE]     what one measured process does: make a preview, or the picture
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import ROOT
from benchmarks.report import Row, Table, progress
from benchmarks.task import peak_memory

SIDE = 10_000
"""Pixels: the most that the Async Process API delivers."""

KINDS = {
    "3 x uint8, tiles": {"count": 3, "dtype": "uint8", "tiled": True, "blockxsize": 512, "blockysize": 512},
    "3 x uint16, tiles": {"count": 3, "dtype": "uint16", "tiled": True, "blockxsize": 512, "blockysize": 512},
    "1 x float32, strips": {"count": 1, "dtype": "float32"},
}
MOST_SECONDS = 3.0
MOST_MEMORY = 300.0
"""MiB of a whole process."""


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    side, rows = SIDE // 4 if quick else SIDE, []
    for name in KINDS:
        with TemporaryDirectory(prefix="benchmark-") as folder:
            progress(name)
            file = Path(folder) / "picture.tif"
            command = [sys.executable, "-m", "benchmarks.previews", str(file)]
            subprocess.run([*command, name, str(side)], cwd=ROOT, check=True)  # elsewhere: a peak passes on
            answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            found = json.loads(answer.stdout.splitlines()[-1])
            met = found["seconds"] < MOST_SECONDS and found["memory"] < MOST_MEMORY
            size = file.stat().st_size / 1024**2
            rows.append(Row((name, size, found["seconds"], found["memory"], found["bytes"] / 1000), met))
    return [
        Table(
            f"Preview of a GeoTIFF of {side:,} x {side:,} px, deflate",
            ("kind", "MiB", "seconds", "MiB at most", "preview kB"),
            tuple(rows),
            f"Targets: {MOST_SECONDS:.0f} s, {MOST_MEMORY:.0f} MiB. Memory is that of the whole process.",
        )
    ]


def _write(file: Path, side: int, profile: dict[str, object]) -> None:
    """Write waves with some noise, a band of rows at a time."""
    import numpy as np
    import rasterio

    random, rows = np.random.default_rng(0), 512  # whole rows of tiles
    name = str(profile["dtype"])
    scale = np.float32({"uint8": 100, "uint16": 3000}.get(name, 1))
    transform = rasterio.Affine(1e-4, 0, 10, 0, -1e-4, 45)
    given = {"driver": "GTiff", "width": side, "height": side, "compress": "deflate", "crs": "EPSG:4326", **profile}
    x = np.sin(np.arange(side, dtype="float32") / 300)
    with rasterio.open(file, "w", **given, transform=transform) as raster:
        for top in range(0, side, rows):
            end = min(side, top + rows)
            y = np.cos(np.arange(top, end, dtype="float32") / 200)[:, None]
            for band in range(1, raster.count + 1):
                waves = y * x + 1 + random.random((end - top, side), dtype="float32") * 0.1
                raster.write((waves * scale).astype(name), band, window=((top, end), (0, side)))


def _main(file: Path) -> None:
    """Make one preview, and print what it took."""
    import numpy  # noqa: F401 - loaded by the task's own work
    import rasterio  # noqa: F401

    from sentinelhub_provider.operators.previews import preview_of

    start = time.perf_counter()
    preview = preview_of(file)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "memory": peak_memory(), "bytes": len(preview or b"")}))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        _write(Path(sys.argv[1]), int(sys.argv[3]), KINDS[sys.argv[2]])
    else:
        _main(Path(sys.argv[1]))

"""Requests that come at once are the first to need rasterio."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sentinelhub_provider.sandbox.apis.process.bounds import Area
from sentinelhub_provider.sandbox.apis.process.encode import encode
from sentinelhub_provider.sandbox.apis.process.formats import PNG, TIFF, Format
from sentinelhub_provider.sandbox.world.grid import Grid
import numpy

barrier = Barrier(8)
ring = [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]

def draw(number):
    barrier.wait()
    grid = Grid.from_bounds(4326, (0.0, 0.0, 1.0, 1.0), 4, 4)
    if number % 2:
        Area(4326, grid.bounds, {"type": "Polygon", "coordinates": ring}).mask(grid)
    return [bool(encode(numpy.ones((1, 4, 4), "uint8"), grid, Format(kind))) for kind in (TIFF, PNG) * 20]

with ThreadPoolExecutor(8) as pool:
    print(sum(map(sum, pool.map(draw, range(8)))))
"""


def test_threads_that_need_rasterio_at_once_find_it_whole():
    """Loaded piece by piece from several threads, it lacks names, and PROJ its database."""
    # One process alone finds it whole once in five times, by luck.
    command = [sys.executable, "-c", PROGRAM]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in started:
        output, errors = process.communicate()
        assert (process.returncode, output) == (0, "320\n"), errors

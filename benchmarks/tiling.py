"""How long it takes to split a country-sized geometry into 100,000 tiles, and how time grows with their number."""

from __future__ import annotations

import math
import time
from typing import Any

from benchmarks.report import Row, Table, progress
from sentinelhub_provider.api.tiling import split_geometry

MOST_SECONDS = 5.0
WANTED_TILES = 100_000
MOST_GROWTH = 1.5
"""How much more the largest run may take for each tile than the smallest: linear, with room for noise."""

VERTICES = 20_000
"""Of a country's border as national surveys publish it."""

METRES = 10


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    country = _country(VERTICES)
    rows, first = [], None
    for max_size in (512, 256, 128) if quick else (512, 256, 128, 96):
        progress(f"tiles of {max_size} px")
        start = time.perf_counter()
        tiles = len(split_geometry(country, crs=32633, resolution=METRES, max_size=max_size))
        seconds = time.perf_counter() - start
        each = seconds / tiles
        first = first or each
        met = each <= first * MOST_GROWTH
        if tiles >= WANTED_TILES:
            met = met and seconds * WANTED_TILES / tiles < MOST_SECONDS
        rows.append(Row((max_size, tiles, round(seconds, 2), round(each * 1e6, 1)), met))
    return [
        Table(
            f"A country of {VERTICES:,} vertices at {METRES} m, split into tiles",
            ("pixels of a side", "tiles", "s", "us per tile"),
            tuple(rows),
            f"Targets: {WANTED_TILES:,} tiles in under {MOST_SECONDS:.0f} s, and no more time per tile as they grow.",
        )
    ]


def _country(vertices: int) -> dict[str, Any]:
    """Make a ragged outline of some 600 km by 900 km in a UTM zone."""
    ring = []
    for index in range(vertices):
        angle = 2 * math.pi * index / vertices
        reach = 450_000 * (0.8 + 0.15 * math.sin(5 * angle) + 0.02 * math.sin(400 * angle))
        ring.append([500_000 + 0.65 * reach * math.cos(angle), 5_000_000 + reach * math.sin(angle)])
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}

"""Statistics of thousands of features in one task: how much of what the connections can give, and in how much memory.

python -m benchmarks.statistics FEATURES OUTPUT     what one measured process does
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.harness import Loopback, loopback, measure_process
from benchmarks.report import Row, Table, progress
from benchmarks.task import execute_for_features

LEAST_SHARE = 0.9
MOST_MEMORY = 200.0
"""MiB of a whole process, Airflow's own included."""

LATENCY = 0.1
CONNECTIONS = 20
FEATURES = (2_000, 20_000)

_ROUNDS = 3
_BODY = 1500
"""Bytes of a request, evalscript included."""

_WEEK = ("2025-06-01T00:00:00Z", "2025-06-08T00:00:00Z")
_STATS = {"min": 0.1, "max": 0.9, "mean": 0.5, "stDev": 0.2, "sampleCount": 400, "noDataCount": 20}


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    rounds = 1 if quick else _ROUNDS
    few, many = FEATURES
    with loopback() as server:
        bare: list[float] = []
        tasks: list[dict[str, float]] = []
        for number in range(rounds):
            progress(f"{few:,} features, round {number + 1}")
            bare.append(_bare(server, few))
            tasks.append(_measure(server, few))
        floor = median(bare) / few
        rows = [Row(("bare client", 1 / floor, LATENCY / CONNECTIONS / floor, 1.0, None, None, None))]
        rows.append(_row(few, tasks, floor, least_share=LEAST_SHARE))
        if not quick:
            progress(f"{many:,} features")
            rows.append(_row(many, [_measure(server, many)], floor, least_share=0.0))
    return [
        Table(
            f"Statistics, {CONNECTIONS} connections, {LATENCY * 1000:.0f} ms latency",
            ("", "features/s", "share of latency", "share of bare", "MiB before", "MiB at most", "target"),
            tuple(rows),
            "Bare is httpx.AsyncClient with a fixed token that posts as many bodies of the same size over as many "
            "connections, and drops the answers. A task's time is its whole execution: reading and checking the "
            "features, asking, and writing the table (CSV). Speed is judged where both run in turns.",
        )
    ]


def _row(features: int, found: list[dict[str, float]], floor: float, *, least_share: float) -> Row:
    each = median(one["seconds"] for one in found) / features
    memory = max(one["memory"] for one in found)
    figures = (1 / each, LATENCY / CONNECTIONS / each, floor / each, found[0]["before"], memory)
    target = f">= {least_share}, < {MOST_MEMORY:.0f}" if least_share else f"< {MOST_MEMORY:.0f}"
    return Row((f"{features:,} features", *figures, target), floor / each >= least_share and memory < MOST_MEMORY)


def _behave(server: Loopback) -> None:
    entry = {
        "interval": dict(zip(("from", "to"), _WEEK, strict=True)),
        "outputs": {"default": {"bands": {"B0": {"stats": _STATS}}}},
    }
    server.behave(latency=LATENCY, document=json.dumps({"data": [entry], "status": "OK"}))


def _bare(server: Loopback, calls: int) -> float:
    """Return the seconds that a client takes which does nothing else."""
    import httpx

    _behave(server)
    headers = {"Authorization": f"Bearer {server.fetch_token()}"}
    left = iter(range(calls))

    async def work(client: httpx.AsyncClient) -> None:
        for _ in left:
            answer = await client.post(f"{server.url}/statistics/v1", json={"body": "x" * _BODY}, headers=headers)
            answer.raise_for_status().json()

    async def work_all() -> None:
        async with httpx.AsyncClient() as client:
            await asyncio.gather(*(work(client) for _ in range(CONNECTIONS)))

    start = time.perf_counter()
    asyncio.run(work_all())
    return time.perf_counter() - start


def _measure(server: Loopback, features: int) -> dict[str, float]:
    """Run one task in a process of its own."""
    _behave(server)
    return measure_process(server, features, "benchmarks.statistics", features)


def _task(features: int, folder: Path) -> None:
    """Execute the operator as a task's process does, and print what it took."""
    from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

    execute_for_features(
        SentinelHubStatisticsOperator,
        features,
        folder,
        evalscript="ndvi-clear",
        time_range=_WEEK,
        aggregation_interval="P7D",
        resolution=10,
        output_path=str(folder / "table.csv"),
        concurrency=CONNECTIONS,
    )


if __name__ == "__main__":
    _task(int(sys.argv[1]), Path(sys.argv[2]))

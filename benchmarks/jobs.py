"""Thousands of deferred jobs in one triggerer: requests for each round, CPU, time from a job's end to its event."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TextIO

from benchmarks.harness import CONN_ID, ROOT, airflow_environment
from benchmarks.report import Row, Table, progress

MOST_REQUESTS = 12
MOST_CPU = 25.0
"""Per cent of a core."""

LATE = 5.0
"""Seconds beyond one poll interval that an event may take."""

QUIET = 1.0
"""Seconds without a request between two rounds."""


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    :param jobs: that are waited for.
    :param ends: of these, jobs that end meanwhile.
    :param poll: seconds between two looks.
    :param rounds: that are measured.
    """

    jobs: int
    ends: int
    poll: float
    rounds: int

    @property
    def seconds(self) -> float:
        """How long is measured; jobs end early enough for their events to be seen."""
        return self.poll * (self.rounds + 1) + LATE


FULL = Scale(jobs=1_000, ends=300, poll=30.0, rounds=3)
QUICK = Scale(jobs=200, ends=50, poll=6.0, rounds=2)


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    scale = QUICK if quick else FULL
    rows = []
    for way, words in (("each", "a loop in each trigger"), ("shared", "this package's trigger")):
        progress(words)
        rows.append(_row(words, scale, _measured(scale, way), has_target=way == "shared"))
    return [
        Table(
            f"{scale.jobs:,} deferred Batch Process jobs in one event loop, poll interval {scale.poll:.0f} s",
            ("", "requests a round", "CPU of a core: %", "end to event: s, median", "max"),
            tuple(rows),
            "A deferred task holds no worker slot. "
            f"Over {scale.rounds + 1} rounds, in which {scale.ends} jobs end at random moments. The service is a "
            "sandbox in a process of its own; a job's description has 5 kB. 'A loop in each trigger' asks for each job "
            f"by itself over one httpx client with a fixed token. Targets: at most {MOST_REQUESTS} requests, less than "
            f"{MOST_CPU:.0f} %, at most {scale.poll + LATE:.0f} s.",
        )
    ]


def _row(words: str, scale: Scale, found: dict[str, Any], *, has_target: bool) -> Row:
    late = [found["events"].get(job, float("inf")) - end for job, end in found["ended"].items()]
    requests = max(_rounds(found["samples"], scale.poll))
    cpu = 100 * found["cpu"] / found["wall"]
    met = requests <= MOST_REQUESTS and cpu < MOST_CPU and max(late) <= scale.poll + LATE
    return Row((words, requests, cpu, median(late), max(late)), met if has_target else None)


def _rounds(samples: list[tuple[float, int]], poll: float) -> list[int]:
    """Return how many requests each round had; where requests never pause, those of each poll interval."""
    rounds: list[int] = []
    began = last = samples[0][0]
    before = samples[0][1]
    for moment, asked in samples:
        new = asked - before
        if new and (not rounds or moment - last > QUIET or moment - began > poll):
            rounds.append(0)
            began = moment
        if new:
            rounds[-1] += new
            last = moment
        before = asked
    return rounds


def _measured(scale: Scale, way: str) -> dict[str, Any]:
    with _process("benchmarks.jobs_service", str(scale.jobs)) as service:
        told = _said(service)
        with (
            airflow_environment(told["connection"]) as environment,
            _process("benchmarks.jobs", way, str(scale.poll), environment=environment) as triggerer,
        ):
            _say(triggerer, told["ids"])
            _said(triggerer)
            _say(service, {"seconds": scale.seconds, "ends": scale.ends, "until": scale.poll * scale.rounds})
            found = _said(service)
            _say(triggerer, "stop")
            return {**found, **_said(triggerer)}


@contextmanager
def _process(
    module: str, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _say(process: subprocess.Popen[str], what: Any) -> None:
    assert process.stdin
    process.stdin.write(json.dumps(what) + "\n")
    process.stdin.flush()


def _said(process: subprocess.Popen[str]) -> Any:
    assert process.stdout
    return json.loads(process.stdout.readline())


# --- the triggerer's process ----------------------------------------------------------------------------------------


async def _wait_with_trigger(job: str, poll: float, events: dict[str, float]) -> None:
    from sentinelhub_provider.triggers.job import SentinelHubJobTrigger

    trigger = SentinelHubJobTrigger("batch-process", job, time.time() + 86_400, CONN_ID, poll)
    async for _ in trigger.run():
        events[job] = time.time()


async def _wait_alone(job: str, poll: float, events: dict[str, float], client: Any, url: str) -> None:
    await asyncio.sleep(random.uniform(0, poll))  # tasks are deferred at one time and another
    while True:
        answer = await client.get(f"{url}/batch/v2/process/{job}")
        if answer.json()["status"] in ("DONE", "FAILED", "STOPPED"):
            events[job] = time.time()
            return
        await asyncio.sleep(poll)


async def _triggerer(way: str, poll: float, answers: TextIO) -> None:
    """Wait for jobs as a triggerer does: each in a task of one event loop.

    :param answers: where to tell of it; what Airflow logs goes to stdout.
    """
    import httpx

    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

    ids = json.loads(await asyncio.to_thread(sys.stdin.readline))
    events: dict[str, float] = {}
    hook = SentinelHubHook(CONN_ID)
    token = await hook.aget_token()
    await hook.aclose()
    host = json.loads(os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"])["host"]
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        if way == "each":
            tasks = [asyncio.create_task(_wait_alone(job, poll, events, client, host)) for job in ids]
        else:
            tasks = [asyncio.create_task(_wait_with_trigger(job, poll, events)) for job in ids]
        await asyncio.sleep(poll / 2 + 5)  # all have begun
        cpu, wall = time.process_time(), time.perf_counter()
        print(json.dumps("ready"), file=answers, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(json.dumps({"cpu": cpu, "wall": wall, "events": events}), file=answers, flush=True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    answers = sys.stdout
    with Path(os.devnull).open("w") as sys.stdout:
        asyncio.run(_triggerer(sys.argv[1], float(sys.argv[2]), answers))

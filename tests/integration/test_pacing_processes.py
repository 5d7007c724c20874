"""One pace for several real processes, through a file and through a real Redis."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from redis_server import RedisServer

from sentinelhub_provider.transport.pace_stores import FilePaceStore
from sentinelhub_provider.transport.pacing import FIRST_INTERVAL, SAFETY, Limits, first_pace

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "support" / "pacing_process.py"
PROCESSES = 4
COUNT = 40
PATIENCE = 60.0
"""Seconds for everything that a process does; it takes about two."""


@pytest.fixture(name="where", params=["file", "redis"])
def fixture_where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A file, or the URL of a real Redis."""
    if request.param == "file":
        yield str(tmp_path / "client.pace")
        return
    with RedisServer() as server:
        yield server.url


def start(where: str, count: int, per_minute: float) -> subprocess.Popen[str]:
    """Start a process, and return when it is about to reserve."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), where, str(count), str(per_minute)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n", process.communicate(timeout=PATIENCE)[1]
    return process


def reserved(where: str, per_minute: float) -> list[list[float]]:
    """Return the slots of processes that reserve all at once, each process's in the order in which it got them."""
    with ExitStack() as stack:
        processes = [stack.enter_context(start(where, COUNT, per_minute)) for _ in range(PROCESSES)]
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [said for _, said in answers] == [""] * PROCESSES, "no process may have lost the store"
    return [json.loads(slots) for slots, _ in answers]


def test_no_slot_is_given_twice_and_none_is_left_out(where: str):
    """Four processes that grab at once get slots a configured interval apart, without a hole."""
    found = reserved(where, 600)
    together = sorted(start for slots in found for start in slots)
    assert len(together) == PROCESSES * COUNT
    assert [later - earlier for earlier, later in pairwise(together)] == pytest.approx(
        [0.1 * SAFETY] * (PROCESSES * COUNT - 1), abs=1e-4
    )
    assert all(slots == sorted(slots) for slots in found)


def test_processes_open_together_where_no_limit_is_known(where: str):
    """Four processes that start at once open as carefully as one: none thinks it is alone."""
    together = sorted(start for slots in reserved(where, 0) for start in slots)
    assert min(later - earlier for earlier, later in pairwise(together)) >= FIRST_INTERVAL - 1e-4


def test_process_that_is_killed_holds_up_nobody(tmp_path: Path):
    """Killed in mid-reservation, it leaves no lock that lasts, and no file that cannot be read."""
    path = tmp_path / "client.pace"
    store = FilePaceStore(path, first_pace(Limits()))
    for _ in range(3):
        with start(str(path), 1_000_000, 600) as process:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
            while (store.read()[0] or first_pace(Limits())).given < 50:
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE)
        store.update(lambda *_: first_pace(Limits()))
        assert store.read()[0] == first_pace(Limits())

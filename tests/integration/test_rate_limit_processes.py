"""One rate limit for several real processes, through a file and through a real Redis."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from redis_server import RedisServer

from sentinelhub_provider.transport import state_stores as rate_limit_stores
from sentinelhub_provider.transport.rate_limit import PROBE_RATE, PROBE_SLOTS, SAFETY, Limits, RateState
from sentinelhub_provider.transport.rate_limiter import RATE_STATE, RateLimiter
from sentinelhub_provider.transport.state_stores import FileStateStore

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "support" / "rate_limit_process.py"
PATIENCE = 60.0
"""Seconds for everything that the processes do; it takes about two."""


@pytest.fixture(name="where", params=["file", "redis"])
def fixture_where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A file, or the URL of a real Redis."""
    if request.param == "file":
        yield str(tmp_path / "client.rate-limit")
        return
    with RedisServer() as server:
        yield server.url


@contextmanager
def started(where: str, count: int, per_minute: float, processes: int) -> Iterator[tuple[subprocess.Popen, list[int]]]:
    """Let processes reserve all at once; yields their parent, which prints what they got, and their ids."""
    command = [sys.executable, str(PROGRAM), where, str(count), str(per_minute), str(processes)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout
        assert parent.stdin
        ids = parent.stdout.readline()
        assert ids, parent.communicate(timeout=PATIENCE)[1]
        parent.stdin.write("go\n")
        parent.stdin.flush()
        yield parent, json.loads(ids)


def reserved(where: str, per_minute: float, processes: int, count: int) -> list[list[float]]:
    """Return the slots of processes, each process's in the order in which it got them."""
    with started(where, count, per_minute, processes) as (parent, _):
        answers, said = parent.communicate(timeout=PATIENCE)
    assert said == "", "no process may have lost the store"
    return [json.loads(slots) for slots in answers.splitlines()]


@pytest.mark.parametrize(
    ("where", "processes", "count"),
    [("file", 4, 40), ("file", 100, 2), ("redis", 4, 40), ("redis", 30, 4)],
    indirect=["where"],
)
def test_no_slot_is_given_twice_and_none_is_left_out(where: str, processes: int, count: int):
    """Processes that grab at once get slots a configured interval apart, without a hole; none is left waiting."""
    found = reserved(where, 60, processes, count)
    together = sorted(start for slots in found for start in slots)
    assert [len(slots) for slots in found] == [count] * processes
    assert [later - earlier for earlier, later in pairwise(together)] == pytest.approx(
        [SAFETY] * (processes * count - 1), abs=1e-4
    )
    assert all(slots == sorted(slots) for slots in found)


def test_processes_open_together_where_no_limit_is_known(where: str):
    """Four processes that start at once open as carefully as one: none thinks it is alone."""
    together = sorted(start for slots in reserved(where, 0, 4, 10) for start in slots)
    fastest = 1.0 / PROBE_RATE / (1.0 + (40 / PROBE_SLOTS) ** 2)
    assert min(later - earlier for earlier, later in pairwise(together)) >= fastest - 1e-4


def test_process_that_is_killed_holds_up_nobody(tmp_path: Path):
    """Killed in mid-reservation, it leaves no lock that lasts, and no file that cannot be read."""
    path = tmp_path / "client.rate-limit"
    store = FileStateStore(path, RATE_STATE)
    for _ in range(3):
        with started(str(path), 1_000_000, 600, 1) as (parent, (child,)):
            while store.read()[0].given < 50:
                assert parent.poll() is None
            os.kill(child, signal.SIGKILL)
            parent.wait(PATIENCE)
        store.update(lambda *_: RateState())
        assert store.read()[0] == RateState()


def test_process_that_is_stopped_holds_up_nobody_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stopped in mid-reservation, perhaps; who cannot wait for it does without."""
    monkeypatch.setattr(rate_limit_stores, "LOCK_PATIENCE", 0.05)
    path = tmp_path / "client.rate-limit"
    store = FileStateStore(path, RATE_STATE)
    with started(str(path), 1_000_000, 600, 1) as (parent, (child,)):
        while store.read()[0].given < 50:
            assert parent.poll() is None
        os.kill(child, signal.SIGSTOP)
        limiter = RateLimiter(store, Limits(requests_per_minute=600))
        assert limiter.reserve(patience=0.0).made > 0.0
        os.kill(child, signal.SIGKILL)

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from sentinelhub_provider.sandbox.world.evalscripts import engine

PROGRAM = """
import threading
from concurrent.futures import ThreadPoolExecutor

barrier = threading.Barrier(4)

def evaluate(number):
    barrier.wait()  # four threads run at once, and all of them are older than V8
    from sentinelhub_provider.sandbox.world.evalscripts.engine import Evalscript

    with Evalscript("//VERSION=3\\nfunction setup() { return {}; }\\nfunction evaluatePixel() { return []; }"):
        return number

with ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(evaluate, range(4))))
"""


def test_threads_older_than_v8_run_evalscripts():
    """Threads that were started before V8 run evalscripts, also on processors with memory protection keys."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "6\n"), done.stderr


def test_contexts_are_made_one_after_the_other(monkeypatch: pytest.MonkeyPatch):
    """Two threads never make a context at once, which ends the process now and then when they are V8's first."""
    barrier = Barrier(2)
    met: list[int] = []

    class Context(engine.MiniRacer):
        def __init__(self, *arguments: Any) -> None:
            with suppress(BrokenBarrierError):  # nobody came while this one was being made
                met.append(barrier.wait(timeout=0.5))
            super().__init__(*arguments)

    monkeypatch.setattr(engine, "MiniRacer", Context)

    def evaluate(number: int) -> int:
        with engine.Evalscript("return [B04];"):
            return number

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(evaluate, range(2))) == [0, 1]
    assert not met

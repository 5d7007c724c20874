from __future__ import annotations

import subprocess
import sys

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

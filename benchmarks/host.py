"""One host of a fleet: import a client once, then fork the processes that use it, as Airflow forks its tasks.

Started by :mod:`benchmarks.fleet`. Reads a job as JSON from its standard input, says ``ready``, waits for a line, runs
the job and writes what came of it as JSON, one line for each process.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
import threading
import time
from collections import Counter
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.clients import client_of, each, load
from benchmarks.fleet import Job, Outcome

if TYPE_CHECKING:
    from typing import TextIO

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in ``ru_maxrss``'s unit (getrusage(2))."""


def main() -> None:
    """Serve one job."""
    answers = _private_stdout()
    job = Job(**json.loads(sys.stdin.readline()))
    load(job.client)
    print("ready", file=answers, flush=True)
    sys.stdin.readline()
    for outcome in run(job):
        print(json.dumps(vars(outcome)), file=answers, flush=True)


def _private_stdout() -> TextIO:
    """Keep standard output to ourselves: whatever libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def run(job: Job) -> list[Outcome]:
    """Fork the job's processes, let them start in the same moment, and collect what they made of it."""
    context = multiprocessing.get_context("fork")
    gate = context.Event()
    fleet = []
    for _ in range(job.processes):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_process, args=(job, gate, theirs))
        process.start()
        theirs.close()
        fleet.append((process, ours))
    ends = time.monotonic() + job.give_up
    gate.set()
    outcomes = []
    for process, pipe in fleet:
        try:
            finished = pipe.poll(max(0.0, ends - time.monotonic()))
            outcomes.append(Outcome(**pipe.recv()) if finished else Outcome(errors={"never ended": 1}))
        except EOFError:
            outcomes.append(Outcome(errors={"died": 1}))
        process.kill()
        process.join()
    return outcomes


def _process(job: Job, gate: Event, pipe: Connection) -> None:
    """What one process of the fleet does."""
    errors: Counter[str] = Counter()
    messages: dict[str, str] = {}
    lock = threading.Lock()
    ok = 0

    def done(error: BaseException | None) -> None:
        nonlocal ok
        with lock:
            if error is None:
                ok += 1
            else:
                errors[type(error).__name__] += 1
                messages.setdefault(type(error).__name__, str(error)[:300])

    client = client_of(job.client, token=job.token, threads=job.threads, deadline=job.deadline)
    client.calls(job.warm_up, 1, lambda _: None)
    gate.wait()
    before = _resident()
    started = time.monotonic()
    if job.downloads:
        with TemporaryDirectory(prefix="benchmark-") as folder:
            each(job.downloads, 1, lambda: client.download(Path(folder) / "body"), done)
    else:
        client.calls(job.calls, job.threads, done)
    ended = time.monotonic()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
    outcome = Outcome(
        ok=ok,
        errors=dict(errors),
        messages=messages,
        started=started,
        ended=ended,
        resident_before=before,
        resident_peak=peak,
    )
    pipe.send(vars(outcome))


def _resident() -> int:
    import psutil

    size: int = psutil.Process().memory_info().rss
    return size


if __name__ == "__main__":
    main()

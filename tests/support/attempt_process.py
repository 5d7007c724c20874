"""A process that forks one process for each attempt at a task, as Airflow's workers do; a test kills those.

It has Airflow loaded and no thread of its own, so that a fork takes no time and inherits no lock. An order is a line of
JSON: ``{"attempt": ...}`` begins one and is answered by its pid, ``{"wait": pid}`` is answered by its exit status.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = {
    "batch": "sentinelhub_provider.operators.batch:SentinelHubBatchProcessOperator",
    "statistics": "sentinelhub_provider.operators.batch_statistics:SentinelHubBatchStatisticsOperator",
    "async": "sentinelhub_provider.operators.async_process:SentinelHubAsyncProcessOperator",
}
WARM = (
    "s3fs",
    "airflow.providers.standard.triggers.temporal",
    "sentinelhub_provider.api.job_requests.async_process",
    "sentinelhub_provider.api.job_requests.batch_process",
    "sentinelhub_provider.api.job_requests.batch_statistics",
    "sentinelhub_provider.hooks.delivery",
    "sentinelhub_provider.hooks.sentinelhub",
    "sentinelhub_provider.hooks.sharing",
    "sentinelhub_provider.operators.jobs.attempt",
    "sentinelhub_provider.operators.jobs.buckets",
    "sentinelhub_provider.operators.jobs.driver",
    "sentinelhub_provider.transport.async_session",
    "sentinelhub_provider.transport.session",
    "sentinelhub_provider.triggers.job",
)
"""Modules that attempts load when they need them: here once, for all that are forked."""


@dataclass
class Attempt:
    """An attempt in a process of its own. ``result``: the file that it leaves, unless it is killed."""

    pid: int
    result: Path
    _process: subprocess.Popen[str]

    def kill(self, sign: int = signal.SIGKILL) -> None:
        """Send a signal to it."""
        os.kill(self.pid, sign)

    def wait(self) -> int:
        """Wait until it has ended; return its exit status, negative for the signal that killed it."""
        return int(_ask(self._process, {"wait": self.pid}))

    def outcome(self) -> dict[str, Any]:
        """Wait, and return what it left: ``result``, or ``error`` with ``is_final``."""
        status = self.wait()
        assert status == 0, f"the attempt died: {status}; see {self.result.with_suffix('.log').read_text()[-3000:]}"
        left: dict[str, Any] = json.loads(self.result.read_text())
        return left


@dataclass
class Attempts:
    """Begins attempts. ``folder``: for their results and logs."""

    folder: Path
    _process: subprocess.Popen[str]
    _number: int = 0

    def begin(
        self, kind: str, *, try_number: int, environment: dict[str, str], store: Path | None, **arguments: Any
    ) -> Attempt:
        """Begin an attempt.

        :param kind: of :data:`KINDS`.
        :param try_number: which one it is; all are of one chain.
        :param environment: its connections.
        :param store: the file of the task state store, ``None`` for none.
        :param arguments: of the operator.
        """
        self._number += 1
        result = self.folder / f"attempt-{self._number}.json"
        order = {
            "kind": kind,
            "try_number": try_number,
            "environment": environment,
            "store": None if store is None else str(store),
            "arguments": arguments,
            "result": str(result),
        }
        return Attempt(int(_ask(self._process, {"attempt": order})), result, self._process)


@contextmanager
def attempts(folder: Path) -> Iterator[Attempts]:
    """Run such a process until the block ends."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Attempts(folder, process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=120)
        process.stdout.close()  # type: ignore[union-attr]


def _ask(process: subprocess.Popen[str], order: dict[str, Any]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{json.dumps(order)}\n")
    process.stdin.flush()
    return process.stdout.readline()


def main() -> None:
    """Take orders until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Airflow prints is not for the test
    _warm_up()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            os._exit(_attempt(order["attempt"]))
        print(pid, file=answers, flush=True)


def _warm_up() -> None:
    """Load what attempts need, so that they share it."""
    for module in WARM:
        importlib.import_module(module)
    for kind in KINDS:
        _operator(kind)


def _operator(kind: str) -> type[Any]:
    module, _, name = KINDS[kind].partition(":")
    operator: type[Any] = getattr(importlib.import_module(module), name)
    return operator


def _attempt(order: dict[str, Any]) -> int:
    """Make an attempt, waits in the triggerer included, and leave its outcome. Runs in a process of its own."""
    from airflow.providers.common.compat.sdk import AirflowFailException
    from job_tasks import StateStore, Task

    result = Path(order["result"])
    with result.with_suffix(".log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.update(order["environment"])
    store = None if order["store"] is None else StateStore(Path(order["store"]))
    task = Task(_operator(order["kind"]), store=store, **order["arguments"])
    task.try_number = order["try_number"] - 1
    operator, context = task.begin()
    signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())  # as Airflow's task runner does
    try:
        left: dict[str, Any] = {"result": task.drive(lambda: operator.execute(context))}
    except Exception as error:  # whatever it is, the test says
        left = {"error": f"{type(error).__name__}: {error}", "is_final": isinstance(error, AirflowFailException)}
    result.write_text(json.dumps(left, default=str))
    return 0


if __name__ == "__main__":
    main()

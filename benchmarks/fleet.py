"""Processes of one or several hosts that use a client at the same moment, and what comes of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import IO, Any

from benchmarks.harness import ROOT, Loopback, airflow_environment


@dataclass(frozen=True)
class Job:
    """What every process of a host does.

    :param client: ``package``, ``official`` or ``bare``.
    :param processes: how many start at once.
    :param threads: threads of each.
    :param calls: calls of each.
    :param warm_up: calls of each before the clock starts, so that connection and token are there.
    :param downloads: bodies to be stored, one after the other, instead of calls.
    :param deadline: seconds for each call, where the client has such a thing.
    :param give_up: seconds after which a process that has not ended is killed.
    :param token: for ``bare``, which fetches none.
    """

    client: str
    processes: int = 1
    threads: int = 1
    calls: int = 1
    warm_up: int = 0
    downloads: int = 0
    deadline: float | None = None
    give_up: float = 120.0
    token: str = field(default="", repr=False)


@dataclass
class Outcome:
    """What came of one process.

    :param ok: calls that gave an answer.
    :param errors: how often which exception was raised, by class name; ``died`` and ``never ended`` stand for a
        process that did.
    :param messages: what the first of each said.
    :param started: when its first call began, by the machine's monotonic clock, in seconds.
    :param ended: when its last call was over.
    :param resident_before: bytes of memory before the first call, imports included.
    :param resident_peak: bytes of memory at most.
    """

    ok: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    started: float = 0.0
    ended: float = 0.0
    resident_before: int = 0
    resident_peak: int = 0

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.started


@dataclass(frozen=True)
class FleetOutcome:
    """All processes of all hosts."""

    processes: list[Outcome]

    @property
    def ok(self) -> int:
        """Calls that gave an answer."""
        return sum(outcome.ok for outcome in self.processes)

    @property
    def failed(self) -> int:
        """Calls that did not, and processes that died."""
        return sum(self.errors.values())

    @property
    def errors(self) -> Mapping[str, int]:
        """How often which exception was raised."""
        return sum((Counter(outcome.errors) for outcome in self.processes), Counter())

    @property
    def seconds(self) -> float | None:
        """From the first call's start to the last call's end, ``None`` where no process ended by itself."""
        ended = [outcome for outcome in self.processes if outcome.ended]
        return max(o.ended for o in ended) - min(o.started for o in ended) if ended else None

    @property
    def unfairness(self) -> float | None:
        """The slowest process's time over the fastest one's, ``None`` where there is nothing to compare."""
        times = [outcome.seconds for outcome in self.processes if outcome.ended]
        return max(times) / min(times) if len(times) > 1 else None

    @property
    def said(self) -> str:
        """What went wrong in short, for a table."""
        return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in self.errors.items()) or "fine"

    @property
    def message(self) -> str:
        """What the first error said."""
        return next((text for outcome in self.processes for text in outcome.messages.values()), "")


def run_fleet(server: Loopback, job: Job, *, hosts: int = 1, **connection: Any) -> FleetOutcome:
    """Run a job on so many hosts at once, each with an Airflow home of its own, and wait for all.

    :param connection: fields of the connection; see :meth:`benchmarks.harness.Loopback.connection`.
    """
    if job.client == "bare":
        job = replace(job, token=server.fetch_token())
    with ExitStack() as stack:
        started = []
        for _ in range(hosts):
            environment = stack.enter_context(airflow_environment(server.connection(**connection)))
            log = stack.enter_context(tempfile.TemporaryFile("w+"))
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.host"],
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            )
            stack.callback(process.kill)
            started.append(_Host(process, log))
        for host in started:
            host.tell(json.dumps(vars(job)))
        for host in started:
            host.wait_until_ready()
        for host in started:
            host.tell("go")
        return FleetOutcome([outcome for host in started for outcome in host.outcomes()])


@dataclass
class _Host:
    process: subprocess.Popen[str]
    log: IO[str]

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def wait_until_ready(self) -> None:
        assert self.process.stdout
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"A host of the fleet did not start:\n{self._said()}")

    def outcomes(self) -> Iterable[Outcome]:
        assert self.process.stdout
        lines = self.process.stdout.readlines()
        if self.process.wait() != 0:
            raise RuntimeError(f"A host of the fleet failed:\n{self._said()}")
        return [Outcome(**json.loads(line)) for line in lines]

    def _said(self) -> str:
        self.process.wait()
        self.log.seek(0)
        return self.log.read()

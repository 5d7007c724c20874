"""DAGs that are run once in a real Airflow, against a sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinelhub_provider.sandbox.pytest_plugin import SandboxHandle
from sentinelhub_provider.sandbox.server import SandboxServer

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class DagRuns:
    """What became of the DAGs: for each its run, as ``dag_runner.record`` tells of it; and what was logged."""

    runs: dict[str, Any]
    log: str


@dataclass(frozen=True)
class DagRunner:
    """An Airflow in a process of its own, which runs the DAGs of one test module after the other."""

    airflow_home: Path
    process: subprocess.Popen[str]

    def run(
        self,
        server: SandboxServer,
        dags: Path,
        home: Path,
        *,
        environment: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> DagRuns:
        """Run the DAGs of a folder.

        :param server: where the connection ``sentinelhub_default`` leads.
        :param home: working folder of the tasks, which also takes the log and the result.
        :param environment: more variables of the tasks.
        :param extra: further members of the connection's extra.
        """
        return self.run_with([connection_to(server, **extra)], dags, home, environment)[0]

    def run_with(
        self, connections: list[str], dags: Path, home: Path, environment: Mapping[str, str] | None = None
    ) -> list[DagRuns]:
        """Run the DAGs of a folder with one connection after the other.

        :param connections: what ``sentinelhub_default`` is, as JSON.
        """
        assert self.process.stdin
        assert self.process.stdout
        order = {"home": str(home), "dags": str(dags), "connections": connections, "environment": environment or {}}
        self.process.stdin.write(f"{json.dumps(order)}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        log = (home / "log").read_text()
        assert answer == "done\n", log[-5000:]
        done = json.loads((home / "result.json").read_text())
        assert done is not None, log[-5000:]
        return [DagRuns(runs, log) for runs in done]


def connection_to(server: SandboxServer, **extra: Any) -> str:
    """Return a connection to a sandbox as JSON."""
    client = SandboxHandle(server.url, server.client_id, server.client_secret, server.control)
    return client.connection_json(**extra)


@contextmanager
def started_dag_runner(home: Path, *, python: Path | None = None, **environment: str) -> Iterator[DagRunner]:
    """Run such an Airflow until the block ends. It loads when the first DAGs come.

    :param python: the interpreter of an environment that the package is installed in; this one's without it.
    :param environment: more variables, such as settings of Airflow.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    with subprocess.Popen(
        [python or sys.executable, Path(__file__).with_name("dag_runner.py")],
        env=environ | {"AIRFLOW_HOME": str(home), "PYTHONPATH": "" if python else str(ROOT)} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield DagRunner(home, process)

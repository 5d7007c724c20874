"""Starts ``dag_runner.py``: DAGs run once in an Airflow of their own, against a sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


def run_dags(server: SandboxServer, dags: Path, home: Path, **extra: Any) -> DagRuns:
    """
    Run the DAGs of a folder.

    :param server: where the connection ``sentinelhub_default`` leads.
    :param home: folder for Airflow's home and the result.
    :param extra: further members of the connection's extra.
    """
    return run_dags_with([connection_to(server, **extra)], dags, home)[0]


def connection_to(server: SandboxServer, **extra: Any) -> str:
    """Return a connection to a sandbox as JSON."""
    client = SandboxHandle(server.url, server.client_id, server.client_secret, server.control)
    return client.connection_json(**extra)


def run_dags_with(connections: list[str], dags: Path, home: Path) -> list[DagRuns]:
    """
    Run the DAGs of a folder with one connection after the other, all in one Airflow: it takes seconds to load.

    :param connections: what ``sentinelhub_default`` is, as JSON.
    :param home: folder for Airflow's home and the result.
    """
    result = home / "result.json"
    answer = subprocess.run(
        [sys.executable, Path(__file__).with_name("dag_runner.py"), dags, result, *connections],
        env={name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        # Airflow puts the folder of its DAGs there as well.
        | {"AIRFLOW_HOME": str(home / "airflow"), "PYTHONPATH": os.pathsep.join([str(ROOT), str(dags)])},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    log = answer.stdout + answer.stderr
    assert answer.returncode == 0, log[-5000:]
    return [DagRuns(runs, log) for runs in json.loads(result.read_text())]

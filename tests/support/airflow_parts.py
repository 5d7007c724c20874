"""An Airflow whose parts are processes of their own, to be killed and started again one by one."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from environment import airflow_environment, free_port

PARTS = ("api-server", "scheduler", "triggerer", "dag-processor")
USER = "admin"
START_SECONDS = 180.0
TRIGGER_LOG_PORT = "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"
HEARTBEAT_TIMEOUT = 30
"""Seconds after which a part or task without a heartbeat counts as dead; on a busy machine one can be late by many."""

BUSY_SECONDS = 60
"""Seconds to wait for a busy database."""


@dataclass
class AirflowParts:
    """A running Airflow with LocalExecutor.

    :param home: its home; ``<part>.log`` there is what a part says.
    :param environ: the environment of all parts.
    :param url: where its API server answers.
    :param python: the interpreter of the environment that it is installed in.
    """

    home: Path
    environ: Mapping[str, str] = field(repr=False)
    url: str
    python: Path = Path(sys.executable)
    client: httpx.Client = field(init=False, repr=False)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sessions: list[int] = field(default_factory=list)

    def start(self, part: str, *, name: str = "") -> None:
        """Start a part in a session of its own; ``name`` tells a second one of its kind from the first."""
        with (self.home / f"{name or part}.log").open("ab") as log:
            self.processes[name or part] = subprocess.Popen(
                [self.python, "-m", "airflow", part],
                env=dict(self.environ) | ({TRIGGER_LOG_PORT: str(free_port())} if name else {}),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.sessions.append(self.processes[name or part].pid)

    def kill(self, part: str) -> None:
        """SIGKILL a part; of the scheduler, only itself: its executor's tasks live on, as they would."""
        process = self.processes[part]
        victims = [psutil.Process(process.pid)]
        if part != "scheduler":
            victims += victims[0].children(recursive=True)
        _kill(victims)
        process.wait()

    def kill_tasks(self) -> int:
        """SIGKILL every running task with the worker process that watches over it; return how many processes died."""
        scheduler = psutil.Process(self.processes["scheduler"].pid)
        # The executor's workers are the scheduler's children; what they fork runs tasks.
        tasks = [child for worker in scheduler.children() for child in worker.children(recursive=True)]
        workers = {task.parent() for task in tasks} - {scheduler, None}
        victims = [*workers, *tasks]
        _kill(victims)
        return len(victims)

    def freeze(self, name: str) -> None:
        """Let a part with all its processes hang, as on a machine that hangs, but not while it locks the database."""
        while True:
            self._signal(name, signal.SIGSTOP)
            try:
                with closing(sqlite3.connect(self.home / "airflow.db", timeout=5, isolation_level=None)) as database:
                    database.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError:
                self.thaw(name)
                time.sleep(0.1)

    def thaw(self, name: str) -> None:
        """Let a part that hangs go on."""
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        process = psutil.Process(self.processes[name].pid)
        for each in [process, *process.children(recursive=True)]:
            each.send_signal(number)

    def stop(self) -> None:
        """End everything: the session of each part that was ever started, with what a killed one left behind in it."""
        for number, grace in ((signal.SIGCONT, 0.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            members = [process for process in psutil.process_iter() if _session(process) in self.sessions]
            for process in members:
                try:
                    process.send_signal(number)
                except psutil.NoSuchProcess:
                    continue
            psutil.wait_procs(members, timeout=grace)
        for process in self.processes.values():
            process.wait(timeout=120)

    def get(self, path: str, **params: Any) -> Any:
        """Ask the public API."""
        return self.client.get(f"/api/v2{path}", params=params).raise_for_status().json()

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run of a DAG and return the run's id."""
        self.client.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
        body = {"logical_date": None, "conf": dict(conf or {})}
        return str(
            self.client.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body).raise_for_status().json()["dag_run_id"]
        )

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return a run's task instances."""
        return list(self.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100)["task_instances"])

    def wait_for_run(self, dag_id: str, run_id: str, *, seconds: float = 180.0) -> str:
        """Return the state in which a run ends."""
        return self.wait_until(
            lambda: (
                state
                if (state := self.get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"]) in ("success", "failed")
                else None
            ),
            f"{dag_id} {run_id} to end",
            seconds=seconds,
        )

    def wait_until(self, condition: Callable[[], Any], what: str, *, seconds: float = 120.0) -> Any:
        """Return the first true value of a condition; what it raises while parts are down counts as false."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if value := condition():
                    return value
            except httpx.HTTPError:
                pass
            time.sleep(0.25)
        raise AssertionError(f"waited {seconds:.0f} s in vain for {what}; logs: {self.home}")

    def is_healthy(self) -> bool:
        """Tell whether every part has a heartbeat."""
        return all(part["status"] == "healthy" for part in self.client.get("/api/v2/monitor/health").json().values())


@contextmanager
def airflow_parts(
    home: Path, dags: Path, environment: Mapping[str, str], *, python: Path = Path(sys.executable)
) -> Iterator[AirflowParts]:
    """Run an Airflow until the block ends.

    :param home: where it lives.
    :param dags: its folder of DAGs.
    :param environment: more variables, such as connections.
    :param python: the interpreter to run it with; another one than this has the package installed.
    """
    port = free_port()
    passwords = home / "passwords.json"
    settings = {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "16",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        # A busy machine keeps others waiting for SQLite's one writer, and parts that get no turn end themselves.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout={BUSY_SECONDS}",
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "10",
        "AIRFLOW__API_AUTH__JWT_SECRET": "the parts of one test share it",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        TRIGGER_LOG_PORT: str(free_port()),
        # With the default of 5 s, Airflow 3.3 often fails a deferred task whose trigger fires within that time.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # What has died is missed within half a minute.
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": str(HEARTBEAT_TIMEOUT),
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "4",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(HEARTBEAT_TIMEOUT),
    }
    environ = airflow_environment(home, dags=dags) | settings | dict(environment)
    if str(python) != sys.executable:
        environ |= {"PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": ""}
    subprocess.run([python, "-m", "airflow", "db", "migrate"], env=environ, cwd=home, check=True, capture_output=True)
    airflow = AirflowParts(home, environ, f"http://127.0.0.1:{port}", python)
    try:
        for part in PARTS:
            airflow.start(part)
        with httpx.Client(base_url=airflow.url, trust_env=False, timeout=30) as client:
            airflow.client = client
            airflow.wait_until(airflow.is_healthy, "all parts of Airflow", seconds=START_SECONDS)
            password = json.loads(passwords.read_text())[USER]
            answer = client.post("/auth/token", json={"username": USER, "password": password}).raise_for_status()
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield airflow
    finally:
        airflow.stop()


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None

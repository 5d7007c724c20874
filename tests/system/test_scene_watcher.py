"""A watcher under a real scheduler and triggerer, which is ended in every way while scenes are published."""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from up_process import ROOT

from sentinelhub_provider.sandbox.pytest_plugin import SandboxHandle

pytestmark = pytest.mark.system

log = logging.getLogger(__name__)

TILE = "33TVL"
SCENES = 500
REPROCESSED = 5
PUBLISHED_OVER = 50.0
"""Seconds."""

START_SECONDS = 120.0
MIDST = 10
"""A triggerer is ended once it has stored so many events of a burst: that is in the midst of a batch."""


@dataclass
class Deployment:
    """Airflow's processes without its web server, each the leader of a session of its own."""

    home: Path
    environment: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def run(self, *command: str) -> None:
        """Run a command of Airflow to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *command], env=self.environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()[-2000:]

    def start(self, name: str) -> None:
        """Start a component."""
        with (self.home / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", name],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, name: str, how: Callable[[subprocess.Popen[bytes]], None] | None = None) -> None:
        """End a component, politely unless told ``how``, and whatever it leaves behind."""
        process = self.running.pop(name)
        (how or subprocess.Popen.terminate)(process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=15)

    def query(self, statement: str) -> list[Any]:
        """Ask Airflow's database."""
        with closing(sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=30)) as database:
            return [row[0] for row in database.execute(statement)]

    def announced(self) -> list[str]:
        """Return the ids of the scenes in stored asset events, in their order."""
        extras = self.query("select extra from asset_event order by id")
        return [json.loads(extra)["payload"]["id"] for extra in extras]

    def wait_for(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                tail = (self.home / "triggerer.log").read_text(errors="replace")[-3000:]
                raise AssertionError(f"{what} did not come within {seconds:.0f} s; the triggerer said:\n{tail}")
            time.sleep(0.1)


@pytest.fixture(name="sandbox")
def fixture_sandbox(sentinelhub_sandbox: SandboxHandle) -> Iterator[SandboxHandle]:
    """A sandbox whose own scenes have come to an end, so that only published ones are new."""
    sentinelhub_sandbox.control.freeze_scenes()
    yield sentinelhub_sandbox
    sentinelhub_sandbox.control.reset()


@pytest.fixture(name="airflow")
def fixture_airflow(sandbox: SandboxHandle, tmp_path: Path) -> Iterator[Deployment]:
    """Scheduler, DAG processor and triggerer."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment |= {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONN_SENTINELHUB_DEFAULT": sandbox.connection_json(auth_cache="memory"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "tests/system/watcher_dags"),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of-these-processes-alone-0123456789abcdef",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # A killed triggerer's triggers are handed to the next one when this has passed.
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    deployment = Deployment(tmp_path, environment | json.loads(os.environ.get("WATCHER_TEST_ENVIRONMENT", "{}")))
    try:
        deployment.run("db", "migrate")
        for name in ("dag-processor", "scheduler", "triggerer"):
            deployment.start(name)
        yield deployment
    finally:
        for name in list(deployment.running):
            deployment.end(name, lambda process: os.killpg(process.pid, signal.SIGKILL))


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill the triggerer with its runner, as a machine that goes down does."""
    os.killpg(process.pid, signal.SIGKILL)


def kill_supervisor(process: subprocess.Popen[bytes]) -> None:
    """Kill the process that stores events; the one that runs triggers finds itself alone."""
    process.kill()


def kill_runner(process: subprocess.Popen[bytes]) -> None:
    """Kill the process that runs triggers; the one that stores events finds itself alone."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)


ENDINGS = (subprocess.Popen.terminate, kill_all, kill_supervisor, kill_runner, kill_all)


def test_each_scene_is_one_event_whatever_happens_to_the_triggerer(sandbox: SandboxHandle, airflow: Deployment):
    """Of 500 scenes, late ones and new processings among them, none is lost or announced twice over five restarts."""
    watching = "select value from asset_state_store where key like 'sentinelhub.scenes.%'"
    airflow.wait_for("the first look", lambda: bool(airflow.query(watching)), START_SECONDS)
    begun = time.monotonic()
    now = datetime.now(UTC)
    count = SCENES // 5
    published = [
        scene
        for late in range(5)
        for scene in sandbox.control.publish_scenes(
            tile=TILE,
            count=count,
            sensed=now - timedelta(days=late),
            published=now,
            every=PUBLISHED_OVER / count,
            cloud_cover=10,
        )
    ]
    sandbox.control.publish_scenes(tile=TILE, count=20, sensed=now - timedelta(hours=9), cloud_cover=90)
    stored: list[int] = []

    for end in ENDINGS:
        before = len(airflow.announced())
        airflow.wait_for(
            "a burst of events", lambda before=before: len(airflow.announced()) >= before + MIDST, START_SECONDS
        )
        airflow.end("triggerer", end)
        stored.append(len(airflow.announced()))
        airflow.start("triggerer")
    time.sleep(max(0.0, begun + PUBLISHED_OVER - time.monotonic()))
    # Those of the oldest day are announced first, so they are when their new processings appear.
    for scene in published[-count:][:REPROCESSED]:
        sandbox.control.publish_scenes(replaces=scene.id, cloud_cover=0)
    airflow.wait_for("the last scene", lambda: len(set(airflow.announced())) >= SCENES, START_SECONDS)
    looks = len(sandbox.control.requests())
    airflow.wait_for("another look", lambda: len(sandbox.control.requests()) > looks + 6, START_SECONDS)

    times = Counter(airflow.announced())
    log.info("events stored at each end: %s; in %.0f s", stored, time.monotonic() - begun)
    assert set(times) == {scene.id for scene in published}
    assert {scene_id: number for scene_id, number in times.items() if number > 1} == {}
    assert airflow.query("select count(*) from dag_run")[0] > 0

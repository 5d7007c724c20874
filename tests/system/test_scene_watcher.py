"""A watcher under a real scheduler and triggerers, which are ended and frozen while scenes are published."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from airflow_parts import AirflowParts, airflow_parts
from postgres_server import missing_packages, postgres_server

from sentinelhub_provider.sandbox.pytest_plugin import SandboxHandle
from sentinelhub_provider.sandbox.server import SandboxServer

pytestmark = pytest.mark.system

log = logging.getLogger(__name__)

DAG_ID = "watched_scenes"
SEARCH = "/catalog/v1/search"
TILE = "33TVL"
SECONDS = 240.0
"""How long Airflow may take for what a triggerer's end may delay: another one waits 75 s for a batch of a dead one."""


class Stage:
    """A running Airflow with a watcher, and a sandbox whose own scenes have come to an end."""

    def __init__(self, airflow: AirflowParts, sandbox: SandboxServer) -> None:
        self.airflow = airflow
        self.sandbox = sandbox
        self.published: list[str] = []

    def publish(self, count: int, *, days: float = 0, over: float = 0.0) -> None:
        """Let scenes appear at once or over so many seconds."""
        now = datetime.now(UTC)
        scenes = self.sandbox.control.publish_scenes(
            tile=TILE, count=count, sensed=now - timedelta(days=days), published=now, every=over / count, cloud_cover=10
        )
        self.published += [scene.id for scene in scenes]

    def get(self, path: str, **params: Any) -> Any:
        """Ask Airflow's API, which answers 500 while SQLite is locked."""
        return self.airflow.wait_until(lambda: self.airflow.get(path, **params), path)

    def events(self) -> list[dict[str, Any]]:
        """Return the stored events in their order."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get("/assets/events", limit=100, offset=len(found), order_by="timestamp")["asset_events"]
            found += page
            if not page:
                return found

    def announced(self) -> Counter[str]:
        """Return how often each scene was announced."""
        return Counter(scene["id"] for event in self.events() for scene in event["extra"]["payload"]["scenes"])

    def runs(self) -> list[dict[str, Any]]:
        """Return the DAG's runs."""
        return list(self.get(f"/dags/{DAG_ID}/dagRuns", limit=100)["dag_runs"])

    def in_runs(self) -> Counter[int]:
        """Return in how many runs each event is."""
        paths = [f"/dags/{DAG_ID}/dagRuns/{run['dag_run_id']}/upstreamAssetEvents" for run in self.runs()]
        return Counter(event["id"] for path in paths for event in self.get(path)["asset_events"])

    def searches(self) -> int:
        """Return how often the Catalog was searched."""
        return int(self.sandbox.control.counters().requests.get(SEARCH, 0))

    def wait(self, what: str, condition: Callable[[], Any]) -> None:
        """Wait until something holds."""
        self.airflow.wait_until(condition, what, seconds=SECONDS)

    def wait_for_all(self) -> None:
        """Wait until each scene was announced and the watcher has polled again; check that none came twice."""
        self.wait("the last scene", lambda: set(self.announced()) >= set(self.published))
        searches = self.searches()
        self.wait("two more polls", lambda: self.searches() > searches + 1)
        assert self.announced() == Counter(self.published)


@pytest.fixture(name="stage", params=["sqlite", "postgresql"])
def fixture_stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Airflow's parts with a database, and the sandbox."""
    with ExitStack() as stack:
        environment = {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False"}
        if request.param == "postgresql":
            if missing := missing_packages():
                pytest.skip(f"PostgreSQL is not installed: {', '.join(missing)}")
            environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = stack.enter_context(postgres_server())
        sandbox = stack.enter_context(SandboxServer(control=True))
        sandbox.control.freeze_scenes()
        handle = SandboxHandle(sandbox.url, sandbox.client_id, sandbox.client_secret, sandbox.control)
        environment["AIRFLOW_CONN_SENTINELHUB_DEFAULT"] = handle.connection_json(auth_cache="memory")
        dags = Path(__file__).with_name("watcher_dags")
        airflow = stack.enter_context(airflow_parts(tmp_path, dags, environment))
        stage = Stage(airflow, sandbox)
        stage.wait("the first poll", stage.searches)
        searches = stage.searches()
        stage.wait("the second poll", lambda: stage.searches() > searches)
        yield stage


def test_scenes_that_appear_together_share_an_event_and_a_run(stage: Stage):
    """No scene waits for the next pass, on any database."""
    for number in (1, 2, 3):
        stage.publish(2, days=number / 10)
        stage.wait("the event", lambda number=number: len(stage.events()) >= number)
        stage.wait("its run", lambda number=number: len(stage.in_runs()) >= number)

    stage.wait_for_all()
    assert [len(event["extra"]["payload"]["scenes"]) for event in stage.events()] == [2, 2, 2]
    assert set(stage.in_runs().values()) == {1}
    assert stage.events()[0]["extra"]["payload"]["area"] == [14.05, 45.95, 14.05, 45.95]


def terminate(process: psutil.Process) -> None:
    """End a triggerer politely."""
    process.terminate()


def kill_all(process: psutil.Process) -> None:
    """Kill the triggerer with its runner, as a machine that goes down does."""
    os.killpg(process.pid, signal.SIGKILL)


def kill_supervisor(process: psutil.Process) -> None:
    """Kill the process that stores events; the one that runs triggers finds itself alone."""
    process.kill()


def kill_runner(process: psutil.Process) -> None:
    """Kill the process that runs triggers; the one that stores events finds itself alone."""
    for child in process.children():
        child.kill()


ENDINGS = [
    (terminate, "an event"),
    (kill_all, "a search"),
    (kill_supervisor, "an event"),
    (kill_runner, "an event"),
    (kill_all, "an event"),
]


@pytest.mark.parametrize("stage", ["sqlite"], indirect=True)
def test_each_scene_is_announced_once_whatever_happens_to_the_triggerer(stage: Stage):
    """Of 500 scenes, late ones and new processings among them, none is lost or announced twice over five restarts."""
    airflow = stage.airflow
    for day in range(5):
        stage.publish(100, days=day, over=50.0)
    stage.sandbox.control.publish_scenes(
        tile=TILE, count=20, sensed=datetime.now(UTC) - timedelta(hours=9), cloud_cover=90
    )
    for end, moment in ENDINGS:
        count = stage.searches if moment == "a search" else lambda: len(stage.events())
        before = count()
        stage.wait(moment, lambda count=count, before=before: count() > before)
        process = airflow.processes["triggerer"]
        end(psutil.Process(process.pid))
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=15)
        airflow.start("triggerer")
        stage.publish(2, days=0.3 + len(airflow.sessions) / 100)
    stage.wait("the oldest scenes", lambda: set(stage.announced()) >= set(stage.published[400:405]))
    for scene in stage.published[400:405]:
        stage.sandbox.control.publish_scenes(replaces=scene, cloud_cover=0)
    stage.wait_for_all()
    assert stage.runs()


@pytest.mark.parametrize("stage", ["sqlite"], indirect=True)
def test_a_triggerer_that_is_frozen_and_thawed_announces_nothing_twice(stage: Stage):
    """Meanwhile another one has taken its watcher over; afterwards both go on."""
    airflow = stage.airflow
    airflow.start("triggerer", name="second")
    for number, frozen in ((1, "triggerer"), (2, "second")):
        stage.publish(20, days=number, over=20.0)
        stage.wait("an event", lambda number=number: len(stage.events()) >= number)
        airflow.freeze(frozen)
        searches = stage.searches()
        stage.publish(20, days=number + 0.5, over=20.0)
        stage.wait("the other's polls", lambda searches=searches: stage.searches() > searches + 2)
        airflow.thaw(frozen)
    stage.publish(20, days=3)
    stage.wait_for_all()

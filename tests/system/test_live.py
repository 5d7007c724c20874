"""The examples and more under a real scheduler, executor and triggerer; and what they leave behind."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from environment import free_port
from up_process import ROOT, Up, make_up

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system

RUN_SECONDS = 300.0
FLEET = 200


@dataclass
class Live:
    """A running Airflow, its sandbox, and what was learnt of them."""

    up: Up
    home: Path
    airflow: httpx.Client
    sandbox: httpx.Client
    tokens: set[str] = field(default_factory=set)

    def run(self, dag_id: str) -> str:
        """Run a DAG to its end and return its state."""
        self.airflow.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
        answer = self.airflow.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None}).raise_for_status()
        run_id = answer.json()["dag_run_id"]
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            state = self.airflow.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}").raise_for_status().json()["state"]
            if state in ("success", "failed"):
                self.tokens.update(self.issued())
                return str(state)
            time.sleep(1)
        raise AssertionError(f"{dag_id} did not end within {RUN_SECONDS:.0f} s")

    def tasks(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a DAG's runs."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/~/taskInstances"
        instances: list[dict[str, Any]] = []
        while True:
            page = self.airflow.get(path, params={"limit": 100, "offset": len(instances)}).raise_for_status().json()
            instances += page["task_instances"]
            if len(instances) >= page["total_entries"] or not page["task_instances"]:
                return instances

    def control(self, method: str, path: str, **arguments: Any) -> Any:
        """Use the sandbox's control surface."""
        answer = self.sandbox.request(method, f"/sandbox/control{path}", **arguments).raise_for_status()
        return answer.json() if answer.content else None

    def issued(self) -> set[str]:
        """Return the values of all tokens that the sandbox has issued since its last reset."""
        return {token["value"] for token in self.control("GET", "/tokens")}


@pytest.fixture(scope="module", name="live")
def fixture_live(tmp_path_factory) -> Iterator[Live]:
    """Airflow with the examples, the tests' own DAGs, and a sandbox."""
    home = tmp_path_factory.mktemp("live")
    dags = home / "dags"
    shutil.copytree(ROOT / "example_dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/system/dags", dags, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    with make_up(home, free_port(), dags=dags) as up:
        url = re.search(r"sandbox at (\S+)", "\n".join(up.lines))[1]
        with (
            httpx.Client(base_url=up.url, trust_env=False, timeout=30) as airflow,
            httpx.Client(base_url=url, trust_env=False) as sandbox,
        ):
            login = airflow.post("/auth/token", json={"username": up.user, "password": up.password})
            airflow.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
            yield Live(up, home, airflow, sandbox)


def test_the_examples_succeed(live: Live):
    """Both examples run to success with LocalExecutor, mapped tasks included."""
    assert live.run("example_sentinelhub_http") == "success"
    assert live.run("example_sentinelhub_ndvi") == "success"
    mapped = [task for task in live.tasks("example_sentinelhub_ndvi") if task["task_id"] == "ndvi"]
    assert len(mapped) > 1


def test_a_fleet_of_mapped_tasks_makes_one_token_request(live: Live):
    """Two hundred tasks, each a process of its own, share one token through the file store."""
    live.control("POST", "/tokens/revoke", json={})
    before = live.control("GET", "/counters")["token_requests"]

    assert live.run("live_fleet") == "success"

    assert [task["state"] for task in live.tasks("live_fleet")] == ["success"] * FLEET
    assert live.control("GET", "/counters")["token_requests"] - before == 1


def test_errors_that_no_retry_cures_fail_at_once(live: Live):
    """Final errors end a task at its first try although it has retries."""
    assert live.run("live_failures") == "failed"
    assert {task["task_id"]: (task["state"], task["try_number"]) for task in live.tasks("live_failures")} == {
        "unknown_collection": ("failed", 1),
        "foreign_host": ("failed", 1),
        "broken_evalscript": ("failed", 1),
    }


def test_a_long_wait_is_spent_in_the_triggerer(live: Live):
    """A deferrable task that is told to wait for over a minute gives its slot back, then succeeds."""
    fault = {
        "path": "/catalog/v1/collections",
        "action": {"kind": "rate_limit", "retry_after": "61000"},
        "times": 1,
    }
    live.control("POST", "/faults", json=fault)

    assert live.run("live_waiting") == "success"

    log = "".join(path.read_text(errors="replace") for path in (live.home / "logs").rglob("*live_waiting*/**/*.log"))
    assert "waiting in the triggerer until" in log


def test_no_secret_is_left_behind(live: Live):
    """The client secret and every token are in no table, log or XCom, although the tasks' other traces are."""
    secret = sandbox_secret()
    live.tokens.update(live.issued())
    assert live.tokens
    live.up.interrupt()

    database = "\n".join(sqlite3.connect(live.home / "airflow.db").iterdump())
    logs = {path: path.read_text(errors="replace") for path in live.home.rglob("*.log")}

    assert "processing_units" in database  # XCom was looked at
    assert any("/process/v1" in text for text in logs.values())  # and so were the logs
    assert any("triggerer" in str(path) or "Trigger" in text for path, text in logs.items())
    for hidden in {secret, *live.tokens}:
        assert hidden not in database
        assert [str(path) for path, text in logs.items() if hidden in text] == []


def sandbox_secret() -> str:
    """Return the secret of the sandbox's demo client, as it is when nobody chooses another."""
    from sentinelhub_provider.sandbox.settings import SandboxSettings

    return SandboxSettings().client_secret

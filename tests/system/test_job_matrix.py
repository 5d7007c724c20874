"""Whatever is killed, whenever: one job is started, and the task succeeds.

Each step of a job's life is held at a gate before the sandbox, or just behind it; then a victim is killed for real
(SIGKILL), the gate is opened, the victim started again. A request that was held reaches the sandbox although its sender
is dead: that is the worst that a network does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from airflow_parts import AirflowParts, airflow_parts
from gate import Gate, Hold, gate
from postgres_server import missing_packages, postgres_server
from sqlalchemy import Engine, MetaData, create_engine, text

from sentinelhub_provider.sandbox.server import SandboxServer

pytestmark = [
    pytest.mark.system,
    # All tasks of a round give signs of life at once, which is too much for SQLite's one writer.
    pytest.mark.skipif(bool(missing_packages()), reason=f"not there: {missing_packages()}"),
]

JOBS = "/batch/v2/process"
STEPS = {
    "search": Hold("GET", f"{JOBS}$", "before"),
    "create_sent": Hold("POST", f"{JOBS}$", "before"),
    "create_answered": Hold("POST", f"{JOBS}$", "after"),
    "search_again": Hold("GET", f"{JOBS}$", "before", number=2),
    "start_sent": Hold("POST", "/start$", "before"),
    "start_answered": Hold("POST", "/start$", "after"),
    "look": Hold("GET", JOBS, "before", since="/start$"),
    "poll": Hold("GET", JOBS, "before", since="/start$", number=2),
    "poll_answered": Hold("GET", JOBS, "after", since="/start$", number=2),
    "done": Hold("GET", JOBS, "before", since="/start$", number=3),
}
ACCESS_KEY = "AKIADELIVERYKEYOFTESTS"
SECRET_KEY = "the+delivery/secret+of+the+tests"
VICTIMS = ("worker", "triggerer", "scheduler", "connection")
MODES = ("deferrable", "blocking")


@dataclass
class Stage:
    """A running Airflow with its database, the sandbox, and the gate between them."""

    airflow: AirflowParts
    database: Engine
    sandbox: SandboxServer
    gate: Gate

    def end_of(self, dag_id: str, run_id: str) -> str:
        """Let jobs go on until a run ends, and return its state."""

        def ended() -> str | None:
            self.sandbox.control.jobs.step()
            state: str = self.airflow.get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
            return state if state in ("success", "failed") else None

        found: str = self.airflow.wait_until(ended, f"{dag_id} to end", seconds=240)
        return found


def lanes_of(victim: str) -> dict[str, Hold]:
    """Return where each task of a round is held: one for each mode and step."""
    return {f"{victim}_{mode}_{step}": replace(hold) for mode in MODES for step, hold in STEPS.items()}


def connection_to(sandbox: SandboxServer, url: str) -> dict[str, Any]:
    """Return a connection to the sandbox, by way of a URL."""
    return {
        "conn_type": "sentinelhub",
        "login": sandbox.client_id,
        "password": sandbox.client_secret,
        "host": url,
        "extra": {"deployment": "custom", "auth_url": sandbox.token_url()},
    }


@pytest.fixture(scope="module", name="stage")
def fixture_stage(tmp_path_factory) -> Iterator[Stage]:
    """Airflow's parts, with a connection for each case that leads through a lane of the gate."""
    with SandboxServer() as sandbox, gate(sandbox.url) as door, postgres_server() as database:
        # No job ends by itself: on a busy machine it would be done before its task has looked as often as it is held.
        sandbox.control.jobs.set_durations(analysing=0.5, processing=None)
        connections = {
            f"AIRFLOW_CONN_{lane}".upper(): json.dumps(connection_to(sandbox, f"{door.url}/{lane}"))
            for victim in VICTIMS
            for lane in lanes_of(victim)
        }
        settings = {
            "JOB_MATRIX": json.dumps({victim: list(lanes_of(victim)) for victim in VICTIMS}),
            "AIRFLOW_CONN_SENTINELHUB_DEFAULT": json.dumps(connection_to(sandbox, sandbox.url)),
            "AIRFLOW_CONN_BUCKET": json.dumps(
                {"conn_type": "aws", "login": ACCESS_KEY, "password": SECRET_KEY, "extra": {"region_name": "eu-west-1"}}
            ),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            # All tasks of a round are held at the same time.
            "AIRFLOW__CORE__PARALLELISM": str(len(MODES) * len(STEPS)),
        }
        home = tmp_path_factory.mktemp("matrix")
        with airflow_parts(home, Path(__file__).with_name("matrix_dags"), connections | settings) as airflow:
            airflow.wait_until(
                lambda: airflow.get("/dags")["total_entries"] == len(VICTIMS) + 1, "the DAGs to be read", seconds=60
            )
            yield Stage(airflow, create_engine(database), sandbox, door)


@pytest.mark.parametrize("victim", VICTIMS)
def test_one_job_is_started_whatever_dies(victim: str, stage: Stage):
    """At every step, in both modes: the task succeeds, and of all jobs that bear its name one was started, once."""
    airflow, lanes, dag_id = stage.airflow, lanes_of(victim), f"jobs_{victim}"
    for lane, hold in lanes.items():
        stage.gate.hold(lane, hold)
    run_id = airflow.trigger(dag_id)
    stage.gate.wait_until_held(list(lanes))

    if victim == "worker":
        assert airflow.kill_tasks() > 0
    elif victim != "connection":
        airflow.kill(victim)
    for lane in lanes:
        (stage.gate.cut if victim == "connection" else stage.gate.open)(lane)
    if victim in airflow.processes:
        airflow.start(victim)

    state = stage.end_of(dag_id, run_id)
    tasks = {task["task_id"]: (task["state"], task["try_number"]) for task in airflow.tasks(dag_id, run_id)}
    assert state == "success", tasks
    starts = Counter(
        job.description.split()[0] for job in stage.sandbox.control.jobs.all() if job.starts for _ in range(job.starts)
    )
    assert {lane: starts[f"{dag_id}.{lane}"] for lane in lanes} == dict.fromkeys(lanes, 1)
    if victim == "worker":
        assert max(tries for _, tries in tasks.values()) > 1


def test_no_credential_is_left_behind(stage: Stage):
    """Not in what waits in the triggerer, not in the database with its task states, XComs and events, not in a log."""
    airflow = stage.airflow
    waiting: dict[str, str] = {}

    def are_waiting() -> bool:
        for row in rows_of(stage.database, "trigger"):
            waiting[row["classpath"]] = row["kwargs"]
        return any("job_id" in kwargs for kwargs in waiting.values())

    run_id = airflow.trigger("job_secrets")
    airflow.wait_until(are_waiting, "a job to be waited for")
    assert stage.end_of("job_secrets", run_id) == "success"

    schema = MetaData()
    schema.reflect(stage.database)
    left = {name: str(rows_of(stage.database, name)) for name in schema.tables} | {"triggers": str(waiting)}
    assert "'sentinelhub_job:" in left["task_state_store"]
    left |= {str(log): log.read_text(errors="replace") for log in airflow.home.glob("**/*.log")}
    secrets = {ACCESS_KEY, SECRET_KEY, stage.sandbox.client_secret}
    secrets |= {token.value for token in stage.sandbox.control.issued_tokens()}
    assert [(place, secret[:8]) for place, text in left.items() for secret in secrets if secret in text] == []


def rows_of(database: Engine, table: str) -> list[dict[str, Any]]:
    """Return a table of Airflow's database, with bytes and JSON as text."""
    with database.connect() as connection:
        return [dict(row) for row in connection.execute(text(f'SELECT * FROM "{table}"')).mappings()]

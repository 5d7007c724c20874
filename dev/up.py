"""``make up``: a Sentinel Hub and an Airflow with the connection and the example DAGs in place.

Prints address and login once Airflow really answers. Then it runs each example DAG once, where the Sentinel Hub is the
sandbox, so that there are runs to look at, and lives until ctrl-C, which ends every process of it. What Airflow says
goes to ``.up/airflow.log``, what the sandbox says to ``.up/sandbox.log``.

The Sentinel Hub is the sandbox, or the real service when ``SENTINELHUB_CLIENT_ID``, ``SENTINELHUB_CLIENT_SECRET`` and
``SENTINELHUB_DEPLOYMENT`` are set.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import descendants
import httpx
from environment import CONN_ID, ROOT, SetupError, airflow_environment, free_port, sentinel_hub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from environment import SentinelHub

EXAMPLES = ROOT / "example_dags"
USER = "admin"
TITLE = "Satellite imagery"
ANOTHER = "start another one: .venv/bin/python dev/up.py --port 8081 --home .up/second"
START_SECONDS = 300.0
"""How long Airflow may take to answer: a minute is usual, a first start on a busy machine takes longer."""
RUNS_SECONDS = 900.0
"""How long the examples may run: a minute or two are usual."""
DAGS_SECONDS = 60.0
"""How long Airflow may take to parse the example DAGs after that: a few seconds are usual."""


def main() -> int:
    """Run until interrupted; return the exit status."""
    arguments = _parse_arguments()
    home: Path = arguments.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    # SIGINT as well: a shell that starts this in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    descendants.adopt_orphans()
    try:
        with _only_one_in(home), sentinel_hub(control=True, log=home / "sandbox.log") as service:
            print(f"Sentinel Hub: {service.title}", flush=True)
            _run_airflow(home, service, arguments)
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)
        return 0
    except SetupError as error:
        print(f"make up: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _only_one_in(home: Path) -> Iterator[None]:
    """Keep a second Airflow out of a home: two schedulers on one SQLite database break both.

    :raises SetupError: an Airflow runs there already.
    """
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SetupError(f"an Airflow runs in {home} already. Use that one, or {ANOTHER}") from None
        yield


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev/up.py", description="Run Airflow with this provider and a Sentinel Hub.")
    parser.add_argument("--port", type=int, default=8080, help="port of Airflow's web page (default 8080)")
    parser.add_argument("--home", type=Path, default=ROOT / ".up", help="Airflow's home (default .up)")
    parser.add_argument("--dags", type=Path, default=EXAMPLES, help="folder of DAGs (example_dags)")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="interpreter with another Airflow")
    parser.add_argument("--no-runs", action="store_true", help="run no example")
    return parser.parse_args()


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _run_airflow(home: Path, service: SentinelHub, arguments: argparse.Namespace) -> None:
    """Start Airflow, put the connection in place, run the examples, say so, and wait for the end.

    :raises SetupError: the port is taken, or Airflow ended by itself.
    """
    port, dags, python = arguments.port, arguments.dags.resolve(), arguments.python.absolute()
    _require_free(port)
    log = home / "airflow.log"
    print(f"Airflow is starting, which takes up to a minute (log: {log}) ...", flush=True)
    with log.open("w") as output:
        airflow = subprocess.Popen(
            [python, "-m", "airflow", "standalone"],
            env=airflow_environment(home, dags=dags, python=python) | _standalone_settings(port, home),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # ctrl-C is for this process, which then ends them all in order
        )
    try:
        url = f"http://localhost:{port}"
        with httpx.Client(base_url=url, timeout=10, trust_env=False) as client:
            _wait_until_it_answers(airflow, client, log)
            password = json.loads(_password_file(home).read_text())[USER]
            _log_in(client, password)
            _put_connection(client, service)
            examples = _wait_for_dags(client, dags)
            print(
                f"\nAirflow:    {url}\n"
                f"Login:      {USER} / {password}\n"
                f"Connection: {CONN_ID} -> {service.title}\n"
                f"DAGs:       {', '.join(examples)}\n"
                f"Files:      {home / 'files'}",
                flush=True,
            )
            # An account of a real service is not spent unasked.
            if dags == EXAMPLES and service.sandbox_url is not None and not arguments.no_runs:
                _run_examples(client, examples)
                print(f"Pictures:   {url}/plugin/satellite-imagery (Browse, {TITLE}), and the tab Imagery of each task")
            print("Ready. Ctrl-C ends all of it.", flush=True)
        airflow.wait()
        raise SetupError(f"Airflow ended by itself. The end of {log}:\n{_tail(log)}")
    finally:
        # A second ctrl-C must not leave half of them running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        print("\nStopping Airflow ...", end="", flush=True)
        descendants.end_all(sessions=(airflow.pid,))


def _standalone_settings(port: int, home: Path) -> dict[str, str]:
    """Return Airflow's settings for a small machine, all of it on loopback and in its home."""
    files = home / "files"
    files.mkdir(exist_ok=True)
    return {
        "TMPDIR": str(files),  # where the example DAGs put their files unless a run says otherwise
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://localhost:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_password_file(home)),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        # By default, a scheduler dies that waits for SQLite for more than 5 s.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=60",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__SENTINELHUB__TASK_TAB": "True",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        # With the default of 5 s, Airflow 3.3 often fails a deferred task whose trigger fires within that time.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }


def _require_free(port: int) -> None:
    """Refuse a port that answers: what answers there is not the Airflow that is about to start."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise SetupError(f"port {port} is taken. Stop what listens there, or {ANOTHER}")


def _wait_until_it_answers(airflow: subprocess.Popen[bytes], client: httpx.Client, log: Path) -> None:
    """Return once every component reports itself healthy.

    :raises SetupError: Airflow ended, or did not get there in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if airflow.poll() is not None:
            raise SetupError(f"Airflow did not start. The end of {log}:\n{_tail(log)}")
        if _is_healthy(client):
            return
        time.sleep(0.5)
    raise SetupError(f"Airflow did not answer within {START_SECONDS:.0f} s. The end of {log}:\n{_tail(log)}")


def _log_in(client: httpx.Client, password: str) -> None:
    """Authorize the client's further calls."""
    answer = client.post("/auth/token", json={"username": USER, "password": password})
    answer.raise_for_status()
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _is_healthy(client: httpx.Client) -> bool:
    """Tell whether the API answers and every component that it reports on has a heartbeat."""
    try:
        answer = client.get("/api/v2/monitor/health")
    except httpx.TransportError:
        return False
    if answer.status_code != 200:
        return False
    components: dict[str, Any] = answer.json()
    return all(component["status"] == "healthy" for component in components.values())


def _put_connection(client: httpx.Client, service: SentinelHub) -> None:
    """Store the connection in Airflow's database, encrypted, where the connections page shows it and can test it."""
    body = {
        "connection_id": CONN_ID,
        **service.connection,
        "extra": json.dumps(service.connection["extra"]),
        # The Test button of Airflow 3.3.2 sends port 0 for an empty port, and is refused unless 0 is what is stored.
        "port": 0,
    }
    client.delete(f"/api/v2/connections/{CONN_ID}")  # of an earlier run, with an earlier sandbox's address
    client.post("/api/v2/connections", json=body).raise_for_status()


def _wait_for_dags(client: httpx.Client, folder: Path) -> list[str]:
    """Return the ids of the DAGs once Airflow has parsed every file that holds one.

    A file that cannot be imported counts as parsed: the page shows what is wrong with it.
    """
    files = {path.name for path in folder.glob("example_*.py")}
    deadline = time.monotonic() + DAGS_SECONDS
    while True:
        dags = client.get("/api/v2/dags").raise_for_status().json()["dags"]
        errors = client.get("/api/v2/importErrors").raise_for_status().json()["import_errors"]
        parsed = {Path(item[key]).name for items, key in ((dags, "fileloc"), (errors, "filename")) for item in items}
        if files <= parsed or time.monotonic() > deadline:
            return sorted(dag["dag_id"] for dag in dags)
        time.sleep(0.5)


def _run_examples(client: httpx.Client, dag_ids: list[str]) -> None:
    """Let each DAG run once, unless it has run before, and say how each run ended.

    One after the other: with more of them, a small machine's SQLite is locked for too long.
    """
    client.timeout = httpx.Timeout(120.0)
    deadline = time.monotonic() + RUNS_SECONDS
    for dag_id in dag_ids:
        runs = f"/api/v2/dags/{dag_id}/dagRuns"
        if client.get(runs).raise_for_status().json()["total_entries"]:
            continue
        print(f"Running     {dag_id} ...", end=" ", flush=True)
        dag = client.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}).raise_for_status().json()
        if not dag.get("next_dagrun_run_after"):  # a DAG with a timetable has a run of its last interval by itself
            client.post(runs, json={"logical_date": None}).raise_for_status()
        states: list[str] = []
        while not {"success", "failed"} & set(states) and time.monotonic() < deadline:
            time.sleep(1)
            states = [run["state"] for run in client.get(runs).raise_for_status().json()["dag_runs"]]
        print(states[0] if states else "no run", flush=True)


def _password_file(home: Path) -> Path:
    """Return where Airflow's simple auth manager keeps the passwords that it makes up."""
    return home / "simple_auth_manager_passwords.json"


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


if __name__ == "__main__":
    sys.exit(main())

"""What the measurements share: the server's process, the connection to it, and taking turns."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.server import CLIENT_ID, CLIENT_SECRET, Seen

ROOT = Path(__file__).resolve().parents[1]

CONN_ID = "sentinelhub_default"


@dataclass(frozen=True)
class Loopback:
    """The running server.

    :param url: its base URL.
    """

    url: str

    def behave(self, **settings: Any) -> None:
        """Start from scratch with these settings of :class:`benchmarks.server.Behaviour`."""
        self._control("PUT", settings)

    def seen(self) -> Seen:
        """Return what has arrived since."""
        return Seen(**self._control("GET"))

    def fetch_token(self) -> str:
        """Get a token by hand, for clients that are given a fixed one."""
        form = f"grant_type=client_credentials&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}"
        with urllib.request.urlopen(f"{self.url}/token", form.encode(), timeout=10) as answer:
            token: str = json.load(answer)["access_token"]
            return token

    def connection(self, **changes: Any) -> str:
        """Return an Airflow connection to this server, as ``AIRFLOW_CONN_...`` takes it.

        :param changes: fields of the extra, such as ``auth_cache``; ``password`` for another secret.
        """
        password = changes.pop("password", CLIENT_SECRET)
        extra = {"deployment": "custom", "auth_url": f"{self.url}/token", "auth_cache": "memory", **changes}
        fields = {"conn_type": "sentinelhub", "login": CLIENT_ID, "password": password, "host": self.url}
        return json.dumps({**fields, "extra": extra})

    def _control(self, method: str, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = None if settings is None else json.dumps(settings).encode()
        request = urllib.request.Request(f"{self.url}/control", body, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            seen: dict[str, Any] = json.load(answer)
            return seen


@contextmanager
def loopback() -> Iterator[Loopback]:
    """Run the server in a process of its own for as long as the context lasts."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Loopback(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.terminate()


@contextmanager
def airflow_environment(connection: str) -> Iterator[dict[str, str]]:
    """Yield a process environment with its own Airflow home and one connection, :data:`CONN_ID`.

    Two such environments are two hosts, as far as a shared file can tell.
    """
    with TemporaryDirectory(prefix="benchmark-") as home:
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("AIRFLOW")}
        yield {
            **kept,
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            f"AIRFLOW_CONN_{CONN_ID.upper()}": connection,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            # The official client's OAuth library refuses plain http otherwise; ours does not ask.
            "OAUTHLIB_INSECURE_TRANSPORT": "1",
        }


@contextmanager
def in_environment(environment: Mapping[str, str]) -> Iterator[None]:
    """Let this process have another environment; before Airflow is imported, which reads it then."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def taking_turns(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Time each side once per round and return each side's median, in seconds.

    The order is another one in each round (and the same ones in each run): what drifts, and what one side leaves
    behind for the next, falls on all alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    dice = random.Random(0)
    for _ in range(rounds):
        dice.shuffle(order)
        for name in order:
            start = time.perf_counter()
            sides[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def measure_process(server: Loopback, served: int, module: str, *arguments: object) -> dict[str, float]:
    """Run a benchmark's module in a process of its own, with a folder as its last argument; return what it prints."""
    with TemporaryDirectory(prefix="benchmark-") as folder, airflow_environment(server.connection()) as environment:
        command = [sys.executable, "-m", module, *map(str, arguments), folder]
        environment["BENCHMARK_TOKEN"] = server.fetch_token()
        answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command[2:])} failed:\n{answer.stderr[-3000:]}")
    if (found := server.seen().served) != served:
        raise RuntimeError(f"{found} answers instead of {served}")
    measured: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return measured

"""The surroundings that the demo, ``make up`` and the end-to-end tests share: a Sentinel Hub and an Airflow's settings.

The Sentinel Hub is the embedded sandbox, started for the occasion, unless the environment names an account of a real
one::

    SENTINELHUB_CLIENT_ID, SENTINELHUB_CLIENT_SECRET    an OAuth client, from the deployment's dashboard
    SENTINELHUB_DEPLOYMENT                              where it was registered (default sentinel-hub)
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""

CONN_ID = "sentinelhub_default"
"""Id of the connection that the example DAGs use."""

SANDBOX_START_SECONDS = 30.0
"""How long to wait for the sandbox's ready line: it takes under two seconds on an idle machine."""

_READY_LINE = re.compile(
    r"^sentinelhub sandbox ready url=(?P<url>\S+) client_id=(?P<client_id>\S+) client_secret=(?P<client_secret>\S+)"
)
_SANDBOX_TOKEN_PATH = "/auth/realms/main/protocol/openid-connect/token"  # noqa: S105 - a path, not a credential


class SetupError(Exception):
    """Something outside this checkout stands in the way; the message says what and what to do."""


@dataclass(frozen=True)
class SentinelHub:
    """A Sentinel Hub to talk to.

    :param title: how to call it in front of a person.
    :param connection: the fields of an Airflow connection to it, as Airflow's API and ``AIRFLOW_CONN_...`` take them.
    :param sandbox_url: address of the sandbox, ``None`` for a real service.
    """

    title: str
    connection: Mapping[str, Any] = field(repr=False)
    sandbox_url: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The connection as the environment variable that Airflow reads it from."""
        return {f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(self.connection)}


@contextmanager
def sentinel_hub(*, control: bool = False, log: Path | None = None) -> Iterator[SentinelHub]:
    """Yield the real service that the environment names, or else a sandbox that lives as long as the block.

    :param control: also serve the sandbox's control surface (counters, faults).
    :param log: file for the sandbox's line per request; without it, there are no such lines.
    :raises SetupError: half an account in the environment, or a sandbox that does not start.
    """
    service = real_service(os.environ)
    if service is not None:
        yield service
        return
    with _sandbox_process(control=control, log=log) as ready:
        yield SentinelHub(
            title=f"sandbox at {ready['url']}",
            connection={
                "conn_type": "sentinelhub",
                "login": ready["client_id"],
                "password": ready["client_secret"],
                "host": ready["url"],
                "extra": {"deployment": "custom", "auth_url": ready["url"] + _SANDBOX_TOKEN_PATH},
            },
            sandbox_url=ready["url"],
        )


def real_service(environ: Mapping[str, str]) -> SentinelHub | None:
    """Return the service whose account the environment holds, ``None`` when it holds none.

    :raises SetupError: an id without a secret, a secret without an id, or an unknown deployment.
    """
    from sentinelhub_provider.deployments import DEFAULT_DEPLOYMENT, DEPLOYMENTS

    client_id = environ.get("SENTINELHUB_CLIENT_ID", "").strip()
    client_secret = environ.get("SENTINELHUB_CLIENT_SECRET", "").strip()
    if not client_id and not client_secret:
        return None
    if not client_id or not client_secret:
        missing = "SENTINELHUB_CLIENT_SECRET" if client_id else "SENTINELHUB_CLIENT_ID"
        raise SetupError(f"{missing} is not set. Set it too, or unset both to use the sandbox.")
    deployment = environ.get("SENTINELHUB_DEPLOYMENT", "").strip() or DEFAULT_DEPLOYMENT
    known = [name for name in DEPLOYMENTS if name != "custom"]
    if deployment not in known:
        raise SetupError(f"SENTINELHUB_DEPLOYMENT={deployment} is unknown. Choose one of: {', '.join(known)}.")
    return SentinelHub(
        title=DEPLOYMENTS[deployment].title,
        connection={
            "conn_type": "sentinelhub",
            "login": client_id,
            "password": client_secret,
            "extra": {"deployment": deployment},
        },
    )


def airflow_environment(
    home: Path, *, dags: Path = ROOT / "example_dags", python: Path = Path(sys.executable)
) -> dict[str, str]:
    """Return this process's environment with the settings of a small, private, quiet Airflow.

    The account variables of a real service are left out: Airflow gets it as a connection, encrypted and masked.

    :param home: Airflow's home; its database, logs and configuration live there.
    :param dags: the folder of DAG files.
    :param python: the interpreter that it runs with. Another one than this has the package installed.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "SENTINELHUB_"))}
    # Airflow's components start one another by the command's name.
    environ["PATH"] = os.pathsep.join([str(python.parent), environ.get("PATH", os.defpath)])
    if python == Path(sys.executable):
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environ.get("PYTHONPATH")]))
    return environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _sandbox_process(*, control: bool, log: Path | None) -> Iterator[Mapping[str, str]]:
    """Run the sandbox beside this process and yield the fields of its ready line."""
    command = [sys.executable, "-m", "sentinelhub_provider.sandbox", "--port", "0"]
    if control:
        command.append("--control")
    if log is None:
        command.append("--quiet")
    with (
        log.open("w") if log else nullcontext() as messages,
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            # Ctrl-C in the terminal is for the caller, who may still need the sandbox while it tidies up.
            start_new_session=True,
        ) as process,
    ):
        try:
            yield _ready_line(process, log)
        finally:
            _end(process)


def _ready_line(process: subprocess.Popen[str], log: Path | None) -> Mapping[str, str]:
    """Wait for the ready line, the only one that the sandbox prints to its standard output.

    :raises SetupError: it ended without, or took too long.
    """
    watchdog = threading.Timer(SANDBOX_START_SECONDS, process.kill)
    watchdog.start()
    try:
        for line in process.stdout or ():
            if match := _READY_LINE.match(line):
                return match.groupdict()
    finally:
        watchdog.cancel()
    said = log.read_text() if log else "its own message stands above"
    raise SetupError(f"The sandbox did not start (exit status {process.wait()}): {said}")


def _end(process: subprocess.Popen[str]) -> None:
    """Ask a process to stop, and after 5 s make it."""
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()

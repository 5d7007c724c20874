"""``python -m sentinelhub_provider.sandbox`` as a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from sentinelhub_provider.sandbox.__main__ import main
from sentinelhub_provider.sandbox.gateway import extra

ROOT = Path(__file__).parents[4]
READY = re.compile(r"sentinelhub sandbox ready url=(http://127\.0\.0\.1:\d+) client_id=(\S+) client_secret=(\S+)\n")

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start sandboxes that are ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "sentinelhub_provider.sandbox", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _ready(process: subprocess.Popen[str]) -> re.Match[str]:
    assert process.stdout is not None
    line = process.stdout.readline()
    match = READY.fullmatch(line)
    assert match, line
    return match


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_it_starts_and_stops_cleanly(start: Start, number: signal.Signals) -> None:
    """One line when it accepts connections, nothing else on stdout, exit code 0, no traceback; a line for a request."""
    process = start("--port", "0")
    url, client_id, secret = _ready(process).groups()
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    token = requests.post(f"{url}/auth/realms/main/protocol/openid-connect/token", data=form, timeout=60)
    requests.get(f"{url}/catalog/v1/conformance", timeout=60)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert token.status_code == 200
    assert (out, process.returncode) == ("", 0)
    assert "Traceback" not in err
    assert "GET /catalog/v1/conformance 200" in err
    assert secret not in err
    assert token.json()["access_token"] not in err


def test_options_reach_the_sandbox(start: Start) -> None:
    """Client, further client, lifetime and limits are those of the command line; ``--quiet`` leaves no line."""
    process = start(
        *("--port", "0", "--client-id", "me", "--client-secret", "mine", "--client", "you:yours"),
        *("--token-lifetime", "30", "--requests-per-minute", "1", "--control", "--quiet"),
    )
    url, client_id, secret = _ready(process).groups()
    assert (client_id, secret) == ("me", "mine")
    form = {"grant_type": "client_credentials", "client_id": "you", "client_secret": "yours"}
    body = requests.post(f"{url}/oauth/token", data=form, timeout=60).json()
    assert body["expires_in"] == 30
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    statuses = [requests.get(f"{url}/catalog/v1/collections", headers=headers, timeout=60).status_code for _ in "ab"]
    assert statuses == [200, 429]
    assert requests.get(f"{url}/sandbox/control/counters", timeout=60).json()["rate_limited"] == 1
    process.terminate()
    assert process.communicate(timeout=60)[1] == ""


def test_a_taken_port_is_one_clear_line(start: Start) -> None:
    """Exit code 1, no traceback, no ready line."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start("--port", str(taken.getsockname()[1]))
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert re.fullmatch(r"python -m sentinelhub_provider\.sandbox: cannot listen on .*\n", err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--token-lifetime", "0"], "token_lifetime must be more than 0"),
        (["--scenes", "/nowhere/at/all"], "scenes must be a folder"),
        (["--client", "nosecret"], "is not ID:SECRET"),
        (["--port", "many"], "invalid int value"),
        (["--scenes", str(Path(__file__).parent)], "has no STAC item"),
    ],
)
def test_wrong_options_are_usage_errors(arguments: list[str], message: str, monkeypatch, capsys) -> None:
    """Exit code 2 with what is wrong."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("sentinelhub_provider.sandbox.__main__._log_to_stderr", lambda **_: None)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert message in err


SIGNALLED = """
import os, runpy, signal, sys

def signal_at(event, arguments):
    if (event, *arguments)[: len(moment)] == moment:
        os.kill(os.getpid(), signal.SIGTERM)

moment = tuple(sys.argv.pop(1).split())
sys.addaudithook(signal_at)
runpy.run_module("sentinelhub_provider.sandbox", run_name="__main__", alter_sys=True)
"""
"""Starts the sandbox, and sends the signal at a given step of that."""


@pytest.mark.parametrize("moment", ["import sentinelhub_provider.sandbox.server", "import uvicorn", "socket.bind"])
def test_a_signal_while_starting_ends_it_cleanly(moment: str) -> None:
    """Whenever the signal comes, the exit code is 0 and there is no traceback."""
    process = subprocess.run(
        [sys.executable, "-c", SIGNALLED, moment, "--port", "0"], cwd=ROOT, capture_output=True, text=True
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_starting_loads_neither_airflow_nor_rasters() -> None:
    """What takes long is loaded on first use."""
    code = (
        "import sys; import sentinelhub_provider.sandbox.server; "
        "print([m for m in ('airflow', 'numpy', 'rasterio', 'py_mini_racer', 'requests') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_without_its_extra_it_says_so_at_the_start(monkeypatch, capsys) -> None:
    """Not "ready", and then an error with the first picture."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(extra, "MODULES", ("numpy", "no_such_module_of_the_extra"))
    assert main(["--port", "0"]) == 3
    said = capsys.readouterr().err
    assert "no_such_module_of_the_extra not installed" in said
    assert "pip install 'airflow-provider-sentinelhub[sandbox]'" in said

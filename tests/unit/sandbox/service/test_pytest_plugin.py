"""The pytest fixture, in a pytest run of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sentinelhub_provider.sandbox.control.handlers import Control
from sentinelhub_provider.sandbox.pytest_plugin import SandboxHandle
from sentinelhub_provider.sandbox.server import SandboxServer

ROOT = Path(__file__).parents[4]

USERS_TESTS = """
import json
import requests

CLIENTS = []

def fetch(sandbox):
    form = {"grant_type": "client_credentials", "client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    return requests.post(sandbox.token_url, data=form, timeout=60)

def test_first(sentinelhub_sandbox):
    CLIENTS.append(sentinelhub_sandbox.client_id)
    assert fetch(sentinelhub_sandbox).status_code == 200
    sentinelhub_sandbox.control.add_fault(action={"kind": "reset"}, times=None)
    assert sentinelhub_sandbox.control.counters().token_requests == 1

def test_second(sentinelhub_sandbox):
    assert sentinelhub_sandbox.client_id not in CLIENTS
    assert sentinelhub_sandbox.control.counters().token_requests == 0
    assert fetch(sentinelhub_sandbox).status_code == 200

def test_override(sentinelhub_sandbox):
    connection = json.loads(sentinelhub_sandbox.connection_json(auth_cache="memory"))
    assert connection["host"] == sentinelhub_sandbox.url
    assert connection["extra"]["auth_cache"] == "memory"
"""


def test_each_test_of_a_user_gets_a_fresh_sandbox(tmp_path: Path) -> None:
    """Counters, faults and client are new for each test; the plugin is found by its name alone."""
    (tmp_path / "test_users.py").write_text(USERS_TESTS)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3 passed" in result.stdout, result.stdout + result.stderr


def test_loading_the_plugin_is_cheap() -> None:
    """Every pytest run of every user loads it: no web framework, no HTTP library, no Airflow."""
    code = (
        "import sys, pytest; before = set(sys.modules); import sentinelhub_provider.sandbox.pytest_plugin; "
        "print(sorted(m for m in set(sys.modules) - before if not m.startswith('sentinelhub_provider')))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = eval(result.stdout)
    assert not {"fastapi", "pydantic", "uvicorn", "jwt", "requests", "numpy", "airflow"} & set(loaded)
    assert len(loaded) < 20, loaded


@pytest.fixture
def handle(server: SandboxServer) -> SandboxHandle:
    """A handle with credentials that must be escaped in a URI."""
    return SandboxHandle(server.url, "id/with:odd@chars", "s€cret?&#/%", Control(server.sandbox))


def test_a_connection_holds_what_the_form_would(handle: SandboxHandle) -> None:
    """The dict has the fields of an Airflow connection; extras are added."""
    assert handle.airflow_connection(requests_per_minute=60) == {
        "conn_type": "sentinelhub",
        "login": "id/with:odd@chars",
        "password": "s€cret?&#/%",
        "host": handle.url,
        "extra": {"deployment": "custom", "auth_url": handle.token_url, "requests_per_minute": 60},
    }


def test_airflow_reads_uri_and_json_alike(handle: SandboxHandle) -> None:
    """Airflow itself understands both forms as the same connection."""
    from airflow.models.connection import Connection

    expected = handle.airflow_connection()
    for read in (Connection(uri=handle.connection_uri()), Connection.from_json(handle.connection_json())):
        assert {**{name: getattr(read, name) for name in expected}, "extra": read.extra_dejson} == expected


def test_the_secret_stays_out_of_the_repr(handle: SandboxHandle) -> None:
    """A failing test prints its arguments."""
    assert "s€cret" not in repr(handle)

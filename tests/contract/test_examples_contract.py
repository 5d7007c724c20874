"""What the example DAGs send, and what they are answered, against Sentinel Hub's own OpenAPI descriptions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sentinelhub_provider.sandbox.server import SandboxServer
from tests.contract.openapi import SPEC_FOLDER, check, described

pytestmark = pytest.mark.contract

ROOT = Path(__file__).parents[2]
RUNNER = ROOT / "tests" / "support" / "dag_runner.py"


PREFIXES = {
    "current": ("/batch/v2", "/catalog/v1", "/process/v1", "/statistics/v1"),
    "legacy": ("/api/v1/", "/api/v2/batch"),
}
LEFT_OUT = {"current": (), "legacy": ("*weekly_fields*",)}
"""The longest example runs in one spelling only: the statistics operator has its own test in both."""


@pytest.mark.parametrize("path_scheme", LEFT_OUT)
def test_examples_speak_as_described(tmp_path: Path, path_scheme: str) -> None:
    """Every request of a run of all examples and every answer is valid, in both spellings of the paths."""
    if not SPEC_FOLDER.is_dir():
        pytest.skip("the OpenAPI descriptions (../shared/spec) are not here")
    with SandboxServer() as server:
        server.control.record_exchanges()
        connection = {
            "conn_type": "sentinelhub",
            "login": server.client_id,
            "password": server.client_secret,
            "host": server.url,
            "extra": {"deployment": "custom", "auth_url": server.token_url(), "path_scheme": path_scheme},
        }
        dags, result = tmp_path / "dags", tmp_path / "result.json"
        ignored = shutil.ignore_patterns("__pycache__", *LEFT_OUT[path_scheme])
        shutil.copytree(ROOT / "example_dags", dags, ignore=ignored)
        run = subprocess.run(
            [sys.executable, str(RUNNER), str(dags), str(result)],
            env=os.environ
            | {
                "AIRFLOW_HOME": str(tmp_path / "airflow"),
                "AIRFLOW_CONN_SENTINELHUB_DEFAULT": json.dumps(connection),
                # Airflow puts the folder of its DAGs there as well.
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(dags)]),
            },
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr[-2000:]
        exchanges = [exchange for exchange in server.control.exchanges() if described(exchange.path)]

    assert {run["state"] for run in json.loads(result.read_text()).values()} == {"success"}
    assert len(exchanges) > 5
    assert all(exchange.path.startswith(PREFIXES[path_scheme]) for exchange in exchanges)
    for exchange in exchanges:
        check(exchange, request=True)

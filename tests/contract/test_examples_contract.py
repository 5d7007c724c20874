"""What the example DAGs send, and what they are answered, against Sentinel Hub's own OpenAPI descriptions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from dag_runs import connection_to

from sentinelhub_provider.sandbox.server import SandboxServer
from tests.contract.openapi import check, described

EXAMPLES = Path(__file__).parents[2] / "example_dags"
PREFIXES = {
    "current": ("/batch/v2", "/catalog/v1", "/process/v1", "/statistics/v1"),
    "legacy": ("/api/v1/", "/api/v2/batch"),
}
FIELDS = 3
"""How many fields of the weekly table are asked about: all are asked about in the same way."""


@pytest.fixture(name="spoken", scope="module")
def fixture_spoken(dag_runner, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], list[Any]]]:
    """Run all examples in both spellings of the paths; return the runs and the exchanges of each."""
    home = tmp_path_factory.mktemp("examples")
    dags = shutil.copytree(EXAMPLES, home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    fields = json.loads((dags / "weekly_fields.geojson").read_text())
    fields["features"] = fields["features"][:FIELDS]
    (dags / "weekly_fields.geojson").write_text(json.dumps(fields))
    with SandboxServer() as current, SandboxServer() as legacy:
        servers = {"current": current, "legacy": legacy}
        for server in servers.values():
            server.control.record_exchanges()
            server.control.jobs.set_durations(analysing=0.1, processing=0.2)
        connections = [connection_to(server, path_scheme=scheme) for scheme, server in servers.items()]
        done = dag_runner.run_with(connections, dags, home)
        return {
            scheme: (ran.runs, [exchange for exchange in server.control.exchanges() if described(exchange.path)])
            for (scheme, server), ran in zip(servers.items(), done, strict=True)
        }


@pytest.mark.parametrize("path_scheme", PREFIXES)
def test_examples_speak_as_described(spoken, path_scheme: str) -> None:
    """Every request of a run of all examples and every answer is valid, in both spellings of the paths."""
    runs, exchanges = spoken[path_scheme]

    assert {run["state"] for run in runs.values()} == {"success"}
    assert len(exchanges) > 5
    assert all(exchange.path.startswith(PREFIXES[path_scheme]) for exchange in exchanges)
    for exchange in exchanges:
        check(exchange, request=True)

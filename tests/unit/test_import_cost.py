"""Operators are imported in every DAG file: that must be cheap."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    "fastapi",
    "requests",
    "httpx",
    "urllib3",
    "oauthlib",
    "requests_oauthlib",
    "numpy",
    "pyarrow",
    "rasterio",
    "cryptography",
}
MAX_MODULES = 44
MODULES = [
    "operators.http",
    "operators.catalog",
    "operators.process",
    "operators.statistics",
    "operators.byoc",
    "operators.batch",
    "operators.batch_statistics",
    "operators.async_process",
    "sensors.catalog",
    "sensors.job",
    "decorators.sentinelhub",
    "plugins.imagery",  # in every process of Airflow; its app is imported by the API server alone
]

SCRIPT = """
import importlib, json, os, sys
from airflow.sdk import BaseOperator
before = set(sys.modules)
for name in sys.argv[1:]:
    if os.fork() == 0:
        importlib.import_module(name)
        print("LOADED", json.dumps([name, sorted(set(sys.modules) - before)]), flush=True)
        os._exit(0)
    os.wait()
"""
"""Airflow is imported once; each module is then imported in a process of its own."""


@pytest.fixture(name="imports", scope="module")
def fixture_imports() -> dict[str, list[str]]:
    """For each module that DAG files import: what its import adds to a process that has ``BaseOperator`` loaded."""
    names = [f"sentinelhub_provider.{name}" for name in MODULES]
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names], capture_output=True, text=True, check=True, cwd=ROOT
    )
    lines = answer.stdout.splitlines()
    imports = dict(json.loads(line.removeprefix("LOADED ")) for line in lines if line.startswith("LOADED "))
    assert list(imports) == names, answer.stderr
    return imports


@pytest.fixture(name="loaded", params=MODULES)
def fixture_loaded(request: pytest.FixtureRequest, imports: dict[str, list[str]]) -> list[str]:
    """What importing a module loads."""
    module = f"sentinelhub_provider.{request.param}"
    assert module in imports[module]
    return imports[module]


def test_operator_loads_few_modules(loaded: list[str]):
    """Forty-four at most, its own included."""
    assert len(loaded) <= MAX_MODULES, loaded


def test_operator_loads_no_heavy_library(loaded: list[str]):
    """HTTP, OAuth2 and raster libraries wait until a task runs."""
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()


def test_airflows_commands_load_two_modules_of_the_command_line():
    """Every ``airflow`` command reads which commands there are; what they do is imported when they are called."""
    script = "import json, sys, airflow.cli.cli_parser\nprint('LOADED', json.dumps(sorted(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    (line,) = (line for line in answer.stdout.splitlines() if line.startswith("LOADED "))
    ours = {name for name in json.loads(line.removeprefix("LOADED ")) if name.startswith("sentinelhub_provider.")}
    assert ours == {
        f"sentinelhub_provider.{name}" for name in ("cli", "cli.definition", "cli.parser", "get_provider_info")
    }

"""Operators are imported in every DAG file: that must be cheap."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
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
MAX_MODULES = 40
SCRIPT = """
import sys
from airflow.sdk import BaseOperator
before = set(sys.modules)
import {module}
import json
print("MODULES", json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(module: str) -> list[str]:
    """Return the modules that an import adds to a process that has ``BaseOperator`` loaded."""
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(module=module)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    line = next(line for line in answer.stdout.splitlines() if line.startswith("MODULES "))
    return list(json.loads(line.removeprefix("MODULES ")))


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
]


@pytest.fixture(name="loaded", scope="module", params=MODULES)
def fixture_loaded(request: pytest.FixtureRequest) -> list[str]:
    """What importing a module loads that DAG files import."""
    module = f"sentinelhub_provider.{request.param}"
    loaded = loaded_by(module)
    assert module in loaded
    return loaded


def test_operator_loads_few_modules(loaded: list[str]):
    """Forty at most, its own included."""
    assert len(loaded) <= MAX_MODULES, loaded


def test_operator_loads_no_heavy_library(loaded: list[str]):
    """HTTP, OAuth2 and raster libraries wait until a task runs."""
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()

"""The package as users get it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from installed import Installed, build, install

if TYPE_CHECKING:
    from pathlib import Path

SUPPORTED = [
    # The oldest Airflow with the oldest Python and the lowest versions that pyproject.toml allows, and so on upwards.
    pytest.param(("3.1.8", "3.11"), id="airflow-3.1"),
    pytest.param(("3.2.2", "3.12"), id="airflow-3.2"),
    pytest.param(("3.3.2", "3.13"), id="airflow-3.3"),
]


@pytest.fixture(scope="session", name="distributions")
def fixture_distributions(tmp_path_factory) -> tuple[Path, Path]:
    """The built sdist, and the wheel that was built from it."""
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session", name="installed", params=SUPPORTED)
def fixture_installed(request, distributions, tmp_path_factory) -> Installed:
    """The wheel, installed beside each supported Airflow in turn."""
    airflow_version, python = request.param
    _, wheel = distributions
    return install(wheel, airflow_version, python, tmp_path_factory.mktemp(f"airflow-{airflow_version}"))

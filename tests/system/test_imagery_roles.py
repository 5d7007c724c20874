"""Who sees the pages of *Satellite imagery* where FAB says who may do what."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from installed import CONSTRAINTS, ENVIRONMENTS, find_python, uv, uv_install

pytestmark = pytest.mark.system

AIRFLOW = "3.3.2"
SUPPORT = Path(__file__).parents[1] / "support"
EVERYTHING = ["overview", "task", "run", "picture", "other"]


def test_roles_of_fab(distributions: tuple[Path, Path], tmp_path: Path):
    """Pages ask for the XComs of the DAG; the menu entry is there from the role Op upwards."""
    environment, constraints = ENVIRONMENTS / f"fab-{AIRFLOW}", CONSTRAINTS / f"airflow-{AIRFLOW}.txt"
    _, wheel = distributions
    if not (environment / "ready").exists():
        uv("venv", "--quiet", "--clear", "--python", find_python("3.12"), environment)
        fab = "apache-airflow-providers-fab"
        uv_install(environment, "--constraint", constraints, f"apache-airflow=={AIRFLOW}", fab, "pillow")
        (environment / "ready").touch()
    name = "airflow-provider-sentinelhub"
    package = f"{name} @ {wheel.as_uri()}"
    uv_install(environment, "--constraint", constraints, "--reinstall-package", name, package)
    variables = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__API_AUTH__JWT_SECRET": "the secret of tests " * 4,
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(SUPPORT),
    }
    probe = [environment / "bin" / "python", Path(__file__).with_name("fab_probe.py")]

    answer = subprocess.run(probe, env=variables, cwd=tmp_path, capture_output=True, text=True)

    assert answer.returncode == 0, answer.stderr[-5000:]
    line = next(line for line in answer.stdout.splitlines() if line.startswith("SEEN "))
    assert json.loads(line.removeprefix("SEEN ")) == {
        "Admin": [["weekly", "monthly"], [*EVERYTHING, "menu"]],
        "Op": [["weekly", "monthly"], [*EVERYTHING, "menu"]],
        "User": [["weekly", "monthly"], EVERYTHING],
        "Viewer": [["weekly", "monthly"], EVERYTHING],
        "Public": [[], ["overview"]],
        "Weekly": [["weekly"], ["overview", "task", "run", "picture"]],
        "Blind": [[], ["overview"]],
    }

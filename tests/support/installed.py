"""The built package, installed beside a given Airflow in an environment of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "tests" / "system" / "constraints"
ENVIRONMENTS = ROOT / ".venvs"
DISTRIBUTION = "airflow-provider-sentinelhub"
EXTRAS = "delta,openlineage,parquet,raster,redis,vector"
"""What a worker needs; the sandbox runs in the environment of the tests."""


@dataclass(frozen=True)
class Installed:
    """An environment with one Airflow and the package.

    :param airflow_version: the Airflow.
    :param bin: where the environment's commands are.
    :param home: Airflow's home.
    """

    airflow_version: str
    bin: Path
    home: Path

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.bin / "python"

    def moved_pins(self) -> dict[str, str]:
        """Return the packages that stand in another version than Airflow's constraints say, with that version."""
        pins = dict(pin.split("==") for pin in _constraints(self.airflow_version).read_text().split() if "==" in pin)
        there = dict(line.split("==") for line in uv("pip", "freeze", "--python", self.python).split() if "==" in line)
        return {name: version for name, version in there.items() if version != pins.get(name, version)}

    def run(self, command: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's commands, outside the checkout, and return what it printed."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
        answer = subprocess.run(
            [self.bin / command, *arguments],
            cwd=self.home,
            env=inherited
            | {
                "AIRFLOW_HOME": str(self.home),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
                "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
                "COLUMNS": "500",
            }
            | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0, f"{command} {arguments} failed:\n{answer.stdout}\n{answer.stderr}"
        return answer


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist from the checkout, and the wheel from the sdist; return (sdist, wheel)."""
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder, ROOT],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def install(wheel: Path, airflow_version: str, python: str, home: Path) -> Installed:
    """Install the wheel and its extras beside an Airflow. The Airflow part of the environment is kept for next time.

    :param wheel: the built package.
    :param airflow_version: the Airflow, whose versions of everything are pinned in the folder of constraints.
    :param python: the Python version to prefer, such as ``3.12``; without it, the one that runs the tests.
    :param home: Airflow's home.
    """
    interpreter = find_python(python)
    constraints = _constraints(airflow_version)
    digest = hashlib.sha256(constraints.read_bytes() + str(interpreter).encode()).hexdigest()[:8]
    environment = ENVIRONMENTS / f"airflow-{airflow_version}-{digest}"
    if not (environment / "ready").exists():
        uv("venv", "--quiet", "--clear", "--python", interpreter, environment)
        uv_install(environment, "--constraint", constraints, f"apache-airflow=={airflow_version}")
        (environment / "ready").touch()
    package = f"{DISTRIBUTION}[{EXTRAS}] @ {wheel.as_uri()}"
    uv_install(environment, "--constraint", constraints, "--reinstall-package", DISTRIBUTION, package)
    return Installed(airflow_version, environment / "bin", home)


def _constraints(airflow_version: str) -> Path:
    return CONSTRAINTS / f"airflow-{airflow_version}.txt"


def find_python(version: str) -> Path:
    """Return an interpreter of the given version, if this machine has one, or else the running one.

    Looks in PATH and where pyenv keeps its versions; a stand-in that refuses to run is passed over.
    """
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in [shutil.which(name), *sorted(pyenv.glob(f"{version}.*/bin/{name}"))]:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return Path(candidate)
    return Path(sys.executable)


def uv(*arguments: str | Path) -> str:
    """Run uv and return what it printed; show what it said when it fails."""
    answer = subprocess.run(
        [Path(sys.executable).with_name("uv"), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert answer.returncode == 0, f"uv {arguments[0]} failed:\n{answer.stderr[-3000:]}"
    return answer.stdout


def uv_install(environment: Path, *arguments: str | Path) -> None:
    """Install into an environment."""
    uv("pip", "install", "--quiet", "--python", environment / "bin" / "python", *arguments)

"""What is uploaded to a package index: the sdist and the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile

import pytest

from sentinelhub_provider import __version__

pytestmark = pytest.mark.system

NAME = f"airflow_provider_sentinelhub-{__version__}"


def test_twine_finds_nothing_to_complain_about(distributions):
    """The metadata renders on a package index."""
    answer = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *distributions], capture_output=True, text=True
    )

    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_readme_leads_out_of_the_index(distributions):
    """No link and no picture is relative to the checkout."""
    with zipfile.ZipFile(distributions[1]) as wheel:
        readme = wheel.read(f"{NAME}.dist-info/METADATA").decode()

    assert "pip install airflow-provider-sentinelhub" in readme
    assert re.findall(r"\]\((?!https?:|#)[^)]+\)", readme) == []


def test_wheel_holds_the_package_and_nothing_else(distributions):
    """A user's site-packages gets one package, with its type marker and licence."""
    names = zipfile.ZipFile(distributions[1]).namelist()

    assert {name.split("/")[0] for name in names} == {"sentinelhub_provider", f"{NAME}.dist-info"}
    assert "sentinelhub_provider/py.typed" in names
    assert f"{NAME}.dist-info/licenses/LICENSE" in names


def test_wheel_registers_with_airflow_and_pytest(distributions):
    """The entry points are what Airflow and pytest look for."""
    with zipfile.ZipFile(distributions[1]) as wheel:
        entry_points = wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()

    groups = dict(group.split("\n", 1) for group in entry_points.strip().split("\n\n"))
    assert {name: line.strip() for name, line in groups.items()} == {
        "[airflow.plugins]": "sentinelhub = sentinelhub_provider.plugins.scene_events:SentinelHubPlugin",
        "[apache_airflow_provider]": "provider_info = sentinelhub_provider.get_provider_info:get_provider_info",
        "[pytest11]": "sentinelhub_sandbox = sentinelhub_provider.sandbox.pytest_plugin",
    }


def test_sdist_holds_tests_but_nothing_generated(distributions):
    """The sdist is the source that a packager can build and test, and nothing that a build or a test left behind."""
    with tarfile.open(distributions[0]) as sdist:
        names = [name.removeprefix(f"{NAME}/") for name in sdist.getnames()]

    assert "tests/system/test_distributions.py" in names
    assert {"Makefile", "LICENSE", "README.md", "pyproject.toml", "constraints-test.txt"} <= set(names)
    generated = ("__pycache__", ".pyc", ".venv", ".up/", ".demo/", "artifacts/", "_build/", ".hypothesis")
    assert [name for name in names if any(part in name for part in generated)] == []

"""What only a release has to fulfil: ``make release-check`` runs this, with the tests of the built package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from doc_blocks import ROOT
from installed import DISTRIBUTION, Installed, uv_install
from packaging.metadata import Metadata
from readme_renderer import markdown

from sentinelhub_provider import __version__
from sentinelhub_provider.get_provider_info import get_provider_info

BIN = Path(sys.executable).parent


def run(*command: str | Path) -> str:
    """Return what a command prints that has to succeed."""
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, f"{command[0]} says:\n{answer.stdout}{answer.stderr}"
    return answer.stdout


@pytest.fixture(scope="module", name="metadata")
def fixture_metadata(distributions) -> Metadata:
    """The metadata of the wheel."""
    with zipfile.ZipFile(distributions[1]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return Metadata.from_email(wheel.read(name))


def test_the_tree_is_clean():
    """Only what is committed gets into the sdist."""
    assert run("git", "status", "--porcelain") == ""


def test_the_changelog_has_the_version_with_its_date():
    """A section that says *unreleased* gets the day of the release."""
    heading = rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$"

    assert re.search(heading, (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE), f"no heading {heading}"


def test_the_version_is_the_same_everywhere_and_new(metadata):
    """Wheel, provider and package agree; no tag has the version."""
    assert str(metadata.version) == get_provider_info()["versions"][0] == __version__
    assert run("git", "tag", "--list", f"v{__version__}") == ""


def test_the_wheel_has_no_usual_fault(distributions):
    """No file that belongs elsewhere, no empty package."""
    assert run(BIN / "check-wheel-contents", "--toplevel", "sentinelhub_provider", distributions[1])


def test_the_description_is_a_page_whose_links_work_on_an_index(metadata):
    """The index's own renderer makes it. A relative link or picture would lead nowhere there."""
    page = markdown.render(metadata.description)

    assert page
    assert re.findall(r"""(?:href|src)=["'](?!https?:|#|mailto:)([^"']*)""", page) == []


def test_the_sdist_goes_beside_each_airflow(installed: Installed, distributions):
    """It can be built and installed there, moves no version that Airflow was released with, and is found."""
    package = f"{DISTRIBUTION} @ {distributions[0].as_uri()}"
    uv_install(installed.bin.parent, "--reinstall-package", DISTRIBUTION, "--no-deps", package)

    assert installed.moved_pins() == {}
    listed = installed.run("airflow", "providers", "get", DISTRIBUTION, "--output", "json").stdout
    assert json.loads(listed)[0]["Version"] == __version__


def test_each_dependency_states_its_licence(metadata, capsys):
    """The list is printed, for a person to read."""
    needed = sorted({requirement.name for requirement in metadata.requires_dist})
    table = run(BIN / "pip-licenses", "--from=mixed", "--format=json", "--packages", *needed)
    licences = {one["Name"]: f"{one['Version']}: {one['License']}" for one in json.loads(table)}

    with capsys.disabled():
        print("", *(f"  {name} {licence}" for name, licence in licences.items()), sep="\n")
    assert len(licences) == len(needed)
    assert [name for name, licence in licences.items() if "UNKNOWN" in licence] == []

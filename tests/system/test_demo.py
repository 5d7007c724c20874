"""The demos as a person runs them: one process that asks Sentinel Hub, draws, and leaves nothing behind but files."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet
import pytest
from PIL import Image

pytestmark = pytest.mark.system

DEMO = Path(__file__).resolve().parents[2] / "dev" / "demo.py"
MONTHS = 8


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Return the demo's home; it is the user's home, too, so that nothing of this machine is found there."""
    return tmp_path_factory.mktemp("demo-home")


def start(home: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a demo with an environment that knows neither Airflow nor an account."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SENTINELHUB", "XDG"))
    }
    return subprocess.Popen(
        [sys.executable, DEMO, *arguments, "--home", home / "demo"],
        env=inherited | {"HOME": str(home)} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As a shell does for what it runs in the background; ctrl-C is to end it all the same.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )


def run(home: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run a demo and return its exit status and what it printed."""
    process = start(home, *arguments, **environment)
    out, err = process.communicate()
    return process.returncode, out, err


def sandbox_answers(out: str) -> bool:
    """Tell whether the sandbox that a run named still listens."""
    (url,) = re.findall(r"^Sentinel Hub: sandbox at (\S+)$", out, re.MULTILINE)
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port)) == 0


@pytest.fixture(scope="module")
def first_run(home) -> tuple[int, str, str]:
    """Return what the first run of all printed."""
    return run(home)


def test_it_succeeds_in_few_lines(first_run):
    """Exit status 0, nothing on standard error, no line of Airflow's log between the demo's own."""
    status, out, err = first_run

    assert status == 0, err
    assert err == ""
    assert len(out.splitlines()) < 40
    assert "INFO" not in out


def test_it_says_a_line_for_each_task(first_run):
    """Every task of the DAG reports, mapped ones with the day that they render."""
    tasks = re.findall(r"^  (\S+)(?: (\d{4}-\d{2}-\d{2}))? +\d+\.\d s$", first_run[1], re.MULTILINE)

    assert [name for name, day in tasks] == ["search", "choose", *["ndvi"] * MONTHS, "sheet"]
    assert len({day[:7] for name, day in tasks if name == "ndvi"}) == MONTHS


def test_it_prints_what_each_picture_cost(first_run):
    """The table has date, cloud cover and processing units, and their sum."""
    lines = re.findall(r"^(\d{4}-\d{2}-\d{2}) +(\d+\.\d) % +(\d+\.\d{3})$", first_run[1], re.MULTILINE)
    (total,) = re.findall(rf"^{MONTHS} pictures +(\d+\.\d+)$", first_run[1], re.MULTILINE)

    assert len(lines) == MONTHS
    assert all(0 <= float(cloud) <= 40 for _, cloud, _ in lines)
    assert sum(float(units) for _, _, units in lines) == pytest.approx(float(total), abs=0.01)


def test_one_token_does_for_all_tasks(first_run):
    """The figure is the sandbox's own count of token requests."""
    assert "Token requests: 1\n" in first_run[1]


def test_the_picture_is_a_sheet_of_many_colours(first_run, home):
    """A valid PNG of some size at the path that is printed, with land, labels and legend."""
    (path,) = re.findall(r"^Picture: (.*\.png) ", first_run[1], re.MULTILINE)

    with Image.open(path) as picture:
        picture.verify()
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1500
        assert picture.height > 800
        assert len(picture.getcolors(picture.width * picture.height)) > 1000
    assert Path(path).is_relative_to(home / "demo")


def test_no_sandbox_is_left(first_run):
    """The sandbox that was started for the run has ended with it."""
    assert not sandbox_answers(first_run[1])


def test_fields_become_a_table_and_a_chart(first_run, home):
    """``make demo-fields``: a line for each field, and the two files at the paths that are printed."""
    status, out, err = run(home, "fields")
    lines = re.findall(r"^(\w[\w ]*?) +(\d+) of 34 +(0\.\d\d)  (2025-\d\d-\d\d)$", out, re.MULTILINE)
    files = dict(re.findall(r"^(Table|Chart): (\S+)", out, re.MULTILINE))

    assert (status, err) == (0, "")
    assert re.findall(r"^  (\S+) +\d+\.\d s$", out, re.MULTILINE) == ["ndvi", "chart"]
    assert len(lines) == 6
    assert all(0 < int(seen) < 34 for _, seen, _, _ in lines)
    assert f"\n{6 * 34} rows, " in out
    assert pyarrow.parquet.read_table(files["Table"]).num_rows == 6 * 34
    with Image.open(files["Chart"]) as chart:
        assert chart.format == "PNG"
        assert chart.width > 1500
    assert "Token requests: 1\n" in out
    assert len(out.splitlines()) < 40
    assert not sandbox_answers(out)


def test_a_second_run_takes_the_database_of_the_first(first_run, home):
    """The database is made once; the second run succeeds like the first, with a token of its own."""
    (ready,) = (home / "demo" / "airflow").glob("database-*.ready")
    made = ready.stat().st_mtime_ns

    # The settings of another Airflow of this user are of no concern.
    status, out, err = run(home, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="sqlite:////no/such/folder/airflow.db")

    assert (status, err) == (0, "")
    assert ready.stat().st_mtime_ns == made
    assert "Token requests: 1\n" in out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_interrupted_it_takes_the_sandbox_along(first_run, home, number):
    """Ctrl-C and SIGTERM in the middle of the DAG end both processes."""
    process = start(home)
    out = ""
    for line in process.stdout:
        out += line
        if "  choose" in line:
            break
    process.send_signal(number)
    rest, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Stopped." in err
    assert "Picture:" not in rest
    assert not sandbox_answers(out)


def test_a_failure_is_one_line_with_the_place_of_the_log(first_run, home):
    """A task that fails ends the demo with its name, the reason, what to do, and where to read more."""
    broken = home / "demo" / "pictures"
    for file in broken.iterdir():
        file.unlink()
    broken.rmdir()
    broken.write_text("a file where the folder should be")
    try:
        status, out, err = run(home)
    finally:
        broken.unlink()

    assert status == 1
    assert re.match(r"make demo: task ndvi \d{4}-\d{2}-\d{2} failed: .*output_path .* cannot be written", err)
    assert f"The whole log: {home / 'demo' / 'demo.log'}" in err
    assert "Traceback" not in out + err
    assert not sandbox_answers(out)


def test_half_an_account_is_refused_at_once(home):
    """An id without a secret is a slip, not a wish for the sandbox."""
    status, out, err = run(home, SENTINELHUB_CLIENT_ID="my-client-id")

    assert status == 1
    assert "SENTINELHUB_CLIENT_SECRET is not set" in err
    assert out == ""

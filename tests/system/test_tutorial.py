"""The tutorial, pasted step by step into one shell of a machine that has Python and pip."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from doc_blocks import ROOT, blocks
from environment import free_port

pytestmark = pytest.mark.system

STEPS = [block.text for block in blocks(ROOT / "docs/tutorial.md") if block.kind == "step"]
FIRST_REPORTS = [f"report-2025-06-{day}.html" for day in ("02", "09", "16", "23")]
LAST_WEEK = """
for _ in $(seq 600); do
  python -c 'import sqlite3, sys
runs = sqlite3.connect("airflow.db").execute("SELECT state FROM dag_run WHERE run_type = ?", ("scheduled",))
sys.exit(("success",) not in runs.fetchall())' && break
  sleep 1
done
kill %1 %2
for _ in $(seq 180); do
  [ -z "$(jobs -r)" ] && break
  sleep 1
done
"""
"""Waits for the run of last week, and ends what runs in the background as the page says."""


@pytest.fixture(scope="module", name="pasted")
def fixture_pasted(distributions, tmp_path_factory) -> tuple[list[str], Path]:
    """Paste all steps; return what each of them printed, and the folder that the page makes."""
    home = tmp_path_factory.mktemp("home")
    airflow = f"localhost:{free_port()}"
    real = {
        r"https://raw\S+\.txt": str(ROOT / "tests/system/constraints/airflow-3.3.2.txt"),
        r"(airflow-provider-sentinelhub\[[\w,]+\])": rf"\1 @ {distributions[1].as_uri()}",
        "localhost:8080": airflow,
        r"\b9080\b": str(free_port()),
    }
    steps = "\n".join(f"echo '== step {number}'\n{step}" for number, step in enumerate(STEPS, 1))
    for shown, here in real.items():
        steps, times = re.subn(shown, here, steps)
        assert times
    inherited = {name: os.environ[name] for name in os.environ if not name.startswith(("AIRFLOW", "PYTHON", "VIRTUAL"))}
    environment = {
        "HOME": str(home),
        "PATH": f"{sys.base_prefix}/bin:{os.environ['PATH']}",
        "AIRFLOW__API__PORT": airflow.partition(":")[2],
        "AIRFLOW__API__BASE_URL": f"http://{airflow}",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",  # this machine may be busy
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
    }
    with (home / "printed").open("w+") as printed:
        # With job control, as a person's shell has it, a job is a process group that `kill %1` signals whole.
        shell = subprocess.run(
            ["bash", "-c", f"set -me\n{steps}{LAST_WEEK}"],
            cwd=home,
            env=inherited | environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        printed.seek(0)
        said = printed.read()
    _, left = psutil.wait_procs(started_below(home), timeout=60)
    for process in left:
        process.kill()
    assert shell.returncode == 0, said[-5000:]
    assert left == []
    return re.split(r"== step \d+\n", said)[1:], home / "ndvi-report"


def started_below(home: Path) -> list[psutil.Process]:
    """Return the processes that run what is installed in a folder."""
    return [process for process in psutil.process_iter(["cmdline"]) if str(home) in str(process.info["cmdline"])]


def test_there_are_ten_steps(pasted):
    """Each step of the page was pasted, under its number."""
    printed, _ = pasted
    headings = re.findall(r"^## (\d+)\. ", (ROOT / "docs/tutorial.md").read_text(), re.MULTILINE)

    assert len(printed) == len(STEPS) == 10
    assert headings == [str(number) for number in range(1, 11)]


def test_the_steps_print_what_a_reader_looks_for(pasted):
    """A connection that works, scenes, a price, reports, a password."""
    printed, _ = pasted

    assert re.search(r"token and Catalog +ok", printed[3])
    assert "S2C_MSIL2A_20250630" in printed[5]
    assert re.search(r"processing_units +0\.\d", printed[6])
    assert printed[8].split() == FIRST_REPORTS
    assert "Password for user 'admin'" in printed[9]


def test_the_reports_tell_of_each_field(pasted):
    """The four weeks of the past, and last week by Airflow's scheduler."""
    _, folder = pasted
    reports = {file.name: file.read_text() for file in folder.glob("report-*.html")}

    assert len(reports) == len(FIRST_REPORTS) + 1
    assert reports.keys() >= set(FIRST_REPORTS)
    for text in reports.values():
        assert re.findall(r"<h2>([\w-]+): ", text) == ["long-acre", "mill-field"]
        assert all((folder / picture).stat().st_size for picture in re.findall(r'src="([^"]+)"', text))
    assert re.search(r"long-acre: 0\.\d\d, [+-]0\.\d\d in a week", reports["report-2025-06-16.html"])

"""What a DAG file pays for naming an operator: fresh processes that have Airflow's ``BaseOperator`` loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

from benchmarks.harness import ROOT, airflow_environment
from benchmarks.report import Row, Table, progress

MOST_MILLISECONDS = 30
MOST_MODULES = 40
PROCESSES = 7

_OPERATORS = (
    ("nothing (the floor)", "pass"),
    ("SentinelHubHttpOperator", "from sentinelhub_provider.operators.http import SentinelHubHttpOperator"),
    ("the official client", "import sentinelhub"),
)

_MEASURE = """
import json, sys, time
from airflow.sdk import BaseOperator
modules, start = len(sys.modules), time.perf_counter()
try:
    {statement}
except ModuleNotFoundError as error:
    sys.exit(f"not installed: {{error}}")
seconds = time.perf_counter() - start
print(json.dumps([seconds * 1000, len(sys.modules) - modules]))
"""


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    found: dict[str, list[tuple[float, int]]] = {name: [] for name, _ in _OPERATORS}
    with airflow_environment("{}") as environment:
        for _ in range(3 if quick else PROCESSES):
            for name, statement in _OPERATORS:
                progress(f"import of {name}")
                run = subprocess.run(
                    [sys.executable, "-c", _MEASURE.format(statement=statement)],
                    cwd=ROOT,
                    env=environment,
                    capture_output=True,
                    text=True,
                )
                if run.returncode == 0:
                    found[name].append(json.loads(run.stdout.splitlines()[-1]))
                elif "not installed" not in run.stderr:
                    raise RuntimeError(f"importing {name} failed:\n{run.stderr}")
    rows = [_row(name, figures) for name, figures in found.items()]
    return [
        Table(
            "Import, added to a process that has BaseOperator loaded",
            ("import", "ms (median)", "ms (worst)", "modules", "target"),
            tuple(rows),
        )
    ]


def _row(name: str, figures: list[tuple[float, int]]) -> Row:
    if not figures:
        return Row((f"{name}: not installed", None, None, None, None))
    milliseconds = [ms for ms, _ in figures]
    modules = max(count for _, count in figures)
    shown = (name, median(milliseconds), max(milliseconds), modules)
    if not name.startswith("SentinelHub"):
        return Row((*shown, None))
    met = median(milliseconds) <= MOST_MILLISECONDS and modules <= MOST_MODULES
    return Row((*shown, f"<= {MOST_MILLISECONDS} ms, <= {MOST_MODULES}"), met)

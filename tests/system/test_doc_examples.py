"""The examples of the documentation that need a Sentinel Hub, run against the sandbox as a reader would run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dag_runs import started_dag_runner
from doc_blocks import ROOT, Block, all_blocks

from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.operators.http import SentinelHubHttpOperator

pytestmark = pytest.mark.system

RENDER = """
def render():
    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

    SentinelHubHook().request("POST", "/process/v1", accept="image/png", json=PICTURE)
"""
"""What the reader of a test is asked to fill in."""

EVALSCRIPT = """//VERSION=3
function setup() { return {input: ["B04"], output: {bands: 1}}; }
function evaluatePixel(sample) { return [sample.B04]; }
"""

EXAMPLES = ROOT / "example_dags"


def has_project(block: Block) -> bool:
    """Tell whether a block's page shows a ``conftest.py``, so that its tests belong together."""
    return any(conftest.path == block.path for conftest in all_blocks("conftest"))


def with_files_in(folder, text: str) -> str:
    """Let an example write its files into a folder of the test."""
    return text.replace("~/sentinelhub/", f"{folder}/")


@pytest.fixture(scope="session")
def dag_runs(installed, sentinelhub_sandbox_server, tmp_path_factory):
    """Run the DAGs of all pages, and a few more, in each supported Airflow; return what became of them."""
    home = tmp_path_factory.mktemp("doc-dags")
    dags = home / "dags"
    shutil.copytree(ROOT / "tests/system/installed_dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("example_sentinelhub_http.py", "example_sentinelhub_insured_fields.py"):
        (dags / name).write_text((EXAMPLES / name).read_text().replace("tempfile.gettempdir()", repr(str(home))))
    shutil.copy(EXAMPLES / "insured_fields.zip", dags)
    for block in all_blocks("dag"):
        (dags / f"{block.name}.py").write_text(with_files_in(home, block.text))
    server = sentinelhub_sandbox_server
    transport = {"type": "file", "log_file_path": str(home / "events.jsonl"), "append": True}
    openlineage = {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)}
    with started_dag_runner(home / "airflow", python=installed.python, **openlineage) as runner:
        runs = runner.run(server, dags, home, auth_cache=f"file://{home}/shared").runs
    events = [json.loads(line) for line in (home / "events.jsonl").read_text().splitlines()]
    return runs | {"lineage": {event["job"]["name"]: event for event in events if event["eventType"] == "COMPLETE"}}


@pytest.mark.parametrize("block", all_blocks("dag"), ids=str)
def test_a_dag_succeeds(dag_runs, block: Block):
    """Airflow loads the DAG, and every task of one run succeeds."""
    (dag_id,) = re.findall(r'dag_id="([^"]+)"', block.text)
    run = dag_runs[dag_id]

    assert run["state"] == "success"
    assert run["tasks"]
    # What is mapped over nothing, or lies on a branch that is not taken, is skipped.
    ends = {"success", "skipped"} if re.search(r"\.expand\(|@task\.branch|AssetWatcher\(", block.text) else {"success"}
    assert "success" in run["tasks"].values()
    assert set(run["tasks"].values()) <= ends
    results = [result is not None for result in run["results"].values()]
    assert any(results) if "skipped" in ends else all(run["results"].values())


def test_the_smallest_example_lists_the_collections(dag_runs):
    """What the example's task returns is what its first line promises."""
    assert "sentinel-2-l2a" in dag_runs["example_sentinelhub_http"]["results"]["collections[-1]"]


def test_lineage_reaches_openlineage(dag_runs):
    """A picture and a table, by the provider's own listener and transport."""
    events = dag_runs["lineage"]
    for name, column in {"weekly_ndvi.ndvi": None, "fields.ndvi": "mean"}.items():
        event = events[name]
        (read,), (written,) = event["inputs"], event["outputs"]
        assert (read["namespace"], read["name"]) == ("sentinelhub://custom", "sentinel-2-l2a")
        assert written["namespace"] == "file"
        assert Path(written["name"]).exists()
        fields = written["facets"].get("schema", {}).get("fields", [])
        assert column is None or column in [field["name"] for field in fields]
        assert event["run"]["facets"]["sentinelhub_cost"]["processingUnits"] > 0


def test_the_insurers_example_makes_a_picture_of_each_field(dag_runs):
    """Of a Shapefile in a national grid; the warning depends on the week."""
    run = dag_runs["example_sentinelhub_insured_fields"]

    assert {name: state for name, state in run["tasks"].items() if not name.startswith("warn")} == {
        "ndvi[-1]": "success",
        "pictures[-1]": "success",
        "fell[-1]": "success",
    }
    assert run["results"]["pictures[-1]"]["features"] == 6


def test_object_paths_lead_to_object_storage(dag_runs):
    """Also in Airflow 3.1, where an ``ObjectStoragePath`` is a ``pathlib.Path``."""
    run = dag_runs["object_paths"]

    assert set(run["tasks"].values()) == {"success"}
    assert all(size > 100 for size in run["results"]["sizes[-1]"])


def test_a_deferred_sensor_that_fails_softly_is_skipped(dag_runs):
    """Its time-out is no failure, in the triggerer as in the worker."""
    assert dag_runs["soft_fail"]["tasks"] == {"wait[-1]": "skipped"}


@pytest.mark.parametrize("block", all_blocks("script"), ids=str)
def test_a_script_runs(sentinelhub_sandbox, block: Block, monkeypatch, tmp_path, capsys):
    """The code runs with a connection in place, and prints something."""
    monkeypatch.setenv("AIRFLOW_CONN_SENTINELHUB_DEFAULT", sentinelhub_sandbox.connection_json(auth_cache="memory"))

    code = compile(with_files_in(tmp_path, block.text), str(block), "exec")
    with ThreadPoolExecutor() as pool:  # the main thread has an event loop once a browser was started
        pool.submit(exec, code, {"__name__": "__main__"}).result()

    assert capsys.readouterr().out.strip()
    is_asked = not any(without_call in block.text for without_call in (".budgets()", ".rebuild()"))
    assert sentinelhub_sandbox.control.counters().token_requests == is_asked


@pytest.mark.parametrize("block", all_blocks("evalscript"), ids=str)
def test_an_evalscript_passes_the_templates_and_renders(sentinelhub_sandbox, block: Block, monkeypatch):
    """The operator's templates leave the script as it is, and the service runs it."""
    monkeypatch.setenv("AIRFLOW_CONN_SENTINELHUB_DEFAULT", sentinelhub_sandbox.connection_json(auth_cache="memory"))
    operator = SentinelHubHttpOperator(task_id="picture", endpoint="/process/v1", evalscript=block.text)
    operator.render_template_fields({})

    assert operator.evalscript == block.text.removesuffix("\n")
    answer = SentinelHubHook().request("POST", "/process/v1", json=picture_by(operator.evalscript), accept="image/png")
    assert answer.content.startswith(b"\x89PNG")


def picture_by(evalscript: str) -> dict:
    """Return a request for a small picture."""
    day = {"from": "2025-06-30T00:00:00Z", "to": "2025-06-30T23:59:59Z"}
    return {
        "input": {
            "bounds": {"bbox": [20.5, 47.5, 20.62, 47.56]},
            "data": [{"type": "sentinel-2-l2a", "dataFilter": {"timeRange": day}}],
        },
        "output": {"width": 16, "height": 12},
        "evalscript": evalscript,
    }


def run_pytest(option: str, folder) -> subprocess.CompletedProcess[str]:
    """Run a reader's tests, with the package as it is here."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", option, "-p", "no:cacheprovider", folder],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("block", [block for block in all_blocks("pytest") if not has_project(block)], ids=str)
def test_a_test_shown_passes(block: Block, tmp_path):
    """The test or fixture works in a project of the reader's own, with the installed plugin."""
    test = block.text.replace("...  # run your DAG or hook", "render()")
    trivial = "\n\ndef test_a_sandbox_is_there(sentinelhub_sandbox):\n    assert sentinelhub_sandbox.url\n"
    (tmp_path / "test_shown.py").write_text(
        f"PICTURE = {picture_by(EVALSCRIPT)!r}\n{RENDER}\n\n{test}{'' if 'def test_' in block.text else trivial}"
    )
    answer = run_pytest("-q", tmp_path)

    assert answer.returncode == 0, answer.stdout
    assert "1 passed" in answer.stdout


@pytest.fixture(scope="session")
def project_runs(tmp_path_factory) -> dict[str, str]:
    """Run the tests of each page that shows a ``conftest.py``, with its DAGs beside them; return what was printed."""
    runs = {}
    for conftest in all_blocks("conftest"):
        folder = tmp_path_factory.mktemp("project")
        (folder / "conftest.py").write_text(conftest.text)
        shown = [block for block in all_blocks("dag", "pytest") if block.path == conftest.path]
        for block in shown:
            name = f"test_{block.name}" if block.kind == "pytest" else re.findall(r'dag_id="([^"]+)"', block.text)[0]
            (folder / f"{name}.py").write_text(block.text)
        answer = run_pytest("-rA", folder)
        runs |= {block.name: answer.stdout for block in shown}
    return runs


@pytest.mark.parametrize("block", [block for block in all_blocks("pytest") if has_project(block)], ids=str)
def test_a_test_shown_with_its_project_passes(project_runs, block: Block):
    """The test passes beside the DAG and the ``conftest.py`` of its page, with the installed plugin."""
    (name,) = re.findall(r"def (test_\w+)", block.text)

    assert f"PASSED test_{block.name}.py::{name}" in project_runs[block.name], project_runs[block.name]


@pytest.mark.parametrize("block", all_blocks("control"), ids=str)
def test_a_shell_script_controls_the_sandbox(sentinelhub_sandbox, block: Block):
    """It plants a fault, is shown it with the counters, and takes it away."""
    assert "http://127.0.0.1:9080" in block.text
    script = block.text.replace("http://127.0.0.1:9080", sentinelhub_sandbox.url)

    answer = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True)

    assert answer.returncode == 0, answer.stderr
    printed, rest = [], answer.stdout
    while rest:
        value, end = json.JSONDecoder().raw_decode(rest)
        printed.append(value)
        rest = rest[end:].lstrip()
    planted, listed, counters = printed
    assert [fault["id"] for fault in listed] == [planted["id"]]
    assert counters["token_requests"] == 0
    assert sentinelhub_sandbox.control.faults() == []


@pytest.mark.parametrize("block", all_blocks("curl"), ids=str)
def test_a_shell_script_with_curl_gets_an_answer(sentinelhub_sandbox, block: Block, tmp_path):
    """The script as printed, but for the address, the client and the place of Python, gets scenes."""
    script = block.text
    for printed, real in {
        "http://127.0.0.1:9080": sentinelhub_sandbox.url,
        "client_id=sandbox-client": f"client_id={sentinelhub_sandbox.client_id}",
        "sandbox-secret-not-a-real-one": sentinelhub_sandbox.client_secret,
        "| python ": f"| {sys.executable} ",
    }.items():
        assert printed in script
        script = script.replace(printed, real)

    answer = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True)

    assert json.loads(answer.stdout)["features"]

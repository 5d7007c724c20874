"""The command line against the sandbox: what it prints, and its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from job_requests import Jobs, batch_request

from sentinelhub_provider.cli import commands, screen
from sentinelhub_provider.cli.main import main
from sentinelhub_provider.cli.parser import build_parser
from sentinelhub_provider.transport.budget import Cost

AREA = ["--bbox", "13.35", "45.40", "13.40", "45.45"]
JUNE = ["--time-range", "2024-06-01/2024-06-10"]
REQUEST = ["--collection", "sentinel-2-l2a", *JUNE, "--resolution", "100"]
PICTURE = [*REQUEST, *AREA, "--evalscript", "ndvi"]
STATISTICS = [*REQUEST, "--evalscript", "ndvi-clear"]
FIELDS = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": {"type": "Polygon", "coordinates": [[[x, 45], [x + 0.01, 45], [x, 45.01], [x, 45]]]},
        }
        for name, x in (("north", 13.0), ("south", 13.1))
    ],
}
Run = Callable[..., Any]


def is_untouched(sandbox: Any) -> bool:
    """Tell whether nothing was requested of a sandbox."""
    return sandbox.control.counters().total_requests == 0


@pytest.fixture(name="own_log", autouse=True)
def fixture_own_log(monkeypatch) -> None:
    """Leave pytest's log alone, and the environment as it was."""
    monkeypatch.setattr(screen, "set_up_log", lambda **_: None)
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")


@pytest.fixture(name="run")
def fixture_run(connect, capsys) -> Run:
    """Run a command; return its exit code, its output, and what it wrote to standard error."""
    connect()

    def run(*words: str) -> SimpleNamespace:
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
        out, error = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, error=error)

    return run


@pytest.fixture(name="run_json")
def fixture_run_json(run: Run) -> Run:
    """Run a command that works, with ``--output json``; return what it printed, decoded."""

    def run_json(*words: str) -> Any:
        done = run(*words, "--output", "json")
        assert done.code == 0, done.error
        return json.loads(done.out)

    return run_json


def test_check_tells_what_a_connection_allows(run: Run, connect):
    """Connection, token, limits, and what is left of the budget."""
    connect(extra={"auth_cache": "file", "processing_units_per_day": 70, "requests_per_minute": 300})
    done = run("check", "-o", "json")
    rows = {row["check"].split(" of ")[0]: row for row in json.loads(done.out)}
    assert done.code == 0
    assert list(rows) == ["connection", "token and Catalog", "token", "rate limit", "budget"]
    assert {row["result"] for row in rows.values()} == {"ok"}
    assert "300 requests a minute" in rows["rate limit"]["detail"]
    assert "70 of 70 PU left" in rows["budget"]["detail"]


def test_check_of_a_wrong_secret_fails_and_does_not_show_it(run: Run, connect):
    """The verdict is in the table; the exit code is 1."""
    connect(password="my-wrong-secret")
    done = run("check")
    assert done.code == 1
    assert "failed" in done.out
    assert "Login refused" in done.out
    assert "my-wrong-secret" not in done.out + done.error


def test_check_says_no_where_the_budget_is_spent(run: Run, connect, tmp_path: Path):
    """A budget that is used up is a check that failed."""
    hook = connect(extra={"auth_cache": "file", "processing_units_per_day": 1})
    hook.budget.settle(hook.budget.set_aside(Cost(1.0)), 1.0)
    done = run("check", "-o", "json")
    assert done.code == 1
    assert [row["result"] for row in json.loads(done.out)][-2:] == ["ok", "failed"]


def test_a_connection_that_is_not_there_names_the_variable(run: Run):
    """No Airflow database is needed: an environment variable is enough."""
    for words in (["check"], ["collections"], ["search", "sentinel-2-l2a", *JUNE]):
        done = run(*words, "--conn-id", "my_other")
        assert done.code == 1
        assert "AIRFLOW_CONN_MY_OTHER" in done.out + done.error
        assert "Traceback" not in done.error


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"conn_type": "sentinelhub", "password": "my-secret"', "AIRFLOW_CONN_MY_OTHER is not JSON: Expecting ','"),
        ('{"conn_type": "sentinelhub", "client_secret": "my-secret"}', "unknown members: 'client_secret'"),
        ('{"conn_type": "sentinelhub", "password": "my-secret", "port": "my-secret"}', "Airflow does not take"),
        ("postgres://me:my-secret@db.example.org/data", "it is of type 'postgres'"),
    ],
)
def test_a_connection_that_cannot_be_one_is_told_without_its_secret(run: Run, monkeypatch, text: str, told: str):
    """Airflow itself says that there is none. A database's password goes to no token endpoint."""
    monkeypatch.setenv("AIRFLOW_CONN_MY_OTHER", text)
    done = run("token", "info", "--conn-id", "my_other")
    assert done.code == 1
    assert told in done.error
    assert "my-secret" not in done.error


def test_token_info_tells_no_token(run_json, connect):
    """Client, scopes and times."""
    info = run_json("token", "info")
    assert info["client_id"]
    assert 0 < info["seconds_left"] <= 3600
    assert connect().get_token() not in json.dumps(info)


def test_search_lists_scenes(run: Run, run_json, tmp_path: Path, caplog):
    """As the operator does: with limit, order, distinct values, and whole items in a file."""
    words = ["search", "sentinel-2-l2a", *JUNE, *AREA]
    scenes = run_json(*words)
    assert len(scenes) == 2
    assert len(run_json(*words, "--limit", "1")) == 1
    assert len(run_json(*words, "--limit", "all")) == 2
    assert "--limit all" not in caplog.text
    assert len(run_json("search", "sentinel-2-l2a", *JUNE, "--bbox", "5,40,20,50")) == 100
    assert "There may be more: --limit all" in caplog.text
    assert run_json(*words, "--sort", "oldest")[0]["id"] == min(scenes, key=lambda one: one["datetime"])["id"]
    assert set(run_json(*words, "--distinct", "date")) == {scene["datetime"][:10] for scene in scenes}
    assert run_json(*words, "--max-cloud-cover", "0") == [one for one in scenes if one["cloud_cover"] == 0]
    run_json(*words, "--output-path", str(tmp_path / "items.json"))
    assert len(json.loads((tmp_path / "items.json").read_text())["features"]) == 2
    table = run(*words).out.splitlines()
    assert table[0].split() == ["id", "datetime", "cloud_cover", "bbox"]
    assert len(table) == 4


@pytest.mark.parametrize(
    "box",
    [
        ["--bbox", "-13.35,45.40,-13.30,45.45"],
        ["--bbox=-13.35,45.40,-13.30,45.45"],
        ["--bbox", "-13.35 45.40 -13.30 45.45"],
        ["--bbox", "-13.35,", "45.40,", "-13.30,", "45.45"],
        ["--bbox", "[-13.35, 45.40, -13.30, 45.45]"],
        ["--bbox", "-1.335e1", "45.40", "-13.30", "45.45"],
        ["--bbox", "-13.35", "45.40", "-13.30", "45.45", "--limit", "100"],
    ],
    ids=" ".join,
)
def test_a_box_may_have_commas(run_json, box: list[str]):
    """As in other tools of the field, also west of Greenwich and before the collection."""
    scenes = run_json("search", "sentinel-2-l2a", *JUNE, *box)
    assert scenes
    assert run_json("search", *box, "sentinel-2-l2a", *JUNE) == scenes


def test_search_without_scenes_says_so(run: Run, run_json):
    """It is no error."""
    words = ["search", "sentinel-2-l2a", "--time-range", "1990-01-01/1990-02-01", *AREA]
    assert run(*words).out == "Nothing found.\n"
    assert run_json(*words) == []


def test_process_stores_a_picture(run: Run, run_json, tmp_path: Path):
    """The file, alone; with ``--stac`` its item."""
    path = tmp_path / "ndvi.tif"
    done = run_json("process", *PICTURE, "--output-path", str(path))
    assert done["outputs"]["default"]["size"] == path.stat().st_size
    assert done["processing_units"] > 0
    assert [file.name for file in tmp_path.iterdir()] == ["ndvi.tif"]
    assert "processing_units" in run("process", *PICTURE, "--output-path", str(path), "--stac").out
    assert (tmp_path / "ndvi.tif.stac.json").is_file()
    assert run_json("process", *PICTURE, "--output-path", str(path), "--if-exists", "skip")["skipped"]


def test_files_are_read_as_a_dag_reads_its_templates(run: Run, run_json, tmp_path: Path, monkeypatch):
    """Evalscript, request and area, beside the shell's folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "red.js").write_text(
        "//VERSION=3\nfunction setup() { return {input: ['B04'], output: {bands: 1}} }\n"
        "function evaluatePixel(sample) { return [sample.B04] }"
    )
    (tmp_path / "area.geojson").write_text(json.dumps(FIELDS["features"][0]["geometry"]))
    words = [*REQUEST, "--geometry", "area.geojson", "--evalscript", "red.js"]
    assert run_json("process", *words, "--output-path", "red.png")["processing_units"] > 0
    for name, content in {"broken.json": "{", "empty.json": "\n", "empty.js": "", "empty.wkt": ""}.items():
        (tmp_path / name).write_text(content)
    option_of = {".json": "--request", ".js": "--evalscript", ".wkt": "--geometry"}
    for file in ("broken.json", "empty.json", "missing.json", "empty.js", "missing.js", "empty.wkt"):
        option = option_of[Path(file).suffix]
        more = () if option == "--request" else (*REQUEST, "--evalscript", "ndvi")
        done = run("process", *more, option, file, "--output-path", "x.png")
        assert (done.code, done.out) == (2, "")
        assert f"{option} names the file {file}" in done.error
        assert "DAG" not in done.error
    assert not (tmp_path / "x.png").exists()


def test_estimates_cost_nothing(run: Run, run_json, tmp_path: Path, sentinelhub_sandbox):
    """What they say is what the request costs; a limit is an exit code."""
    file = tmp_path / "fields.geojson"
    file.write_text(json.dumps(FIELDS))
    picture = run_json("estimate", "process", *PICTURE)
    fields = run_json("estimate", "statistics", *STATISTICS, "--features", str(file))
    refused = run("estimate", "process", *PICTURE, "--max-processing-units", "0.001")
    assert is_untouched(sentinelhub_sandbox)
    assert fields["requests"] == 2
    assert refused.code == 1
    assert "0.001" in refused.error
    made = run_json("process", *PICTURE, "--output-path", str(tmp_path / "a.tif"))
    assert made["processing_units"] == pytest.approx(picture["processing_units"])


def test_the_price_of_tiles_is_told(run: Run, run_json, sentinelhub_sandbox):
    """An area that is too large for one request has a price, too."""
    large = [*PICTURE, "--resolution", "2"]
    assert "Cover it with tiles: --tile, or" in run("estimate", "process", *large).error
    tiles = run_json("estimate", "process", *large, "--tile")
    pixels, bands, tiff = 1953 * 2783 / 512**2, 2 / 3, 2
    assert (tiles["requests"], tiles["processing_units"]) == (2, pytest.approx(pixels * bands * tiff))
    assert is_untouched(sentinelhub_sandbox)


def test_statistics_are_a_table(run: Run, run_json, tmp_path: Path):
    """Of one area, of the features of a file, and into a file."""
    file, table = tmp_path / "fields.geojson", tmp_path / "ndvi.csv"
    file.write_text(json.dumps(FIELDS))
    features = ["--features", str(file), "--id-property", "name"]
    one = run_json("statistics", *STATISTICS, *AREA, "--percentiles", "10", "90")
    assert {"p10", "p90"} <= set(one["table"][3])
    assert {row["feature_id"] for row in run_json("statistics", *STATISTICS, *features)["table"]} == {"north", "south"}
    assert run_json("statistics", *STATISTICS, *features, "--output-path", str(table))["rows"] == 20
    assert len(table.read_text().splitlines()) == 21
    shown = run("statistics", *STATISTICS, *AREA).out.splitlines()
    assert shown[0].split() == ["feature_id", "interval_from", "state", "min", "max", "mean", "stdev", "count"]
    assert shown[2].split()[1] == "2024-06-01"
    assert max(map(len, shown)) <= 80


def test_a_table_shows_outputs_bands_and_errors_where_there_are_some():
    """And the time of day where it is not midnight."""
    row = {"interval_from": "2024-06-01T10:00:00Z", "output": "default", "band": "B0", "error": None, "mean": 0.123456}
    assert commands._readable([]) == []
    assert commands._readable([row]) == [{"interval_from": "2024-06-01T10:00:00Z", "mean": "0.1235"}]
    (_, second) = commands._readable([row, {**row, "band": "B1", "error": "TIMEOUT"}])
    assert (second["band"], second["error"]) == ("B1", "TIMEOUT")


def test_statistics_of_days_ask_for_the_same_time_all_day(run_json, tmp_path: Path):
    """Else a command that is repeated after an interruption would request, and pay, everything again."""
    rows = run_json("statistics", *STATISTICS, *AREA, "--time-range", "P3D", "--last-interval", "skip")["table"]
    today = f"{datetime.now(UTC).date()}T00:00:00Z"
    assert [row["interval_to"] for row in rows][-1] <= today
    assert {row["interval_from"][10:] for row in rows} == {"T00:00:00Z"}


@pytest.fixture(name="jobs")
def fixture_jobs(run: Run, sentinelhub_sandbox, connect) -> Jobs:
    """Calls of Batch Process, whose jobs stand still once they are started."""
    token = connect().get_token()
    sentinelhub_sandbox.control.jobs.set_durations(analysing=0, processing=None, stopping=0)
    sentinelhub_sandbox.control.jobs.set_rasters(False)
    return Jobs(sentinelhub_sandbox, {"Authorization": f"Bearer {token}"})


def test_jobs_are_listed_shown_and_cancelled(jobs: Jobs, run: Run, run_json):
    """Their kind need not be said."""
    made = [jobs.create(batch_request(description=f"\x1b[31mjob {number}")) for number in range(2)]
    jobs.act(made[0], "start")
    assert {job["id"] for job in run_json("jobs", "list")} == set(made)
    assert [job["id"] for job in run_json("jobs", "list", "--state", "processing")] == [made[0]]
    assert run_json("jobs", "show", made[0])["state"] == "PROCESSING"
    assert run_json("jobs", "cancel", made[0])["state"] == "STOPPED"
    assert run_json("jobs", "cancel", made[1], "--kind", "batch-process")["state"] == "CREATED"
    table = run("jobs", "list").out
    assert "job 1" in table
    assert "\x1b" not in table


@pytest.mark.parametrize("action", ["show", "cancel"])
def test_an_unknown_job_is_told(run: Run, action: str):
    """With exit code 1; what cannot be an id is a wrong argument."""
    done = run("jobs", action, "11111111-2222-3333-4444-555555555555", "-o", "json")
    assert (done.code, done.out) == (1, "")
    assert json.loads(done.error)["error"]["kind"] == "SentinelHubJobError"
    assert run("jobs", action, "../x").code == 2


def test_collections_are_listed(run: Run, run_json):
    """As a table by id and title, as JSON whole."""
    assert "sentinel-2-l2a" in {one["id"] for one in run_json("collections")}
    assert "extent" in run_json("collections")[0]
    assert "sentinel-2-l2a" in run("collections").out


def test_examples_are_copied_and_leave_files_that_are_there(run: Run, run_json, tmp_path: Path):
    """A second time copies nothing."""
    folder = tmp_path / "new" / "dags"
    first = run_json("examples", str(folder))
    (folder / "example_sentinelhub_ndvi.py").write_text("mine")
    assert {row["result"] for row in first} == {"copied"}
    assert {row["result"] for row in run_json("examples", str(folder))} == {"is there already"}
    assert (folder / "example_sentinelhub_ndvi.py").read_text() == "mine"
    (tmp_path / "file").touch()
    assert run("examples", str(tmp_path / "file")).code == 2


def test_sandbox_gets_its_own_options(run: Run):
    """All of them, its help included."""
    assert run("sandbox", "--help").out.startswith("usage: python -m sentinelhub_provider.sandbox")
    assert "**" in run("sandbox", "--not-imitated").out
    assert run("sandbox", "--port", "many").code == 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nothing"], "nothing"),
        ([], "COMMAND"),
        (["jobs"], "ACTION"),
        (["jobs", "list", "--kind", "async-process"], "--kind"),
        (["jobs", "list", "--state", "sleeping"], "--state: 'SLEEPING'"),
        (["jobs", "list", "--limit", "few"], "--limit"),
        (["search", "sentinel-2-l2a", *AREA], "--time-range"),
        (["search", "sentinel-2-l2a", "--time-range", "soon"], "--time-range is"),
        (["search", "sentinel-2-l2a", *JUNE, "--bbox", "1", "2"], "--bbox"),
        (["search", "sentinel-2-l2a", *JUNE, "--bbox", "400", "1", "401", "2"], "bbox"),
        (["search", "sentinel-2-l2a", *JUNE, "--max-cloud-cover", "much"], "--max-cloud-cover"),
        (["process", *PICTURE], "--output-path"),
        (["process", *REQUEST, *AREA, "--output-path", "a.tif"], "--evalscript"),
        (["process", *PICTURE, "--output-path", "a.tif", "--evalscript", "nvdi"], "nvdi"),
        (["process", *PICTURE, "--output-path", "a.tif", "--deadline", "soon"], "--deadline"),
        (["process", *PICTURE, "--output-path", "a.png"], "let --output-path end with .tif"),
        (["process", *STATISTICS, "--output-path", "a.tif", "--geometry", "a.shp"], "must end with .geojson"),
        (["estimate", "process", *REQUEST, "--evalscript", "ndvi"], "bbox"),
        (["statistics", *STATISTICS], "features"),
        (["statistics", *STATISTICS, "--features", "missing.gpkg"], "missing.gpkg"),
        (["statistics", *STATISTICS, *AREA, "--aggregation-interval", "weekly"], "--aggregation-interval"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else "",
)
def test_wrong_arguments_are_named_and_nothing_is_sent(run: Run, words: list[str], named: str, sentinelhub_sandbox):
    """In two lines at most, with exit code 2."""
    done = run(*words)
    assert done.code == 2, done.error
    assert named in done.error
    assert len(done.error.splitlines()) <= 2
    assert done.out == ""
    assert is_untouched(sentinelhub_sandbox)


@pytest.mark.parametrize("output", ["table", "json"])
def test_no_service_is_one_line(run: Run, connect, output: str, monkeypatch):
    """Nobody listens: exit code 1, no traceback; with ``--debug`` there is one."""
    monkeypatch.setattr(commands, "QUICK", 1)
    connect(host="http://127.0.0.1:9", extra={"auth_url": "http://127.0.0.1:9/token"})
    done = run("collections", "--output", output)
    assert (done.code, done.out) == (1, "")
    assert len(done.error.splitlines()) == 1
    if output == "json":
        assert json.loads(done.error)["error"]["kind"] == "SentinelHubTransportError"
    assert "Traceback" in run("collections", "--debug").error


def test_a_service_that_refuses_is_exit_code_1(run: Run):
    """A collection that is not there."""
    done = run("search", "no-such-collection", *JUNE, "-o", "json")
    assert done.code == 1
    assert json.loads(done.error.splitlines()[-1])["error"]["status"] in (400, 404)


def all_commands() -> Iterator[list[str]]:
    """Yield the words of each command, from the parsers."""

    def below(parser: Any, words: list[str]) -> Iterator[list[str]]:
        groups = [action.choices for action in parser._actions if hasattr(action, "_name_parser_map")]
        for name, inner in groups[0].items() if groups else ():
            yield from below(inner, [*words, name])
        if not groups:
            yield words

    yield from below(build_parser(), [])


@pytest.mark.parametrize("words", list(all_commands()), ids=" ".join)
def test_each_help_has_examples_that_parse(run: Run, words: list[str]):
    """And names the exit codes."""
    done = run(*words, "--help")
    assert done.code == 0
    if words == ["sandbox"]:
        return
    assert "exit codes" in done.out
    shown = done.out.partition("examples:\n")[2].partition("\n\n")[0].splitlines()
    assert shown
    for line in shown:
        example = line.strip().removeprefix("python -m sentinelhub_provider ").split()
        assert example[: len(words)] == words
        assert build_parser().parse_args(example).command


def in_process(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell does."""
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, **more)


def test_check_as_a_process(sentinelhub_sandbox, tmp_path: Path):
    """Without an Airflow database: the connection of the environment is enough. The log is not in the output."""
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONN_SENTINELHUB_DEFAULT": sentinelhub_sandbox.connection_json(),
    }
    words = ("-m", "sentinelhub_provider")
    done = in_process(*words, "check", "-o", "json", env=environment)
    assert done.returncode == 0, done.stderr
    assert {row["result"] for row in json.loads(done.stdout)} == {"ok"}
    search = ("search", "sentinel-2-l2a", *JUNE, *AREA, "-o", "json")
    debugged = in_process(*words, *search, "--debug", env=environment)
    assert len(json.loads(debugged.stdout)) == 2
    assert "found 2 items" in debugged.stderr
    assert "Bearer" not in debugged.stderr
    assert sentinelhub_sandbox.client_secret not in debugged.stderr
    with subprocess.Popen([sys.executable, *words, *search], stdout=-1, stderr=-1, env=environment) as piped:
        piped.stdout.close()
        assert (piped.stderr.read(), piped.wait()) == (b"", 1)


def test_ctrl_c_ends_in_one_line(tmp_path: Path, sentinelhub_sandbox):
    """With the exit code that shells have for it."""
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONN_SENTINELHUB_DEFAULT": sentinelhub_sandbox.connection_json(),
    }
    code = (
        "import sys, os, signal\nfrom sentinelhub_provider.cli import commands, main\n"
        "commands.collections = lambda options: os.kill(os.getpid(), signal.SIGINT) or __import__('time').sleep(60)\n"
        "sys.exit(main.main(['collections']))"
    )
    done = in_process("-c", code, env=environment)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "Interrupted.\n"


def test_the_version_is_told(run: Run):
    """As a report of a fault needs it."""
    assert run("--version").out == f"{version('airflow-provider-sentinelhub')}\n"


def test_what_needs_no_airflow_does_not_load_it():
    """The help is there at once."""
    code = (
        "import sys; from sentinelhub_provider.cli import main\n"
        "try: main.main(['process', '--help'])\n"
        "except SystemExit: pass\n"
        "print('LOADED', [n for n in sys.modules if n.split('.')[0] in ('airflow', 'rich', 'requests', 'numpy')])"
    )
    assert "LOADED []" in in_process("-c", code).stdout

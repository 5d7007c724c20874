"""Every example of the documentation is checked: here those that need no Sentinel Hub, the others in integration."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields

import pytest
from airflow.configuration import conf
from airflow.sdk import Connection
from doc_blocks import ROOT, Block, all_blocks, blocks, commands, console, pages, rows
from environment import _READY_LINE, real_service

from sentinelhub_provider import exceptions
from sentinelhub_provider.get_provider_info import get_provider_info
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.operators.http import SentinelHubHttpOperator
from sentinelhub_provider.transport.answers import UNITS_HEADER, Answer
from sentinelhub_provider.transport.budget import REMAINING
from sentinelhub_provider.transport.download import Download
from sentinelhub_provider.transport.rate_limit import Slot
from sentinelhub_provider.transport.steps import TOKEN_CACHE_HIT, Send, Settle, Wait, measurements

HERE = {"messages", "metrics", "shell", "console", "form", "fields", "errors", "download", "fault", "faults"}
IN_INTEGRATION = {
    *("script", "dag", "evalscript", "pytest", "conftest", "curl", "control", "database"),
    *("alarm", "bucket", "official", "run", "step"),
}
BY_SPHINX = {"directive"}

CONNECTION_TYPE = get_provider_info()["connection-types"][0]


@pytest.mark.parametrize("block", all_blocks(), ids=str)
def test_every_block_is_of_a_kind_that_is_checked(block: Block):
    """A new block is checked, or this fails: none is left out in silence."""
    assert block.kind in HERE | IN_INTEGRATION | BY_SPHINX


def test_each_dag_has_a_name_of_its_own():
    """A reader may put all of them into one folder, as the tests do."""
    dags = all_blocks("dag", "database", "alarm", "bucket", "official")
    named = [re.findall(r'dag_id="([^"]+)"', block.text) for block in dags]
    assert [len(names) for names in named] == [1] * len(named)
    folders = [*ROOT.glob("tests/system/installed_dags/*.py"), *ROOT.glob("example_dags/*.py")]
    others = [name for file in folders for name in re.findall(r'dag_id="([^"]+)"', file.read_text())]
    names = [name for (name,) in named] + others
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    """A link that is no URL names a file of the checkout, and a heading in it."""
    prose = re.sub(r"^ *```.*?^ *```|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", prose):
        assert (page.parent / target).exists(), target


def connection_of(monkeypatch, name: str, value: str):
    """Return the settings of a connection that the environment holds, beside those that it may name."""
    monkeypatch.setenv("AIRFLOW_CONN_MY_REDIS", "redis://redis.example.org:6379")
    monkeypatch.setenv(name, value)
    return SentinelHubHook(name.removeprefix("AIRFLOW_CONN_").lower()).settings


def environment_connections(path: str) -> list[tuple[str, str]]:
    """Return the connections that a page exports, as name and value."""
    exports = [
        words[1]
        for block in blocks(ROOT / path)
        if block.kind == "shell"
        for words in commands(block.text)
        if words[0] == "export"
    ]
    return [tuple(word.split("=", 1)) for word in exports if word.startswith("AIRFLOW_CONN_")]


def labels() -> dict[str, str]:
    """Return what the form calls each field."""
    standard = CONNECTION_TYPE["ui-field-behaviour"]["relabeling"]
    extra = CONNECTION_TYPE["conn-fields"]
    return standard | {name: field["label"] for name, field in extra.items()}


def from_form(table: str) -> str:
    """Return as JSON the connection that the form stores for these values."""
    value = dict(rows(table))
    assert value.pop("Connection ID") == "sentinelhub_default"
    assert value.pop("Connection Type") == CONNECTION_TYPE["hook-name"]
    named = {name: value.pop(label) for name, label in labels().items() if label in value}
    assert not value, f"the form has no such fields: {value}"
    standard = {name: named.pop(name) for name in ("login", "password", "host") if name in named}
    untouched = dict.fromkeys(set(CONNECTION_TYPE["conn-fields"]) - set(named))
    return json.dumps({"conn_type": "sentinelhub", **standard, "extra": untouched | named})


def test_the_three_forms_in_the_readme_are_the_same_connection(monkeypatch):
    """Form, JSON and URI: whichever a reader takes, the settings are equal."""
    (form,) = [block for block in blocks(ROOT / "README.md") if block.kind == "form"]
    given = [*environment_connections("README.md"), ("AIRFLOW_CONN_SENTINELHUB_DEFAULT", from_form(form.text))]

    settings = [connection_of(monkeypatch, name, value) for name, value in given]

    assert len(settings) == 3
    assert settings[0] == settings[1] == settings[2]
    assert settings[0].client_secret == "my-client-secret"
    assert settings[0].base_url == "https://sh.dataspace.copernicus.eu"


def test_json_uri_and_command_line_in_the_docs_are_the_same_connection(monkeypatch):
    """The connection page shows one connection in three spellings."""
    added = next(
        words for block in blocks(ROOT / "docs/reference/connection.md") if block.kind == "shell"
        for words in commands(block.text) if words[:3] == ["airflow", "connections", "add"]
    )  # fmt: skip
    given = [pair for pair in environment_connections("docs/reference/connection.md") if "GATEWAY" not in pair[0]]

    settings = [connection_of(monkeypatch, name, value) for name, value in given]
    settings.append(connection_of(monkeypatch, "AIRFLOW_CONN_SENTINELHUB_DEFAULT", from_command_line(added)))

    assert len(settings) == 3
    assert settings[0] == settings[1] == settings[2]
    assert settings[0].timeout == 60


def from_command_line(words: list[str]) -> str:
    """Return as JSON the connection that ``airflow connections add`` stores."""
    arguments = airflow_arguments(words)
    return json.dumps(
        {
            "conn_type": arguments.conn_type,
            "login": arguments.conn_login,
            "password": arguments.conn_password,
            "port": arguments.conn_port,
            "extra": json.loads(arguments.conn_extra or "{}"),
        }
    )


def airflow_arguments(words: list[str]):
    """Parse a command as Airflow does."""
    from airflow.cli.cli_parser import get_parser

    return get_parser().parse_args(words[1:])


def test_the_table_of_fields_is_the_form():
    """The connection page lists the form's fields under the form's labels, all of them and in its order."""
    (table,) = [block for block in blocks(ROOT / "docs/reference/connection.md") if block.kind == "fields"]

    assert [(label, name) for label, name, _ in rows(table.text)] == [(label, name) for name, label in documented()]


def documented() -> list[tuple[str, str]]:
    """Return the form's fields: client ID and secret first, as people need them."""
    return list(labels().items())


def test_the_table_of_errors_is_the_tree():
    """The errors page lists every error and says rightly whether Airflow's retries are of use."""
    (table,) = [block for block in blocks(ROOT / "docs/reference/errors.md") if block.kind == "errors"]
    tree = {
        error.__name__: "no" if error.final else "yes"
        for error in vars(exceptions).values()
        if isinstance(error, type) and issubclass(error, exceptions.SentinelHubError) and error.__name__[0] != "_"
    }
    del tree["SentinelHubError"]

    assert {row[0]: row[-1] for row in rows(table.text)} == tree


def test_the_operator_page_names_the_templated_fields():
    """The list of templated fields, and of those that may name a file, is the operator's."""
    page = (ROOT / "docs/how-to/operators/http.md").read_text()
    fields_said, files_said = re.search(r"These fields are templates: ([^.]*)\.\s+([^.]*) may also name", page).groups()

    assert re.findall(r"`(\w+)`", fields_said) == list(SentinelHubHttpOperator.template_fields)
    assert set(re.findall(r"`(\w+)`", files_said)) == set(SentinelHubHttpOperator.template_file_fields)


@pytest.mark.parametrize("block", all_blocks("download"), ids=str)
def test_a_result_shown_has_the_fields_of_a_result(block: Block):
    """What the operator is said to return is what a download has."""
    assert set(json.loads(block.text)) == {field.name for field in fields(Download)}


@pytest.mark.parametrize(
    ("block", "words"),
    [(block, words) for block in all_blocks("shell") for words in commands(block.text)]
    + [(block, words) for block in all_blocks("console") for words in commands(console(block.text)[0])],
    ids=lambda value: str(value) if isinstance(value, Block) else " ".join(value)[:40].replace("\n", " "),
)
def test_a_command_is_one_that_works(block: Block, words: list[str], monkeypatch):
    """Each command names a target, package, option or setting that exists."""
    match words:
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["pip", "install", requirement]:
            assert_installable(requirement)
        case ["python", "-m", "sentinelhub_provider.sandbox", *options]:
            from sentinelhub_provider.sandbox.__main__ import build_parser, settings_from

            settings_from(build_parser().parse_args(options))
        case ["python", "-m", "sentinelhub_provider", *options]:
            from sentinelhub_provider.cli import commands as known
            from sentinelhub_provider.cli.parser import build_parser

            assert callable(getattr(known, build_parser().parse_args(options).command))
        case ["airflow", "connections", "test", *_]:
            pytest.fail(f"{block}: Airflow refuses this unless [core] test_connection is Enabled")
        case ["AIRFLOW__CORE__TEST_CONNECTION=Enabled", *command]:
            assert callable(airflow_arguments(command).func)
        case ["airflow", *_]:
            arguments = airflow_arguments(words)
            if words[1:3] == ["connections", "add"]:
                connection_of(monkeypatch, "AIRFLOW_CONN_SENTINELHUB_DEFAULT", from_command_line(words))
            assert callable(arguments.func)
        case ["export", assignment]:
            name, value = assignment.split("=", 1)
            if name.startswith("AIRFLOW_CONN_"):
                assert_is_a_connection(monkeypatch, name, value)
            elif name.startswith("AIRFLOW__"):
                assert conf.has_option(*name.lower().split("__")[1:])
            else:
                assert_names_a_real_service(name, value)
        case _:
            pytest.fail(f"{block}: no check knows this command: {words}")


@pytest.mark.parametrize("block", all_blocks("console"), ids=str)
def test_a_printed_line_is_what_the_sandbox_prints(block: Block):
    """The only output that is shown is the ready line, as the demo reads it."""
    _, printed = console(block.text)

    assert all(_READY_LINE.match(line) for line in printed)


@pytest.mark.parametrize("block", all_blocks("fault"), ids=str)
def test_a_fault_shown_can_be_planted(block: Block):
    """The sandbox's control surface takes it."""
    from sentinelhub_provider.sandbox.gateway.faults.model import Fault

    assert Fault.model_validate_json(block.text).action


@pytest.mark.parametrize("block", all_blocks("faults"), ids=str)
def test_faults_in_a_table_can_be_planted(block: Block):
    """Each row's fault is one that the sandbox takes."""
    from sentinelhub_provider.sandbox.gateway.faults.model import Fault

    for _, fault, _ in rows(block.text):
        assert Fault.model_validate_json(fault).action


def assert_installable(requirement: str) -> None:
    """Assert that a requirement names this distribution, and extras that it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name, extras = re.fullmatch(r"([\w-]+)(?:\[([\w,-]+)\])?", requirement).groups()
    assert name == project["name"]
    assert set(extras.split(",") if extras else []) <= set(project["optional-dependencies"])


def assert_is_a_connection(monkeypatch, name: str, value: str) -> None:
    """Assert that a connection can work, or is of another type that Airflow knows."""
    if "sentinelhub" in value:
        assert connection_of(monkeypatch, name, value).base_url
    else:
        assert Connection.from_json(value).conn_type in {"aws", "redis", "smtp"}


def assert_names_a_real_service(name: str, value: str) -> None:
    """Assert that ``make demo`` reads this variable."""
    account = {"SENTINELHUB_CLIENT_ID": "id", "SENTINELHUB_CLIENT_SECRET": "secret"} | {name: value}
    connection = real_service(account).connection
    assert value in (connection["login"], connection["password"], connection["extra"]["deployment"])


def test_words_and_lines_of_a_shell_script():
    """The splitting that the tests rely on: comments, quotes over lines, continued lines."""
    script = "make demo  # now\n\nexport A='{\n  \"b\": 1\n}'\nairflow x \\\n  --y 'z z'\n"

    assert commands(script) == [["make", "demo"], ["export", 'A={\n  "b": 1\n}'], ["airflow", "x", "--y", "z z"]]


def test_the_table_of_metrics_is_complete():
    """Each metric that the code writes, and no other; the dashboard shows only such."""
    (table,) = all_blocks("metrics")
    told = {name.strip("`").removeprefix("sentinelhub.") for name, *_ in rows(table.text)}
    token, answer = AccessToken("t", expires_at=0.0, lifetime=1.0), Answer(429, {UNITS_HEADER: "1"})
    steps = [
        (Send("GET", "https://example.org", token, 1.0), answer),
        (Send("POST", "https://example.org", None, 1.0), answer),
        (Wait(1.0, "why", 1, 2, 3.0), None),
        (Settle(Slot(0.0, 0.0), 200, None, None), 60.0),
    ]
    written = {one.name for step, outcome in steps for one in measurements(step, outcome, 1.0)}

    assert told == written | {TOKEN_CACHE_HIT.name, REMAINING}
    dashboard = (ROOT / "docs/reference/grafana-dashboard.json").read_text()
    shown = {re.sub("_(sum|count)$", "", name) for name in re.findall(r"airflow_sentinelhub_(\w+)", dashboard)}
    assert shown <= {name.replace(".", "_") for name in told}
    assert json.loads(dashboard)["panels"]

"""Every supported Airflow finds the provider, shows its form and makes an authorized call with it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from doc_blocks import all_blocks
from environment import sentinel_hub

from sentinelhub_provider import __version__
from sentinelhub_provider.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from installed import Installed

pytestmark = pytest.mark.system

CONNECTION_TYPE = get_provider_info()["connection-types"][0]
CONN_FIELDS = CONNECTION_TYPE["conn-fields"]


def test_installing_moves_no_pin(installed: Installed):
    """The wheel and its extras go beside an Airflow that was installed with its constraints, and change none of it."""
    assert installed.moved_pins() == {}


def test_provider_is_listed_with_its_version(installed: Installed):
    """``airflow providers get`` knows the provider by its distribution's name."""
    answer = installed.run("airflow", "providers", "get", "airflow-provider-sentinelhub", "--output", "json")

    assert [(row["Provider"], row["Version"]) for row in json.loads(answer.stdout)] == [
        ("airflow-provider-sentinelhub", __version__)
    ]


def test_hook_is_listed_under_its_connection_type(installed: Installed):
    """``airflow providers hooks`` lists the connection type with its label, and could import the hook."""
    answer = installed.run("airflow", "providers", "hooks", "--output", "json")

    (row,) = (row for row in json.loads(answer.stdout) if row["connection_type"] == "sentinelhub")
    assert row["hook_name"] == "Sentinel Hub"
    assert row["class"] == "sentinelhub_provider.hooks.sentinelhub.SentinelHubHook"
    assert row["conn_id_attribute_name"] == "sentinelhub_conn_id"


def test_form_shows_all_fields(installed: Installed):
    """The form's data has every field with label, help, default and choices, and the standard fields relabelled."""
    form = read_form(installed)

    assert form["hook_name"] == "Sentinel Hub"
    shown = {
        key: (field["schema"]["title"], field["description"], field["value"], field["schema"].get("enum"))
        for key, field in form["extra_fields"].items()
    }
    assert shown == {
        key: (field["label"], field["description"], field["schema"].get("default"), field["schema"].get("enum"))
        for key, field in CONN_FIELDS.items()
    }
    behaviour = CONNECTION_TYPE["ui-field-behaviour"]
    standard = {name: field for name, field in form["standard_fields"].items() if field}
    assert {name: field["title"] for name, field in standard.items() if field["title"]} == behaviour["relabeling"]
    assert {name: field["placeholder"] for name, field in standard.items() if field["placeholder"]} == (
        behaviour["placeholders"]
    )
    assert {name for name, field in standard.items() if field["hidden"]} == {"url_schema", "port"}


def test_connection_test_makes_an_authorized_call(installed: Installed):
    """``airflow connections test`` reaches a Sentinel Hub with the connection from the environment."""
    with sentinel_hub() as service:
        answer = installed.run(
            "airflow",
            "connections",
            "test",
            "sentinelhub_default",
            AIRFLOW__CORE__TEST_CONNECTION="Enabled",
            **service.environment,
        )

    assert "Connection success!" in answer.stdout


def test_command_line_checks_a_connection(installed: Installed, tmp_path: Path):
    """By Python's way everywhere, by Airflow's from 3.2 on; the example DAGs are in the wheel."""
    ways = [("python", "-m", "sentinelhub_provider"), ("airflow", "sentinelhub")]
    with sentinel_hub() as service:
        for way in ways[: 1 if installed.airflow_version.startswith("3.1.") else 2]:
            answer = installed.run(*way, "check", "--output", "json", **service.environment)
            assert {row["result"] for row in json.loads(answer.stdout)} == {"ok"}
    installed.run(*ways[0], "examples", tmp_path)
    assert (tmp_path / "example_sentinelhub_ndvi.py").is_file()


def test_first_dag_of_the_readme_runs(installed: Installed, tmp_path: Path):
    """``airflow dags test`` runs it to its end, as a person who tries it does."""
    (block,) = (block for block in all_blocks("dag") if block.path == "README.md")
    (dag_id,) = re.findall(r'DAG\(\s*(?:dag_id=)?"([^"]+)"', block.text)
    (tmp_path / "first.py").write_text(block.text)
    settings = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }
    installed.run("airflow", "db", "migrate", **settings)
    with sentinel_hub() as service:
        answer = installed.run("airflow", "dags", "test", dag_id, **settings, **service.environment)

    assert "state=success" in answer.stdout + answer.stderr


def read_form(installed: Installed) -> dict[str, object]:
    """Return the data that the web page makes this connection type's form of."""
    answer = installed.run(
        "python",
        Path(__file__).with_name("form_probe.py"),
        AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS="True",
    )
    return json.loads(answer.stdout[answer.stdout.index('{"connection_type"') :])

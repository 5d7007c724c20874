"""The metadata that Airflow reads at start-up."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.sdk import Connection
from airflow.sdk.log import redact
from airflow.triggers.base import BaseTrigger

import sentinelhub_provider
from sentinelhub_provider import __version__
from sentinelhub_provider.connection import ClientAuth, settings_from_connection
from sentinelhub_provider.deployments import DEPLOYMENTS, PathScheme
from sentinelhub_provider.get_provider_info import get_provider_info

EXTRA_FIELDS = [
    "deployment",
    "auth_url",
    "client_auth",
    "scope",
    "path_scheme",
    "auth_cache",
    "auth_cache_prefix",
    "requests_per_minute",
    "processing_units_per_minute",
    "processing_units_per_day",
    "processing_units_per_month",
    "timeout",
    "verify",
    "allowed_hosts",
]


@pytest.fixture(name="connection_type")
def fixture_connection_type() -> dict[str, Any]:
    """The provider's one connection type."""
    (entry,) = get_provider_info()["connection-types"]
    return entry


@pytest.mark.parametrize(
    "schema_name",
    [
        pytest.param("provider_info.schema.json", id="lenient-schema-of-the-runtime"),
        # Needs an Airflow whose schema knows the form keys: 3.2 or later.
        pytest.param("provider.yaml.schema.json", id="strict-authoring-schema"),
    ],
)
def test_metadata_is_valid_against_airflows_schemas(schema_name: str):
    """Airflow's two schemas accept the metadata; the strict one would notice a misspelt form key."""
    schema = json.loads((Path(airflow.__file__).parent / schema_name).read_text())
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)

    errors = [f"{error.json_path}: {error.message}" for error in validator(schema).iter_errors(get_provider_info())]

    assert errors == []


def test_package_name_is_the_normalized_distribution_name():
    """Airflow refuses to start when the package name differs from the distribution's PEP 503 name."""
    name = get_provider_info()["package-name"]

    assert name == "airflow-provider-sentinelhub"
    assert name == re.sub(r"[-_.]+", "-", name).lower()


def test_version_is_the_packages_version():
    """The listed version is the one of the package, written down once."""
    assert get_provider_info()["versions"] == [__version__]


def test_import_loads_nothing_else():
    """Every Airflow process loads this module: it must not pull in any other module of the provider or of others."""
    script = (
        "import sys, typing, __future__; before = set(sys.modules)\n"
        "import sentinelhub_provider.get_provider_info\n"
        "print(sorted(set(sys.modules) - before))"
    )
    root = Path(__file__).parents[2]

    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)

    assert answer.stdout.strip() == "['sentinelhub_provider', 'sentinelhub_provider.get_provider_info']"


def test_connection_type_is_lower_case_without_double_underscore(connection_type):
    """A connection URI loses the case of its scheme, and Airflow splits form keys at a double underscore."""
    assert connection_type["connection-type"] == "sentinelhub"
    assert connection_type["hook-name"] == "Sentinel Hub"


def test_form_has_every_documented_field_in_order(connection_type):
    """The form offers all extras, the one that everybody fills first."""
    assert list(connection_type["conn-fields"]) == EXTRA_FIELDS


@pytest.mark.parametrize("key", EXTRA_FIELDS)
def test_field_has_label_help_and_allows_null(connection_type, key: str):
    """Label and help say what to enter; an untouched field is stored as null, so every type allows it."""
    field = connection_type["conn-fields"][key]

    assert field["label"]
    assert len(field["description"].split()) >= 5
    assert "null" in field["schema"]["type"]
    assert len(field["schema"]["type"]) == 2


@pytest.mark.parametrize("key", EXTRA_FIELDS)
def test_field_key_is_not_masked_by_airflow(key: str):
    """Airflow hides the value of a key that sounds secret, in the form and in the logs."""
    assert redact({key: "value"}) == {key: "value"}
    assert redact({"token_url": "value"}) == {"token_url": "***"}


def test_defaults_satisfy_their_own_schema(connection_type):
    """The value that the form shows at first is one that it would accept."""
    for key, field in connection_type["conn-fields"].items():
        if "default" in field["schema"]:
            assert jsonschema.Draft7Validator(field["schema"]).is_valid(field["schema"]["default"]), key


@pytest.mark.parametrize(
    ("key", "choices"),
    [
        pytest.param("deployment", list(DEPLOYMENTS), id="deployment"),
        pytest.param("client_auth", list(ClientAuth), id="client_auth"),
        pytest.param("path_scheme", list(PathScheme), id="path_scheme"),
    ],
)
def test_drop_down_offers_exactly_what_the_settings_accept(connection_type, key: str, choices: list[str]):
    """The form and the code behind it know the same values, and each value has a readable name."""
    schema = connection_type["conn-fields"][key]["schema"]

    assert schema["enum"] == choices
    assert list(schema["values_display"]) == choices


def test_deployments_bear_their_own_names(connection_type):
    """The drop-down calls a deployment what messages call it."""
    names = connection_type["conn-fields"]["deployment"]["schema"]["values_display"]

    assert {key: names[key] for key in names if key != "custom"} == {
        key: deployment.title for key, deployment in DEPLOYMENTS.items() if key != "custom"
    }


def test_defaults_are_the_settings_defaults(connection_type):
    """What the form shows at first is what an empty field would mean."""
    fields = connection_type["conn-fields"]
    connection = Connection(conn_id="untouched", conn_type="sentinelhub", login="id", password="secret")
    settings = settings_from_connection(connection)

    assert fields["deployment"]["schema"]["default"] == settings.deployment.name
    assert fields["client_auth"]["schema"]["default"] == settings.client_auth
    assert f"'{settings.auth_cache}' (default) shares them on this host" in fields["auth_cache"]["description"]
    assert "default" not in fields["auth_cache"]["schema"]  # it would be saved, and Airflow warns of so short an extra
    assert fields["verify"]["schema"]["default"] == settings.verify
    assert f"Default {settings.timeout:.0f}." in fields["timeout"]["description"]


def test_standard_fields_are_relabelled_and_unused_ones_hidden(connection_type):
    """The standard fields carry OAuth2's names; schema and port mean nothing here."""
    behaviour = connection_type["ui-field-behaviour"]

    assert behaviour["relabeling"] == {"login": "Client ID", "password": "Client secret", "host": "Base URL"}
    assert sorted(behaviour["hidden-fields"]) == ["port", "schema"]
    assert set(behaviour["placeholders"]) == {"login", "password", "host"}


def test_listed_modules_exist():
    """Every hook and operator module that ``airflow providers get`` lists can be found in the package."""
    package = Path(__file__).parents[2]
    info = get_provider_info()
    listed = [module for kind in ("hooks", "operators") for row in info[kind] for module in row["python-modules"]]

    missing = [module for module in listed if not (package / f"{module.replace('.', '/')}.py").is_file()]

    assert missing == []


def test_no_word_of_the_form_breaks_a_narrow_page():
    """A phone shows some thirty letters in a line."""
    (form,) = get_provider_info()["connection-types"]
    texts = [*form["ui-field-behaviour"]["placeholders"].values()]
    for field in form["conn-fields"].values():
        texts += [field["label"], field["description"], *field["schema"].get("values_display", {}).values()]
    longest = max((word for text in texts for word in text.split()), key=len)

    assert len(longest) <= 28, longest


def test_open_fields_say_where_the_deployment_is():
    """It hides in a section that is closed at first."""
    (form,) = get_provider_info()["connection-types"]
    placeholders = form["ui-field-behaviour"]["placeholders"]

    assert "deployment" in placeholders["login"]
    assert all("Extra Fields" in placeholders[name] for name in ("login", "host"))


def test_every_trigger_is_listed():
    """A trigger is what Airflow can make from its class path."""
    listed = {name for entry in get_provider_info()["triggers"] for name in entry["python-modules"]}
    folder = Path(sentinelhub_provider.__file__).with_name("triggers")
    modules = [import_module(f"sentinelhub_provider.triggers.{path.stem}") for path in folder.glob("*.py")]
    with_triggers = {
        module.__name__
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and kind.__name__.startswith("SentinelHub")
        if issubclass(kind, BaseTrigger)
    }
    assert listed == with_triggers

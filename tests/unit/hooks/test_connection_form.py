"""The form methods for Airflow 3.1, derived from the metadata that later versions read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wtforms import BooleanField, Form, IntegerField, StringField

from sentinelhub_provider.get_provider_info import get_provider_info
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

CONNECTION_TYPE = get_provider_info()["connection-types"][0]
CONN_FIELDS: dict[str, dict[str, Any]] = CONNECTION_TYPE["conn-fields"]


class Posted(dict[str, str]):
    """What a browser posts, in the shape that wtforms reads."""

    def getlist(self, key: str) -> list[str]:
        """Return the values posted under one key."""
        return [self[key]] if key in self else []


@pytest.fixture(name="form")
def fixture_form() -> Form:
    """An untouched form made of the widgets, as Flask would show it."""
    return type("ConnectionForm", (Form,), SentinelHubHook.get_connection_form_widgets())()


def test_form_has_the_fields_of_the_metadata_in_order(form):
    """Nothing is left out of the form that Airflow 3.1 shows."""
    assert [field.name for field in form] == list(CONN_FIELDS)


@pytest.mark.parametrize("key", CONN_FIELDS)
def test_field_says_what_the_metadata_says(form, key: str):
    """Label, help text and default are the same in every Airflow version."""
    declared = CONN_FIELDS[key]

    assert form[key].label.text == declared["label"]
    assert form[key].description == declared["description"]
    assert (form[key].data or None) == declared["schema"].get("default")


@pytest.mark.parametrize(
    ("key", "field_class"),
    [
        pytest.param("auth_url", StringField, id="string"),
        pytest.param("timeout", IntegerField, id="integer"),
        pytest.param("verify", BooleanField, id="boolean"),
        pytest.param("allowed_hosts", StringField, id="list-as-text"),
    ],
)
def test_value_type_chooses_the_field_class(form, key: str, field_class: type):
    """Airflow 3.1 knows three field classes; a list is typed in as text."""
    assert type(form[key]) is field_class


@pytest.mark.parametrize("key", [key for key, field in CONN_FIELDS.items() if "enum" in field["schema"]])
def test_drop_down_accepts_its_choices_only(key: str):
    """A drop-down is a text field that refuses everything which is not a choice."""
    form_class = type("ConnectionForm", (Form,), {key: SentinelHubHook.get_connection_form_widgets()[key]})
    choices = CONN_FIELDS[key]["schema"]["enum"]

    assert [form_class(Posted({key: choice})).validate() for choice in choices] == [True] * len(choices)
    assert not form_class(Posted({key: "something else"})).validate()


def test_every_field_may_stay_empty():
    """An empty form is valid: what matters is checked when the connection is used."""
    form_class = type("ConnectionForm", (Form,), SentinelHubHook.get_connection_form_widgets())

    form = form_class(Posted(dict.fromkeys(CONN_FIELDS, "")))

    assert form.validate(), form.errors


def test_field_behaviour_is_the_metadatas_in_the_old_spelling():
    """Hidden fields, labels and placeholders are the same in every Airflow version."""
    declared = CONNECTION_TYPE["ui-field-behaviour"]

    assert SentinelHubHook.get_ui_field_behaviour() == {
        "hidden_fields": declared["hidden-fields"],
        "relabeling": declared["relabeling"],
        "placeholders": declared["placeholders"],
    }


def test_import_needs_no_form_library():
    """Tasks import the hook, so importing the form module loads no wtforms; only asking for the widgets does."""
    script = "import sys, sentinelhub_provider.hooks.sentinelhub; print('wtforms' in sys.modules)"

    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )

    assert answer.stdout.strip() == "False"

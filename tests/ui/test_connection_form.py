"""The connection form as a person meets it in Airflow's web page."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.sync_api import expect

from sentinelhub_provider.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator, Page
    from up_process import Up

pytestmark = pytest.mark.ui

CONN_FIELDS = get_provider_info()["connection-types"][0]["conn-fields"]


@pytest.fixture(name="form")
def fixture_form(page: Page) -> Locator:
    """The form for a new connection, with Sentinel Hub chosen as its type."""
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox", name="Connection Type").fill("Sentinel")
    page.get_by_role("option", name="Sentinel Hub", exact=True).click()
    form.get_by_label("Client ID").wait_for()
    return form


def test_standard_fields_carry_oauth_names(form: Locator, page: Page, artifacts: Path):
    """The first page asks for client ID, client secret and base URL, says what they are, and for nothing else."""
    for label in ("Base URL", "Client ID", "Client secret"):
        expect(form.get_by_label(label, exact=True)).to_be_visible()
        expect(form.get_by_label(label, exact=True)).to_have_attribute("placeholder", re.compile(r"\w+"))
    expect(form.get_by_text("Schema", exact=True)).to_have_count(0)
    expect(form.get_by_text("Port", exact=True)).to_have_count(0)

    page.screenshot(path=artifacts / "connection-form-standard.png")


def test_extra_fields_show_label_help_and_default(form: Locator, page: Page, artifacts: Path):
    """Every extra field is there with its label, its help text and its default value."""
    open_extra_fields(form)
    for field in CONN_FIELDS.values():
        expect(form.get_by_text(field["label"], exact=True)).to_be_visible()
        expect(form.get_by_text(field["description"], exact=True)).to_be_visible()
    expect(form.locator("[name=element_deployment]")).to_have_value("sentinel-hub")
    expect(form.locator("[name=element_auth_cache]")).to_have_value("")  # empty is the default, as its help says
    expect(form.locator("[name=element_verify]")).to_be_checked()

    page.set_viewport_size({"width": 1280, "height": 2000})
    page.screenshot(path=artifacts / "connection-form-extra.png")


@pytest.mark.parametrize("key", [key for key, field in CONN_FIELDS.items() if "enum" in field["schema"]])
def test_drop_down_offers_the_choices_by_name(form: Locator, page: Page, key: str):
    """A drop-down shows what each choice means, not only its value."""
    open_extra_fields(form)
    form.get_by_role("combobox", name=CONN_FIELDS[key]["label"]).click()

    expect(page.get_by_role("option")).to_have_text(list(CONN_FIELDS[key]["schema"]["values_display"].values()))


def test_saved_connection_holds_what_was_entered(form: Locator, page: Page, airflow: Up):
    """What a person fills in and saves is what Airflow then has, with the secret hidden."""
    form.get_by_label("Connection ID").fill("from_the_form")
    form.get_by_label("Client ID", exact=True).fill("my-client")
    form.get_by_label("Client secret", exact=True).fill("my-secret")
    open_extra_fields(form)
    form.get_by_role("combobox", name="Deployment").click()
    page.get_by_role("option", name="Copernicus Data Space").click()
    form.locator("[name=element_auth_cache]").fill("memory")
    form.get_by_role("spinbutton", name="Timeout").fill("30")
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)

    saved = read_connection(airflow, "from_the_form")

    assert (saved["conn_type"], saved["login"], saved["password"]) == ("sentinelhub", "my-client", "***")
    entered = {key: value for key, value in json.loads(saved["extra"]).items() if value not in (None, "", [])}
    assert entered == {
        "deployment": "copernicus-data-space",
        "client_auth": "client_secret_post",
        "auth_cache": "memory",
        "timeout": 30,
        "verify": True,
    }


def test_test_button_reports_success(page: Page):
    """The button in the list of connections makes an authorized call and says how it went."""
    with page.expect_response("**/api/v2/connections/test") as response:
        page.get_by_role("row", name="sentinelhub_default").get_by_role("button", name="Test Connection").click()

    answer = response.value.json()
    assert answer["status"] is True, answer["message"]


def open_extra_fields(form: Locator) -> None:
    """Open the part of the form that Airflow keeps closed at first."""
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    form.get_by_text(CONN_FIELDS["deployment"]["label"], exact=True).wait_for()


def read_connection(airflow: Up, conn_id: str) -> dict[str, object]:
    """Return a connection as Airflow's API shows it."""
    with httpx.Client(base_url=airflow.url, trust_env=False) as client:
        login = client.post("/auth/token", json={"username": airflow.user, "password": airflow.password})
        answer = client.get(
            f"/api/v2/connections/{conn_id}", headers={"Authorization": f"Bearer {login.json()['access_token']}"}
        )
    answer.raise_for_status()
    return answer.json()

"""A real browser in front of a real Airflow."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from environment import free_port
from playwright.sync_api import Browser, Page, expect, sync_playwright
from up_process import Up, make_up

if TYPE_CHECKING:
    from collections.abc import Iterator

ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "ui"

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",  # Chromium's own sandbox refuses to run as root, which CI does
    "--disable-gpu",
    # The browser is to talk to Airflow and to nobody else.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]

PATIENCE_MILLISECONDS = 60_000


@pytest.fixture(scope="session", name="airflow")
def fixture_airflow(tmp_path_factory) -> Iterator[Up]:
    """An Airflow with a sandbox and the connection in place, as ``make up`` starts it."""
    with make_up(tmp_path_factory.mktemp("airflow"), free_port()) as up:
        yield up


@pytest.fixture(scope="session", name="browser")
def fixture_browser() -> Iterator[Browser]:
    """Chromium as the operating system has it: playwright's own download is not needed."""
    chromium = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    assert chromium, "Chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MILLISECONDS)
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(name="page")
def fixture_page(airflow: Up, browser: Browser) -> Iterator[Page]:
    """The connections page, logged in."""
    context = browser.new_context(base_url=airflow.url, viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    page = context.new_page()
    page.goto("/connections")
    page.locator("input[name=username]").fill(airflow.user)
    page.locator("input[name=password]").fill(airflow.password)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Add Connection").wait_for()
    yield page
    context.close()


@pytest.fixture(name="artifacts", scope="session")
def fixture_artifacts() -> Path:
    """Where screenshots go, for a person to look at."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    return ARTIFACTS

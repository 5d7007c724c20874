"""A tour of all that a person meets, in each supported Airflow: what it looks like goes to ``artifacts/ui``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from environment import free_port
from installed import Installed, uv_install
from playwright.sync_api import Browser, FrameLocator, Page, expect
from up_process import Up, make_up

pytestmark = pytest.mark.ui

EXAMPLES = ("batch", "http", "insured_fields", "ndvi", "new_scenes", "weekly_fields")
NDVI, FIELDS, BATCH = (f"example_sentinelhub_{name}" for name in ("ndvi", "weekly_fields", "batch"))
PATIENCE_MILLISECONDS = 60_000
LINKS = ("a[href*='sentinelhub/tasks/']", "a[href^='https://browser.dataspace.copernicus.eu/?zoom=']")
HERE = ("127.0.0.1", "localhost")


class Tour:
    """A logged-in browser in front of one Airflow, whose screenshots are numbered."""

    def __init__(self, page: Page, up: Up, api: httpx.Client, shots: Path) -> None:
        self.page, self.up, self.api, self._shots, self._number = page, up, api, shots, 0

    def shoot(self, name: str, *, whole: bool = False) -> None:
        """Keep what is seen."""
        self._number += 1
        self.page.wait_for_timeout(500)  # Airflow's dialogs and charts glide into their place
        self.page.screenshot(path=f"{self._shots}-{self._number:02}-{name}.png", full_page=whole)

    def go(self, path: str) -> None:
        """Go to a page of Airflow."""
        self.page.goto(path)
        self.page.wait_for_load_state("networkidle")

    def frame(self) -> FrameLocator:
        """Return the page of this package, within Airflow's."""
        return self.page.frame_locator("iframe")

    def run_of(self, dag_id: str) -> dict[str, Any]:
        """Return the newest run of a DAG."""
        runs = self.api.get(f"/api/v2/dags/{dag_id}/dagRuns", params={"order_by": "-run_after"})
        newest: dict[str, Any] = runs.raise_for_status().json()["dag_runs"][0]
        return newest


@pytest.fixture(name="tour")
def fixture_tour(installed: Installed, browser: Browser, artifacts: Path, tmp_path: Path) -> Iterator[Tour]:
    """Airflow after ``make up``. A request to another machine, and what the browser complains of, fail the test."""
    uv_install(installed.bin.parent, "matplotlib")  # an example draws a chart
    with make_up(tmp_path, free_port(), runs=True, python=installed.python) as up:
        context = browser.new_context(base_url=up.url, viewport={"width": 1440, "height": 900})
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        asked: set[str] = set()
        context.on("request", lambda made: asked.add(made.url))
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        shots = artifacts / f"tour-{installed.airflow_version}"
        with httpx.Client(base_url=up.url, trust_env=False, timeout=60) as api:
            login = api.post("/auth/token", json={"username": up.user, "password": up.password})
            api.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
            yield Tour(page, up, api, shots)
        context.close()
    assert len(asked) > 100
    assert {url for url in asked if url.startswith("http") and urlsplit(url).hostname not in HERE} == set()
    assert [error for error in errors if "sentinelhub" in error] == []


def test_tour(tour: Tour):
    """Login, connection form, examples, the page at its three depths, buttons and tab, and a job that goes on."""
    log_in(tour)
    see_the_form(tour)
    see_the_examples(tour)
    see_the_page(tour)
    see_buttons_and_tab(tour)
    see_a_job(tour)


def log_in(tour: Tour) -> None:
    """Enter what ``make up`` prints."""
    tour.go("/")
    tour.page.locator("input[name=username]").fill(tour.up.user)
    tour.page.locator("input[name=password]").fill(tour.up.password)
    tour.shoot("login")
    tour.page.keyboard.press("Enter")
    tour.page.wait_for_url(lambda url: "login" not in url)


def see_the_form(tour: Tour) -> None:
    """The fields of a new connection, and their names."""
    page = tour.page
    tour.go("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox").first.fill("Sentinel")
    page.get_by_role("option", name="Sentinel Hub", exact=True).click()
    expect(form.get_by_label("Client ID", exact=True)).to_be_visible()
    tour.shoot("form")
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    expect(form.get_by_text("Deployment", exact=True)).to_be_visible()
    form.get_by_text("Deployment", exact=True).scroll_into_view_if_needed()
    tour.shoot("form-extra")


def see_the_examples(tour: Tour) -> None:
    """Each ran to its end; the documentation of one shows its newest picture, and its parameters have titles."""
    tour.go("/dags")
    for name in EXAMPLES:
        expect(tour.page.get_by_text(f"example_sentinelhub_{name}", exact=True).first).to_be_visible()
    tour.shoot("dags")
    assert {name: tour.run_of(f"example_sentinelhub_{name}")["state"] for name in EXAMPLES} == dict.fromkeys(
        EXAMPLES, "success"
    )
    for name in EXAMPLES:
        tour.go(f"/dags/example_sentinelhub_{name}")
        tour.page.get_by_text("Latest Run").first.wait_for()
        tour.shoot(f"dag-{name}")
    tour.go(f"/dags/{NDVI}")
    tour.page.get_by_role("button", name="Dag Docs").click()
    picture = tour.page.get_by_role("dialog").locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 384
    tour.shoot("dag-docs")
    tour.go(f"/dags/{NDVI}")
    tour.page.get_by_role("button", name="Trigger").first.click()
    expect(tour.page.get_by_text("Cloud cover").first).to_be_visible()
    tour.shoot("trigger")


def see_the_page(tour: Tour) -> None:
    """All DAGs, a run, a task; by the menu and then by links."""
    tour.go("/")
    tour.page.get_by_role("button", name="Browse").click()
    tour.shoot("menu")
    tour.page.get_by_text("Satellite imagery").click()
    frame = tour.frame()
    expect(frame.get_by_text("Processing units spent")).to_be_visible()
    assert frame.locator(".cards img").count() >= 2
    tour.shoot("overview")
    frame.locator(".cards a", has_text=NDVI).first.click()
    expect(frame.locator(".cards img")).to_have_count(8)
    tour.shoot("run")
    frame.locator(".cards a", has_text="2025-06-30").click()
    expect(frame.locator("h1")).to_contain_text("ndvi [2025-06-30]")
    tour.shoot("task")
    run = quote(tour.run_of(FIELDS)["dag_run_id"], safe="")
    tour.go(f"/sentinelhub/tasks/{FIELDS}/{run}/ndvi/-1")
    expect(tour.page.get_by_text("Mean by time")).to_be_visible()
    tour.shoot("statistics", whole=True)


def see_buttons_and_tab(tour: Tour) -> None:
    """Each button of a mapped task, where it leads, and the tab beside it."""
    run = tour.run_of(NDVI)["dag_run_id"]
    tour.go(f"/dags/{NDVI}/runs/{quote(run, safe='')}/tasks/ndvi/mapped/1/details")
    for link in LINKS:
        expect(tour.page.locator(link)).to_be_attached()
    tour.shoot("details")
    address = tour.page.locator(LINKS[0]).evaluate("link => link.href")
    tour.go(f"/dags/{NDVI}/runs/{quote(run, safe='')}/tasks/ndvi/mapped/1/plugin/imagery")
    expect(tour.frame().get_by_text("sentinel-2-l2a")).to_be_visible()
    tour.shoot("tab")
    tour.go(address)
    expect(tour.page.locator("h1")).to_contain_text("ndvi [")


def see_a_job(tour: Tour) -> None:
    """Its progress, while the task waits in the triggerer."""
    sandbox = re.search(r"sandbox at (\S+)", "\n".join(tour.up.lines))
    assert sandbox is not None
    with httpx.Client(base_url=f"{sandbox[1]}/sandbox/control/jobs", trust_env=False, timeout=60) as control:
        control.put("/pace", json={"processing": 180}).raise_for_status()
        run = tour.api.post(f"/api/v2/dags/{BATCH}/dagRuns", json={"logical_date": None}).raise_for_status().json()
        tour.go(f"/sentinelhub/tasks/{BATCH}/{quote(run['dag_run_id'], safe='')}/ndvi/-1")
        # The page looks again by itself.
        tour.page.locator("progress:not([value='0'])").wait_for(timeout=3 * PATIENCE_MILLISECONDS)
        expect(tour.page.get_by_text("PROCESSING", exact=True)).to_be_visible()
        tour.shoot("job", whole=True)
        tour.go("/plugin/satellite-imagery")
        expect(tour.frame().locator("progress")).to_be_visible()
        tour.shoot("running")
        control.post("/step").raise_for_status()

"""The page *Satellite imagery* as a person meets it, on a desktop and a phone, light and dark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from environment import free_port
from playwright.sync_api import Browser, Page, expect
from up_process import Up, make_up

pytestmark = pytest.mark.ui

DAG = "fields_of_june"
PATIENCE_MILLISECONDS = 60_000
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module", name="filled")
def fixture_filled(tmp_path_factory) -> Iterator[tuple[Up, str]]:
    """An Airflow in which a DAG of all kinds ran, and the id of its run."""
    dags = Path(__file__).with_name("dags")
    with make_up(tmp_path_factory.mktemp("imagery"), free_port(), dags=dags) as up:
        with httpx.Client(base_url=up.url, trust_env=False, timeout=60) as client:
            login = client.post("/auth/token", json={"username": up.user, "password": up.password})
            client.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
            client.patch(f"/api/v2/dags/{DAG}", json={"is_paused": False}).raise_for_status()
            runs = f"/api/v2/dags/{DAG}/dagRuns"
            run_id = client.post(runs, json={"logical_date": None}).raise_for_status().json()["dag_run_id"]
            deadline = time.monotonic() + 300
            while client.get(f"{runs}/{run_id}").json()["state"] not in ("success", "failed"):
                assert time.monotonic() < deadline
                time.sleep(1)
        yield up, run_id


@pytest.fixture(name="visit", params=[(theme, size) for theme in ("light", "dark") for size in SIZES], ids="-".join)
def fixture_visit(request, filled: tuple[Up, str], browser: Browser, artifacts: Path) -> Iterator[Any]:
    """Go to a page of Airflow, logged in; a screenshot of it is kept. What the browser complains of fails the test."""
    theme, size = request.param
    up, run_id = filled
    width, height = SIZES[size]
    context = browser.new_context(base_url=up.url, viewport={"width": width, "height": height})
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    page = context.new_page()
    complaints: list[str] = []
    page.goto("/")
    page.locator("input[name=username]").fill(up.user)
    page.locator("input[name=password]").fill(up.password)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "login" not in url)
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    outside: list[str] = []
    page.on(
        "request", lambda made: None if made.url.startswith((up.url, "data:", "blob:")) else outside.append(made.url)
    )

    def visit(path: str, name: str) -> Page:
        page.goto(path.format(run=run_id, run_part=quote(run_id, safe="")))
        frame = "iframe" if not path.startswith("/sentinelhub") else None
        heading = page.frame_locator(frame).locator("h1") if frame else page.locator("h1")
        heading.wait_for()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=artifacts / f"imagery-{name}-{theme}-{size}.png", full_page=frame is None)
        inner = page.frames[-1]
        assert inner.evaluate("document.documentElement.classList.contains('dark')") == (theme == "dark")
        assert inner.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert inner.evaluate("[...document.images].every(image => !image.complete || image.naturalWidth > 0)")
        if frame is None:
            found = Axe().run(page).response["violations"]
            assert [one for one in found if one["impact"] in ("serious", "critical")] == []
        return page

    yield visit
    context.close()
    assert outside == []
    assert [said for said in complaints if "sentinelhub" in said or "Content Security" in said] == []


def test_overview_in_the_menu(visit):
    """Spent, errors and runs; a run leads to its contact sheet, and that to a task."""
    visit("/sentinelhub/", "overview-alone")  # axe does not look into Airflow's frame
    page: Page = visit("/plugin/satellite-imagery", "overview")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_text("Processing units spent")).to_be_visible()
    expect(frame.get_by_text("max_processing_units").first).to_be_visible()

    frame.locator(".cards a").first.click()
    expect(frame.locator("h1")).to_have_text(DAG)
    frame.locator(".cards a", has_text="true_colour").click()
    expect(frame.locator("h1")).to_contain_text("true_colour")
    expect(frame.get_by_text("sentinel-2-l2a")).to_be_visible()


def test_contact_sheet_of_a_run(visit):
    """A card for each task, named by its map index."""
    page: Page = visit("/sentinelhub/runs/fields_of_june/{run_part}", "run")

    for name in ("true_colour", "2025-06-02", "2025-06-23", "statistics", "too_dear", "scenes"):
        expect(page.locator(".cards a", has_text=name)).to_be_visible()
    assert page.locator(".cards img").count() == 5


def test_tasks(visit):
    """What they left: a picture, a chart, an error, scenes. The arrow keys lead to a mapped task's next."""
    seen = {
        "true_colour/-1": "at most 30 %",
        "statistics/-1": "Mean by time",
        "too_dear/-1": "Why it failed",
        "scenes/-1": "First rows",
        "ndvi_by_week/1": "ndvi",
    }
    page: Page | None = None
    for task, text in seen.items():
        page = visit(f"/sentinelhub/tasks/fields_of_june/{{run_part}}/{task}", task.partition("/")[0])
        expect(page.get_by_text(text).first).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_contain_text("2025-06-16")


def test_tab_and_button_of_a_task(visit):
    """The tab is there, as ``make up`` wants it; the button on the tab Details leads to the same page."""
    page: Page = visit("/dags/fields_of_june/runs/{run}/tasks/true_colour/plugin/imagery", "tab")
    expect(page.frame_locator("iframe").get_by_text("sentinel-2-l2a")).to_be_visible()

    page.goto(page.url.replace("/plugin/imagery", "/details"))
    button = page.locator("a[href$='/true_colour/-1']")
    button.wait_for(state="attached")
    page.goto(f"/{button.get_attribute('href')}")
    expect(page.locator("h1")).to_contain_text("true_colour")

"""The script of the pages of *Satellite imagery*, in a browser that is made of stubs."""

from __future__ import annotations

from importlib.resources import files

import pytest
from py_mini_racer import MiniRacer

BROWSER = """
const timers = [], answers = [];
let asked = 0;
const main = { dataset: { live: "yes" }, innerHTML: "" };
const classes = { toggle() {}, contains: () => false };
globalThis.window = globalThis.parent = globalThis;
globalThis.document = { documentElement: { classList: classes }, addEventListener() {}, querySelector: () => main };
globalThis.localStorage = { getItem: () => "light" };
globalThis.location = { href: "/" };
globalThis.AbortSignal = { timeout() {} };
globalThis.setInterval = (callback) => { timers.push({ callback, stays: true }); };
globalThis.setTimeout = (callback, delay) => { timers.push({ callback, delay }); };
let now = 0;
globalThis.Date = { now: () => now };
globalThis.fetch = () => { asked += 1; return new Promise((answer) => answers.push(answer)); };
const fiveSecondsLater = () => {
  const due = timers.splice(0);
  timers.push(...due.filter((timer) => timer.stays));
  for (const timer of due) timer.callback();
};
"""


@pytest.fixture(name="browser")
def fixture_browser() -> MiniRacer:
    """A page is open."""
    browser = MiniRacer()
    browser.eval(BROWSER)
    browser.eval(files("sentinelhub_provider.plugins.imagery").joinpath("templates/page.js").read_text("utf-8"))
    return browser


def test_the_page_looks_again_after_the_answer(browser: MiniRacer):
    """Otherwise, the pages that are open would keep a slow server from everything else."""
    for _ in range(4):
        browser.eval("fiveSecondsLater()")
    assert browser.eval("asked") == 1

    browser.eval("answers.pop()({ ok: false })")
    browser.eval("fiveSecondsLater()")
    assert browser.eval("asked") == 2

    browser.eval("answers.pop()(Promise.reject(new Error('the server is away')))")
    browser.eval("fiveSecondsLater()")
    assert browser.eval("asked") == 3


def test_the_page_asks_a_slow_server_less_often(browser: MiniRacer):
    """A look takes at most a twentieth of its time."""
    for took, delay in ((100, 5000), (2000, 40_000)):
        browser.eval("fiveSecondsLater()")
        browser.eval(f"now += {took}")
        browser.eval("answers.pop()({ ok: false })")
        assert browser.eval("timers[0].delay") == delay

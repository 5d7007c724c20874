"""The script of the pages of *Satellite imagery*, in a browser that is made of stubs."""

from __future__ import annotations

from importlib.resources import files

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
globalThis.setTimeout = (callback) => { timers.push({ callback }); };
globalThis.fetch = () => { asked += 1; return new Promise((answer) => answers.push(answer)); };
const fiveSecondsLater = () => {
  const due = timers.splice(0);
  timers.push(...due.filter((timer) => timer.stays));
  for (const timer of due) timer.callback();
};
"""


def test_the_page_looks_again_after_the_answer():
    """Otherwise, the pages that are open would keep a slow server from everything else."""
    browser = MiniRacer()
    browser.eval(BROWSER)
    browser.eval(files("sentinelhub_provider.plugins.imagery").joinpath("templates/page.js").read_text("utf-8"))

    for _ in range(4):
        browser.eval("fiveSecondsLater()")
    assert browser.eval("asked") == 1

    browser.eval("answers.pop()({ ok: false })")
    browser.eval("fiveSecondsLater()")
    assert browser.eval("asked") == 2

    browser.eval("answers.pop()(Promise.reject(new Error('the server is away')))")
    browser.eval("fiveSecondsLater()")
    assert browser.eval("asked") == 3

"""The search of the documentation, in a browser: what a newcomer asks is found at the first try."""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser

pytestmark = pytest.mark.ui

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = {
    "429": "troubleshooting",
    "401": "troubleshooting",
    "invalid_client": "troubleshooting",
    "insufficient processing units": "troubleshooting",
    "backfill": "how-to/backfill",
    "shapefile": "how-to/farm-software",
    "e-mail alarm": "how-to/alarms",
    "proxy": "how-to/proxies",
    "Redis": "how-to/redis",
    "Kubernetes": "how-to/celery-kubernetes",
    "sentinelhub-py": "how-to/from-sentinelhub-py",
    "price": "how-to/budgets",
}


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module", name="docs")
def fixture_docs(tmp_path_factory) -> Iterator[str]:
    """Build the documentation; yield where it is served."""
    html = tmp_path_factory.mktemp("html")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", ROOT / "docs", html], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=html)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("question", "answer"), ANSWERS.items())
def test_a_question_leads_to_its_page(docs: str, browser: Browser, question: str, answer: str):
    """The page is the first result."""
    page = browser.new_page()
    page.goto(f"{docs}/search.html?q={quote(question)}")
    page.get_by_text("Search finished").or_(page.get_by_text("did not match any documents")).wait_for()
    links = page.locator("ul.search > li > a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    page.close()

    assert links[0].startswith(f"{answer}.html"), links[:3]

"""Take pictures of the built documentation, as a desktop, a phone and a dark desktop show it, for a person to look at.

python dev/docs_pictures.py     after `make docs`; needs Chromium, writes to artifacts/docs
"""

from __future__ import annotations

import shutil
import sys
from typing import Literal

from environment import ROOT
from playwright.sync_api import sync_playwright

HTML = ROOT / "docs" / "_build" / "html"
PICTURES = ROOT / "artifacts" / "docs"
PAGES = {
    "start": "index",
    "how-to": "how-to/farm-software",
    "class": "reference/classes/sentinelhub_provider.operators.process.SentinelHubProcessOperator",
    "tables": "reference/collections",
}
VIEWS: dict[str, tuple[int, int, Literal["light", "dark"]]] = {
    "desktop": (1280, 900, "light"),
    "phone": (390, 844, "light"),
    "dark": (1280, 900, "dark"),
}
"""Width and height in pixels, and the colour scheme that the reader prefers."""


def main() -> int:
    """Take the pictures; return 1 where a page is wider than its screen."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    chromium = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    too_wide = []
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to run as root.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for view, (width, height, scheme) in VIEWS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            for name, path in PAGES.items():
                page.goto((HTML / f"{path}.html").as_uri())
                page.screenshot(path=PICTURES / f"{name}-{view}.png")
                if page.evaluate("document.documentElement.scrollWidth") > width:
                    too_wide.append(f"{name}-{view}")
        browser.close()
    print(PICTURES, f"too wide: {', '.join(too_wide)}" if too_wide else "every page fits")
    return int(bool(too_wide))


if __name__ == "__main__":
    sys.exit(main())

"""Make ``docs/images/imagery-page.png``: the page *Satellite imagery* as the tests of ``tests/ui`` see it.

python dev/imagery_picture.py     takes some minutes, and needs Chromium
"""

from __future__ import annotations

import subprocess
import sys

from environment import ROOT
from PIL import Image

SHOTS = ROOT / "artifacts" / "ui"
PICTURE = ROOT / "docs" / "images" / "imagery-page.png"
WIDTH, GAP, COLOURS = 800, 16, 256
HEIGHT = 720  # of a screenshot: below it are paths of this machine


def main() -> int:
    """Take the screenshots, and put two of them side by side; return the exit status of the tests."""
    chosen = "(overview and light-desktop) or (tab and dark-desktop)"
    command = [sys.executable, "-m", "pytest", "-q", "tests/ui/test_imagery_page.py", "-k", chosen]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if status == 0:
        files = [SHOTS / f"imagery-{name}-desktop.png" for name in ("overview-light", "tab-dark")]
        shots = [Image.open(file).convert("RGB") for file in files]
        shots = [shot.crop((0, 0, shot.width, HEIGHT)) for shot in shots]
        small = [shot.resize((WIDTH, WIDTH * HEIGHT // shot.width)) for shot in shots]
        whole = Image.new("RGB", (2 * WIDTH + GAP, small[0].height), "white")
        for number, shot in enumerate(small):
            whole.paste(shot, (number * (WIDTH + GAP), 0))
        whole.quantize(COLOURS).save(PICTURE, optimize=True)
        print(PICTURE)
    return status


if __name__ == "__main__":
    sys.exit(main())

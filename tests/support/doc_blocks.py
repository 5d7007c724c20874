"""The examples in the documentation: every fenced block, and tables that are marked.

What a block is, and so how it is checked, is told by its language. An HTML comment in the line above says otherwise,
or names the check of a table or of data::

    <!-- test: KIND -->
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_MARKER = re.compile(r"\s*<!-- test: (?P<kind>[a-z-]+) -->\s*$")
_FENCE = re.compile(r"(?P<indent> *)(?P<fence>```+|:::+)(?P<language>\{?[\w-]*\}?).*$")


@dataclass(frozen=True)
class Block:
    """An example.

    :param path: the page, relative to the checkout.
    :param line: where it starts, counted from 1.
    :param kind: what it is.
    :param text: what it says, without the fence.
    """

    path: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"

    @property
    def name(self) -> str:
        """A name for a Python module."""
        return f"{re.sub(r'[^a-z]+', '_', self.path.lower().removesuffix('.md'))}_{self.line}"


def pages() -> list[Path]:
    """Return all pages of the documentation."""
    return [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)]


def all_blocks(*kinds: str) -> list[Block]:
    """Return the examples of all pages; with ``kinds``, those of these kinds."""
    found = [block for page in pages() for block in blocks(page)]
    return [block for block in found if not kinds or block.kind in kinds]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the examples of a page."""
    path = str(page.relative_to(ROOT))
    lines = page.read_text().splitlines()
    number, marker = 0, None
    while number < len(lines):
        line, start = lines[number], number + 1
        number += 1
        if found := _MARKER.match(line):
            marker = found["kind"]
            continue
        if fence := _FENCE.match(line):
            end = next(i for i in range(number, len(lines)) if lines[i].strip() == fence["fence"])
            text = "\n".join(row.removeprefix(fence["indent"]) for row in lines[number:end]) + "\n"
            yield Block(path, start, marker or kind_of(fence["language"], text), text)
            number = end + 1
        elif marker and line.startswith("|"):
            end = next((i for i in range(number, len(lines)) if not lines[i].startswith("|")), len(lines))
            yield Block(path, start, marker, "\n".join(lines[start - 1 : end]))
            number = end
        elif marker:
            raise AssertionError(f"{path}:{start - 1}: a marker that stands above no block and no table")
        marker = None


def kind_of(language: str, text: str) -> str:
    """Return what a block is by its language and a glance at it; ``unknown`` where that does not tell."""
    match language:
        case "python" if "DAG(" in text:
            return "dag"
        case "python" if "def test_" in text or "@pytest" in text:
            return "pytest"
        case "bash" if "curl " in text:
            return "curl"
        case "json" if '"action"' in text:
            return "fault"
        case "python" | "bash" | "console" | "js":
            return {"python": "script", "bash": "shell", "console": "console", "js": "evalscript"}[language]
    return "directive" if language.startswith("{") else "unknown"


def rows(table: str) -> list[list[str]]:
    """Return the cells of a Markdown table, without its head and without code marks."""
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines()]
    return [
        [cell.removeprefix("`").removesuffix("`") if cell.count("`") == 2 else cell for cell in row]
        for row in cells[2:]
    ]


def console(text: str) -> tuple[str, list[str]]:
    """Split what a terminal shows into the commands that were typed and the lines that were printed."""
    lines = text.splitlines()
    typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return "\n".join(typed), [line for line in lines if not line.startswith("$ ")]


def commands(script: str) -> list[list[str]]:
    """Split a shell script into commands and these into words; a quoted word may span lines."""
    found: list[list[str]] = []
    pending = ""
    for line in script.splitlines():
        pending += line
        if pending.endswith("\\"):
            pending = pending.removesuffix("\\")
            continue
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # no closing quotation
            pending += "\n"
            continue
        pending = ""
        if words:
            found.append(words)
    assert not pending, f"a quotation is not closed: {pending}"
    return found

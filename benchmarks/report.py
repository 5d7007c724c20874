"""Tables: how results are printed and kept."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

RESULTS = Path(__file__).parent / "results"
"""Where results are kept as JSON, one file per subject; not under version control."""

Cell: TypeAlias = str | int | float | None


@dataclass(frozen=True)
class Row:
    """One line of a table.

    :param cells: one for each column.
    :param met: whether the row reached its target, ``None`` where it has none or could not be measured.
    """

    cells: tuple[Cell, ...]
    met: bool | None = None


@dataclass(frozen=True)
class Table:
    """What one measurement found.

    :param title: what was measured.
    :param columns: names of the columns, with units.
    :param rows: the lines.
    :param note: what a reader must know to read the figures.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""

    def __str__(self) -> str:
        header = (*self.columns, "")
        lines = [(*map(_shown, row.cells), _VERDICTS[row.met]) for row in self.rows]
        widths = [max(len(line[column]) for line in (header, *lines)) for column in range(len(header))]
        ruler = tuple("-" * width for width in widths)
        body = "\n".join(_aligned(line, widths) for line in (header, ruler, *lines))
        return "\n".join(part for part in (self.title, body, self.note) if part)


_VERDICTS = {True: "met", False: "MISSED", None: ""}


def _shown(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case float():
            return f"{cell:.3g}" if abs(cell) < 1 else f"{cell:,.2f}" if abs(cell) < 100 else f"{cell:,.0f}"
        case _:
            return str(cell)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """The first column is words and stands left; the others are figures and stand right."""
    (first, *others), (first_width, *widths) = line, widths
    figures = (text.rjust(width) for text, width in zip(others, widths, strict=True))
    return "  ".join((first.ljust(first_width), *figures)).rstrip()


def progress(words: str) -> None:
    """Show a person at a terminal what is being measured; overwritten by the next, and by the tables."""
    if sys.stderr.isatty():
        print(f"\r\033[K{words} ...", end="\r", file=sys.stderr, flush=True)


def keep(subject: str, tables: Sequence[Table]) -> Path:
    """Write tables to :data:`RESULTS`; nothing in the file tells about the machine but its kind."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{subject}.json"
    document = {
        "subject": subject,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {name: version(name) for name in ("apache-airflow", "requests", "urllib3")},
        "tables": [asdict(table) for table in tables],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path

"""The output of the command line: tables or JSON on standard output, errors and progress on standard error."""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

WIDEST = 100_000
"""Most columns of a table. A terminal cannot show more, and a line of a table stays a line."""


def show(result: Any, output: str) -> None:
    """Print a command's result as JSON or as a table. A dict becomes a table of names and values."""
    if output == "json":
        _write(sys.stdout, json.dumps(result, indent=2, default=_plain) + "\n")
        return
    if isinstance(result, Mapping):
        rows = [(name, value) for name, value in result.items() if value is not None]
        _write(sys.stdout, _table((), rows))
    elif not result:
        _write(sys.stdout, "Nothing found.\n")
    elif not isinstance(result[0], Mapping):
        _write(sys.stdout, "".join(f"{cell(value)}\n" for value in result))
    else:
        names = list(dict.fromkeys(name for row in result for name in row))
        _write(sys.stdout, _table(names, [[row.get(name) for name in names] for row in result]))


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    from rich.box import ASCII2, SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Text goes out without colour and markup, because the service's words may hold anything.
    text, columns = io.StringIO(), names or ("", "")
    console = Console(file=text, width=None if sys.stdout.isatty() else WIDEST, color_system=None)
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    table = Table(box=SIMPLE if is_unicode else ASCII2, show_header=bool(names), show_edge=False, pad_edge=False)
    for name in columns:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def cell(value: Any) -> str:
    """Return a value as text on one line, without control characters of a terminal."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:,.2f}"
    if isinstance(value, list | tuple) and all(isinstance(one, int | float | str) for one in value):
        return ", ".join(map(cell, value))
    text = json.dumps(value, default=str) if isinstance(value, dict | list | tuple) else str(value)
    return "".join(one if one.isprintable() else " " if one.isspace() else repr(one)[1:-1] for one in text)


def show_error(error: BaseException, output: str, *, debug: bool = False) -> None:
    """Print an error with its message on one line, or as JSON. With ``debug``, add the traceback."""
    if debug:
        _write(sys.stderr, "".join(traceback.format_exception(error)))
    message = cell(str(error).strip() or type(error).__name__)
    if output == "json":
        told = {name: getattr(error, name, None) for name in ("field", "status", "code", "service_message")}
        told = {"kind": type(error).__name__, "message": message} | {
            name: value for name, value in told.items() if value
        }
        _write(sys.stderr, json.dumps({"error": told}) + "\n")
    else:
        _write(sys.stderr, f"Failed: {message}\n")


def _write(stream: TextIO, text: str) -> None:
    # A character that the terminal's encoding lacks becomes a question mark instead of an error.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


def set_up_log(*, verbose: bool, debug: bool) -> None:
    """Send the log to standard error: warnings, on a terminal also the progress, and with ``debug`` everything."""
    level = logging.DEBUG if debug else logging.INFO if verbose or sys.stderr.isatty() else logging.WARNING
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(_is_ours)
    # Airflow sets its log up when it is imported and sends it to standard output, which is for results.
    importlib.import_module("airflow.settings")
    for name in ("airflow.task", "airflow", "sentinelhub_provider"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate, logger.level = True, logging.NOTSET
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell whether a record is this package's. OAuth2 and HTTP libraries would show headers and tokens."""
    return "sentinelhub_provider" in record.name


def end_of_pipe() -> None:
    """Stop writing to standard output, whose reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

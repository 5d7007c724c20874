"""The page of messages quotes messages that the package has."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
from doc_blocks import ROOT, all_blocks, rows

MESSAGES = [message for table in all_blocks("messages") for message, *_ in rows(table.text)]


@cache
def texts() -> str:
    """Return all texts of the package, with ``…`` for what is filled in; the sandbox has the service's own words."""
    found = []
    for file in (ROOT / "sentinelhub_provider").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def is_in(message: str, texts: str) -> bool:
    """Tell whether a text has the parts of a message in their order, with something between them."""
    return bool(re.search("[^\n]*?".join(re.escape(part) for part in message.split("…")), texts))


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_quoted_is_one_of_the_package(message: str):
    """A reader who searches for what the log says finds it."""
    assert is_in(message, texts())


def test_other_words_are_not_found():
    """The search that the tests rely on can fail."""
    assert is_in("the … passed", "the deadline passed\n")
    assert not is_in("the … passed", "the deadline\nhas passed\n")


def test_status_codes_and_words_are_found():
    """Sphinx's search finds words by their headings, and numbers only by the index."""
    page = (ROOT / "docs/troubleshooting.md").read_text()
    headings = " ".join(re.findall(r"^## (.+)$", page, re.MULTILINE))
    indexed = re.findall(r"\d+", " ".join(re.findall(r"^```{index} (.+)$", page, re.MULTILINE)))

    assert set(re.findall(r"\b\d{3}\b", headings)) == set(indexed) >= {"401", "403", "404", "429", "500", "503", "504"}
    assert all(word in headings for word in ("invalid_client", "invalid_scope", "insufficient processing units"))

"""The list of what the sandbox does not imitate: put together from the code, and the same in the documentation."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

from sentinelhub_provider.sandbox import apis, world
from sentinelhub_provider.sandbox.__main__ import main
from sentinelhub_provider.sandbox.not_imitated import as_markdown, not_imitated

DOCUMENTATION = Path(__file__).parents[4] / "docs" / "reference" / "sandbox.md"


@pytest.mark.parametrize(
    "name",
    [
        f"{package.__name__}.{module.name}"
        for package in (apis, world)
        for module in pkgutil.iter_modules(package.__path__)
        if module.ispkg
    ],
)
def test_each_part_says_what_it_lacks(name: str) -> None:
    """A new API cannot be added without a word."""
    said = import_module(name).NOT_IMITATED
    assert said
    assert set(said) <= set(not_imitated())


def test_the_documentation_has_the_list() -> None:
    """Written by ``python -m sentinelhub_provider.sandbox --not-imitated``."""
    assert as_markdown() in DOCUMENTATION.read_text()


def test_the_command_line_prints_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And ends."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main(["--not-imitated"]) == 0
    assert capsys.readouterr().out.strip() == as_markdown()


def test_what_is_there_is_not_in_the_list() -> None:
    """Collections and bands follow from the code."""
    text = as_markdown()
    assert "scatteringArea" in text
    assert "localIncidenceAngle" not in text
    assert "sentinel-2-l2a" not in text.partition("**Bands")[0]

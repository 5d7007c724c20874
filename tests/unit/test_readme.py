"""The README as a package index shows it."""

from __future__ import annotations

import io
import re

import pytest
from doc_blocks import ROOT
from readme_renderer import markdown

from hatch_build import index_readme

README = (ROOT / "README.md").read_text()
REPOSITORY = "https://git.example.org/field/provider"


@pytest.mark.parametrize("repository", [None, REPOSITORY, f"{REPOSITORY}/"])
def test_nothing_leads_to_a_place_that_is_not_there(repository):
    """The index's own renderer takes it; each link and picture is a URL, with a repository or without one."""
    warnings = io.StringIO()
    html = markdown.render(index_readme(README, repository, "1.2.3"), stream=warnings)

    assert html
    assert warnings.getvalue() == ""
    targets = re.findall(r'(?:href|src)="([^"]+)"', html)
    assert targets
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []


def test_links_and_pictures_are_those_of_the_version():
    """A picture is served raw, a page as people read it."""
    text = "![A sheet](docs/a.png) [page](docs/b.md#part) [out](https://example.org/) [here](#two)"

    assert index_readme(text, REPOSITORY, "1.2.3") == (
        f"![A sheet]({REPOSITORY}/raw/v1.2.3/docs/a.png) [page]({REPOSITORY}/blob/v1.2.3/docs/b.md#part)"
        " [out](https://example.org/) [here](#two)"
    )
    assert index_readme(text, None, "1.2.3") == " page [out](https://example.org/) [here](#two)"


def test_the_first_screen_has_what_a_newcomer_looks_for():
    """A picture, the command, a DAG of ten lines and three reasons stand before the first heading."""
    first = README.split("\n## ")[0]

    assert len(first.splitlines()) < 45
    assert re.search(r"!\[.+\]\(.+\.png\)", first)
    assert "pip install airflow-provider-sentinelhub\n" in first
    (dag,) = re.findall(r"```python\n(.+?)```", first, re.DOTALL)
    assert len(dag.splitlines()) <= 10
    assert len(re.findall(r"^- \*\*", first, re.MULTILINE)) == 3

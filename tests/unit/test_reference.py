"""The reference of the documentation: each public class has its page, which names each of its parameters."""

from __future__ import annotations

import importlib
import inspect
import re
import sys

import pytest
from doc_blocks import ROOT

from sentinelhub_provider.get_provider_info import get_provider_info


def public_classes() -> list[type]:
    """Return the operators, sensors, triggers and hooks that Airflow lists."""
    info = get_provider_info()
    names = [name for kind in ("hooks", "operators", "sensors", "triggers") for name in info[kind][0]["python-modules"]]
    modules = map(importlib.import_module, names)
    classes = [one for module in modules for one in vars(module).values() if is_public(one, module.__name__)]
    assert len(classes) > 20
    return classes


def is_public(value: object, module: str) -> bool:
    """Tell whether a module offers a class of its own to users."""
    return inspect.isclass(value) and value.__module__ == module and value.__name__.startswith("SentinelHub")


@pytest.fixture(scope="module", name="class_pages")
def fixture_class_pages():
    """The extension of Sphinx that writes a class's parameters."""
    sys.path.insert(0, str(ROOT / "docs" / "_extensions"))
    try:
        yield importlib.import_module("class_pages")
    finally:
        sys.path.remove(str(ROOT / "docs" / "_extensions"))


@pytest.mark.parametrize("kind", public_classes(), ids=lambda kind: kind.__name__)
def test_a_class_has_a_page(kind: type):
    """A table of the reference names it, so that its page is made."""
    listed = re.findall(r"^   ~(\w+(?:\.\w+)+)$", (ROOT / "docs/reference/api.md").read_text(), re.MULTILINE)

    assert f"{kind.__module__}.{kind.__qualname__}".removeprefix("sentinelhub_provider.") in listed


@pytest.mark.parametrize("kind", public_classes(), ids=lambda kind: kind.__name__)
def test_a_page_names_each_parameter_with_its_type(class_pages, kind: type):
    """Those that the class inherits, too."""
    lines = class_pages.parameters(kind)
    explained = [match[1] for line in lines if (match := re.match(r":param (\w+): \S", line))]
    typed = [match[1] for line in lines if (match := re.match(r":type (\w+): ``[^`]+``", line))]
    taken = {
        name
        for origin in inspect.getmro(kind)
        if origin.__module__.startswith("sentinelhub_provider") and "__init__" in vars(origin)
        for name in inspect.signature(origin.__init__).parameters
    }

    assert set(explained) == taken - {"self", "kwargs"}
    assert explained == typed


@pytest.mark.parametrize("kind", public_classes(), ids=lambda kind: kind.__name__)
def test_a_page_says_what_types_an_argument_may_have(class_pages, kind: type):
    """A union, not ``Any``, and not the name that only the code has for it."""
    types = " ".join(line for line in class_pages.parameters(kind) if line.startswith(":type "))

    assert not re.findall(r":type \w+: ``Any\b[^`]*``", types)
    assert not re.findall(rf"(?<!:type )\b(?:{'|'.join(class_pages._named_types())})\b", types)


UNITS = {"hours": 3600, "MiB": 1024 * 1024}
TOLD = re.compile(r"`(\w+)`[^`.()|]{0,45}\((\d[\d,]*)(?: (\w+))?|(\w+)=.*# leave it out: (\d+) is the default")


def told_defaults() -> list[tuple[str, str, float]]:
    """Return the page, parameter and number of the defaults that pages tell in parentheses or in a comment."""
    found = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for name, number, unit, other, value in TOLD.findall(page.read_text()):
            if page.name != "sandbox.md":
                told = float((number or value).replace(",", "")) * UNITS.get(unit, 1)
                found.append((str(page.relative_to(ROOT / "docs")), name or other, told))
    assert len(found) > 8
    return found


@pytest.mark.parametrize(("page", "name", "told"), told_defaults())
def test_a_default_that_a_page_tells_is_one_of_its_classes(page: str, name: str, told: float):
    """Of those that the page names, or of any if it names none."""
    text = (ROOT / "docs" / page).read_text()
    classes = [kind for kind in public_classes() if kind.__name__ in text] or public_classes()
    defaults = [
        inspect.signature(origin.__init__).parameters[name].default
        for kind in classes
        for origin in inspect.getmro(kind)
        if "__init__" in vars(origin) and name in inspect.signature(origin.__init__).parameters
    ]
    assert told in defaults, defaults

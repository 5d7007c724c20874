"""Pages of classes: their parameters, the inherited ones too, with types and defaults as the code declares them."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.operators import argument_types

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_PARAMETER = re.compile(r":param (\w+):")
_UNSAID = frozenset({"self", "args", "kwargs"})


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx pass each docstring by."""
    app.connect("autodoc-process-docstring", _complete)
    return {"parallel_read_safe": True}


def _complete(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001 - Sphinx gives them
    if what == "class":
        fields_at = next((number for number, line in enumerate(lines) if line.startswith(":")), len(lines))
        fields = lines[fields_at:]
        lines[fields_at:] = [*parameters(value), *_other_fields(fields)]


def parameters(kind: type) -> list[str]:
    """Return the fields of a class's parameters, below a rubric for each class that they are inherited from."""
    lines: list[str] = []
    told = set(_UNSAID)
    for origin in inspect.getmro(kind):
        documented = _documented(origin)
        new = [name for name in _declared(origin) if name not in told and name in documented]
        told |= {*new}
        if new and origin is not kind:
            lines += ["", f".. rubric:: Inherited from {origin.__name__}", ""]
        for name in new:
            lines += [*documented[name], f":type {name}: {_type(_declared(origin)[name])}"]
    return [*lines, ""]


def _declared(origin: type) -> dict[str, inspect.Parameter]:
    """Return the parameters that a class of this package declares itself."""
    own = "__init__" in vars(origin) and origin.__module__.startswith("sentinelhub_provider")
    return dict(inspect.signature(origin.__init__).parameters) if own else {}  # type: ignore[misc]


def _documented(origin: type) -> dict[str, list[str]]:
    """Return the field of each parameter in a class's docstring, as its lines."""
    found: dict[str, list[str]] = {}
    current = None
    for line in inspect.cleandoc(vars(origin).get("__doc__") or "").splitlines():
        match = _PARAMETER.match(line)
        if match or (line and not line[0].isspace()):
            current = match[1] if match else None
        if current:
            found.setdefault(current, []).append(line)
    return found


def _type(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    for name, union in _named_types().items():
        text = re.sub(rf"\b{name}\b", union, text)
    default = parameter.default
    return f"``{text}``" + ("" if default is parameter.empty else f", default ``{default!r}``")


@cache
def _named_types() -> dict[str, str]:
    """Return the unions that the code has names for, those made of others first."""
    source = ast.parse(Path(argument_types.__file__).read_text(encoding="utf-8"))
    unions = [one for one in source.body if isinstance(one, ast.Assign)]
    return {ast.unparse(one.targets[0]): ast.unparse(one.value) for one in reversed(unions)}


def _other_fields(fields: list[str]) -> list[str]:
    """Return the fields that are about no parameter, such as ``:raises``."""
    kept, keeps = [], False
    for line in fields:
        if line and not line[0].isspace():
            keeps = not _PARAMETER.match(line)
        if keeps:
            kept.append(line)
    return kept

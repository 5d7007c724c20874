"""Reads the version of an evalscript, and simple scripts. A simple script is a body that returns a pixel's values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.evalscripts.contract import DataSource
from sentinelhub_provider.sandbox.world.evalscripts.errors import script_error

_VERSION: Final = re.compile(
    r"\ufeff?(?>\s|/\*.*?\*/|//(?!\s*VERSION\s*=)[^\n]*)*+//\s*VERSION\s*=\s*(\d+)", re.IGNORECASE | re.DOTALL
)
_TEXT: Final = re.compile(
    r"(?P<comment>//[^\n]*|/\*.*?\*/)|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`$]*`", re.DOTALL
)
_FIRST_DIALECT: Final = re.compile(r"\bset(?:InputComponents|OutputComponentCount)\s*\(")
_FUNCTION: Final = re.compile(r"\bfunction\s+(setup|evaluatePixel)\b|\b(setup|evaluatePixel)\s*=[^=]")
_FUNCTION_BODY: Final = re.compile(
    r"(?:=>|\b(?!(?:if|for|while|switch|catch|with)\b)[\w$]+\s*\((?:[^(){}]|\([^(){}]*\))*\))\s*\{[^{}]*\}"
)
_BLOCK: Final = re.compile(r"\{([^{}]*)\}")
_DECLARED: Final = re.compile(r"\b(?:var|let|const|function)\s+([A-Za-z_$][\w$]*)")
_NAME: Final = re.compile(r"(?<![\w$.])[A-Za-z_$][\w$]*")


def check_version(source: str) -> bool:
    """Tell whether a script is a simple one. Raises :class:`~..errors.ApiError` for an unsupported version.

    The version stands in a line ``//VERSION=3`` before any code. The service has withdrawn older versions. Therefore it
    also reads simple scripts, and scripts with ``setup()`` and ``evaluatePixel()``, as version 3 without such a line.
    """
    code = _code(source)
    if not _FUNCTION.search(code) and _returns(code):
        return True
    match = _VERSION.match(source)
    if match is None and len(set(map("".join, _FUNCTION.findall(code)))) == 2 and not _FIRST_DIALECT.search(code):
        return False
    if match is None:
        raise ApiError(
            400,
            "COMMON_BAD_PAYLOAD",
            "evalscript: the first line must be //VERSION=3; the sandbox does not run evalscripts of version 1.",
            errors=[{"parameter": "evalscript", "violation": "The first line must be //VERSION=3."}],
        )
    if match[1] != "3":
        raise script_error(f"evalscript: version {match[1]} is not supported; the first line must be //VERSION=3.")
    return False


def simple_bands(source: str, sources: Sequence[DataSource]) -> list[str]:
    """Return the bands that a simple script names, in the collection's order."""
    if len(sources) > 1:
        raise script_error("A simple script reads one dataset; write setup() and evaluatePixel() to fuse several.")
    code = _code(source)
    names = set(_NAME.findall(code)) - set(_DECLARED.findall(code))
    return [band.name for band in sources[0].collection.bands if band.name in names] or ["dataMask"]


def wrap_simple(source: str, bands: Sequence[str]) -> str:
    """Return a simple script as the functions of a full script. Its lines keep their numbers."""
    arguments = ", ".join(f"sample.{band}" for band in bands)
    return (
        f"function __simple({', '.join(bands)}) {{ {source}\n}}\n"
        f"function evaluatePixel(sample) {{ const value = __simple({arguments});\n"
        "return typeof value === 'number' || typeof value === 'boolean' ? [value] : value; }"
    )


def _returns(code: str) -> bool:
    """Tell whether the script has a ``return`` outside the functions in it."""
    while "{" in code:
        shorter = _FUNCTION_BODY.sub(" ", code)
        shorter = _BLOCK.sub(r" \1 ", code) if shorter == code else shorter
        if shorter == code:
            break
        code = shorter
    return re.search(r"\breturn\b", code) is not None


def _code(source: str) -> str:
    """Return the script without comments, and with empty string literals."""
    return _TEXT.sub(lambda match: " " if match["comment"] else '""', source)

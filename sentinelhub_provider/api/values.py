"""Reads texts, answers and arguments. Spelling may vary, because templates render text, but the meaning is checked."""

from __future__ import annotations

import ast
import codecs
import hashlib
import json
import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubResponseError

_OTHERS = {"UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)}
"""Encodings that a byte order mark names. UTF-32 comes first, because its mark begins like that of UTF-16."""


def without_bom(text: str) -> str:
    """Return a text without the byte order mark that Windows editors write at its start."""
    return text.removeprefix("\ufeff")


def encoding_fault(data: bytes) -> str | None:
    """Return the encoding that the first bytes of a text tell if it is not UTF-8, else ``None``."""
    marked = next((name for name, marks in _OTHERS.items() if data.startswith(marks)), None)
    if marked is None and sorted(data[:2])[:1] == [0] and 32 < max(data[:2]) < 127:
        return "UTF-16"
    return marked


def decode(data: bytes) -> str:
    """Return a text in UTF-8, without byte order mark. Raises ``ValueError``, with what to do, for another encoding."""
    if name := encoding_fault(data):
        raise ValueError(f"it is text in {name}. Save it as UTF-8")
    try:
        return without_bom(data.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not text in UTF-8 ({error}). Save it as UTF-8") from error


def shortened(value: Any, size: int = 500) -> str:
    """Return a value for messages, with at most so many characters."""
    text = str(value)
    return text if len(text) <= size else f"{text[:size]}..."


def read_flag(value: Any, field: str, member: str | None = None) -> bool:
    """Read ``True`` or ``False``, which may be text in any case. ``member`` is its name within the argument."""
    found = {"true": True, "false": False}.get(str(value).strip().lower())
    if found is None:
        name = field if member is None else f"{field}: {member}"
        raise SentinelHubRequestError(f"{name} is {value!r}. Give true or false.")
    return found


def as_number(value: Any) -> float:
    """Return a number, which may be text or another library's. Anything else, such as a boolean, becomes NaN."""
    try:
        return math.nan if type(value).__name__ in ("bool", "bool_") else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def listed(value: Any) -> Any:
    """Return an array of numpy or a series of pandas as a list, and anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def as_pair(value: Any, field: str, what: str) -> Sequence[Any]:
    """Return two values, or one value twice. Messages say ``what`` is wanted."""
    value = read_structure(listed(value), field)
    pair: Sequence[Any] = value if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2:
        raise SentinelHubRequestError(f"{field} is {value!r}. Give {what}.")
    return pair


def read_number(
    value: Any, field: str, *, least: float = -math.inf, most: float = math.inf, what: str = "", name: str = ""
) -> float:
    """Read a finite number, which may be text. Messages say ``what`` is wanted, and call the value by ``name``."""
    number = as_number(value)
    if not (math.isfinite(number) and least <= number <= most):
        raise SentinelHubRequestError(
            f"{name or field} is {value!r}. Give {what or f'a {_range(least, most)}'}.", field=field
        )
    return int(number) if number.is_integer() else number


def read_positive(value: Any, field: str, name: str = "") -> float:
    """Read a number greater than 0, which may be text. ``name`` is its name in messages, by default ``field``."""
    return read_number(value, field, least=sys.float_info.min, what="a number greater than 0", name=name)


def read_seconds(value: Any, field: str) -> float:
    """Read a length of time in seconds, a number above 0."""
    return read_number(value, field, least=1e-3, what="seconds, a number above 0")


def read_whole_number(
    value: Any, field: str, *, least: int = 1, most: float = math.inf, of: str = "", name: str = ""
) -> int:
    """Read a whole number, such as ``10``, ``10.0`` or ``"10"``. ``of`` is its unit in messages, ``name`` as above."""
    what = f"a whole {_range(least, most)}".replace("number", f"number of {of}" if of else "number")
    number = read_number(value, field, least=least, most=most, what=what, name=name)
    if not isinstance(number, int):
        raise SentinelHubRequestError(f"{name or field} is {value!r}. Give {what}.", field=field)
    return number


def read_choice(value: Any, allowed: Sequence[str], field: str, *, of: str = "") -> str:
    """Read one of several words in any case, and return it in the API's spelling. ``of`` has only these."""
    known = {word.lower(): word for word in allowed}.get(str(value).strip().lower())
    if known is None:
        whose = f" for {of}" if of else ""
        raise SentinelHubRequestError(f"{field} is {value!r}. Give one of {', '.join(allowed)}{whose}.")
    return known


def read_json(value: Any, field: str) -> Any:
    """Return JSON that may be text, as a template file holds it and a template renders it.

    A template without the filter ``tojson`` renders lists and mappings as Python writes them.
    """
    if not isinstance(value, str):
        return value
    text = without_bom(value)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            json.dumps(literal := ast.literal_eval(text.strip()))
            if isinstance(literal, list | dict):
                return literal
        raise SentinelHubRequestError(f"{field} is not JSON: {error}. Check the rendered template.") from error


def check_json(value: Any, field: str) -> None:
    """Refuse what JSON does not have. Raises :class:`SentinelHubRequestError`."""
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise SentinelHubRequestError(f"{field} cannot be written as JSON: {error}.", field=field) from error


def read_structure(value: Any, field: str) -> Any:
    """Decode text that plainly is a JSON object or list, and return anything else as it is."""
    is_json = isinstance(value, str) and without_bom(value).lstrip()[:1] in ("{", "[")
    return read_json(value, field) if is_json else value


def _range(least: float, most: float) -> str:
    if most < math.inf:
        return f"number from {least:g} to {most:g}"
    return "number" if least == -math.inf else f"number, {least:g} or more"


def decode_answer(content: bytes | str, who: str) -> Any:
    """Decode the body of an answer from ``who``. Raises :class:`SentinelHubResponseError` if it is not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SentinelHubResponseError(f"{who} answered with something other than JSON: {error}.") from error


def digest_of(*parts: Any) -> str:
    """Return hexadecimal digits that stand for all parts, which are JSON."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

"""The one reader of texts that files, templates and users hand over: UTF-8, with or without a byte order mark."""

from __future__ import annotations

import codecs

_OTHERS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
"""Encodings that a byte order mark names; UTF-32's little-endian mark begins like UTF-16's."""


def without_bom(text: str) -> str:
    """Return a text without the byte order mark that Windows editors write at its start."""
    return text.removeprefix("\ufeff")


def encoding_fault(data: bytes) -> str | None:
    """Name the encoding that the first bytes of a text say it has, where that is not UTF-8; else ``None``."""
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

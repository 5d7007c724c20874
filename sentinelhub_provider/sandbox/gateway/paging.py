"""Pages of a list by ``count`` and ``viewtoken``, and their links."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from sentinelhub_provider.sandbox.errors import ApiError

MAX_COUNT: Final = 100
DEFAULT_COUNT: Final = 50
"""The service's own is not documented."""


def page(
    items: Sequence[Any], params: Mapping[str, str], *, url: str, default_count: int = DEFAULT_COUNT
) -> tuple[list[Any], dict[str, Any]]:
    """Return the page of ``params`` and its ``links``. ``url`` is without a query.

    Raises ``ApiError`` (400) for an impossible count or token.
    """
    count = _count(params.get("count"), default_count)
    start = _position(params.get("viewtoken"))
    links: dict[str, Any] = {"@id": _address(url, params, None), "currentToken": _token(start)}
    if start > 0:
        before = _token(max(0, start - count))
        links |= {"previousToken": before, "previous": _address(url, params, before)}
    if start + count < len(items):
        after = _token(start + count)
        links |= {"nextToken": after, "next": _address(url, params, after)}
    return list(items[start : start + count]), links


def _count(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or len(text) > len(str(MAX_COUNT)) or not 1 <= int(text) <= MAX_COUNT:
        raise ApiError(400, "COMMON_BAD_PAYLOAD", f"count: must be a whole number from 1 to {MAX_COUNT}, not {text!r}")
    return int(text)


def _token(position: int) -> str:
    return base64.urlsafe_b64encode(f"from:{position}".encode()).decode()


def _position(token: str | None) -> int:
    if token is None:
        return 0
    try:
        kind, _, number = base64.urlsafe_b64decode(token).decode().partition(":")
        if kind == "from" and number.isdecimal():
            return int(number)
    except ValueError:
        pass
    raise ApiError(400, "COMMON_BAD_PAYLOAD", "viewtoken: is none that this sandbox gave out")


def _address(url: str, params: Mapping[str, str], token: str | None) -> str:
    query = {**params} if token is None else {**params, "viewtoken": token}
    return f"{url}?{urlencode(query)}" if query else url

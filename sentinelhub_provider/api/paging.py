"""Follows answers from page to page. The Catalog goes on with ``context.next``, others with ``viewtoken``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubResponseError

_ITEM_KEYS = ("features", "data")
MOST_PAGES = 1_000  # Pages that are followed: 100,000 items of the Catalog


class Pages:
    """Follows the answer of ``who`` from page to page, at most ``most`` of them, which the argument ``field`` sets."""

    def __init__(self, who: str, *, most: int = MOST_PAGES, field: str | None = None) -> None:
        self._who, self._most, self._field = who, most, field
        self._seen: list[dict[str, Any]] = []

    def after(self, answer: Any) -> dict[str, Any] | None:
        """Do what :func:`next_page` does. Raises where a page points back, or there are too many."""
        change = next_page(answer)
        if change is None:
            return None
        if change in self._seen:
            raise SentinelHubResponseError(
                f"{self._who} points from page {len(self._seen) + 1} to itself or back. Report this to the service."
            )
        self._seen.append(change)
        if len(self._seen) >= self._most:
            limit = f"{self._field}={self._most:,}" if self._field else f"{self._most:,}"
            raise SentinelHubRequestError(
                f"{self._who} has more than {limit} pages. Narrow the request"
                f"{' or allow more' if self._field else ''}.",
                field=self._field or "request",
            )
        return change


def next_page(answer: Any) -> dict[str, Any] | None:
    """Return the additional members of a request for the page after ``answer``, ``None`` after the last one.

    A search (POST) goes on with that member of its JSON body, a listing with that query parameter.
    """
    if not isinstance(answer, Mapping) or not items_of(answer):
        return None  # an empty page ends it even where it carries a token: some listings always do
    context, links = answer.get("context"), answer.get("links")
    name, token = "next", None
    if isinstance(context, Mapping):
        token = context.get("next")
    elif isinstance(links, Mapping):
        name, token = "viewtoken", links.get("nextToken")
    return None if token is None else {name: token}


def items_of(answer: Mapping[str, Any]) -> list[Any]:
    """Return the items of one page."""
    return next((answer[key] for key in _ITEM_KEYS if isinstance(answer.get(key), list)), [])


def joined(pages: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Join pages into one answer of the same shape, with all items and no pointer to a further page."""
    first = pages[0]
    key = next((key for key in _ITEM_KEYS if isinstance(first.get(key), list)), None)
    if key is None:
        return dict(first)
    items = [item for page in pages for item in items_of(page)]
    whole = {name: value for name, value in first.items() if name not in ("links", "context")}
    whole[key] = items
    if "context" in first:
        whole["context"] = {"returned": len(items)}
    return whole

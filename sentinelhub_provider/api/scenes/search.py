"""A Catalog search over all its pages, as one flow for blocking and async callers."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from typing import Any

from sentinelhub_provider.api.catalog import MAX_PAGE, read_page, summary
from sentinelhub_provider.api.collections import find_collection
from sentinelhub_provider.api.paging import MOST_PAGES, Pages, items_of
from sentinelhub_provider.exceptions import SentinelHubRequestError

ENDPOINT = "/catalog/v1/search"


def check_has_scenes(collection: str) -> None:
    """Refuse a collection that has no scenes, but one picture without a time.

    :raises SentinelHubRequestError: for such a collection.
    """
    if find_collection(collection).is_timeless:
        raise SentinelHubRequestError(
            f"collection is {collection!r}, which has no scenes. Give one that grows, such as 'sentinel-2-l2a'."
        )


def search_flow(
    body: Mapping[str, Any], enough: float = math.inf, *, pick: Callable[[Any], Any] = summary, most: int = MOST_PAGES
) -> Generator[dict[str, Any], bytes, list[Any]]:
    """Yield the body of each page's request, be sent its answer, and return a list of the items of all pages.

    A scene is in the list once, even if it is on two pages since another one was published meanwhile.

    :param body: that of the first page, as :func:`~sentinelhub_provider.api.catalog.build_search` builds it.
    :param enough: number of items that ends the search.
    :param pick: returns the part of an item that goes into the list.
    :param most: the largest number of pages.
    :raises SentinelHubResponseError: for an answer that is not a page, or for endless pages.
    """
    pages = Pages("The Catalog", most=most)
    change: dict[str, Any] | None = {}
    found: dict[str, Any] = {}
    request = dict(body)
    while change is not None and len(found) < enough:
        request |= {**change, "limit": min(MAX_PAGE, enough - len(found))}
        page = read_page((yield dict(request)))
        for item in items_of(page):
            found.setdefault(str(item["id"] if isinstance(item, Mapping) else item), pick(item))
        change = pages.after(page)
    return list(found.values())

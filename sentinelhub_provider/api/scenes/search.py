"""A Catalog search over all its pages, as steps that a blocking and an async caller take alike."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any

from sentinelhub_provider.api.catalog import CLOUD_COVER, MAX_PAGE, summary
from sentinelhub_provider.api.collections import find_collection
from sentinelhub_provider.api.paging import items_of, next_page
from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubResponseError

ENDPOINT = "/catalog/v1/search"

SHORT_FIELDS: dict[str, Any] = {
    "include": ["id", "bbox", "properties.datetime", f"properties.{CLOUD_COVER}"],
    "exclude": ["geometry", "links", "assets"],
}
"""Members that the short list is made of: whole items are ten times as long."""

MAX_PAGES = 1_000
"""Pages that one search follows: 100,000 scenes."""

PageFlow = Generator[dict[str, Any], bytes, list[dict[str, Any]]]


def check_has_scenes(collection: str) -> None:
    """
    Refuse a collection that is one picture without a time.

    :raises SentinelHubRequestError: names the argument.
    """
    if find_collection(collection).is_timeless:
        raise SentinelHubRequestError(
            f"collection is {collection!r}, which has no scenes. Give one that grows, such as 'sentinel-2-l2a'.",
            field="collection",
        )


def search_flow(body: Mapping[str, Any]) -> PageFlow:
    """
    Yield the body of each page's request, be sent its answer, and return the short list of all pages.

    A scene that is on two pages, since another one was published meanwhile, is in the list once.

    :param body: of the first page, as :func:`~sentinelhub_provider.api.catalog.build_search` makes it.
    :raises SentinelHubResponseError: for an answer that is no page, or pages without end.
    """
    request = {**body, "limit": MAX_PAGE}
    found: dict[str, dict[str, Any]] = {}
    for _ in range(MAX_PAGES):
        page = _decoded((yield request))
        for item in items_of(page):
            short = summary(item)
            found.setdefault(str(short["id"]), short)
        change = next_page(page, method="POST")
        if change is None:
            return list(found.values())
        if request.get("next") == dict(change.json or {}).get("next"):
            raise SentinelHubResponseError("The Catalog points from a page to itself. Report this to the service.")
        request = {**request, **(change.json or {})}
    raise SentinelHubResponseError(
        f"The search has more than {MAX_PAGES:,} pages. Narrow its area, its time or its cloud cover."
    )


def _decoded(answer: bytes) -> Mapping[str, Any]:
    try:
        page = json.loads(answer)
    except ValueError as error:
        raise SentinelHubResponseError(f"The Catalog answered with something else than JSON: {error}.") from error
    if not isinstance(page, Mapping) or not isinstance(page.get("features"), list):
        raise SentinelHubResponseError("The Catalog answered with JSON that has no list of features.")
    if not all(isinstance(item, Mapping) and item.get("id") for item in page["features"]):
        raise SentinelHubResponseError("The Catalog answered with features that have no id.")
    return page

"""Searches for scenes over all pages, for tasks (blocking) and triggers (event loop)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sentinelhub_provider.api.flow import adrive, drive
from sentinelhub_provider.api.scenes.search import ENDPOINT, search_flow
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook


def search_scenes(
    hook: SentinelHubHook, body: Mapping[str, Any], *, enough: float = math.inf, **limits: Any
) -> list[dict[str, Any]]:
    """Return the short list of the scenes that a search finds, of no more than ``enough``.

    ``limits``: those of ``hook.request``, for each page.
    """
    flow = search_flow(body, enough)
    return drive(flow, lambda request: hook.request("POST", ENDPOINT, json=request, **limits).content)


async def asearch_scenes(
    hook: SentinelHubHook, body: Mapping[str, Any], *, enough: float = math.inf
) -> list[dict[str, Any]]:
    """Do what :func:`search_scenes` does, for the event loop."""

    async def page(request: Mapping[str, Any]) -> bytes:
        return (await hook.arequest("POST", ENDPOINT, json=request)).content

    return await adrive(search_flow(body, enough), page)

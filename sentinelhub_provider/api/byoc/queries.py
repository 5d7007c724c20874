"""
What is asked of the BYOC API without changing anything: lists, single tiles, tiles at given paths. Pure.

Each is a generator that yields what to GET and is sent the decoded answer, so that blocking and asynchronous code drive
the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sentinelhub_provider.api.byoc.requests import PAGE_SIZE, data_of
from sentinelhub_provider.api.byoc.tiles import Tile, TileState, read_tile, spellings, tile_endpoint, tiles_endpoint
from sentinelhub_provider.api.paging import Pages
from sentinelhub_provider.exceptions import SentinelHubNotFoundError

NEWEST_FIRST = {"sort": "created:desc"}


@dataclass(frozen=True, slots=True)
class Get:
    """Ask the service: GET this endpoint. Sent back: the decoded answer; or its ``SentinelHubError`` is thrown in."""

    endpoint: str
    params: Mapping[str, Any] = field(default_factory=dict)


ItemsFlow: TypeAlias = Generator[Get, Any, tuple[list[Any], int]]
"""Looks at pages until enough is known; returns their items, and how many pages it took."""


def list_items(
    endpoint: str, params: Mapping[str, Any] | None = None, *, enough: Callable[[list[Any]], bool] | None = None
) -> ItemsFlow:
    """
    Look at a list, page by page.

    :param enough: told the items of each page, says whether the pages that follow can be spared.
    :raises SentinelHubResponseError: for a page that is none, or one that points to itself or back.
    """
    items: list[Any] = []
    asked, number = {"count": PAGE_SIZE, **(params or {})}, 0
    pages = Pages("GET", endpoint)
    while True:
        page = yield Get(endpoint, asked)
        new = data_of(page, list)
        items += new
        number += 1
        change = pages.after(page)
        if change is None or (enough is not None and enough(new)):
            return items, number
        asked = {**asked, **change.params}


def get_tiles(collection_id: str, tile_ids: Iterable[str]) -> Generator[Get, Any, list[Tile]]:
    """Look at tiles one by one; one that is not there is GONE."""
    tiles: list[Tile] = []
    for tile_id in tile_ids:
        try:
            document = yield Get(tile_endpoint(collection_id, tile_id))
        except SentinelHubNotFoundError:
            tiles.append(Tile(tile_id, f"tile {tile_id}", TileState.GONE, cause="it was deleted meanwhile"))
        else:
            tiles.append(read_tile(data_of(document, dict)))
    return tiles


def find_tile(collection_id: str, path: str) -> Generator[Get, Any, Tile | None]:
    """Look for the tile at a path, however the service spells it."""
    for spelling in spellings(path):
        page = yield Get(tiles_endpoint(collection_id), {"path": spelling})
        found = data_of(page, list)
        if found:
            return read_tile(found[0])
    return None


def find_tiles(collection_id: str, paths: Sequence[str]) -> Generator[Get, Any, list[Tile]]:
    """
    Look for the tiles at these paths; returned are those that are there, in whichever spelling.

    The list is read, newest first, until looking for the rest one by one takes no more requests than reading took:
    whether few of many tiles are wanted or many of few, it takes about twice the least number of requests at most.
    """
    if not paths:
        return []
    wanted = {spelling for path in paths for spelling in spellings(path)}
    left, pages, is_cut = dict.fromkeys(paths), 0, False

    def met(items: list[Any]) -> list[Tile]:
        # Others of the collection are not looked into: whatever is odd about them is no matter of this task.
        return [read_tile(item) for item in items if isinstance(item, Mapping) and item.get("path") in wanted]

    def enough(page: list[Any]) -> bool:
        nonlocal pages, is_cut
        pages += 1
        for tile in met(page):
            for spelling in spellings(tile.path):
                left.pop(spelling, None)
        is_cut = sum(len(spellings(path)) for path in left) <= pages
        return is_cut

    items, _ = yield from list_items(tiles_endpoint(collection_id), NEWEST_FIRST, enough=enough)
    tiles = met(items)
    for path in left if is_cut else ():
        tile = yield from find_tile(collection_id, path)
        if tile is not None:
            tiles.append(tile)
    return tiles

"""Routes of the BYOC API, in both path schemes. Everything but a GET costs one processing unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.byoc.bodies import (
    check_bands,
    parse_collection,
    parse_tile,
    show_collection,
    show_tile,
)
from sentinelhub_provider.sandbox.apis.byoc.ingestion import STATUSES
from sentinelhub_provider.sandbox.apis.byoc.state import ByocCollection, ByocStore, ByocTile, DuplicateError
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.access import CallerDep, SandboxDep, allowed, base_url, spend
from sentinelhub_provider.sandbox.gateway.bodies import read_json
from sentinelhub_provider.sandbox.gateway.paging import page
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.settings import ClientSettings

PREFIXES = ("/byoc/v1", "/api/v1/byoc")
PRICE: Final = 1.0
"""PU of any request but a GET (documentation, "Processing Unit definition", data ingestion)."""

router = APIRouter()
_routes = APIRouter(prefix="/collections", dependencies=[Depends(allowed("byoc"))])
Made = TypeVar("Made")


@_routes.post("")
async def create_collection(request: Request, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Create a collection."""
    body = parse_collection(await read_json(request))
    made = _unless_duplicate(
        lambda: ByocStore.of(sandbox).create(
            caller.client_id, name=body.name, bucket=body.bucket, no_data=body.no_data, bands=body.bands or {}
        )
    )
    spend(sandbox, caller, PRICE)
    return json_response({"data": show_collection(made, ByocStore.of(sandbox))}, status=201)


@_routes.get("")
def list_collections(request: Request, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """List the caller's collections, oldest first. ``search`` is a part of their names."""
    params = dict(request.query_params)
    word = params.get("search", "").lower()
    found = [each for each in ByocStore.of(sandbox).collections(caller.client_id) if word in each.name.lower()]
    part, links = page(found, params, url=f"{base_url(request)}{PREFIXES[0]}/collections")
    return json_response({"data": [show_collection(each, ByocStore.of(sandbox)) for each in part], "links": links})


@_routes.get("/{collection_id}")
def get_collection(collection_id: str, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Return one collection."""
    return json_response({"data": show_collection(_collection(sandbox, caller, collection_id), ByocStore.of(sandbox))})


@_routes.put("/{collection_id}")
async def update_collection(collection_id: str, request: Request, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Change a collection. If it has tiles, its bucket stays, and its bands can only be renamed or removed."""
    collection = _collection(sandbox, caller, collection_id)
    body = parse_collection(await read_json(request))
    bands = collection.bands if body.bands is None else body.bands
    if collection.tiles:
        if body.bucket != collection.bucket:
            raise ApiError(400, "COMMON_BAD_PAYLOAD", "s3Bucket: can only be changed while the collection is empty")
        check_bands(collection.bands, bands)
    changed = replace(collection, name=body.name, bucket=body.bucket, no_data=body.no_data, bands=bands)
    _unless_duplicate(lambda: ByocStore.of(sandbox).update(changed))
    return _done(sandbox, caller)


@_routes.delete("/{collection_id}")
def delete_collection(collection_id: str, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Remove a collection with its tiles."""
    ByocStore.of(sandbox).delete(_collection(sandbox, caller, collection_id).id)
    return _done(sandbox, caller)


@_routes.post("/{collection_id}/copyTiles")
def copy_tiles(collection_id: str, request: Request, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Copy the ingested tiles into another collection of the caller's."""
    source = _collection(sandbox, caller, collection_id)
    target = _collection(sandbox, caller, request.query_params.get("toCollection", ""))
    ByocStore.of(sandbox).copy_tiles(source.id, target.id)
    return _done(sandbox, caller)


@_routes.post("/{collection_id}/tiles")
async def create_tile(collection_id: str, request: Request, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Add a tile and begin to ingest it."""
    collection = _collection(sandbox, caller, collection_id)
    body = parse_tile(await read_json(request))
    tile = _unless_duplicate(
        lambda: ByocStore.of(sandbox).add_tile(
            collection.id, path=body.path, geometry=body.geometry, sensing_time=body.sensing_time
        )
    )
    spend(sandbox, caller, PRICE)
    return json_response({"data": show_tile(tile, ByocStore.of(sandbox))}, status=201)


@_routes.get("/{collection_id}/tiles")
def list_tiles(collection_id: str, request: Request, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """List a collection's tiles, filtered by path and state."""
    collection = _collection(sandbox, caller, collection_id)
    params = dict(request.query_params)
    # The API describes it as JSON content, so that a status may come in quotes.
    status, order = params.get("status", "").strip('"'), params.get("sort", "created:asc")
    if status and status not in STATUSES:
        raise ApiError(400, "COMMON_BAD_PAYLOAD", f"status: must be one of {', '.join(STATUSES)}, not {status!r}")
    if order not in ("created:asc", "created:desc"):
        raise ApiError(400, "COMMON_BAD_PAYLOAD", f"sort: must be created:asc or created:desc, not {order!r}")
    tiles = [
        tile
        for tile in collection.tiles.values()
        if params.get("path") in (None, tile.path) and status in ("", ByocStore.of(sandbox).status(tile))
    ]
    if order == "created:desc":
        tiles.reverse()
    url = f"{base_url(request)}{PREFIXES[0]}/collections/{collection.id}/tiles"
    part, links = page(tiles, params, url=url)
    return json_response({"data": [show_tile(tile, ByocStore.of(sandbox)) for tile in part], "links": links})


@_routes.get("/{collection_id}/tiles/{tile_id}")
def get_tile(collection_id: str, tile_id: str, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Return one tile with its state."""
    _, tile = _tile(sandbox, caller, collection_id, tile_id)
    return json_response({"data": show_tile(tile, ByocStore.of(sandbox))})


@_routes.put("/{collection_id}/tiles/{tile_id}")
async def update_tile(
    collection_id: str, tile_id: str, request: Request, sandbox: SandboxDep, caller: CallerDep
) -> Response:
    """Change a tile's cover geometry and sensing time."""
    collection, tile = _tile(sandbox, caller, collection_id, tile_id)
    body = parse_tile(await read_json(request), path=tile.path)
    ByocStore.of(sandbox).change_tile(
        collection.id, tile.id, lambda old: replace(old, geometry=body.geometry, sensing_time=body.sensing_time)
    )
    return _done(sandbox, caller)


@_routes.delete("/{collection_id}/tiles/{tile_id}")
def delete_tile(collection_id: str, tile_id: str, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Remove a tile."""
    collection, tile = _tile(sandbox, caller, collection_id, tile_id)
    ByocStore.of(sandbox).delete_tile(collection.id, tile.id)
    return _done(sandbox, caller)


@_routes.post("/{collection_id}/tiles/{tile_id}/reingest")
def reingest_tile(collection_id: str, tile_id: str, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Ingest a tile anew."""
    collection, tile = _tile(sandbox, caller, collection_id, tile_id)
    ByocStore.of(sandbox).reingest(collection.id, tile.id)
    return _done(sandbox, caller)


def _collection(sandbox: Sandbox, caller: ClientSettings, collection_id: str) -> ByocCollection:
    found = ByocStore.of(sandbox).collection(caller.client_id, collection_id)
    if found is None:
        raise ApiError(404, "COMMON_NOT_FOUND", f"Collection with id {collection_id} not found")
    return found


def _tile(
    sandbox: Sandbox, caller: ClientSettings, collection_id: str, tile_id: str
) -> tuple[ByocCollection, ByocTile]:
    collection = _collection(sandbox, caller, collection_id)
    tile = collection.tiles.get(tile_id)
    if tile is None:
        raise ApiError(404, "COMMON_NOT_FOUND", f"Tile with id {tile_id} not found in collection {collection_id}")
    return collection, tile


def _done(sandbox: Sandbox, caller: ClientSettings) -> Response:
    spend(sandbox, caller, PRICE)
    return Response(status_code=204)


def _unless_duplicate(make: Callable[[], Made]) -> Made:
    try:
        return make()
    except DuplicateError as error:
        raise ApiError(409, "COMMON_UNIQUE_KEY_VIOLATION", str(error)) from error


for _prefix in PREFIXES:
    router.include_router(_routes, prefix=_prefix)

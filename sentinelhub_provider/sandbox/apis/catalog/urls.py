"""Routes of the Catalog. All but the landing page and the conformance list need a token."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.openapi.utils import get_openapi
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.catalog import items
from sentinelhub_provider.sandbox.apis.catalog.query import (
    SearchQuery,
    parse_items_params,
    parse_search,
    parse_search_params,
)
from sentinelhub_provider.sandbox.apis.catalog.search import (
    Page,
    cataloged,
    find_collection,
    find_scene,
    queryables,
    run_search,
)
from sentinelhub_provider.sandbox.gateway.access import SandboxDep, allowed, base_url
from sentinelhub_provider.sandbox.gateway.bodies import read_json
from sentinelhub_provider.sandbox.gateway.responses import CATALOG_PREFIXES, json_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox

router = APIRouter()
_open = APIRouter()
_guarded = APIRouter(dependencies=[Depends(allowed("catalog"))])


@_open.get("")
@_open.get("/")
def landing_page(request: Request, sandbox: SandboxDep) -> Response:
    """Return the STAC landing page."""
    return json_response(items.landing_page(cataloged(sandbox.scenes), base_url=base_url(request)))


@_open.get("/conformance")
def conformance() -> Response:
    """Return the conformance classes."""
    return json_response({"conformsTo": list(items.CONFORMANCE)})


@_open.get("/api")
def description(request: Request) -> Response:
    """Return the description of the sandbox's Catalog (OpenAPI)."""
    whole = get_openapi(title="Sentinel Hub sandbox catalog", version="1.0.0", routes=request.app.routes)
    paths = {path: item for path, item in whole["paths"].items() if path.startswith(items.PREFIX)}
    return json_response({**whole, "paths": paths}, media_type=items.OPENAPI_JSON)


@_guarded.get("/queryables")
def all_queryables(request: Request, sandbox: SandboxDep) -> Response:
    """Return what any collection can be filtered by."""
    known = {name: schema for info in cataloged(sandbox.scenes) for name, schema in queryables(info).items()}
    return json_response(items.queryables_schema(None, known, base_url=base_url(request)), media_type=items.SCHEMA_JSON)


@_guarded.get("/collections")
def collections(request: Request, sandbox: SandboxDep) -> Response:
    """Return all collections."""
    return json_response(items.collections(cataloged(sandbox.scenes), base_url=base_url(request)))


@_guarded.get("/collections/{collection_id}")
def collection(collection_id: str, request: Request, sandbox: SandboxDep) -> Response:
    """Return one collection."""
    info = find_collection(sandbox.scenes, collection_id)
    return json_response(items.collection(info, base_url=base_url(request)))


@_guarded.get("/collections/{collection_id}/queryables")
def collection_queryables(collection_id: str, request: Request, sandbox: SandboxDep) -> Response:
    """Return what a collection can be filtered by."""
    info = find_collection(sandbox.scenes, collection_id)
    schema = items.queryables_schema(info, queryables(info), base_url=base_url(request))
    return json_response(schema, media_type=items.SCHEMA_JSON)


@_guarded.get("/collections/{collection_id}/items")
def collection_items(collection_id: str, request: Request, sandbox: SandboxDep) -> Response:
    """Return a page of a collection's items, newest first."""
    params = dict(request.query_params)
    find_collection(sandbox.scenes, collection_id)
    query = parse_items_params(collection_id, params)
    page = _search(sandbox, query)
    links = items.get_links(f"/collections/{collection_id}/items", params, page.next, base_url=base_url(request))
    return _page_response(query, page, links, base_url(request))


@_guarded.get("/collections/{collection_id}/items/{item_id}")
def item(collection_id: str, item_id: str, request: Request, sandbox: SandboxDep) -> Response:
    """Return one item."""
    scene = find_scene(sandbox.scenes, collection_id, item_id, now=sandbox.now())
    return json_response(items.item(scene, base_url=base_url(request)), media_type=items.GEOJSON)


@_guarded.get("/search")
def search_by_query(request: Request, sandbox: SandboxDep) -> Response:
    """Search with a query string."""
    params = dict(request.query_params)
    query = parse_search_params(params)
    page = _search(sandbox, query)
    links = items.get_links("/search", params, page.next, base_url=base_url(request))
    return _page_response(query, page, links, base_url(request))


@_guarded.post("/search")
async def search_by_body(request: Request, sandbox: SandboxDep) -> Response:
    """Search with a JSON body."""
    body = await read_json(request)
    query = parse_search(body)
    page = await run_in_threadpool(_search, sandbox, query)
    links = items.post_links(body, page.next, base_url=base_url(request))
    return _page_response(query, page, links, base_url(request))


def _search(sandbox: Sandbox, query: SearchQuery) -> Page:
    return run_search(sandbox.scenes, query, now=sandbox.now())


def _page_response(query: SearchQuery, page: Page, links: list[dict[str, Any]], base: str) -> Response:
    features = page.results
    if query.distinct is None:
        shaped = [items.item(scene, base_url=base) for scene in page.results]
        features = [query.fields.apply(feature) for feature in shaped] if query.fields else shaped
    body = items.feature_collection(features, limit=query.limit, next_offset=page.next, links=links)
    return json_response(body, media_type=items.GEOJSON)


for _prefix in CATALOG_PREFIXES:
    router.include_router(_open, prefix=_prefix)
    router.include_router(_guarded, prefix=_prefix)

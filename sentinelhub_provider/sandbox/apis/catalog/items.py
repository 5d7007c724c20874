"""Shape scenes and collections as STAC 1.0.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from sentinelhub_provider.sandbox.apis.catalog.datetimes import format_instant
from sentinelhub_provider.sandbox.world.scenes import CollectionInfo, Scene

STAC_VERSION = "1.0.0"
STAC_EXTENSIONS = (
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
)
GEOJSON = "application/geo+json"
JSON = "application/json"
SCHEMA_JSON = "application/schema+json"
OPENAPI_JSON = "application/vnd.oai.openapi+json;version=3.0"
HTML = "text/html"
QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
DOCUMENTATION = "https://docs.sentinel-hub.com/api/latest/api/catalog/"
#: Links in answers always take the current scheme, whichever scheme was called.
PREFIX = "/catalog/v1"

CONFORMANCE = (
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#fields",
    "https://api.stacspec.org/v1.0.0/item-search#filter",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
    "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/filter",
    "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/features-filter",
    "http://www.opengis.net/spec/cql2/1.0/conf/basic-cql2",
    "http://www.opengis.net/spec/cql2/1.0/conf/cql2-text",
    "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json",
)


def item_properties(scene: Scene) -> dict[str, Any]:
    """Return the ``properties`` of a scene's item."""
    properties: dict[str, Any] = {"datetime": format_instant(scene.datetime)}
    properties.update(scene.properties)
    if scene.cloud_cover is not None:
        properties["eo:cloud_cover"] = scene.cloud_cover
    properties["proj:epsg"] = scene.epsg
    return properties


def item(scene: Scene, *, base_url: str) -> dict[str, Any]:
    """Return a scene as a STAC item with all its attributes."""
    root = f"{base_url}{PREFIX}"
    collection = f"{root}/collections/{scene.collection}"
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(STAC_EXTENSIONS),
        "id": scene.id,
        "collection": scene.collection,
        "geometry": scene.geometry,
        "bbox": list(scene.bbox),
        "properties": item_properties(scene),
        "assets": {
            "data": {
                "href": f"s3://sentinelhub-sandbox/{scene.collection}/{scene.id}/",
                "title": "Address of the product in the sandbox: no bucket stands behind it",
                "type": "inode/directory",
                "roles": ["data"],
            }
        },
        "links": [
            link("self", f"{collection}/items/{quote(scene.id)}", GEOJSON),
            link("parent", collection, JSON),
            link("collection", collection, JSON),
            link("root", root, JSON),
        ],
    }


def collection(info: CollectionInfo, *, base_url: str) -> dict[str, Any]:
    """Return a collection as STAC."""
    root = f"{base_url}{PREFIX}"
    self_url = f"{root}/collections/{info.id}"
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": info.id,
        "title": info.title,
        "description": info.description,
        "license": info.license,
        "keywords": ["sandbox", "synthetic"],
        "providers": [{"name": "Sentinel Hub sandbox", "roles": ["producer", "host"]}],
        "extent": {
            "spatial": {"bbox": [list(info.extent)]},
            "temporal": {"interval": [[format_instant(info.start), format_instant(info.end) if info.end else None]]},
        },
        "summaries": _summaries(info),
        "links": [
            link("self", self_url, JSON),
            link("root", root, JSON),
            link("parent", root, JSON),
            link("items", f"{self_url}/items", GEOJSON),
            link(QUERYABLES, f"{self_url}/queryables", SCHEMA_JSON),
        ],
    }


def _summaries(info: CollectionInfo) -> dict[str, Any]:
    bands = [
        {
            "name": band.name,
            "description": band.description,
            **({"common_name": band.common_name} if band.common_name else {}),
            **({"center_wavelength": band.wavelength} if band.wavelength else {}),
            **({"gsd": band.resolution} if band.resolution else {}),
        }
        for band in info.bands
    ]
    return {
        "platform": list(info.platforms),
        "constellation": [info.constellation],
        "instruments": list(info.instruments),
        "gsd": [info.gsd],
        "eo:bands": bands,
    }


def collections(infos: Sequence[CollectionInfo], *, base_url: str) -> dict[str, Any]:
    """Return the list of collections."""
    root = f"{base_url}{PREFIX}"
    return {
        "collections": [collection(info, base_url=base_url) for info in infos],
        "links": [link("self", f"{root}/collections", JSON), link("root", root, JSON)],
    }


def landing_page(infos: Sequence[CollectionInfo], *, base_url: str) -> dict[str, Any]:
    """Return the landing page, a STAC catalog with links to everything."""
    root = f"{base_url}{PREFIX}"
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": "sentinel-hub-sandbox",
        "title": "Sentinel Hub sandbox catalog",
        "description": "An embedded imitation of the Sentinel Hub Catalog. Its scenes are not observations.",
        "conformsTo": list(CONFORMANCE),
        "links": [
            link("self", root, JSON),
            link("root", root, JSON),
            link("conformance", f"{root}/conformance", JSON),
            link("data", f"{root}/collections", JSON),
            link("service-desc", f"{root}/api", OPENAPI_JSON, title="Description of the API"),
            link("service-doc", DOCUMENTATION, HTML, title="Documentation of the Catalog API"),
            link(QUERYABLES, f"{root}/queryables", SCHEMA_JSON),
            link("search", f"{root}/search", GEOJSON, method="GET"),
            link("search", f"{root}/search", GEOJSON, method="POST"),
            *(link("child", f"{root}/collections/{info.id}", JSON, title=info.title) for info in infos),
        ],
    }


def queryables_schema(info: CollectionInfo | None, properties: Mapping[str, Any], *, base_url: str) -> dict[str, Any]:
    """Return the JSON Schema of what a collection, or with ``None`` any, can be filtered by."""
    place = "" if info is None else f"/collections/{info.id}"
    return {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$id": f"{base_url}{PREFIX}{place}/queryables",
        "type": "object",
        "title": f"Queryables of {info.id if info else 'all collections'}",
        "properties": dict(properties),
        "additionalProperties": False,
    }


def feature_collection(
    features: list[Any],
    *,
    limit: int,
    next_offset: int | None,
    links: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return a page of results with its paging context."""
    context: dict[str, Any] = {"limit": limit, "returned": len(features)}
    if next_offset is not None:
        context = {"next": next_offset, **context}
    return {"type": "FeatureCollection", "features": features, "links": links, "context": context}


def get_links(path: str, params: Mapping[str, str], next_offset: int | None, *, base_url: str) -> list[dict[str, Any]]:
    """Return ``self`` and ``next`` of a page requested with GET. ``path`` is relative to the Catalog."""
    url = f"{base_url}{PREFIX}{path}"
    links = [link("self", f"{url}?{urlencode(params)}" if params else url, GEOJSON)]
    if next_offset is not None:
        query = urlencode({**params, "next": str(next_offset)})
        links.append(link("next", f"{url}?{query}", GEOJSON, title="Next set of results"))
    return links


def post_links(body: Mapping[str, Any], next_offset: int | None, *, base_url: str) -> list[dict[str, Any]]:
    """Return ``self`` and ``next`` of a page requested with POST. ``next`` is merged into the same body."""
    url = f"{base_url}{PREFIX}/search"
    links = [link("self", url, GEOJSON, method="POST", body=dict(body))]
    if next_offset is not None:
        next_link = link("next", url, GEOJSON, method="POST", title="Next set of results")
        links.append({**next_link, "body": {"next": next_offset}, "merge": True})
    return links


def link(rel: str, href: str, media_type: str, **more: Any) -> dict[str, Any]:
    """Return a STAC link."""
    return {"rel": rel, "href": href, "type": media_type, **more}

"""Runs a search over the scenes, with filter, skip, page and distinct. It reads no more scenes than a page needs."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sentinelhub_provider.sandbox.apis.catalog import cql2
from sentinelhub_provider.sandbox.apis.catalog.errors import bad_request, not_found
from sentinelhub_provider.sandbox.apis.catalog.items import item_properties
from sentinelhub_provider.sandbox.apis.catalog.query import SearchQuery
from sentinelhub_provider.sandbox.world.scenes import CollectionInfo, Scene, SceneSource

#: Scenes looked at for one answer. A search of the whole world and all years would otherwise run for hours.
MAX_SCANNED = 20_000
WORLD_START = datetime(2015, 1, 1, tzinfo=UTC)
DISTINCT_DATE = "date"
SENTINEL_1 = "sentinel-1-grd"
#: Filters of Sentinel-1 as property -> values (documentation, "Sentinel-1 GRD", Catalog API capabilities).
_RADAR_QUERYABLES: dict[str, tuple[str, ...]] = {
    "sar:instrument_mode": ("SM", "IW", "EW", "WV"),
    "sat:orbit_state": ("ascending", "descending"),
    "s1:polarization": ("SH", "SV", "DH", "DV", "HH", "HV", "VV", "VH"),
    "s1:resolution": ("HIGH", "MEDIUM"),
    "s1:timeliness": ("NRT10m", "NRT1h", "NRT3h", "Fast24h", "Offline", "Reprocessing", "ArchNormal"),
}
_RADAR_DISTINCT = (DISTINCT_DATE, "sar:instrument_mode", "sat:orbit_state", "s1:polarization")


@dataclass(frozen=True)
class Page:
    """One page of results, which are scenes, or plain values for a ``distinct`` search."""

    results: list[Any]
    next: int | None
    """The value of ``next`` for the following page, ``None`` on the last one."""


def cataloged(source: SceneSource) -> list[CollectionInfo]:
    """List the collections that the Catalog knows."""
    return [collection for collection in source.collections() if collection.cataloged]


def find_collection(source: SceneSource, collection_id: str) -> CollectionInfo:
    """Return a collection. Raises ``ApiError`` (404) naming those that exist."""
    collections = cataloged(source)
    for collection in collections:
        if collection.id == collection_id:
            return collection
    known = ", ".join(collection.id for collection in collections)
    raise not_found(f"Collection {collection_id} not found; this sandbox has {known}")


def find_scene(source: SceneSource, collection_id: str, scene_id: str, *, now: datetime) -> Scene:
    """Return a scene. Raises ``ApiError`` (404). Scenes of the future do not exist yet."""
    find_collection(source, collection_id)
    scene = source.get(collection_id, scene_id)
    if scene is None or scene.datetime > now:
        raise not_found(f"Item {scene_id} not found in collection {collection_id}")
    return scene


def run_search(source: SceneSource, query: SearchQuery, *, now: datetime) -> Page:
    """Return one page of what a query finds, newest first. Raises ``ApiError`` (400, 404)."""
    collection = next((each for each in cataloged(source) if each.id == query.collection), None)
    if collection is None:
        raise bad_request("Illegal collection", "400")
    if query.filter is not None:
        cql2.check_queryables(query.filter, queryables(collection))
    matching = (scene for scene in _candidates(source, query, now=now) if _matches(scene, query))
    results: Iterator[Any] = matching
    if query.distinct is not None:
        results = _distinct_values(matching, query.distinct, collection)
    # One more than a page holds tells whether there is another.
    found = list(islice(results, query.offset, query.offset + query.limit + 1))
    more = len(found) > query.limit
    return Page(found[: query.limit], query.offset + query.limit if more else None)


def queryables(collection: CollectionInfo) -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas of a collection's filterable properties by name."""
    if collection.id == SENTINEL_1:
        return {name: {"type": "string", "enum": list(values)} for name, values in _RADAR_QUERYABLES.items()}
    return {"eo:cloud_cover": {"title": "Cloud cover", "type": "number", "minimum": 0, "maximum": 100}}


def distinct_properties(collection: CollectionInfo) -> tuple[str, ...]:
    """Return the properties that ``distinct`` takes for a collection."""
    if collection.id == SENTINEL_1:
        return _RADAR_DISTINCT
    return (DISTINCT_DATE, "platform", "constellation", "gsd", "proj:epsg", *queryables(collection))


def _candidates(source: SceneSource, query: SearchQuery, *, now: datetime) -> Iterator[Scene]:
    start, end = query.interval
    start = max(start or WORLD_START, WORLD_START)
    end = min(end or now, now)
    if start > end:
        return iter(())
    if query.ids is not None:
        scenes = (source.get(query.collection, scene_id) for scene_id in query.ids)
        known = (scene for scene in scenes if scene is not None and start <= scene.datetime <= end)
        return iter(sorted(known, key=lambda scene: (scene.datetime, scene.id), reverse=True))
    searches = [source.search(query.collection, bbox=bbox, start=start, end=end) for bbox in (query.boxes or (None,))]
    merged = searches[0] if len(searches) == 1 else heapq.merge(*searches, key=_newest_first)
    return _bounded(scene for scene in _unique(merged) if start <= scene.datetime <= end)


def _newest_first(scene: Scene) -> float:
    return -scene.datetime.timestamp()


def _unique(scenes: Iterator[Scene]) -> Iterator[Scene]:
    """Two boxes of one search may find the same scene twice, both times at the same moment."""
    moment: datetime | None = None
    seen: set[str] = set()
    for scene in scenes:
        if scene.datetime != moment:
            moment, seen = scene.datetime, set()
        if scene.id not in seen:
            seen.add(scene.id)
            yield scene


def _bounded(scenes: Iterator[Scene]) -> Iterator[Scene]:
    for count, scene in enumerate(scenes):
        if count >= MAX_SCANNED:
            raise bad_request(
                f"datetime, bbox: the search went through {MAX_SCANNED} scenes without filling its page; narrow it"
            )
        yield scene


def _matches(scene: Scene, query: SearchQuery) -> bool:
    from shapely.geometry import shape

    if query.shape is not None and not query.shape.intersects(shape(scene.geometry)):
        return False
    return query.filter is None or query.filter.matches(item_properties(scene))


def _distinct_values(scenes: Iterator[Scene], name: str, collection: CollectionInfo) -> Iterator[Any]:
    known = distinct_properties(collection)
    if name not in known:
        raise bad_request(f"distinct: {name!r} is not possible for {collection.id}; use one of {', '.join(known)}")
    seen: set[Any] = set()
    for scene in scenes:
        value = scene.datetime.date().isoformat() if name == DISTINCT_DATE else item_properties(scene).get(name)
        if value is not None and value not in seen:
            seen.add(value)
            yield value

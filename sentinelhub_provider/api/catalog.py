"""Build searches of the Catalog API (STAC API 1.0.0), and read, sort and thin out their results."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sentinelhub_provider.api.collections import find_collection
from sentinelhub_provider.api.datasets import check_cloud_cover
from sentinelhub_provider.api.geo.antimeridian import cut, on_one_side, sides_of
from sentinelhub_provider.api.geo.crs import CRS84
from sentinelhub_provider.api.geo.geometry import BBox, Geometry, check_degrees, parse_bbox, parse_geometry, transform
from sentinelhub_provider.api.processing_units import Estimate, estimate_catalog
from sentinelhub_provider.api.time_range import (
    format_time,
    is_instant,
    parse_end,
    parse_time,
    parse_time_range,
    plain_time,
    refuse_future,
    time_or_none,
)
from sentinelhub_provider.api.values import decode_answer, read_choice, read_whole_number
from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubResponseError

MAX_PAGE = 100  # Items that a page holds at most (API reference)
CLOUD_COVER = "eo:cloud_cover"

SHORT_FIELDS: dict[str, Any] = {
    "include": ["id", "bbox", "properties.datetime", f"properties.{CLOUD_COVER}"],
    "exclude": ["geometry", "assets", "links"],
}
"""Members of items in the short list. Whole items are ten times as long."""

DEFAULT_MEMBERS = ("id", "type", "geometry", "bbox", "links", "assets", "properties.datetime")
"""Members of items if ``fields`` has no ``include`` (documentation)."""
SORTINGS = ("newest", "oldest", "clearest")
ONE_PER = ("day", "tile")

_TILE_IN_ID = re.compile(r"_T(\d{2}[A-Z]{3})_|_(\d{6})_\d{8}_")
"""The tile in a product's name, which is Sentinel-2's MGRS tile, or Landsat's path and row."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A checked search, with the body of its first page, and the largest number of items (``None`` for all)."""

    body: dict[str, Any]
    limit: int | None = None

    def estimate(self) -> Estimate | None:
        """Estimate the cost of one page. Return ``None`` if time or area have no end."""
        start, _, end = str(self.body.get("datetime") or "..").partition("/")
        if ".." in (start, end):
            return None
        if "bbox" in self.body:
            boxes: tuple[BBox, ...] = (parse_bbox(self.body["bbox"]),)
        elif "intersects" in self.body:
            boxes = sides_of(parse_geometry(self.body["intersects"], "intersects", areas_only=False))
        else:
            return None
        days = (parse_time(end or start) - parse_time(start)).total_seconds() / 86_400
        sides = [CRS84.metres(box.width, box.height, (box.min_y + box.max_y) / 2) for box in boxes]
        return estimate_catalog(sum(width * height for width, height in sides) / 1e6, days)


def build_search(
    *,
    collection: str,
    datetime: Any,
    bbox: Any = None,
    intersects: Any = None,
    max_cloud_cover: float | str | None = None,
    filter: str | Mapping[str, Any] | None = None,  # noqa: A002 - the field's name in STAC
    fields: Mapping[str, Any] | None = None,
    distinct: str | None = None,
    ids: list[str] | str | None = None,
    limit: int | None = None,
    deployment: str | None = None,
    now: dt.datetime | None = None,
) -> SearchRequest:
    """Build a search. The arguments are those of the Catalog operators.

    A ``bbox`` with its west beyond its east crosses the antimeridian. It becomes ``intersects``, cut there, for both
    sides. ``limit`` is the number of items in all. A page has at most 100. ``deployment`` is the
    connection's, to check where the collection lives. A time range that begins after ``now`` is refused.
    """
    found = find_collection(collection, deployment)
    if bbox is not None and intersects is not None:
        raise SentinelHubRequestError(
            "bbox and intersects are both given, which the Catalog refuses. Give one.", field="intersects"
        )
    body: dict[str, Any] = {"collections": [found.id], "datetime": _interval(datetime, now)}
    if bbox is not None:
        box = parse_bbox(bbox, in_degrees=True)
        check_degrees(box, "bbox")
        _, sides = on_one_side(box, None, across=True)
        if sides is None:
            body["bbox"] = list(box)
        else:
            body["intersects"] = sides.to_geojson()
    if intersects is not None:
        geometry = parse_geometry(intersects, "intersects", areas_only=False)
        shape, system = geometry.shape, geometry.crs or CRS84
        geometry = Geometry(cut(shape if system.epsg == CRS84.epsg else transform(shape, system, CRS84)))
        check_degrees(geometry.bbox, "intersects")
        body["intersects"] = geometry.to_geojson()
    if ids:
        named: Any = [ids] if isinstance(ids, str) else ids
        if not isinstance(named, list | tuple) or not all(isinstance(name, str) for name in named):
            raise SentinelHubRequestError(f"ids is {ids!r}. Give the id of an item, or a list of them.")
        body["ids"] = list(named)
    cover = None if max_cloud_cover is None else check_cloud_cover(max_cloud_cover, found)
    body |= _filter(filter, cover)
    if fields is not None:
        body["fields"] = _fields(fields)
    if distinct:
        body["distinct"] = distinct
    limit = None if limit is None else read_whole_number(limit, "limit")
    body["limit"] = MAX_PAGE if limit is None else min(limit, MAX_PAGE)
    return SearchRequest(body, limit)


def read_page(content: bytes) -> Mapping[str, Any]:
    """Read a page of results. Raises :class:`SentinelHubResponseError` where the answer has no list of items."""
    page = decode_answer(content, "The Catalog")
    if not isinstance(page, Mapping) or not isinstance(page.get("features"), list):
        raise SentinelHubResponseError("The Catalog answered with JSON that has no list of features.")
    if not all(not isinstance(item, Mapping) or item.get("id") for item in page["features"]):
        raise SentinelHubResponseError("The Catalog answered with features that have no id.")
    return page


def summary(item: Any) -> dict[str, Any] | Any:
    """Return the id, datetime, cloud cover and bbox of an item, for XCom. A distinct value stays as it is."""
    if not isinstance(item, Mapping):
        return item
    properties = item.get("properties") or {}
    return {
        "id": item.get("id"),
        "datetime": properties.get("datetime"),
        "cloud_cover": properties.get(CLOUD_COVER),
        "bbox": item.get("bbox"),
    }


def sort_items(items: Iterable[Mapping[str, Any]], by: str) -> list[Mapping[str, Any]]:
    """Sort items by ``newest``, ``oldest`` or ``clearest``, then by id. Items without the property come last."""
    by = read_choice(by, SORTINGS, "sort")
    ordered = sorted(items, key=lambda item: str(item.get("id")))
    sign = 1 if by == "oldest" else -1
    ordered.sort(key=lambda item: math.inf if (moment := _moment(item)) is None else sign * moment.timestamp())
    return sorted(ordered, key=_cover) if by == "clearest" else ordered


def one_per(items: Iterable[Mapping[str, Any]], what: str) -> list[Mapping[str, Any]]:
    """Keep the first item of each day (UTC) or tile, in the given order. Items without a day or tile are all kept."""
    what = read_choice(what, ONE_PER, "one_per")
    seen: set[str] = set()
    kept = []
    for item in items:
        moment = _moment(item)
        key = tile_of(item) if what == "tile" else None if moment is None else moment.date().isoformat()
        if key is None or key not in seen:
            kept.append(item)
        if key is not None:
            seen.add(key)
    return kept


def tile_of(item: Mapping[str, Any]) -> str | None:
    """Return the tile of a scene from its ``grid:code`` or its id, ``None`` if neither names one."""
    code = (item.get("properties") or {}).get("grid:code")
    if code:
        return str(code)
    match = _TILE_IN_ID.search(str(item.get("id")))
    return None if match is None else match[1] or match[2]


def _interval(value: Any, now: dt.datetime | None) -> str:
    value = plain_time(value)
    ends = value.split("/") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    ends = [part.strip() if isinstance(part, str) else part for part in ends]
    if len(ends) == 1 and is_instant(ends[0]):
        instant = parse_time(ends[0], "datetime")
        refuse_future(instant, "datetime", now)
        return format_time(instant)
    start, end = (None if part in ("..", "") else part for part in ends) if len(ends) == 2 else (value, value)
    if start is not None and end is not None:
        return parse_time_range(value, "datetime", now=now).to_interval()
    if end is not None:
        return f"../{format_time(parse_end(end, 'datetime')[0])}"
    if start is None:
        raise SentinelHubRequestError(
            f"datetime is {value!r}. Give at least one end, such as '2024-06-01T00:00:00Z/..'."
        )
    first = parse_time(start, "datetime")
    refuse_future(first, "datetime", now)
    return f"{format_time(first)}/.."


def _filter(given: str | Mapping[str, Any] | None, cover: float | None) -> dict[str, Any]:
    if isinstance(given, Mapping):
        clear = None if cover is None else {"op": "<=", "args": [{"property": CLOUD_COVER}, cover]}
        joined = given if clear is None else {"op": "and", "args": [dict(given), clear]}
        return {"filter": dict(joined), "filter-lang": "cql2-json"}
    if given is not None and not isinstance(given, str):
        raise SentinelHubRequestError(
            f"filter is a {type(given).__name__}. Give CQL2 as text, such as 'eo:cloud_cover < 20', or as a mapping."
        )
    parts = [part for part in (given, None if cover is None else f"{CLOUD_COVER} <= {cover:g}") if part]
    return {"filter": " and ".join(parts), "filter-lang": "cql2-text"} if parts else {}


def _fields(fields: Any) -> dict[str, Any]:
    if not isinstance(fields, Mapping) or not set(fields) <= {"include", "exclude"}:
        raise SentinelHubRequestError(
            f"fields is {fields!r}. Give include and exclude, each a list of members such as 'properties.datetime'."
        )
    found = {}
    for name, given in fields.items():
        members = [given] if isinstance(given, str) else given
        if not isinstance(members, list | tuple | None):
            raise SentinelHubRequestError(f"fields: {name} is {given!r}. Give a list of members.")
        if members is not None:
            found[name] = list(members)
    return found


def fields_for(fields: Any, *, sort: str | None, one_per: str | None, whole: bool) -> Any:
    """Return the members of items to request for a summary or ``fields``, and for sorting and thinning."""
    needed = []
    if sort is not None:
        needed += ["properties.datetime", *([f"properties.{CLOUD_COVER}"] if sort == "clearest" else [])]
    if one_per is not None:
        needed.append("properties.datetime" if one_per == "day" else "properties.grid:code")
    if fields is None:
        if whole:
            return None
        return {**SHORT_FIELDS, "include": list(dict.fromkeys([*SHORT_FIELDS["include"], *needed]))}
    chosen = _fields(fields)
    if needed and "properties" not in chosen.get("include", ()):
        chosen["include"] = list(dict.fromkeys([*(chosen.get("include") or DEFAULT_MEMBERS), *needed]))
        chosen["exclude"] = [name for name in chosen.get("exclude", ()) if name not in ("properties", *needed)]
    return {name: members for name, members in chosen.items() if members}


def _moment(item: Mapping[str, Any]) -> dt.datetime | None:
    """Return a scene's time of sensing in UTC, ``None`` if the item has no time."""
    return time_or_none((item.get("properties") or {}).get("datetime"))


def _cover(item: Mapping[str, Any]) -> float:
    cover = (item.get("properties") or {}).get(CLOUD_COVER)
    return float(cover) if isinstance(cover, int | float) else math.inf

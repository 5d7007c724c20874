"""Reads a search request from a POST body or a GET query into one validated query."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.sandbox.apis.catalog import cql2
from sentinelhub_provider.sandbox.apis.catalog.datetimes import Interval, parse_interval
from sentinelhub_provider.sandbox.apis.catalog.errors import bad_request
from sentinelhub_provider.sandbox.apis.catalog.fields import Fields, parse_fields
from sentinelhub_provider.sandbox.apis.catalog.geometry import Bbox, parse_geometry

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
MAX_NEXT = 2**31 - 1
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"

SEARCH_PARAMETERS = frozenset(
    {
        "collections",
        "bbox",
        "intersects",
        "datetime",
        "ids",
        "limit",
        "next",
        "fields",
        "filter",
        "filter-lang",
        "filter-crs",
        "distinct",
    }
)
ITEMS_PARAMETERS = frozenset({"bbox", "datetime", "limit", "next"})


@dataclass(frozen=True)
class SearchQuery:
    """A validated search."""

    collection: str
    interval: Interval = (None, None)
    boxes: tuple[Bbox, ...] = ()
    """Search boxes, empty for the whole world. A bbox across the antimeridian has two."""
    shape: BaseGeometry | None = None
    """The exact area, ``None`` for the whole world."""
    ids: tuple[str, ...] | None = None
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    """Results to skip, which is the ``next`` of the page before."""
    fields: Fields | None = None
    filter: cql2.Expression | None = None
    distinct: str | None = None


def parse_search(body: object) -> SearchQuery:
    """Validate a search body. Raises ``ApiError`` (400) naming the parameter and what is wrong with it."""
    if not isinstance(body, Mapping):
        raise bad_request("the search must be a JSON object")
    _reject_unknown(body, SEARCH_PARAMETERS)
    collections = body.get("collections")
    if not isinstance(collections, list) or len(collections) != 1 or not isinstance(collections[0], str):
        raise bad_request("collections: exactly one collection id must be given")
    if body.get("datetime") is None:
        raise bad_request("datetime: must be given, as an instant or an interval like 2024-06-01T00:00:00Z/..")
    return _parse_common(collections[0], body)


def parse_search_params(params: Mapping[str, str]) -> SearchQuery:
    """Validate the query string of a GET search. Raises ``ApiError`` (400)."""
    body = _typed(params, SEARCH_PARAMETERS)
    for name in ("collections", "ids"):
        if name in params:
            body[name] = [part for part in params[name].split(",") if part]
    if "intersects" in params:
        body["intersects"] = _json("intersects", params["intersects"])
    if params.get("filter-lang") == "cql2-json" and "filter" in params:
        body["filter"] = _json("filter", params["filter"])
    return parse_search(body)


def parse_items_params(collection: str, params: Mapping[str, str]) -> SearchQuery:
    """Validate the query string of a collection's items. Raises ``ApiError`` (400)."""
    return _parse_common(collection, _typed(params, ITEMS_PARAMETERS))


def _parse_common(collection: str, body: Mapping[str, Any]) -> SearchQuery:
    if body.get("bbox") is not None and body.get("intersects") is not None:
        raise bad_request("bbox, intersects: only one of the two may be given")
    if body.get("filter-crs") not in (None, CRS84):
        raise bad_request(f"filter-crs: only {CRS84} is supported")
    boxes, shape = _parse_area(body)
    datetime_ = body.get("datetime")
    if datetime_ is not None and not isinstance(datetime_, str):
        raise bad_request("datetime: must be a string")
    distinct = body.get("distinct")
    if distinct is not None and (not isinstance(distinct, str) or not distinct):
        raise bad_request("distinct: must be the name of one property")
    filter_ = body.get("filter")
    return SearchQuery(
        collection=collection,
        interval=parse_interval(datetime_) if datetime_ is not None else (None, None),
        boxes=boxes,
        shape=shape,
        ids=_parse_ids(body.get("ids")),
        limit=_integer(body, "limit", default=DEFAULT_LIMIT, low=1, high=MAX_LIMIT),
        offset=_integer(body, "next", default=0, low=0, high=MAX_NEXT),
        fields=parse_fields(body.get("fields")),
        filter=cql2.parse_filter(filter_, body.get("filter-lang")) if filter_ is not None else None,
        distinct=distinct,
    )


def _parse_area(body: Mapping[str, Any]) -> tuple[tuple[Bbox, ...], BaseGeometry | None]:
    if body.get("intersects") is not None:
        shape = parse_geometry(body["intersects"])
        return (shape.bounds,), shape
    if body.get("bbox") is None:
        return (), None
    west, south, east, north = _parse_bbox(body["bbox"])
    # RFC 7946 section 5.2: a west beyond east means that the box crosses the antimeridian.
    boxes = [(west, south, east, north)]
    if west > east:
        boxes = [(west, south, 180.0, north), (-180.0, south, east, north)]
    from shapely.geometry import MultiPolygon, box

    # A box without an extent is a line or a point: shapely takes it for what it is only one by one.
    return tuple(boxes), MultiPolygon([box(*each) for each in boxes]) if len(boxes) > 1 else box(*boxes[0])


def _parse_bbox(value: object) -> Bbox:
    numeric = isinstance(value, list) and all(isinstance(n, int | float) and not isinstance(n, bool) for n in value)
    if not isinstance(value, list) or not numeric or len(value) not in (4, 6):
        raise bad_request("bbox: must be four numbers [west, south, east, north] (or six, with heights)")
    half = len(value) // 2
    west, south, east, north = (float(n) for n in (value[0], value[1], value[half], value[half + 1]))
    if not all(-180 <= x <= 180 for x in (west, east)) or not all(-90 <= y <= 90 for y in (south, north)):
        raise bad_request("bbox: must be within longitude -180..180 and latitude -90..90 (WGS 84)")
    if south > north:
        raise bad_request("bbox: south must not be larger than north")
    return west, south, east, north


def _parse_ids(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise bad_request("ids: must be an array of item ids")
    return tuple(dict.fromkeys(value))


def _integer(body: Mapping[str, Any], name: str, *, default: int, low: int, high: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise bad_request(f"{name}: must be an integer between {low} and {high}, not {value!r}")
    return value


def _typed(params: Mapping[str, str], known: frozenset[str]) -> dict[str, Any]:
    """Turn the strings of a query into what a body would hold."""
    _reject_unknown(params, known)
    body: dict[str, Any] = dict(params)
    for name in ("limit", "next"):
        if name in params:
            try:
                body[name] = int(params[name])
            except ValueError:
                raise bad_request(f"{name}: must be an integer, not {params[name]!r}") from None
    if "bbox" in params:
        try:
            body["bbox"] = [float(part) for part in params["bbox"].split(",")]
        except ValueError:
            raise bad_request(f"bbox: must be numbers separated by commas, not {params['bbox']!r}") from None
    return body


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise bad_request(f"{name}: must be JSON, got {text[:40]!r}") from None


def _reject_unknown(given: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown: Sequence[str] = sorted(str(name) for name in set(given) - known)
    if unknown:
        raise bad_request(f"{', '.join(unknown)}: unknown parameter; known are {', '.join(sorted(known))}")

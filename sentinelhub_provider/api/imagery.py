"""Facts and previews that a task leaves in XCom for the page *Satellite imagery*, as plain values of bounded size.

There are two XComs, so that an overview of many tasks reads no picture. Anyone who may edit XComs can write anything
into them, so their content is checked here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.time_range import span_of

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from sentinelhub_provider.api.geo.crs import Crs
    from sentinelhub_provider.api.jobs.job import Job

FACTS_KEY = "sentinelhub_imagery"
PREVIEWS_KEY = "sentinelhub_previews"
JOB_KEY = "sentinelhub_job"
"""XCom keys. The last one is for a job that the triggerer waits for."""

MOST_SIDE = 384
MOST_BYTES = 40_000
"""Pixels of a preview's longer side, and bytes of its file, at most."""

MOST_POSITIONS = 120  # of a footprint
DIGITS = 5  # of a position in degrees: about a metre
MOST_TEXT = 400  # letters


def facts_of_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request's JSON says about the data. Leave out what the JSON does not say.

    :returns: ``collections``, ``evalscript`` (its name), ``time_range`` (``from``, ``to``), ``footprint`` (GeoJSON
        geometry in degrees), ``size`` (width and height in pixels) and ``max_cloud_cover`` (per cent).
    """
    if "collections" in body:
        start, _, end = str(body.get("datetime") or "").partition("/")
        return {
            "collections": collections_of(body),
            **({"time_range": {"from": start, "to": end or start}} if start else {}),
            **({"footprint": shape} if (shape := _searched(body)) else {}),
        }
    body = body.get("processRequest") or body  # of Batch Process
    given: Mapping[str, Any] = body.get("input") or {}
    data = [entry for entry in given.get("data") or () if isinstance(entry, Mapping)]
    filters = [entry.get("dataFilter") or {} for entry in data]
    raster = body.get("output") or {}
    aggregation = body.get("aggregation") or {}
    times = [one["timeRange"] for one in filters if one.get("timeRange")]
    times += [_closed(aggregation["timeRange"])] if aggregation.get("timeRange") else []
    clouds = [one["maxCloudCoverage"] for one in filters if one.get("maxCloudCoverage") is not None]
    sides = next(([one["width"], one["height"]] for one in (raster, aggregation) if "width" in one), None)
    found = {
        "collections": collections_of(body),
        "evalscript": script_name(body.get("evalscript") or aggregation.get("evalscript")),
        "time_range": span_of(times),
        "footprint": footprint(given.get("bounds")),
        "size": sides,
        "max_cloud_cover": max(clouds, default=None),
    }
    return {name: value for name, value in found.items() if value not in (None, [])}


def _closed(times: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the half-open time range of a Statistical request with its last day in it, as other requests have it."""
    end = str(times.get("to"))
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", end) or end == times.get("from"):
        return times
    last = datetime.fromisoformat(end) - timedelta(seconds=1)
    return {**times, "to": last.isoformat().replace("+00:00", "Z")}


def collections_of(body: Mapping[str, Any]) -> list[str]:
    """Return the names of the collections in a request's JSON, as it spells them."""
    if "collections" in body:  # a search of the Catalog
        return list(map(str, body["collections"]))
    given = (body.get("processRequest") or body).get("input") or {}
    return [str(entry["type"]) for entry in given.get("data") or () if isinstance(entry, Mapping) and entry.get("type")]


def facts_of_job(job: Job) -> dict[str, Any]:
    """Return a job as the page shows it."""
    return {name: value for name, value in job.to_dict().items() if name != "description"}


def script_name(script: Any) -> str | None:
    """Return the name of a script that comes with this package, ``own`` of any other."""
    from sentinelhub_provider.api.evalscripts import EVALSCRIPTS, named_evalscript

    if not isinstance(script, str):
        return None
    return next((name for name in EVALSCRIPTS if named_evalscript(name) == script), "own")


def footprint(bounds: Any) -> dict[str, Any] | None:
    """Return a request's area as a simple GeoJSON geometry in degrees, or ``None`` if it has no area.

    An area across the antimeridian is in one piece, with longitudes beyond 180.
    """
    import shapely

    from sentinelhub_provider.api.geo.bounds import read_bounds

    given = {name: value for name, value in bounds.items() if value} if isinstance(bounds, Mapping) else {}
    if not {"bbox", "geometry"} & given.keys():
        return None
    area = read_bounds(given, across=True)
    return _outline(shapely.box(*area.box) if area.geometry is None else area.geometry.shape, area.crs)


def _searched(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the area of a search, which may be a point or a line."""
    from sentinelhub_provider.api.geo.crs import CRS84
    from sentinelhub_provider.api.geo.geometry import parse_geometry

    if not body.get("intersects"):
        return footprint({"bbox": body.get("bbox")})
    return _outline(parse_geometry(body["intersects"], areas_only=False).shape, CRS84)


def _outline(shape: BaseGeometry, crs: Crs) -> dict[str, Any] | None:
    import shapely
    from shapely import affinity

    from sentinelhub_provider.api.geo.antimeridian import in_degrees, sides_of
    from sentinelhub_provider.api.geo.geometry import Geometry

    found = in_degrees(shape, crs)
    if found is None:
        return None
    if len(sides_of(Geometry(found))) > 1:
        parts = shapely.get_parts(found)
        found = shapely.union_all([affinity.translate(part, 360 * (part.bounds[2] <= 0)) for part in parts])
    west, south, east, north = found.bounds
    tolerance = max(east - west, north - south) / 400
    while shapely.get_num_coordinates(simple := shapely.simplify(found, tolerance)) > MOST_POSITIONS:
        tolerance *= 2
        if tolerance >= east - west + north - south:
            simple = shapely.box(west, south, east, north)
            break
    rounded: dict[str, Any] = shapely.geometry.mapping(shapely.set_precision(simple, 10.0**-DIGITS, mode="pointwise"))
    return {"type": rounded["type"], "coordinates": _lists(rounded["coordinates"])}


def _lists(value: Any) -> Any:
    return [_lists(one) for one in value] if isinstance(value, list | tuple) else round(float(value), DIGITS)


def shortened(value: Any) -> str:
    """Return a text of bounded length."""
    text = str(value)
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


def webp_of(text: Any) -> bytes | None:
    """Return the picture that base64 holds, or ``None`` if it is not a WebP of a preview's size.

    Browsers guess what bytes are. Only what is one whole WebP file, as the worker made it, is shown to them.
    """
    if not isinstance(text, str) or len(text) > MOST_BYTES * 4 // 3 + 4:
        return None
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error, or letters that are not ASCII
        return None
    size = webp_size(content)
    return content if size is not None and 0 < max(size) <= MOST_SIDE else None


def webp_size(content: bytes) -> tuple[int, int] | None:
    """Return the width and height in a WebP file's first chunk, or ``None`` for any other file (RFC 9649)."""
    is_whole = content[:4] == b"RIFF" and content[8:12] == b"WEBP" and len(content) >= 30
    if not is_whole or int.from_bytes(content[4:8], "little") + 8 != len(content):
        return None
    match content[12:16]:
        case b"VP8 " if content[23:26] == b"\x9d\x01\x2a":
            return int.from_bytes(content[26:28], "little") & 0x3FFF, int.from_bytes(content[28:30], "little") & 0x3FFF
        case b"VP8L" if content[20] == 0x2F:
            bits = int.from_bytes(content[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    return None

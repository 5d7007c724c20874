"""The choice of scenes, as plain functions without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

Scene = dict[str, Any]
Point = Sequence[float]


def summary(answer: Mapping[str, Any]) -> list[Scene]:
    """Keep the members of a catalog search that the choice needs. Complete STAC items are too large for XCom."""
    return [
        {
            "date": item["properties"]["datetime"][:10],
            "cloud_cover": item["properties"]["eo:cloud_cover"],
            "footprint": item["geometry"],
            "address": item["assets"]["data"]["href"],
        }
        for item in answer["features"]
    ]


def clearest_of_each_month(scenes: Iterable[Scene], bbox: Sequence[float], limit: int) -> list[Scene]:
    """Choose the clearest day of each month. Of more than ``limit`` months, choose the clearest ones.

    A day counts only if its scenes together cover the area, because an orbit's edge may run through it.

    :param scenes: result of :func:`summary`.
    :param bbox: west, south, east, north in degrees.
    :returns: the chosen scenes, earliest first, with date, cloud cover in percent, and place of the data.
    """
    days: dict[str, list[Scene]] = {}
    for scene in scenes:
        days.setdefault(scene["date"], []).append(scene)
    best: dict[str, Scene] = {}
    for date, same_day in days.items():
        if not covered(bbox, [scene["footprint"] for scene in same_day]):
            continue
        cloud_cover = max(scene["cloud_cover"] for scene in same_day)
        month = date[:7]
        if month not in best or (cloud_cover, date) < (best[month]["cloud_cover"], best[month]["date"]):
            best[month] = {"date": date, "cloud_cover": cloud_cover, "address": same_day[0]["address"]}
    clearest = sorted(best.values(), key=lambda scene: (scene["cloud_cover"], scene["date"]))[:limit]
    return sorted(clearest, key=lambda scene: scene["date"])


def covered(bbox: Sequence[float], footprints: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether each corner of a box lies in one of the footprints (GeoJSON polygons or multipolygons)."""
    rings = [
        polygon[0]
        for shape in footprints
        for polygon in (shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]])
    ]
    west, south, east, north = bbox
    corners = ((west, south), (east, south), (east, north), (west, north))
    return all(any(_inside(corner, ring) for ring in rings) for corner in corners)


def _inside(point: Point, ring: Sequence[Point]) -> bool:
    """Tell whether a point lies within a closed ring. A ray to the east then crosses it an odd number of times."""
    x, y = point
    crossings = 0
    for (x1, y1), (x2, y2) in pairwise(ring):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            crossings += 1
    return crossings % 2 == 1

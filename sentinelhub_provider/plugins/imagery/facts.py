"""Checks the data that tasks left in XCom, because users who may edit XComs can write anything into them.

Wrong data are left out, and the page says so. Nothing here raises, whatever the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from sentinelhub_provider.api.imagery import shortened

TEXTS = ("operator", "conn_id", "evalscript", "path", "delivery", "request_sha256", "error")
NUMBERS = (
    *("rows", "features", "failed", "skipped", "missing_intervals", "coverage", "bytes", "pictures", "max_cloud_cover"),
    *("processing_units", "estimated_processing_units", "has_table"),
)
MOST = 24  # items of most lists
MOST_COLUMNS = 100
MOST_POSITIONS = 2000


class UnfitError(ValueError):
    """A value is not what it should be."""


def checked(value: Any) -> dict[str, Any]:
    """Return the facts of a task.

    :returns: with ``is_broken`` if some of them cannot be shown. Without members if the task left none.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        return {"is_broken": True}
    found: dict[str, Any] = {}
    for name, read in READERS.items():
        if value.get(name) is None:
            continue
        try:
            found[name] = read(value[name])
        except (UnfitError, TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError):
            found["is_broken"] = True
    return found


def text(value: Any) -> str:
    """Return a text. It may be a number."""
    if not isinstance(value, str | int | float):
        raise UnfitError
    return f"{value:.6g}" if isinstance(value, float) else shortened(value)


def number(value: Any) -> float:
    """Return a finite number."""
    if not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e15:
        raise UnfitError
    return value


def many(read: Callable[[Any], Any], most: int = MOST) -> Callable[[Any], list[Any]]:
    """Return a function that reads the first items of a list."""

    def items(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise UnfitError
        return [read(item) for item in value[:most]]

    return items


def named(read: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """Return a function that reads the first members of an object that have a value."""

    def members(value: Any) -> dict[str, Any]:
        first = list(value.items())[:MOST]
        return {text(name): read(item) for name, item in first if item is not None}

    return members


def row(value: Any) -> dict[str, str]:
    """Return a row of a table. A cell without a value is empty, because other rows may have one in its column."""
    return {text(name): "" if item is None else text(item) for name, item in list(value.items())[:MOST_COLUMNS]}


def job(value: Any) -> dict[str, Any]:
    """Return a job: its texts and numbers, and the number of its features in each state."""
    plain = {name: item for name, item in value.items() if not isinstance(item, Mapping | list)}
    counts = value.get("features")
    counted = counts.items() if isinstance(counts, Mapping) else ()
    numbers = {name: number(item) for name, item in counted if isinstance(item, int | float)}
    return {**named(text)(plain), "features": numbers}


def rings(value: Any) -> list[list[tuple[float, float]]]:
    """Return the rings, lines and points of a GeoJSON geometry, as longitude and latitude."""
    found: list[list[tuple[float, float]]] = []

    def collect(coordinates: Any, depth: int) -> None:
        if depth > 4:
            raise UnfitError
        if coordinates and isinstance(coordinates[0], int | float):
            found.append([position(coordinates)])
        elif coordinates and isinstance(coordinates[0][0], int | float):
            found.append([position(item) for item in coordinates])
        else:
            for item in coordinates:
                collect(item, depth + 1)

    collect(value["coordinates"], 0)
    if not found or not all(found) or sum(map(len, found)) > MOST_POSITIONS:
        raise UnfitError
    return found


def position(value: Any) -> tuple[float, float]:
    """Return longitude and latitude."""
    longitude, latitude = number(value[0]), number(value[1])
    if abs(longitude) > 540 or abs(latitude) > 90:
        raise UnfitError
    return longitude, latitude


def point(value: Any) -> tuple[str, float]:
    """Return a point of a chart: a time and a number."""
    return text(value[0]), number(value[1])


def series(value: Any) -> dict[str, Any]:
    """Return a line of a chart."""
    return {"name": text(value["name"]), "points": [point(item) for item in value["points"][:400]]}


READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(TEXTS, text),
    **dict.fromkeys(NUMBERS, number),
    "collections": many(text),
    "size": many(number),
    "time_range": named(text),
    "outputs": named(text),
    "limits": named(number),
    "failed_features": many(named(text)),
    "job": job,
    "footprint": rings,
    "series": many(series),
    "table": many(row),
    "columns": many(text, MOST_COLUMNS),
}

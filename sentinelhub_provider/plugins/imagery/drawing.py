"""The map and the chart, as parts of an SVG."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

Position = tuple[float, float]
Box = tuple[float, float, float, float]

UNIT = 20  # units of the world's positions per degree
WIDTH, HEIGHT = 720, 360  # of the map
LEAST_SPAN = 14.0  # degrees of latitude, because the coast has no finer details
LEAST_STEP = 1e-300  # between values of an axis, because floating point numbers end there
PLOT = (52, 12, 700, 210)  # left, top, right, bottom of the chart


@cache
def world() -> dict[str, list[tuple[Box, list[Position]]]]:
    """Return the lines of land and borders, each with the box around it, from Natural Earth (1:110 million)."""
    lines = json.loads(files(__package__).joinpath("world.json").read_text(encoding="utf-8"))
    found: dict[str, list[tuple[Box, list[Position]]]] = {}
    for name in ("land", "borders"):
        found[name] = []
        for flat in lines[name]:
            line = [(x / UNIT, y / UNIT) for x, y in zip(flat[::2], flat[1::2], strict=True)]
            xs, ys = zip(*line, strict=True)
            found[name].append(((min(xs), min(ys), max(xs), max(ys)), line))
    return found


def map_of(rings: Sequence[Sequence[Position]]) -> dict[str, Any]:
    """Return the part of the world around an area. ``land``, ``borders``, ``grid`` and ``area`` are paths of an SVG."""
    xs, ys = zip(*(position for ring in rings for position in ring), strict=True)
    west, east, south, north = min(xs), max(xs), min(ys), max(ys)
    middle = (west + east) / 2, (south + north) / 2
    narrow = max(0.2, math.cos(math.radians(middle[1])))  # a degree of longitude relative to one of latitude
    span = min(180.0, max(LEAST_SPAN, 3 * (north - south), 3 * (east - west) * narrow * HEIGHT / WIDTH))
    narrow = max(narrow, span * WIDTH / HEIGHT / 360)  # no more than once around the world
    scale = HEIGHT / span

    def at(position: Position) -> str:
        x = WIDTH / 2 + (position[0] - middle[0]) * scale * narrow
        return f"{x:.1f} {HEIGHT / 2 - (position[1] - middle[1]) * scale:.1f}"

    def path(line: Iterable[Position], shift: float = 0.0) -> str:
        return "M" + "L".join(at((x + shift, y)) for x, y in line)

    half = span * WIDTH / HEIGHT / narrow / 2, span / 2
    window = middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1]
    drawn = {}
    for name, lines in world().items():
        drawn[name] = "".join(
            path(line, shift)
            for shift in (-720, -360, 0, 360, 720)
            for box, line in lines
            if box[0] + shift < window[2] and box[2] + shift > window[0] and box[1] < window[3] and box[3] > window[1]
        )
    step = next((step for step in (2, 5, 10, 15, 30) if span / step <= 5), 45)
    meridians = range(math.ceil(window[0] / step) * step, math.ceil(window[2]), step)
    parallels = range(max(-90, math.ceil(window[1] / step) * step), min(91, math.ceil(window[3])), step)
    grid = [path([(x, window[1]), (x, window[3])]) for x in meridians]
    grid += [path([(window[0], y), (window[2], y)]) for y in parallels]
    is_small = max((east - west) * narrow, north - south) * scale < 12
    return {
        **drawn,
        "grid": "".join(grid),
        "area": "".join(path(ring) + "Z" for ring in rings),
        "is_small": is_small,
        "width": WIDTH,
        "height": HEIGHT,
        "words": place_of((west, south, east, north)),
    }


def place_of(box: tuple[float, float, float, float]) -> str:
    """Write the sides of a box in degrees, with enough digits to tell opposite sides apart."""
    west, south, east, north = box
    side = min((side for side in (east - west, north - south) if side > 0), default=1)
    digits = min(6, max(2, -math.floor(math.log10(side))))
    sides = ((west, east, "EW"), (south, north, "NS"))
    return ", ".join(" to ".join(degrees(value, letters, digits) for value in pair) for *pair, letters in sides)


def degrees(value: float, letters: str, digits: int) -> str:
    """Write a longitude or latitude."""
    turned = (value + 180) % 360 - 180 if letters == "EW" and abs(value) > 180 else value
    rounded = round(turned, digits)
    return f"{abs(rounded):.10g}° {letters[rounded < 0]}"


def chart_of(series: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the lines of a chart with the ticks of its axes, ``None`` if no line has a time and a number."""
    lines = [(one["name"], sorted(filter(None, map(_timed, one["points"])))) for one in series]
    lines = [(name, points) for name, points in lines if points]
    if not lines:
        return None
    left, top, right, bottom = PLOT
    times = [time for _, points in lines for time, _ in points]
    values = [value for _, points in lines for _, value in points]
    first, last = min(times), max(times)
    low, high, step = _nice(min(values), max(values))

    def x(time: float) -> float:
        return (left + right) / 2 if first == last else left + (right - left) * (time - first) / (last - first)

    def y(value: float) -> float:
        return bottom - (bottom - top) * (value - low) / (high - low)

    ticks = [low + step * number for number in range(round((high - low) / step) + 1)]
    moments = sorted({first, (first + last) / 2, last})
    return {
        "lines": [
            {
                "name": name,
                "path": "M" + "L".join(f"{x(time):.1f} {y(value):.1f}" for time, value in points),
                "points": [
                    {"x": round(x(time), 1), "y": round(y(value), 1), "words": f"{_day(time)}  {value:.4g}"}
                    for time, value in points
                ],
            }
            for name, points in lines
        ],
        "values": [{"y": round(y(value), 1), "words": f"{value:.4g}"} for value in ticks],
        "times": [{"x": round(x(time), 1), "words": _day(time)} for time in moments],
        "left": left,
        "right": right,
        "bottom": bottom,
    }


def _timed(point: tuple[str, float]) -> tuple[float, float] | None:
    try:
        time = datetime.fromisoformat(point[0])
        seconds = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        _day(seconds)
    except (ValueError, OverflowError):  # no time, or one before or after all years
        return None
    return seconds, point[1]


def _day(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).date().isoformat()


def _nice(low: float, high: float) -> tuple[float, float, float]:
    """Return start, end and step of an axis as round numbers, with about four steps."""
    largest = max(abs(low), abs(high))
    if high - low <= max(largest * 1e-9, LEAST_STEP):
        margin = largest / 2 if largest > LEAST_STEP else 0.5
        low, high = low - margin, high + margin
    size = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if (high - low) / (size * factor) <= 5)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step

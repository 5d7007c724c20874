"""Well-known text (OGC Simple Features 06-103r4, section 7) into GeoJSON geometries, with an optional ``SRID=...;``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_TOKEN = re.compile(r"\s*([A-Za-z]+|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[(),])")
_SRID = re.compile(r"\s*SRID\s*=\s*(\d+)\s*;", re.IGNORECASE)
_NAMES = {
    "POINT": "Point",
    "LINESTRING": "LineString",
    "POLYGON": "Polygon",
    "MULTIPOINT": "MultiPoint",
    "MULTILINESTRING": "MultiLineString",
    "MULTIPOLYGON": "MultiPolygon",
    "GEOMETRYCOLLECTION": "GeometryCollection",
}
_DEPTH = {"Point": 0, "LineString": 1, "Polygon": 2, "MultiPoint": 1, "MultiLineString": 2, "MultiPolygon": 3}
"""How many lists deep positions lie."""


def parse_wkt(text: str) -> tuple[dict[str, Any], int | None]:
    """
    Read a geometry.

    :param text: WKT, or EWKT with its SRID.
    :returns: a GeoJSON geometry, and the SRID where one is given. ``EMPTY`` has no coordinates.
    :raises ValueError: where the text is no WKT; says what was met instead.
    """
    srid = _SRID.match(text)
    reader = _Reader(text[srid.end() :] if srid else text)
    geometry = reader.geometry()
    reader.expect("")
    return geometry, int(srid[1]) if srid else None


class _Reader:
    """Reads tokens one after the other; ``current`` is the one that comes next, ``""`` the end."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self.current = next(self._tokens)

    def take(self) -> str:
        token = self.current
        self.current = next(self._tokens, "")
        return token

    def expect(self, wanted: str) -> None:
        token = self.take()
        if token != wanted:
            raise ValueError(f"{wanted or 'the end'!r} was expected, not {token or 'the end'!r}")

    def geometry(self) -> dict[str, Any]:
        word = self.take().upper()
        # "POLYGON Z" and "POLYGONZ": the further ordinates are read and dropped.
        kind = _NAMES.get(word) or _NAMES.get(word.removesuffix("M").removesuffix("Z"))
        if kind is None:
            raise ValueError(f"{word or 'the end'!r} is no kind of geometry; known are {', '.join(_NAMES)}")
        if self.current.upper() in ("Z", "M", "ZM"):
            self.take()
        if self.current.upper() == "EMPTY":
            self.take()
            return {"type": kind, "geometries" if kind == "GeometryCollection" else "coordinates": []}
        if kind == "GeometryCollection":
            return {"type": kind, "geometries": self._listed(self.geometry)}
        if kind == "Point":
            return {"type": kind, "coordinates": self._listed(self._position)[0]}
        return {"type": kind, "coordinates": self._nested(_DEPTH[kind], multi=kind == "MultiPoint")}

    def _nested(self, depth: int, *, multi: bool) -> list[Any]:
        if depth > 1:
            return self._listed(lambda: self._nested(depth - 1, multi=False))
        if multi:
            return self._listed(lambda: self._listed(self._position)[0] if self.current == "(" else self._position())
        return self._listed(self._position)

    def _listed(self, read: Any) -> list[Any]:
        self.expect("(")
        items = [read()]
        while self.current == ",":
            self.take()
            items.append(read())
        self.expect(")")
        return items

    def _position(self) -> list[float]:
        numbers: list[float] = []
        while self.current not in ("", ",", "(", ")"):
            token = self.take()
            try:
                numbers.append(float(token))
            except ValueError:
                raise ValueError(f"a number was expected, not {token!r}") from None
        if len(numbers) < 2:
            raise ValueError(f"a position needs two numbers, not {len(numbers)}")
        return numbers[:2]


def _tokens(text: str) -> Iterator[str]:
    end = 0
    while match := _TOKEN.match(text, end):
        yield match[1]
        end = match.end()
    rest = text[end:].strip()
    if rest:
        raise ValueError(f"{rest[:20]!r} makes no sense")
    yield ""

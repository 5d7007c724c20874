"""GeoJSON geometries as Well-Known Binary (OGC 06-103r4), the form that GeoParquet stores."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

_CODES = {"Point": 1, "LineString": 2, "Polygon": 3, "MultiPoint": 4, "MultiLineString": 5, "MultiPolygon": 6}
_PARTS = {"MultiPoint": "Point", "MultiLineString": "LineString", "MultiPolygon": "Polygon"}


def to_wkb(geometry: Mapping[str, Any]) -> bytes:
    """
    Return a geometry as little-endian WKB of two dimensions; further ordinates are dropped.

    :raises ValueError: for a kind that WKB does not have.
    """
    kind = str(geometry.get("type"))
    if kind == "GeometryCollection":
        parts = [to_wkb(part) for part in geometry["geometries"]]
        return struct.pack("<BII", 1, 7, len(parts)) + b"".join(parts)
    if kind not in _CODES:
        raise ValueError(f"there is no geometry type {kind!r}")
    return struct.pack("<BI", 1, _CODES[kind]) + _body(kind, geometry["coordinates"])


def _body(kind: str, coordinates: Any) -> bytes:
    if kind == "Point":
        return struct.pack("<dd", *coordinates[:2])
    if kind == "LineString":
        return _positions(coordinates)
    if kind == "Polygon":
        return struct.pack("<I", len(coordinates)) + b"".join(_positions(ring) for ring in coordinates)
    parts = [to_wkb({"type": _PARTS[kind], "coordinates": part}) for part in coordinates]
    return struct.pack("<I", len(parts)) + b"".join(parts)


def _positions(positions: Sequence[Sequence[float]]) -> bytes:
    return struct.pack("<I", len(positions)) + b"".join(struct.pack("<dd", *position[:2]) for position in positions)

"""Geometries as Well-Known Binary (OGC 06-103r4), which GeoParquet stores, and GeoPackage in blobs around it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

_CODES = {"Point": 1, "LineString": 2, "Polygon": 3, "MultiPoint": 4, "MultiLineString": 5, "MultiPolygon": 6}
_NAMES = {code: name for name, code in _CODES.items()}
_PARTS = {"MultiPoint": "Point", "MultiLineString": "LineString", "MultiPolygon": "Polygon"}
_ENVELOPES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}
"""Bytes of a GeoPackage blob's envelope, by its indicator (OGC 12-128r19, 2.1.3)."""


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


def from_wkb(data: bytes) -> dict[str, Any]:
    """
    Return a geometry as GeoJSON, two numbers to a position; ISO's and PostGIS's marks of further ordinates are read.

    :raises ValueError: for what is cut short, or of a kind that is neither point, line, polygon nor many of these.
    """
    try:
        geometry, _ = _geometry(data, 0)
    except (struct.error, IndexError) as error:
        raise ValueError(f"the binary geometry is cut short: {error}") from error
    return geometry


def from_geopackage(blob: bytes) -> dict[str, Any] | None:
    """
    Return the geometry of a GeoPackage blob; ``None`` for an empty one.

    :raises ValueError: for what is no such blob.
    """
    if blob[:2] != b"GP" or len(blob) < 8:
        raise ValueError("the geometry is no GeoPackage blob")
    flags = blob[3]
    if flags & 0b10000:
        return None
    envelope = _ENVELOPES.get(flags >> 1 & 0b111)
    if envelope is None:
        raise ValueError("the GeoPackage blob has an envelope of no known kind")
    return from_wkb(blob[8 + envelope :])


def _body(kind: str, coordinates: Any) -> bytes:
    if kind == "Point":
        return struct.pack("<dd", *coordinates[:2])
    if kind == "LineString":
        return _packed(coordinates)
    if kind == "Polygon":
        return struct.pack("<I", len(coordinates)) + b"".join(_packed(ring) for ring in coordinates)
    parts = [to_wkb({"type": _PARTS[kind], "coordinates": part}) for part in coordinates]
    return struct.pack("<I", len(parts)) + b"".join(parts)


def _packed(positions: Sequence[Sequence[float]]) -> bytes:
    return struct.pack("<I", len(positions)) + b"".join(struct.pack("<dd", *position[:2]) for position in positions)


def _geometry(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    order = "<" if data[at] == 1 else ">"
    (code,) = struct.unpack_from(f"{order}I", data, at + 1)
    at += 5
    if code & 0x2000_0000:  # PostGIS writes the SRID here
        at += 4
    further = ((code & 0x8000_0000) > 0) + ((code & 0x4000_0000) > 0)
    iso, kind = divmod(code & 0x0FFF_FFFF, 1000)
    further = max(further, {0: 0, 1: 1, 2: 1, 3: 2}.get(iso, 0))
    name = _NAMES.get(kind)
    if name is None:
        raise ValueError(f"the geometry is of type {kind}, which is neither point, line nor polygon")
    if kind == 1:
        coordinates, at = _positions(data, at, order, further, 1)
        return {"type": name, "coordinates": coordinates[0]}, at
    (count,) = struct.unpack_from(f"{order}I", data, at)
    at += 4
    if kind == 2:
        coordinates, at = _positions(data, at, order, further, count)
        return {"type": name, "coordinates": coordinates}, at
    parts: list[Any] = []
    for _ in range(count):
        if kind == 3:
            (length,) = struct.unpack_from(f"{order}I", data, at)
            part, at = _positions(data, at + 4, order, further, length)
        else:
            inner, at = _geometry(data, at)
            part = inner["coordinates"]
        parts.append(part)
    return {"type": name, "coordinates": parts}, at


def _positions(data: bytes, at: int, order: str, further: int, count: int) -> tuple[list[list[float]], int]:
    each = 2 + further
    end = at + count * each * 8
    if end > len(data):
        raise ValueError("the binary geometry is cut short")
    numbers = struct.unpack_from(f"{order}{count * each}d", data, at)
    return [[numbers[i], numbers[i + 1]] for i in range(0, count * each, each)], end

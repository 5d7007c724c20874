"""Polygons as well-known binary, in and out of the envelope that a GeoPackage puts them in (GeoPackage 1.3, 2.1.3)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

_MAGIC: Final = b"GP"
_POLYGON, _MULTI_POLYGON = 3, 6
_ENVELOPE_DOUBLES: Final = (0, 4, 6, 6, 8)
_LITTLE: Final = 1


def read_geometry(blob: bytes) -> dict[str, Any]:
    """Read a polygon or multipolygon of a GeoPackage as GeoJSON, without heights. Raises :class:`ValueError`."""
    if blob[:2] != _MAGIC or len(blob) < 8:
        raise ValueError("is no GeoPackage geometry")
    envelope = (blob[3] >> 1) & 0b111
    if blob[3] & 0b10000 or envelope >= len(_ENVELOPE_DOUBLES):
        raise ValueError("is empty or has an unknown envelope")
    try:
        return _Reader(blob, 8 + 8 * _ENVELOPE_DOUBLES[envelope]).geometry()
    except (struct.error, IndexError) as error:
        raise ValueError("is cut off") from error


def write_geometry(geometry: Mapping[str, Any], srs_id: int) -> bytes:
    """Write a GeoJSON polygon or multipolygon as a GeoPackage does."""
    header = _MAGIC + struct.pack("<BBi", 0, _LITTLE, srs_id)
    if geometry["type"] == "Polygon":
        return header + _polygon(geometry["coordinates"])
    polygons = [_polygon(part) for part in geometry["coordinates"]]
    return header + struct.pack("<BII", _LITTLE, _MULTI_POLYGON, len(polygons)) + b"".join(polygons)


def _polygon(rings: Sequence[Sequence[Sequence[float]]]) -> bytes:
    parts = [struct.pack("<BII", _LITTLE, _POLYGON, len(rings))]
    for ring in rings:
        parts.append(struct.pack("<I", len(ring)))
        parts += [struct.pack("<dd", float(position[0]), float(position[1])) for position in ring]
    return b"".join(parts)


class _Reader:
    """Goes through well-known binary, ISO's and PostGIS's."""

    def __init__(self, blob: bytes, offset: int) -> None:
        self._blob, self._offset = blob, offset
        self._order = "<"

    def geometry(self) -> dict[str, Any]:
        self._order = "<" if self._take("B") == _LITTLE else ">"
        code = self._take("I")
        dimensions = 2 + bool(code & 0x80000000) + bool(code & 0x40000000)
        if code & 0x20000000:
            self._take("I")  # an SRID, which the table says too
        code &= 0x0FFFFFFF
        dimensions += {0: 0, 1: 1, 2: 1, 3: 2}.get(code // 1000, 0)
        match code % 1000:
            case 3:
                return {"type": "Polygon", "coordinates": self._rings(dimensions)}
            case 6:
                parts = [self.geometry() for _ in range(self._take("I"))]
                return {"type": "MultiPolygon", "coordinates": [part["coordinates"] for part in parts]}
        raise ValueError("is neither a POLYGON nor a MULTIPOLYGON")

    def _rings(self, dimensions: int) -> list[list[list[float]]]:
        rings = []
        for _ in range(self._take("I")):
            count = self._take("I")
            values = struct.unpack_from(f"{self._order}{count * dimensions}d", self._blob, self._offset)
            self._offset += 8 * len(values)
            rings.append([[values[n], values[n + 1]] for n in range(0, len(values), dimensions)])
        return rings

    def _take(self, form: str) -> int:
        value: int
        (value,) = struct.unpack_from(f"{self._order}{form}", self._blob, self._offset)
        self._offset += struct.calcsize(f"={form}")
        return value

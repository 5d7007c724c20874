"""Bodies of BYOC requests, checked field by field, and the JSON of collections and tiles."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.byoc.ingestion import INGESTED
from sentinelhub_provider.sandbox.apis.byoc.state import ByocCollection, ByocStore, ByocTile
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.auth.tokens import stable_uuid

MAX_BANDS: Final = 100
_PATH: Final = re.compile(r"([^/](/?[^/])*)?")
_BAND_FIELDS: Final = {"bitDepth": (8, 16, 32), "sampleFormat": ("UINT", "INT", "FLOAT")}


@dataclass(frozen=True)
class CollectionBody:
    """The settable fields of a collection. ``bands`` is ``None`` if the body has no ``additionalData``."""

    name: str
    bucket: str
    no_data: float | None
    bands: dict[str, Any] | None


@dataclass(frozen=True)
class TileBody:
    """The settable fields of a tile."""

    path: str
    geometry: Any
    sensing_time: str | None


def parse_collection(body: Any) -> CollectionBody:
    """Check a collection. Raises ``ApiError`` (400)."""
    if not isinstance(body, Mapping):
        raise _invalid("body", "must be a JSON object with name and s3Bucket")
    no_data = body.get("noData")
    if no_data is not None and not _is_number(no_data):
        raise _invalid("noData", "must be a number")
    bands = _bands(body.get("additionalData"))
    if no_data is not None and any("noData" in band for band in (bands or {}).values()):
        raise _invalid("noData", "may be given for the collection or for its bands, not for both")
    return CollectionBody(_text(body, "name"), _text(body, "s3Bucket"), no_data, bands)


def check_bands(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Check a change of bands. With tiles, bands can only be renamed or removed. Raises ``ApiError`` (400)."""
    left = [_fixed(band) for band in before.values()]
    for name, band in after.items():
        if _fixed(band) not in left:
            raise _invalid(
                f"additionalData.bands.{name}",
                "bands of a collection with tiles can be renamed or removed, not added or changed",
            )
        left.remove(_fixed(band))


def parse_tile(body: Any, *, path: str | None = None) -> TileBody:
    """Check a tile. ``path`` is the path of an existing tile. Raises ``ApiError`` (400)."""
    if not isinstance(body, Mapping):
        raise _invalid("body", "must be a JSON object")
    if path is None:
        path = _text(body, "path")
        if not _PATH.fullmatch(path):
            raise _invalid("path", "must not begin or end with a slash, nor have two in a row")
    geometry = body.get("coverGeometry")
    if geometry is not None and (
        not isinstance(geometry, Mapping) or geometry.get("type") not in ("Polygon", "MultiPolygon")
    ):
        raise _invalid("coverGeometry", "must be a GeoJSON Polygon or MultiPolygon")
    sensing_time = body.get("sensingTime")
    if sensing_time is not None:
        try:
            aware = isinstance(sensing_time, str) and datetime.fromisoformat(sensing_time).tzinfo is not None
        except ValueError:
            aware = False
        if not aware:
            raise _invalid("sensingTime", "must be a date and time with a time zone, such as 2024-06-01T10:00:00Z")
    return TileBody(path, geometry, sensing_time)


def show_collection(collection: ByocCollection, store: ByocStore) -> dict[str, Any]:
    """Write a collection."""
    ingested = [tile for tile in collection.tiles.values() if store.status(tile) == INGESTED]
    times = sorted(datetime.fromisoformat(t.sensing_time) for t in ingested if t.sensing_time is not None)
    additional: dict[str, Any] = {"bands": collection.bands}
    if ingested:
        additional["hasSensingTimes"] = "NO" if not times else "YES" if len(times) == len(ingested) else "PARTIALLY"
    if times:
        additional |= {"fromSensingTime": _iso(times[0]), "toSensingTime": _iso(times[-1])}
    shown = {
        "id": collection.id,
        "accountId": stable_uuid("account", collection.owner),
        "name": collection.name,
        "s3Bucket": collection.bucket,
        "isConfigured": bool(collection.bands),
        "created": _iso(collection.created),
        "requiresMetadataUpdate": False,
        "additionalData": additional,
    }
    return shown if collection.no_data is None else {**shown, "noData": collection.no_data}


def show_tile(tile: ByocTile, store: ByocStore) -> dict[str, Any]:
    """Write a tile, with the cause of its failure or its warning."""
    shown: dict[str, Any] = {
        "id": tile.id,
        "path": tile.path,
        "status": store.status(tile),
        "created": _iso(tile.created),
        "sensingTime": tile.sensing_time,
    }
    if tile.geometry is not None:
        shown["coverGeometry"] = tile.geometry
    notes = {"failedIngestionCause": store.cause(tile), "warnings": store.warning(tile)}
    shown["additionalData"] = {name: note for name, note in notes.items() if note is not None}
    return shown


def _bands(additional: Any) -> dict[str, Any] | None:
    if additional is None:
        return None
    if not isinstance(additional, Mapping):
        raise _invalid("additionalData", "must be an object")
    bands = additional.get("bands")
    if bands is None:
        return {}
    if not isinstance(bands, Mapping) or len(bands) > MAX_BANDS:
        raise _invalid("additionalData.bands", f"must be an object of at most {MAX_BANDS} bands, by name")
    for name, band in bands.items():
        if not isinstance(band, Mapping):
            raise _invalid(f"additionalData.bands.{name}", "must be an object")
        for key, allowed in _BAND_FIELDS.items():
            if band.get(key) not in allowed:
                choices = ", ".join(map(str, allowed))
                raise _invalid(f"additionalData.bands.{name}.{key}", f"is required and must be one of {choices}")
    return {name: dict(band) for name, band in bands.items()}


def _fixed(band: Mapping[str, Any]) -> dict[str, Any]:
    return {"bandIndex": 1} | {name: value for name, value in band.items() if name != "noData"}


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _invalid(name, "is required and must be a string that is not empty")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _iso(when: datetime) -> str:
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _invalid(field: str, violation: str) -> ApiError:
    return ApiError(400, "COMMON_BAD_PAYLOAD", f"{field}: {violation}", errors={field: violation})

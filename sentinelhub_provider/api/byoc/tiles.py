"""Tiles of BYOC collections: which shall be there, which are, and what has to be asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sentinelhub_provider.api.byoc.requests import collection_endpoint
from sentinelhub_provider.api.geo.bounds import parse_bounds
from sentinelhub_provider.api.time_range import format_time, parse_time, time_or_none
from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubResponseError

PLACEHOLDER: Final = "(BAND)"
_FIELDS: Final = {name: name for name in ("path", "coverGeometry", "sensingTime")} | {
    "cover_geometry": "coverGeometry",
    "sensing_time": "sensingTime",
}


class TileState(StrEnum):
    """How far the ingestion of a tile is. ``GONE`` is ours: it was deleted meanwhile."""

    WAITING = "WAITING"
    QUEUED = "QUEUED"
    INGESTING = "INGESTING"
    INGESTED = "INGESTED"
    FAILED = "FAILED"
    GONE = "GONE"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of it."""
        return self in (TileState.INGESTED, TileState.FAILED, TileState.GONE)


REINGEST: Final[Mapping[str, tuple[TileState, ...]]] = {
    "none": (),
    "failed": (TileState.FAILED,),
    "all": (TileState.FAILED, TileState.INGESTED),
}
"""Which tiles that are there are ingested again; those whose ingestion is under way never are."""


@dataclass(frozen=True, slots=True)
class TileRequest:
    """A tile that shall be there. The service finds out itself which area has data where no GeoJSON says it."""

    path: str
    cover_geometry: Mapping[str, Any] | None = None
    sensing_time: datetime | None = None
    warnings: tuple[str, ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        """The request that creates it."""
        body: dict[str, Any] = {"path": self.path}
        if self.cover_geometry is not None:
            body["coverGeometry"] = self.cover_geometry
        if self.sensing_time is not None:
            body["sensingTime"] = format_time(self.sensing_time)
        return body


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile that is there. ``cause`` says why it FAILED; ``warning`` what the service thinks of its files."""

    id: str
    path: str
    state: TileState
    sensing_time: str | None = None
    cause: str | None = None
    warning: str | None = None


class Plan(NamedTuple):
    """The work that is left until all wanted tiles exist. ``keep`` stays as it is."""

    create: list[TileRequest]
    reingest: list[Tile]
    keep: list[Tile]
    warnings: list[str]

    @property
    def requests(self) -> int:
        """How many requests that cost something it takes."""
        return len(self.create) + len(self.reingest)


def tiles_endpoint(collection_id: str, tile_id: str = "") -> str:
    """Return the endpoint of a collection's tiles, or of one of them."""
    return "/".join(filter(None, (collection_endpoint(collection_id), "tiles", tile_id)))


def read_tile(document: Any) -> Tile:
    """Read a tile. Raises :class:`SentinelHubResponseError` for another shape, or a state that is not known."""
    if not isinstance(document, Mapping) or not isinstance(document.get("id"), str) or not document["id"]:
        raise SentinelHubResponseError("The BYOC API answered with a tile that has no id.")
    try:
        state = TileState(str(document.get("status")))
    except ValueError as error:
        raise SentinelHubResponseError(
            f"The BYOC API says that tile {document['id']} is {document.get('status')!r}, a state that is not in its "
            "reference."
        ) from error
    additional = document.get("additionalData")
    notes = additional if isinstance(additional, Mapping) else {}
    return Tile(
        document["id"],
        str(document.get("path")),
        state,
        document.get("sensingTime"),
        notes.get("failedIngestionCause"),
        notes.get("warnings") or None,
    )


def build_tiles(value: Any) -> list[TileRequest]:
    """Read a list of tiles, which may be empty: paths, or dicts with ``path``, ``coverGeometry``, ``sensingTime``."""
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise SentinelHubRequestError(
            f"tiles is a {type(value).__name__}. Give a list of paths, or of dicts with path, coverGeometry and "
            "sensingTime."
        )
    tiles: list[TileRequest] = []
    places: dict[str, int] = {}
    for number, item in enumerate(value):
        tile = _tile(item, f"tiles[{number}]")
        for spelling in spellings(tile.path):
            if spelling in places:
                raise SentinelHubRequestError(
                    f"tiles[{places[spelling]}] and tiles[{number}] are both the tile {tile.path!r}. Give it once."
                )
        places |= dict.fromkeys(spellings(tile.path), number)
        tiles.append(tile)
    return tiles


def spellings(path: str) -> tuple[str, ...]:
    """Return the paths under which a tile may be listed: to the service, a folder stands for the bands' files."""
    suffix = f"/{PLACEHOLDER}.tiff"
    if path.endswith(suffix):
        return path, path.removesuffix(suffix)
    return (path,) if PLACEHOLDER in path else (path, f"{path}{suffix}")


def by_path(tiles: Iterable[Tile]) -> dict[str, Tile]:
    """Put tiles under each path that stands for them; the path that is written wins over one that is meant."""
    found: dict[str, Tile] = {}
    for tile in tiles:
        found |= {spelling: tile for spelling in spellings(tile.path)[1:] if spelling not in found}
        found[tile.path] = tile
    return found


def plan(
    wanted: Sequence[TileRequest], there: Mapping[str, Tile], *, reingest: str, begun: Collection[str] = ()
) -> Plan:
    """Decide what has to be asked for; tiles whose ingestion this very task has ``begun`` are not paid for twice."""
    planned = Plan([], [], [], [])
    for request in wanted:
        tile = there.get(request.path)
        if tile is None:
            planned.create.append(request)
            continue
        is_due = tile.state in REINGEST[reingest] and tile.id not in begun
        (planned.reingest if is_due else planned.keep).append(tile)
        if request.sensing_time is not None and not _same_time(tile.sensing_time, request.sensing_time):
            planned.warnings.append(
                f"tile {tile.path!r} is there already with sensing time {tile.sensing_time}, not "
                f"{format_time(request.sensing_time)}; delete it first to change that"
            )
    return planned


def _tile(item: Any, where: str) -> TileRequest:
    if isinstance(item, str):
        item = {"path": item}
    if not isinstance(item, Mapping):
        raise SentinelHubRequestError(f"{where} is {item!r}. Give a path, or a dict with path.")
    unknown = [name for name in item if name not in _FIELDS]
    if unknown:
        raise SentinelHubRequestError(f"{where} has {unknown[0]!r}. A tile has path, coverGeometry and sensingTime.")
    given = {_FIELDS[name]: value for name, value in item.items() if value is not None}
    path = _path(given.get("path"), f"{where}.path")
    warnings: list[str] = []
    if path.lower().endswith((".tif", ".tiff")) and PLACEHOLDER not in path:
        warnings.append(f"{where}.path {path!r} names one file; write {PLACEHOLDER} where the band's name stands")
    cover = None
    if "coverGeometry" in given:
        cover, doubts = _cover(given["coverGeometry"], f"{where}.coverGeometry")
        warnings += doubts
    time = given.get("sensingTime")
    moment = None if time is None else parse_time(time, f"{where}.sensingTime")
    return TileRequest(path, cover, moment, tuple(warnings))


def _path(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SentinelHubRequestError(f"{where} is {value!r}. Give a path in the bucket, such as 'folder/(BAND).tif'.")
    path = value.strip()
    if "://" in path:
        raise SentinelHubRequestError(
            f"{where} is the URL {path!r}. Give the path within the collection's bucket alone."
        )
    if path.startswith("/") or path.endswith("/") or "//" in path:
        raise SentinelHubRequestError(
            f"{where} {path!r} begins or ends with a slash, or has two in a row. Write it like 'folder/(BAND).tif'."
        )
    return path


def _cover(value: Any, where: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a geometry as the API takes it: with the name of its CRS, where that is not longitude and latitude."""
    try:
        bounds = parse_bounds(geometry=value, across=True)
    except SentinelHubRequestError as error:
        raise SentinelHubRequestError(f"{where}: {error}") from error
    assert bounds.geometry is not None  # noqa: S101 - one was given
    cover = bounds.geometry.to_geojson()
    if not bounds.crs.is_geographic:
        cover["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{bounds.crs.epsg}"}}
    return cover, tuple(f"{where}: {warning}" for warning in bounds.warnings)


def _same_time(written: str | None, wanted: datetime) -> bool:
    found = time_or_none(written)
    # Milliseconds are all that the service keeps.
    return found is not None and abs((found - wanted).total_seconds()) < 0.001

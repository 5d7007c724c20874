"""Tiles of BYOC collections, wanted and existing, and the plan of the requests between them."""

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
    """The state of a tile's ingestion. ``GONE`` stands for a tile that was deleted meanwhile."""

    WAITING = "WAITING"
    QUEUED = "QUEUED"
    INGESTING = "INGESTING"
    INGESTED = "INGESTED"
    FAILED = "FAILED"
    GONE = "GONE"

    @property
    def is_final(self) -> bool:
        """Whether the ingestion is over."""
        return self in (TileState.INGESTED, TileState.FAILED, TileState.GONE)


REINGEST: Final[Mapping[str, tuple[TileState, ...]]] = {
    "none": (),
    "failed": (TileState.FAILED,),
    "all": (TileState.FAILED, TileState.INGESTED),
}
"""The states of existing tiles that are ingested again. A tile whose ingestion is under way never is."""


@dataclass(frozen=True, slots=True)
class TileRequest:
    """A wanted tile. Without ``cover_geometry``, the service itself finds the area that has data."""

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
    """An existing tile. ``cause`` says why it FAILED, and ``warning`` is the service's remark on its files."""

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
        """The number of requests that have a cost."""
        return len(self.create) + len(self.reingest)


def tiles_endpoint(collection_id: str, tile_id: str = "") -> str:
    """Return the endpoint of a collection's tiles, or of one of them."""
    return "/".join(filter(None, (collection_endpoint(collection_id), "tiles", tile_id)))


def read_tile(document: Any) -> Tile:
    """Read a tile. Raises :class:`SentinelHubResponseError` for another shape or an unknown state."""
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
    """Read a list of paths, or of dicts with ``path``, ``coverGeometry``, ``sensingTime``. It may be empty."""
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
    """Return the paths under which a tile may be listed. The service takes a folder for the bands' files in it."""
    suffix = f"/{PLACEHOLDER}.tiff"
    if path.endswith(suffix):
        return path, path.removesuffix(suffix)
    return (path,) if PLACEHOLDER in path else (path, f"{path}{suffix}")


def by_path(tiles: Iterable[Tile]) -> dict[str, Tile]:
    """Return tiles by all spellings of their paths. A tile's own path wins over a spelling of another tile's path."""
    found: dict[str, Tile] = {}
    for tile in tiles:
        found |= {spelling: tile for spelling in spellings(tile.path)[1:] if spelling not in found}
        found[tile.path] = tile
    return found


def plan(
    wanted: Sequence[TileRequest], there: Mapping[str, Tile], *, reingest: str, begun: Collection[str] = ()
) -> Plan:
    """Plan the requests. A tile whose ingestion this task has already ``begun`` is not ingested and paid for twice."""
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
    """Return a geometry in the API's form, with the name of its CRS unless that is longitude and latitude."""
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
    # The service keeps milliseconds only.
    return found is not None and abs((found - wanted).total_seconds()) < 0.001

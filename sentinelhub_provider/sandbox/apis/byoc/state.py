"""The collections and tiles of all clients. Safe to use from several threads."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.sandbox.apis.byoc.ingestion import FAILED, INGESTED, Durations, Failure, Ingestion, Remark
from sentinelhub_provider.sandbox.gateway.limits import Clock

if TYPE_CHECKING:
    from sentinelhub_provider.sandbox.gateway.state import Sandbox


@dataclass(frozen=True)
class ByocTile:
    """A tile. ``geometry`` and ``sensing_time`` are as sent."""

    id: str
    path: str
    created: datetime
    ingestion: Ingestion
    geometry: Any = None
    sensing_time: str | None = None


@dataclass(frozen=True)
class ByocCollection:
    """A client's collection. ``bands`` are as sent."""

    id: str
    owner: str
    name: str
    bucket: str
    created: datetime
    no_data: float | None = None
    bands: dict[str, Any] = field(default_factory=dict)
    tiles: dict[str, ByocTile] = field(default_factory=dict)


class DuplicateError(Exception):
    """The name of a collection or the path of a tile exists already."""


class ByocStore:
    """The state behind the routes. ``clock`` returns seconds since 1970, which decide when tiles go on."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._collections: dict[str, ByocCollection] = {}
        self.durations = Durations()
        self.failures: list[Failure] = []
        self.remarks: list[Remark] = []

    @classmethod
    def of(cls, sandbox: Sandbox) -> ByocStore:
        """Return the collections of a sandbox."""
        return sandbox.part(cls, lambda: cls(clock=sandbox.clock))

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._collections.clear()
            self.durations, self.failures, self.remarks = Durations(), [], []

    def collections(self, owner: str) -> list[ByocCollection]:
        """List a client's collections, oldest first."""
        with self._lock:
            return [_snapshot(each) for each in self._collections.values() if each.owner == owner]

    def collection(self, owner: str, collection_id: str) -> ByocCollection | None:
        """Find a client's collection."""
        with self._lock:
            found = self._collections.get(collection_id)
            return _snapshot(found) if found is not None and found.owner == owner else None

    def create(
        self, owner: str, *, name: str, bucket: str, no_data: float | None, bands: dict[str, Any]
    ) -> ByocCollection:
        """Add a collection. Raises :class:`DuplicateError` if the client has one of that name."""
        with self._lock:
            self._require_new(name, owner, None)
            made = ByocCollection(str(uuid.uuid4()), owner, name, bucket, self._now(), no_data, bands)
            self._collections[made.id] = made
            return made

    def update(self, collection: ByocCollection) -> None:
        """Replace a collection. Raises :class:`DuplicateError` if another has its name."""
        with self._lock:
            self._require_new(collection.name, collection.owner, collection.id)
            self._collections[collection.id] = replace(collection, tiles=self._collections[collection.id].tiles)

    def delete(self, collection_id: str) -> None:
        """Remove a collection with its tiles."""
        with self._lock:
            self._collections.pop(collection_id, None)

    def add_tile(
        self, collection_id: str, *, path: str, geometry: Any = None, sensing_time: str | None = None
    ) -> ByocTile:
        """Add a tile and begin to ingest it. Raises :class:`DuplicateError` for a path that is there already."""
        with self._lock:
            tiles = self._collections[collection_id].tiles
            if any(tile.path == path for tile in tiles.values()):
                raise DuplicateError(f"A tile with the path '{path}' exists already in this collection.")
            tile = ByocTile(str(uuid.uuid4()), path, self._now(), self._ingestion(path), geometry, sensing_time)
            tiles[tile.id] = tile
            return tile

    def change_tile(self, collection_id: str, tile_id: str, change: Callable[[ByocTile], ByocTile]) -> None:
        """Replace a tile by the result of ``change``."""
        with self._lock:
            tiles = self._collections[collection_id].tiles
            tiles[tile_id] = change(tiles[tile_id])

    def reingest(self, collection_id: str, tile_id: str) -> None:
        """Ingest a tile anew, with the present durations, failures and remarks."""
        self.change_tile(collection_id, tile_id, lambda tile: replace(tile, ingestion=self._ingestion(tile.path)))

    def delete_tile(self, collection_id: str, tile_id: str) -> None:
        """Remove a tile."""
        with self._lock:
            self._collections[collection_id].tiles.pop(tile_id, None)

    def copy_tiles(self, source_id: str, target_id: str) -> int:
        """Copy the ingested tiles that the other collection lacks. Return how many."""
        with self._lock:
            known = {tile.path for tile in self._collections[target_id].tiles.values()}
            tiles = [t for t in self._collections[source_id].tiles.values() if t.path not in known]
            chosen = [tile for tile in tiles if self.status(tile) == INGESTED]
            for tile in chosen:
                copied = replace(tile, id=str(uuid.uuid4()), created=self._now())
                self._collections[target_id].tiles[copied.id] = copied
            return len(chosen)

    def status(self, tile: ByocTile) -> str:
        """Return the state of a tile now."""
        return tile.ingestion.status(self._clock())

    def cause(self, tile: ByocTile) -> str | None:
        """Return why a tile has failed, or ``None`` if it has not."""
        return tile.ingestion.cause if self.status(tile) == FAILED else None

    def warning(self, tile: ByocTile) -> str | None:
        """Return the warning about an ingested tile."""
        return tile.ingestion.warning if self.status(tile) == INGESTED else None

    def step(self) -> int:
        """Move every unfinished tile on by one state. Return how many moved."""
        moved = 0
        with self._lock:
            for collection in self._collections.values():
                for tile in list(collection.tiles.values()):
                    status = self.status(tile)
                    if status not in (INGESTED, FAILED):
                        steps = 1 if status == "WAITING" else 2
                        collection.tiles[tile.id] = replace(tile, ingestion=replace(tile.ingestion, steps=steps))
                        moved += 1
        return moved

    def set_ingestion(
        self, durations: Durations, failures: Iterable[Failure] = (), remarks: Iterable[Remark] = ()
    ) -> None:
        """Set how tiles are ingested from now on."""
        with self._lock:
            self.durations, self.failures, self.remarks = durations, list(failures), list(remarks)

    def _ingestion(self, path: str) -> Ingestion:
        cause = next((failure.cause for failure in self.failures if failure.applies(path)), None)
        warning = next((remark.warning for remark in self.remarks if remark.concerns(path)), None)
        return Ingestion(self._clock(), self.durations, cause, warning)

    def _require_new(self, name: str, owner: str, own_id: str | None) -> None:
        for each in self._collections.values():
            if each.owner == owner and each.name == name and each.id != own_id:
                raise DuplicateError(f"A collection with the name '{name}' exists already.")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _snapshot(collection: ByocCollection) -> ByocCollection:
    """Copy a collection, because another thread may change its tiles while it is written."""
    return replace(collection, tiles=dict(collection.tiles))

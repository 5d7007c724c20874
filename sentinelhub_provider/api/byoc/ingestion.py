"""Reads the BYOC API and watches the ingestion of tiles, as pure flows.

Each flow is a generator. It yields one step at a time, :class:`Get` or :class:`Pause`, and is sent its result. So a
blocking task and a trigger on the event loop drive the same flow.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from operator import index
from typing import Any, Final

from sentinelhub_provider.api.byoc.requests import PAGE_SIZE, data_of
from sentinelhub_provider.api.byoc.tiles import Tile, TileState, read_tile, spellings, tiles_endpoint
from sentinelhub_provider.api.paging import Pages
from sentinelhub_provider.api.values import shortened
from sentinelhub_provider.exceptions import (
    SentinelHubError,
    SentinelHubJobError,
    SentinelHubNotFoundError,
    SentinelHubRateLimitError,
    SentinelHubResponseError,
)

NEWEST_FIRST = {"sort": "created:desc"}
FIRST_PAUSE: Final = 5.0  # Seconds before the first poll, and after each poll that saw a tile end
GROWTH: Final = 1.5  # Factor by which the pause grows after a poll without news
SHOWN: Final = 10  # Tiles that an outcome describes. It only counts the others, which limits the size of an event
_COUNTS: Final = ("ingested", "failed", "warned", "pending")


@dataclass(frozen=True, slots=True)
class Get:
    """A GET request to an endpoint. The driver sends back the decoded answer, or throws in its ``SentinelHubError``."""

    endpoint: str
    params: Mapping[str, Any] = field(default_factory=dict)


def list_items(
    endpoint: str, params: Mapping[str, Any] | None = None, *, enough: Callable[[list[Any]], bool] = lambda _: False
) -> Generator[Get, Any, list[Any]]:
    """Read a list page by page, until ``enough`` returns true for the items of a page."""
    items: list[Any] = []
    asked, pages = {"count": PAGE_SIZE, **(params or {})}, Pages(endpoint)
    while True:
        page = yield Get(endpoint, asked)
        new = data_of(page, list)
        items += new
        change = pages.after(page)
        if change is None or enough(new):
            return items
        asked = asked | change


def get_tiles(collection_id: str, tile_ids: Iterable[str]) -> Generator[Get, Any, list[Tile]]:
    """Read tiles one by one. A tile that does not exist is ``GONE``."""
    tiles: list[Tile] = []
    for tile_id in tile_ids:
        try:
            document = yield Get(tiles_endpoint(collection_id, tile_id))
        except SentinelHubNotFoundError:
            tiles.append(Tile(tile_id, f"tile {tile_id}", TileState.GONE, cause="it was deleted meanwhile"))
        else:
            tiles.append(read_tile(data_of(document, dict)))
    return tiles


def find_tile(collection_id: str, path: str) -> Generator[Get, Any, Tile | None]:
    """Find the tile at a path, in any spelling of the path."""
    for spelling in spellings(path):
        page = yield Get(tiles_endpoint(collection_id), {"path": spelling})
        found = data_of(page, list)
        if found:
            return read_tile(found[0])
    return None


def find_tiles(collection_id: str, paths: Sequence[str]) -> Generator[Get, Any, list[Tile]]:
    """Find the existing tiles at these paths, in any spelling of a path."""
    if not paths:
        return []
    wanted = {path: spellings(path) for path in paths}
    tiles, left, is_cut, _ = yield from _listed(collection_id, "path", wanted)
    for path in left if is_cut else ():
        tile = yield from find_tile(collection_id, path)
        if tile is not None:
            tiles.append(tile)
    return tiles


def _listed(
    collection_id: str, member: str, wanted: Mapping[str, Sequence[str]]
) -> Generator[Get, Any, tuple[list[Tile], list[str], bool, int]]:
    """Read tiles from the list. ``wanted`` has for each of them the values that ``member`` may have.

    The list is read, newest first, until asking for the rest one by one takes no more requests than reading took. So it
    takes at most about twice the least number of requests, whether you want few of many tiles or many of few.
    Return the tiles, the names without one, whether reading ended before the list, and the number of pages read.
    """
    names = {value: name for name, values in wanted.items() for value in values}
    met, pages, is_cut = set[str](), 0, False

    def of_use(page: list[Any]) -> list[Any]:
        # Other tiles of the collection are not read. Their faults do not concern this task.
        return [item for item in page if isinstance(item, Mapping) and item.get(member) in names]

    def enough(page: list[Any]) -> bool:
        nonlocal pages, is_cut
        pages += 1
        met.update(names[item[member]] for item in of_use(page))
        is_cut = sum(len(wanted[name]) for name in wanted.keys() - met) <= pages
        return is_cut

    items = of_use((yield from list_items(tiles_endpoint(collection_id), NEWEST_FIRST, enough=enough)))
    met.update(names[item[member]] for item in items)
    left = [name for name in wanted if name not in met]
    return [read_tile(item) for item in items], left, is_cut, pages + (not is_cut)


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for so many seconds. A ``note`` is logged first, as a warning if ``is_warning``."""

    seconds: float
    note: str = ""
    is_warning: bool = False

    def log_to(self, log: Any) -> None:
        """Write the note to a log."""
        if self.note:
            (log.warning if self.is_warning else log.info)("%s", self.note)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The numbers of tiles by outcome, with the first failures and warnings. ``failed`` includes ``GONE`` tiles."""

    ingested: int = 0
    failed: int = 0
    warned: int = 0
    pending: int = 0
    failures: tuple[Mapping[str, str], ...] = ()
    warnings: tuple[Mapping[str, str], ...] = ()

    @classmethod
    def of(cls, tiles: Iterable[Tile]) -> Outcome:
        """Count tiles by outcome."""
        tiles = list(tiles)
        failed = [tile for tile in tiles if tile.state in (TileState.FAILED, TileState.GONE)]
        warned = [tile for tile in tiles if tile.warning]
        return cls(
            ingested=sum(tile.state is TileState.INGESTED for tile in tiles),
            failed=len(failed),
            warned=len(warned),
            pending=sum(not tile.state.is_final for tile in tiles),
            failures=tuple(
                {"path": tile.path, "state": str(tile.state), "cause": shortened(tile.cause or "no cause is given")}
                for tile in failed[:SHOWN]
            ),
            warnings=tuple({"path": tile.path, "warning": shortened(tile.warning)} for tile in warned[:SHOWN]),
        )

    def __add__(self, other: Outcome) -> Outcome:
        counts = {name: getattr(self, name) + getattr(other, name) for name in _COUNTS}
        failures, warnings = self.failures + other.failures, self.warnings + other.warnings
        return Outcome(**counts, failures=failures[:SHOWN], warnings=warnings[:SHOWN])

    @property
    def count(self) -> int:
        """The number of all tiles."""
        return self.ingested + self.failed + self.pending

    @classmethod
    def from_dict(cls, value: Any) -> Outcome:
        """Read it from a dict. Raises :class:`SentinelHubResponseError` for anything else."""
        try:
            counts = {name: index(value[name]) for name in _COUNTS}
            failures, warnings = (tuple(dict(one) for one in value[name]) for name in ("failures", "warnings"))
        except (KeyError, TypeError, ValueError) as error:
            raise SentinelHubResponseError(f"{shortened(repr(value))} is not an outcome of an ingestion.") from error
        return cls(**counts, failures=failures, warnings=warnings)


def poll_tiles(
    collection_id: str,
    tile_ids: Sequence[str],
    ends: float,
    poll_interval: float,
    *,
    clock: Callable[[], float],
    jitter: Callable[[], float] = random.random,
) -> Generator[Get | Pause, Any, Outcome]:
    """Poll tiles until each is ingested or has failed, or until ``clock`` reaches ``ends`` (seconds).

    The pause grows from :data:`FIRST_PAUSE` to ``poll_interval`` seconds, with a jitter of a tenth. It becomes short
    again when a tile ends, since others are likely to follow. Polling goes on after an error that is not final.
    """
    pending, ended = dict.fromkeys(tile_ids), dict[str, Tile]()
    pause, pages = min(FIRST_PAUSE, poll_interval), 0
    note, is_warning = f"waiting for {len(pending)} tiles", False
    while pending and (remaining := ends - clock()) > 0:
        yield Pause(min(remaining, pause * (1 + 0.1 * jitter())), note, is_warning)
        is_warning = False
        try:
            tiles, pages = yield from _poll(collection_id, list(pending), pages)
        except SentinelHubError as error:
            if error.final:
                raise
            asked = error.retry_after if isinstance(error, SentinelHubRateLimitError) else None
            pause = max(asked or 0.0, min(poll_interval, pause * GROWTH))
            note, is_warning = f"could not poll the tiles, and will poll again: {error}", True
            continue
        news = {tile.id: tile for tile in tiles if tile.state.is_final and tile.id in pending}
        for tile_id in news:
            del pending[tile_id]
        ended |= news
        pause = min(poll_interval, FIRST_PAUSE if news else pause * GROWTH)
        note = f"{len(ended)} of {len(ended) + len(pending)} tiles have come to their end" if news else ""
    return Outcome.of(ended.values()) + Outcome(pending=len(pending))


def _poll(collection_id: str, pending: Sequence[str], pages: int) -> Generator[Get, Any, tuple[list[Tile], int]]:
    """Poll the list, newest first, or each pending tile, whichever takes fewer requests."""
    if len(pending) <= pages:
        return (yield from get_tiles(collection_id, pending)), pages
    tiles, left, _, pages = yield from _listed(collection_id, "id", {tile_id: (tile_id,) for tile_id in pending})
    # Tiles may move between pages while the list is read. So a tile that was on no page is not always gone.
    return tiles + (yield from get_tiles(collection_id, left)), pages


def check_outcome(outcome: Outcome, collection_id: str, *, waited: float) -> None:
    """Raise :class:`SentinelHubJobError` unless all tiles are ingested after ``waited`` seconds."""
    if outcome.failed:
        first = outcome.failures[0] if outcome.failures else {}
        causes = "; ".join(f"{one['path']!r} is {one['state']}: {one['cause'].rstrip('.')}" for one in outcome.failures)
        more = f"; and {outcome.failed - len(outcome.failures)} more" if outcome.failed > len(outcome.failures) else ""
        raise SentinelHubJobError(
            f"{outcome.failed} of {outcome.count} tiles of BYOC collection {collection_id} failed, {outcome.ingested} "
            f"are ingested, {outcome.pending} are under way. {causes}{more}. Repair these files in the bucket, then "
            "run the task again with reingest='failed'.",
            job_status=first.get("state", "FAILED"),
            reason=first.get("cause"),
        )
    if outcome.pending:
        raise SentinelHubJobError(
            f"{outcome.pending} of {outcome.count} tiles of BYOC collection {collection_id} are not ingested after "
            f"max_wait={waited:g} seconds; {outcome.ingested} are. Run the task again to go on waiting, or allow a "
            "longer max_wait.",
            job_status="INGESTING",
        )


def finished_event(outcome: Outcome, collection_id: str, submitted: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trigger's event. ``submitted`` holds facts from before the wait, which come back with the event."""
    return {
        "status": "timeout" if outcome.pending else "finished",
        "collection_id": collection_id,
        "outcome": asdict(outcome),
        "submitted": dict(submitted),
    }


def error_event(error: SentinelHubError, collection_id: str) -> dict[str, Any]:
    """Return a trigger's event for an error that ends the watch."""
    return {"status": "error", "collection_id": collection_id, "error": type(error).__name__, "message": str(error)}


def read_event(event: Any, collection_id: str) -> tuple[Outcome, dict[str, Any]]:
    """Return the outcome of the tiles, and the facts from before the wait. Raise for an error or for another event."""
    found = event if isinstance(event, Mapping) else {}
    submitted, is_error = found.get("submitted"), found.get("status") == "error"
    if (
        found.get("status") not in ("finished", "timeout", "error")
        or found.get("collection_id") != collection_id
        or not (is_error or isinstance(submitted, Mapping))
    ):
        raise SentinelHubResponseError(
            f"The task was woken by {shortened(repr(event))}, which is not an event of an ingestion into "
            f"collection {collection_id!r}. Run it again: it polls the tiles anew."
        )
    if is_error:
        raise SentinelHubJobError(
            f"The ingestion cannot be watched any more ({found.get('error')}): {found.get('message')}",
            job_status="UNKNOWN",
            reason=str(found.get("error")),
        )
    return Outcome.from_dict(found.get("outcome")), dict(submitted or {})

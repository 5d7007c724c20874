"""
How the ingestion of tiles is watched: what to ask, how long to pause, and what came of it. Pure.

:func:`watch` is a generator that yields one step at a time - look, or pause - and is sent what came of it. A blocking
task and a trigger on the event loop drive the same generator.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sentinelhub_provider.api.byoc.queries import NEWEST_FIRST, Get, get_tiles, list_items
from sentinelhub_provider.api.byoc.tiles import Tile, TileState, read_tile, tiles_endpoint
from sentinelhub_provider.exceptions import (
    SentinelHubError,
    SentinelHubJobError,
    SentinelHubRateLimitError,
    SentinelHubResponseError,
)

FIRST_PAUSE: Final = 5.0
"""Seconds before the first look, and after each one that saw a tile come to its end."""

GROWTH: Final = 1.5
"""What the pause is multiplied with after a look that saw nothing new."""

SHOWN: Final = 10
"""Tiles that an outcome names; the others are only counted, so that no event grows with a collection."""

_TEXT_SIZE: Final = 500
_COUNTS: Final = ("ingested", "failed", "warned", "pending")


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for so many seconds. ``note`` is worth a line in the log; ``is_warning``: something went wrong."""

    seconds: float
    note: str = ""
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What came of tiles.

    :param ingested: how many are INGESTED.
    :param failed: how many are FAILED or GONE.
    :param warned: how many the service has a warning about.
    :param pending: how many have come to no end yet.
    :param failures: ``path``, ``state`` and ``cause`` of the first that failed.
    :param warnings: ``path`` and ``warning`` of the first that have one.
    """

    ingested: int = 0
    failed: int = 0
    warned: int = 0
    pending: int = 0
    failures: tuple[Mapping[str, str], ...] = ()
    warnings: tuple[Mapping[str, str], ...] = ()

    @classmethod
    def of(cls, tiles: Iterable[Tile]) -> Outcome:
        """Sum tiles up."""
        tiles = list(tiles)
        failed = [tile for tile in tiles if tile.state in (TileState.FAILED, TileState.GONE)]
        warned = [tile for tile in tiles if tile.warning]
        return cls(
            ingested=sum(tile.state is TileState.INGESTED for tile in tiles),
            failed=len(failed),
            warned=len(warned),
            pending=sum(not tile.state.is_final for tile in tiles),
            failures=tuple(
                {"path": tile.path, "state": str(tile.state), "cause": _cut(tile.cause or "no cause is given")}
                for tile in failed[:SHOWN]
            ),
            warnings=tuple({"path": tile.path, "warning": _cut(str(tile.warning))} for tile in warned[:SHOWN]),
        )

    def __add__(self, other: Outcome) -> Outcome:
        counts = {name: getattr(self, name) + getattr(other, name) for name in _COUNTS}
        failures, warnings = self.failures + other.failures, self.warnings + other.warnings
        return Outcome(**counts, failures=failures[:SHOWN], warnings=warnings[:SHOWN])

    @property
    def count(self) -> int:
        """All tiles."""
        return self.ingested + self.failed + self.pending

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        kept = asdict(self)
        return {**kept, "failures": list(kept["failures"]), "warnings": list(kept["warnings"])}

    @classmethod
    def from_dict(cls, value: Any) -> Outcome:
        """Read what :meth:`to_dict` wrote. Raises :class:`SentinelHubResponseError` where it is something else."""
        if not isinstance(value, Mapping) or set(value) != set(cls.__dataclass_fields__):
            raise SentinelHubResponseError(f"{_cut(repr(value))} is no outcome of an ingestion.")
        counts = {name: value[name] for name in _COUNTS}
        lists = {name: value[name] for name in ("failures", "warnings")}
        if not all(type(count) is int and count >= 0 for count in counts.values()) or not all(
            isinstance(items, list) and all(isinstance(item, Mapping) for item in items) for items in lists.values()
        ):
            raise SentinelHubResponseError(f"{_cut(repr(value))} is no outcome of an ingestion.")
        return cls(**counts, failures=tuple(lists["failures"]), warnings=tuple(lists["warnings"]))


def poll_tiles(
    collection_id: str,
    tile_ids: Sequence[str],
    *,
    ends: float,
    clock: Callable[[], float],
    poll_interval: float,
    random: Callable[[], float],
) -> Generator[Get | Pause, Any, Outcome]:
    """
    Look at tiles until each is ingested or has failed, or until time is up.

    The pause grows from :data:`FIRST_PAUSE` to ``poll_interval``, and starts small again when a tile comes to its end,
    since others are likely to follow. What is wrong for a while (a broken connection, a rate limit, a failing service)
    is waited out.

    :param ends: when time is up, by ``clock``; the last look is taken then.
    :param clock: seconds since the epoch.
    :param poll_interval: longest pause in seconds, before jitter of a tenth.
    :param random: a number in [0, 1), for jitter.
    :raises SentinelHubError: a final one, such as a client that is refused, or a collection that was deleted.
    """
    pending, ended = dict.fromkeys(tile_ids), dict[str, Tile]()
    pause, pages = min(FIRST_PAUSE, poll_interval), 1
    note, is_warning = f"waiting for {len(pending)} tiles", False
    while pending and (remaining := ends - clock()) > 0:
        yield Pause(min(remaining, pause * (1 + 0.1 * random())), note, is_warning)
        is_warning = False
        try:
            tiles, pages = yield from _poll(collection_id, list(pending), pages)
        except SentinelHubError as error:
            if error.final:
                raise
            asked = error.retry_after if isinstance(error, SentinelHubRateLimitError) else None
            pause = max(asked or 0.0, min(poll_interval, pause * GROWTH))
            note, is_warning = f"could not look at the tiles, and will look again: {error}", True
            continue
        news = {tile.id: tile for tile in tiles if tile.state.is_final and tile.id in pending}
        for tile_id in news:
            del pending[tile_id]
        ended |= news
        pause = min(poll_interval, FIRST_PAUSE if news else pause * GROWTH)
        note = f"{len(ended)} of {len(ended) + len(pending)} tiles have come to their end" if news else ""
    return Outcome.of(ended.values()) + Outcome(pending=len(pending))


def _poll(collection_id: str, pending: Sequence[str], pages: int) -> Generator[Get, Any, tuple[list[Tile], int]]:
    """Look at all tiles, newest first, or at each that is pending, whichever takes fewer requests."""
    if len(pending) < pages:
        return (yield from get_tiles(collection_id, pending)), pages
    wanted, left = set(pending), set(pending)

    def all_seen(page: list[Any]) -> bool:
        left.difference_update(item.get("id") for item in page if isinstance(item, Mapping))
        return not left

    items, pages = yield from list_items(tiles_endpoint(collection_id), NEWEST_FIRST, enough=all_seen)
    tiles = [read_tile(item) for item in items if isinstance(item, Mapping) and item.get("id") in wanted]
    seen = {tile.id for tile in tiles}
    # Pages move while they are turned: that a tile was on none of them does not mean that it is gone.
    missing = [tile_id for tile_id in pending if tile_id not in seen]
    return tiles + (yield from get_tiles(collection_id, missing)), pages


def check_outcome(outcome: Outcome, collection_id: str, *, waited: float) -> None:
    """
    Raise unless all tiles are ingested.

    :param waited: seconds after which the rest was given up.
    :raises SentinelHubJobError: with the counts, and path and cause of the first that failed.
    """
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
    """
    Return what a trigger says when the watch is over; ``timeout`` where tiles were left.

    :param submitted: what the task knew before it waited. It comes back with the event, so that the event is all that
        the task needs to go on: ``dag.test()`` forgets what else a task puts aside.
    """
    return {
        "status": "timeout" if outcome.pending else "finished",
        "collection_id": collection_id,
        "outcome": outcome.to_dict(),
        "submitted": dict(submitted),
    }


def error_event(error: SentinelHubError, collection_id: str) -> dict[str, Any]:
    """Return what a trigger says when no watching on can help."""
    return {
        "status": "error",
        "collection_id": collection_id,
        "error": type(error).__name__,
        "message": str(error),
    }


def read_event(event: Any, collection_id: str) -> tuple[Outcome, dict[str, Any]]:
    """
    Read the event of a watch of this collection.

    :returns: what came of the tiles that were watched, and what the task knew before.
    :raises SentinelHubJobError: with the error that ended the watch.
    :raises SentinelHubResponseError: for an event that is none, or is of something else.
    """
    status = event.get("status") if isinstance(event, Mapping) else None
    if not isinstance(event, Mapping) or status not in ("finished", "timeout", "error"):
        raise SentinelHubResponseError(
            f"The task was woken by {_cut(repr(event))}, which is no event of an ingestion. Run it again: it looks at "
            "the tiles anew."
        )
    if event.get("collection_id") != collection_id:
        raise SentinelHubResponseError(
            f"The task was woken by an event of collection {event.get('collection_id')!r} instead of "
            f"{collection_id!r}. Run it again: it looks at the tiles anew."
        )
    if status == "error":
        raise SentinelHubJobError(
            f"The ingestion cannot be watched any more ({event.get('error')}): {event.get('message')}",
            job_status="UNKNOWN",
            reason=str(event.get("error")),
        )
    submitted = event.get("submitted")
    if not isinstance(submitted, Mapping):
        raise SentinelHubResponseError(
            f"The task was woken by {_cut(repr(event))}, an event that does not say what was submitted. Run it again: "
            "it looks at the tiles anew."
        )
    return Outcome.from_dict(event.get("outcome")), dict(submitted)


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_SIZE else f"{text[:_TEXT_SIZE]}..."

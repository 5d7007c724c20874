"""Fetching many tiles: a few at a time, a failed one again alone, the others kept."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubTransportError

if TYPE_CHECKING:
    from sentinelhub_provider.api.tiling import Tile
    from sentinelhub_provider.transport.download import Download

log = logging.getLogger(__name__)


def fetch_tiles(
    tiles: Iterable[Tile],
    fetch: Callable[[Tile], Download],
    *,
    concurrency: int,
    attempts: int,
    is_hopeless: Callable[[BaseException], bool],
) -> Iterator[tuple[Tile, Download]]:
    """
    Fetch tiles and yield each as it comes; never more than twice ``concurrency`` are under way or waiting to be taken.

    A failed tile is tried again after the others have had their first turn.

    :param fetch: fetches one tile; called in threads.
    :param concurrency: tiles at the same time.
    :param attempts: how often a tile is tried.
    :param is_hopeless: tells of an error whether no other tile will fare better; it ends the whole at once.
    :raises SentinelHubError: the hopeless error; or, after all other tiles came, one that names those that did not.
    """
    source, again, running = iter(tiles), deque[tuple["Tile", int]](), dict[Future["Download"], tuple["Tile", int]]()
    lost: dict[str, BaseException] = {}
    pool = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="sentinelhub-tile")

    def submit() -> None:
        while len(running) < 2 * concurrency:
            tile = next(source, None)
            job = (tile, 1) if tile is not None else again.popleft() if again else None
            if job is None:
                return
            running[pool.submit(fetch, job[0])] = job

    try:
        submit()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            arrived = []
            for future in done:
                tile, attempt = running.pop(future)
                error = future.exception()
                if error is None:
                    arrived.append((tile, future.result()))
                elif not isinstance(error, SentinelHubError) or is_hopeless(error):
                    raise error
                elif attempt < attempts:
                    log.warning("tile %s failed and is tried again: %s", tile.name, error)
                    again.append((tile, attempt + 1))
                else:
                    log.error("tile %s failed %d times: %s", tile.name, attempts, error)
                    lost[tile.name] = error
            submit()
            yield from arrived
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if lost:
        shown = ", ".join(sorted(lost)[:10]) + (" and more" if len(lost) > 10 else "")
        first = next(iter(lost.values()))
        raise SentinelHubTransportError(
            f"{len(lost)} tiles failed {attempts} times: {shown}. The others are kept: a retry of the task asks for "
            f"these alone. The first error: {first}"
        ) from first

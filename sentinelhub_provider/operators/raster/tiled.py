"""A large area in one task. Its tiles are fetched a few at a time, kept across retries, and joined to one picture."""

from __future__ import annotations

import logging
import math
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sentinelhub_provider.api.values import digest_of
from sentinelhub_provider.exceptions import (
    SentinelHubError,
    SentinelHubRateLimitError,
    SentinelHubRequestError,
    SentinelHubTransportError,
)
from sentinelhub_provider.hooks.output import beside, check_writable, is_object_path, place_of, store
from sentinelhub_provider.operators.arguments import added_units, number_of, task_identity
from sentinelhub_provider.operators.raster.coverage import coverage_of
from sentinelhub_provider.operators.raster.items import Items
from sentinelhub_provider.operators.raster.pictures import OUTPUT_FIELD, PictureOperator, picture_there, result_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.process import ProcessRequest
    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.api.tiling import Tile
    from sentinelhub_provider.transport.download import Download

MEDIA_TYPES = {
    "geotiff": "image/tiff",
    "cog": "image/tiff; application=geotiff; profile=cloud-optimized",
    "vrt": "application/x-gdal-vrt+xml",
}
MOSAICS = tuple(MEDIA_TYPES)
SPENT = ".spent"
"""Name of the file among the tiles with their cost in PU."""

FOLDER = ".tiles"
"""End of the name of the folder with a mosaic's tiles."""

PROGRESS_LINES = 20  # most log lines about the tiles of one picture

log = logging.getLogger(__name__)


class _IsNamed(Protocol):
    @property
    def name(self) -> str: ...


_Named = TypeVar("_Named", bound=_IsNamed)
_Fetched = TypeVar("_Fetched")


class TiledProcess:
    """One execution of the Process operator with ``tile=True``.

    Tiles are in ``<output_path>.tiles/<key>/``, where the key stands for the request and the DAG run's task. A retry of
    the task finds them, another run does not. A tile appears there only when it is complete, so it need not be
    requested again. The tiles of a GeoTIFF are removed once it is stored. ``operator``: the task, with checked
    arguments. ``request``: that of the whole area. ``items``: those of the task's pictures.
    """

    def __init__(self, operator: PictureOperator, context: Context, request: ProcessRequest, items: Items) -> None:
        self._operator, self._context, self._request, self._items = operator, context, request, items
        path = operator.output_path
        if not isinstance(path, str) and not hasattr(path, "with_name"):
            raise SentinelHubRequestError(
                "tile=True makes one picture, so output_path must be one path.", field="output_path"
            )
        self._output = str(path).replace(OUTPUT_FIELD, next(iter(request.formats)))
        self._kind = self._checked_kind()
        self._paths = {next(iter(request.formats)): self._output}
        self._digest = digest_of(request.digest, self._kind)
        self._key = digest_of(self._digest, operator.tile_size, *task_identity(operator, context))[:16]
        self._folder = f"{beside(self._output, FOLDER)}/{self._key}"

    def estimate(self) -> Estimate | None:
        """Estimate the cost of all tiles."""
        return self._estimate(self._tiles())

    def result(self) -> dict[str, Any]:
        """Fetch the missing tiles, join the picture, and return the task's result."""
        operator = self._operator
        kept = picture_there(operator, self._items, self._paths, self._digest)
        if kept is not None:
            return result_of(kept, self._digest, spent=0.0, estimated=0.0, skipped=True)
        tiles = self._tiles()
        previous = self._items.read(self._paths)
        if previous is not None and previous.tiles == self._key:
            self._remove(self._key)  # this task was finished before, and has to do it again
            self._items.drop(self._paths)  # so that a retry keeps the tiles of this attempt
        there = self._there()
        missing = [tile for tile in tiles if tile.name not in there]
        operator.log.info("%d tiles, %d of them already there", len(tiles), len(tiles) - len(missing))
        estimate = self._estimate(missing)
        operator.check_estimate(self._context, estimate)
        check_writable(self._output)
        self._items.check()
        scenes = operator.check_scenes(self._request, estimate)
        operator.spent_before = added_units(operator.spent_before, self._read_spent())
        try:
            output = self._make(tiles, missing)
        except BaseException:
            self._keep_spent()
            raise
        coverage = coverage_of(operator, self._request, self._paths, operator.on_empty)
        name = next(iter(self._paths))
        made = self._items.write(
            self._request,
            self._paths,
            {name: output},
            self._digest,
            cost=operator.spent,
            media_types={name: MEDIA_TYPES[self._kind]},
            scenes=scenes,
            coverage=coverage,
            tiles=self._key,
        )
        if self._kind != "vrt":
            _try(lambda: self._remove(self._key))
        if previous is not None and previous.tiles not in (None, self._key):
            _try(lambda: self._remove(str(previous.tiles)))
        operator.log.info("stored %s bytes (%s) at %s", f"{output.size:,}", output.content_type, output.path)
        return result_of(
            made,
            self._digest,
            spent=operator.spent,
            estimated=None if estimate is None else estimate.processing_units,
            tiles={"total": len(tiles), "fetched": len(missing)},
        )

    def _make(self, tiles: list[Tile], missing: list[Tile]) -> Download:
        from sentinelhub_provider.operators.raster.mosaics import GeoTiffMosaic, write_vrt

        paths = {tile.name: self._path_of(tile) for tile in tiles}
        if self._kind == "vrt":
            self._fetch(missing, lambda _: None)
            self._items.drop(self._paths)
            folder = "/".join(self._folder.rstrip("/").rsplit("/", 2)[-2:])
            return write_vrt(self._output, self._request.grid, tiles, paths, folder)
        with GeoTiffMosaic(self._request.grid, tile_size=self._operator.tile_size, cog=self._kind == "cog") as mosaic:
            wanted = {tile.name for tile in missing}
            for tile in tiles:
                if tile.name not in wanted:
                    mosaic.add(tile, paths[tile.name])
            self._fetch(missing, lambda tile: mosaic.add(tile, paths[tile.name]))
            self._items.drop(self._paths)
            return mosaic.store(self._output)

    def _fetch(self, tiles: list[Tile], use: Callable[[Tile], None]) -> None:
        """Fetch tiles, and use each one as it comes."""
        if not tiles:
            return
        operator = self._operator
        operator.hook.get_conn()  # before the threads, which share it
        arrivals = fetch_tiles(
            tiles,
            lambda tile: operator.download_picture(self._request.of_tile(tile), self._path_of(tile)),
            concurrency=operator.concurrency,
            attempts=operator.tile_attempts,
            is_hopeless=lambda error: (
                error.final or (operator.deferrable and isinstance(error, SentinelHubRateLimitError))
            ),
        )
        for number, (tile, _) in enumerate(arrivals, start=1):
            use(tile)
            if number % math.ceil(len(tiles) / PROGRESS_LINES) == 0:
                operator.log.info("%d of %d tiles fetched", number, len(tiles))
                self._keep_spent()

    def _tiles(self) -> list[Tile]:
        from sentinelhub_provider.api.tiling import tiles_of

        geometry = self._request.bounds.geometry
        shape = None if geometry is None else geometry.shape
        try:
            tiles = list(tiles_of(self._request.grid, shape, max_size=self._operator.tile_size))
        except SentinelHubRequestError as error:
            if error.field != "max_size":
                raise
            raise SentinelHubRequestError(str(error).replace("max_size", "tile_size"), field="tile_size") from error
        if not tiles:
            raise SentinelHubRequestError("geometry covers no pixel of the picture.", field="geometry")
        return tiles

    def _estimate(self, tiles: Iterable[Tile]) -> Estimate | None:
        """Add up the tiles' costs, which depend only on their sizes."""
        from sentinelhub_provider.api.processing_units import total

        examples = {(tile.width, tile.height): tile for tile in tiles}
        counts = Counter((tile.width, tile.height) for tile in tiles)
        estimates = []
        for size, count in counts.items():
            one = self._request.of_tile(examples[size]).estimate(samples=self._operator.sample_count)
            if one is None:
                return None
            estimates.append(replace(one, processing_units=one.processing_units * count, requests=count))
        return total(estimates)

    def _checked_kind(self) -> str:
        formats = self._request.formats
        if len(formats) != 1 or next(iter(formats.values())) != "image/tiff":
            raise SentinelHubRequestError(
                f"tile=True makes one TIFF, but outputs are {formats}. Ask for one output as 'tiff'.", field="outputs"
            )
        is_vrt = self._output.lower().endswith(".vrt")
        kind = str(self._operator.mosaic or ("vrt" if is_vrt else "geotiff")).strip().lower()
        if kind not in MOSAICS or (kind == "vrt") != is_vrt:
            raise SentinelHubRequestError(
                f"mosaic is {kind!r} and output_path {self._output}. Give one of {', '.join(MOSAICS)}. 'vrt' goes with "
                "a path that ends with .vrt, the others with .tif.",
                field="mosaic",
            )
        return kind

    def _path_of(self, tile: Tile) -> str:
        return f"{self._folder}/{tile.name}.tif"

    def _there(self) -> set[str]:
        """Return the names of the finished tiles."""
        folder = place_of(self._folder)
        if not folder.exists():
            return set()
        return {path.name.removesuffix(".tif") for path in folder.iterdir() if not path.name.startswith(".")}

    def _read_spent(self) -> float | None:
        """Return the PU that earlier attempts of the task spent on the tiles."""
        file = place_of(f"{self._folder}/{SPENT}")
        return float(file.read_text()) if file.exists() else None

    def _keep_spent(self) -> None:
        """Store the task's cost so far for its next attempt."""
        body = str(self._operator.spent).encode()
        if self._operator.spent is not None:
            _try(lambda: store(body, f"{self._folder}/{SPENT}", content_type="text/plain"))

    def _remove(self, key: str) -> None:
        """Remove a folder of tiles, and its parent when that is empty."""
        whole: Any = place_of(beside(self._output, FOLDER))
        if is_object_path(whole):
            folder = whole / key
            if folder.exists():
                folder.fs.rm(folder.path, recursive=True)
        else:
            shutil.rmtree(whole / key, ignore_errors=True)
            with suppress(OSError):  # the tiles of another task are there
                whole.rmdir()


def _try(act: Callable[[], object]) -> None:
    """Tidy up. A fault of the storage must not make a retry pay again for finished tiles."""
    try:
        act()
    except Exception as error:  # of the storage's library, whichever that is
        log.warning("the folder of tiles cannot be kept in order: %s", error)


def fetch_tiles(
    tiles: Iterable[_Named],
    fetch: Callable[[_Named], _Fetched],
    *,
    concurrency: int,
    attempts: int,
    is_hopeless: Callable[[SentinelHubError], bool],
    on_lost: Callable[[_Named, SentinelHubError], None] | None = None,
    finish: Callable[[_Named, _Fetched], object] = lambda *_: None,
    what: str = "tile",
) -> Iterator[tuple[_Named, _Fetched]]:
    """Fetch tiles, or other pictures that have a ``name``, and yield each as it comes.

    At most twice ``concurrency`` tiles are under way or waiting to be taken. A failed tile is tried again after the
    others have had their first turn, unless the error is final or the tile may be paid for. After an error of the
    service, tiles under way are completed, because they are paid for. If anything else ends the task, such as its
    time-out, it does not wait for tiles.

    :param fetch: fetches one tile. It is called in threads.
    :param concurrency: number of simultaneous tiles.
    :param attempts: number of tries for a tile.
    :param is_hopeless: tells whether an error would hit all other tiles. Such an error ends everything at once.
    :param on_lost: gets a lost tile. Without it, the log and the error at the end name it.
    :param finish: does the remaining work for a tile in a thread, while the next one is fetched.
    :param what: the log's word before a tile's name.
    :raises SentinelHubError: the hopeless error, or after all other tiles an error that names the lost ones.
    """
    source, again, lost, most = ((tile, 1) for tile in tiles), deque[Any](), dict[str, SentinelHubError](), 0
    workers = _Workers(fetch, finish, concurrency)

    def submit() -> None:
        while workers.running < workers.most and (job := next(source, None) or (again and again.popleft())):
            workers.begin(job)

    try:
        submit()
        while workers.running:
            (tile, attempt), result, error = workers.take()
            if isinstance(error, SentinelHubError) and not is_hopeless(error):
                is_paid = isinstance(error, SentinelHubTransportError) and error.was_sent  # perhaps each time
                if attempt < attempts and not (is_paid or error.final):
                    log.warning("%s %s failed and is tried again: %s", what, tile.name, error)
                    again.append((tile, attempt + 1))
                elif on_lost is not None:
                    on_lost(tile, error)
                else:
                    log.error("%s %s failed (attempt %d of %d): %s", what, tile.name, attempt, attempts, error)
                    lost[tile.name], most = error, max(most, attempt)
            elif error is not None:
                raise error
            submit()
            if error is None:
                yield tile, result
    except SentinelHubError:
        workers.give_up()
        while workers.running:
            workers.take()
        raise
    finally:
        workers.give_up()
    if lost:
        shown = ", ".join(sorted(lost)[:10]) + (" and more" if len(lost) > 10 else "")
        first = next(iter(lost.values()))
        raise SentinelHubTransportError(
            f"{number_of(len(lost), 'tile')} failed in {number_of(most, 'attempt')}: {shown}. The others are kept: a "
            f"retry of the task asks for these alone. The first error: {first}"
        ) from first


class _Workers:
    """Threads that fetch tiles and do not keep the process from ending.

    ``running``: jobs that were not taken yet. ``most``: their largest number, so that connections never wait for one.
    """

    def __init__(self, fetch: Callable[[Any], Any], finish: Callable[[Any, Any], object], count: int) -> None:
        self._fetch, self._finish, self._connections = fetch, finish, Semaphore(count)
        self._jobs, self._done = SimpleQueue[Any](), SimpleQueue[Any]()
        self.running, self.most, self._threads = 0, 2 * count, 0

    def begin(self, job: tuple[Any, int]) -> None:
        """Let a thread fetch a tile, with the number of its attempt."""
        self._jobs.put(job)
        self.running += 1
        if self._threads < self.running:
            self._threads += 1
            Thread(target=self._work, name=f"sentinelhub-tile-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        job = None
        try:
            with self._connections:  # before a job is taken, because a taken job begins at once or is given up
                if (job := self._jobs.get()) is None:
                    return False
                result = self._fetch(job[0])
            self._finish(job[0], result)
            self._done.put((job, result, None))
        except BaseException as error:
            self._done.put((job, None, error))
        return True

    def take(self) -> tuple[tuple[Any, int], Any, BaseException | None]:
        """Wait for the next finished job, and return it with its result or error."""
        over: tuple[tuple[Any, int], Any, BaseException | None] = self._done.get()
        self.running -= 1
        return over

    def give_up(self) -> None:
        """Drop the jobs that no thread has begun, and end the threads."""
        with suppress(Empty):
            while True:
                self.running -= self._jobs.get_nowait() is not None
        for _ in range(self._threads):
            self._jobs.put(None)

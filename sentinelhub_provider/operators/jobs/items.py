"""Describes the pictures that a job delivers by STAC Items, from the bucket's listing and the pictures' headers.

The job is paid for already. So a failure in here is logged once and does not fail the task. No picture is read whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubResponseError
from sentinelhub_provider.hooks.output import parent, place_of, relative, uri_of
from sentinelhub_provider.operators.arguments import number_of, utc_now
from sentinelhub_provider.operators.jobs.buckets import asking, open_path
from sentinelhub_provider.operators.raster.told import OWN, read_item
from sentinelhub_provider.stac.folder import ItemFolder

if TYPE_CHECKING:
    from sentinelhub_provider.api.datasets import RasterRequest
    from sentinelhub_provider.api.job_requests.batch_pictures import BatchPictures
    from sentinelhub_provider.connection import ConnectionSettings

MOST_ITEMS = 10_000
"""Pictures of a job that get an item. The Collection is one file with a link to each of them."""

AT_A_TIME = 16
JOB = f"{OWN}job_id"

HEADER = 64 * 1024
"""Bytes that are read of a picture at a time. Few headers are longer."""

MOST_FAILURES = 20
"""Items that cannot be written before no more are tried."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A picture that a job delivered, with its tile's or feature's name, and URL and bytes of each output."""

    name: str | None
    files: dict[str, tuple[str, int]]


@dataclass(slots=True)
class Pictures:
    """The pictures of a Batch Process job, by tile or feature, as its files are listed.

    :param common: what they have in common.
    :param conn_id: Airflow connection that reads them, ``None`` for the worker's own credentials.
    :param names: the tiles or features that count, ``None`` for all.
    :param most: largest number of pictures in memory.
    """

    common: BatchPictures
    conn_id: str | None
    names: frozenset[str] | None = None
    most: int = MOST_ITEMS
    found: dict[str, dict[str, tuple[str, int]]] = field(default_factory=dict)
    files_left_out: int = 0

    def add(self, name: str, output: str, url: str, size: int) -> None:
        """Note a file."""
        if self.names is not None and name not in self.names:
            return
        if name not in self.found and len(self.found) >= self.most:
            self.files_left_out += 1
            return
        self.found.setdefault(name, {})[output] = (url, size)

    def all(self) -> list[Delivered]:
        """Return them."""
        return [Delivered(name, files) for name, files in self.found.items()]

    def raster(self, picture: Delivered) -> RasterRequest:
        """Return the request of a picture. Its grid is read from the header of its file.

        :raises SentinelHubResponseError: if it has no TIFF, or one without a grid.
        """
        from sentinelhub_provider.api.tiling import read_tiff_grid

        types = self.common.media_types
        url = next((url for name, (url, _) in picture.files.items() if types[name].startswith("image/tiff")), None)
        if url is None:
            raise SentinelHubResponseError(f"{picture.name} has no TIFF, which alone tells where its pixels are.")
        place = open_path(url, self.conn_id)
        with asking(place, "read"), place.fs.open(place.path, block_size=HEADER, cache_type="readahead") as file:
            header = read_tiff_grid(file)
        return self.common.raster(*header)


class JobItems(ItemFolder):
    """The items of a job's pictures, in one folder.

    :param where: see :class:`~sentinelhub_provider.stac.folder.ItemFolder`.
    :param conn_id: Airflow connection that opens the pictures' bucket, ``None`` for the worker's own credentials.
    """

    def __init__(self, where: Any, settings: Callable[[], ConnectionSettings], conn_id: str | None) -> None:
        super().__init__(where, settings)
        self._conn_id = conn_id

    def write(
        self,
        pictures: Iterable[Delivered],
        folder: str,
        request_of: Callable[[Delivered], RasterRequest],
        media_types: Mapping[str, str],
        *,
        properties: Mapping[str, Any],
        has_earlier: bool,
    ) -> list[str]:
        """Describe pictures, add them to the Collection, and return the URLs of all their items.

        :param folder: URL of the pictures' folder. It is also the Collection's if the items are beside the pictures.
        :param request_of: returns the request of one picture. It is called in threads.
        :param media_types: media types by output.
        :param properties: properties of all items, which name the job.
        :param has_earlier: whether an earlier attempt may have written some items, which stay as they are.
        """
        self.is_shared = self._folder is not None or str(properties.get(JOB)) not in folder
        self._folder = self._folder or self._opened(folder)
        collection_id = self._collection_id  # read here, once, and not by each thread
        wanted, problems, there = list(pictures), list[Exception](), list[str]()

        def describe(picture: Delivered) -> str | Exception:
            try:
                where = self.place(self._opened(next(iter(picture.files.values()))[0]))
                if not (has_earlier and self._is_there(where, picture, properties)):
                    told = {**properties, f"{OWN}tile": picture.name}
                    files = self._files(picture, media_types, parent(where))
                    self.describe(where, request_of(picture), files, made=utc_now(), properties=told)
            except Exception as error:  # of the storage's library, whichever that is
                return error
            return uri_of(where)

        pool = ThreadPoolExecutor(AT_A_TIME)
        try:
            for found in pool.map(describe, wanted):
                if isinstance(found, str):
                    there.append(found)
                    continue
                problems.append(found)
                if len(problems) >= MOST_FAILURES:
                    break
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a task that is to end waits for none of them
        if problems:
            missing = number_of(len(wanted) - len(there), "STAC Item")
            log.warning("%s of %d could not be written: %s", missing, len(wanted), problems[0])
        self.publish()
        if there:
            log.info("%s in the STAC Collection %r at %s", number_of(len(there), "item"), collection_id, self.url)
        return there

    @property
    def url(self) -> str | None:
        """URL of the Collection without the connection, ``None`` if there is none."""
        return None if self.collection is None else uri_of(self.collection)

    def _opened(self, url: str) -> str:
        """Return a URL with the connection in it."""
        scheme, _, rest = url.partition("://")
        return url if self._conn_id is None else f"{scheme}://{self._conn_id}@{rest}"

    def _files(self, picture: Delivered, media_types: Mapping[str, str], folder: str) -> dict[str, Any]:
        from sentinelhub_provider.stac.item import PictureFile

        return {
            name: PictureFile(relative(url, folder), size, None, media_types[name])
            for name, (url, size) in picture.files.items()
        }

    def _is_there(self, where: str, picture: Delivered, properties: Mapping[str, Any]) -> bool:
        """Tell whether there is an item of this picture, by this job, and keep it in mind for the Collection."""
        try:
            item = read_item(place_of(where).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        if item is None or any(item["properties"].get(name) != value for name, value in properties.items()):
            return False
        sizes = {name: asset.get("file:size") for name, asset in item["assets"].items()}
        if any(sizes.get(name) != size for name, (_, size) in picture.files.items()):
            return False
        self._remember(item, where)
        return True

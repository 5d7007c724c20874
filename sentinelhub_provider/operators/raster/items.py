"""The STAC Items of a task's pictures. They record the request of a picture, so that the task recognises it.

An item names no request while a new picture is being stored, so that it always describes the files that it names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.values import digest_of
from sentinelhub_provider.hooks.output import exists, parent, place_of, relative
from sentinelhub_provider.operators.arguments import task_identity, utc_now
from sentinelhub_provider.operators.raster.coverage import statistics_of
from sentinelhub_provider.operators.raster.told import (
    DIGEST,
    OWN,
    SERVICE,
    TASK,
    Made,
    is_as_told,
    read_item,
    sha256_of,
    stored_output,
    told_output,
    without_request,
)
from sentinelhub_provider.stac.folder import ItemFolder
from sentinelhub_provider.transport.download import storing

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.process import ProcessRequest
    from sentinelhub_provider.operators.base import SentinelHubOperator
    from sentinelhub_provider.stac.item import SourceScene
    from sentinelhub_provider.transport.download import Download


class Items(ItemFolder):
    """The items of one task's pictures.

    :param operator: the task.
    :param where: ``True`` for beside the pictures, ``False`` for no items, or a folder.
    :param folder: folder of the Collection. Default: that of the first item.
    """

    without_it = ", so the picture cannot be recognised later"

    def __init__(self, operator: SentinelHubOperator, context: Context, where: Any, folder: str | None = None) -> None:
        super().__init__(where, lambda: operator.hook.settings, folder)
        self._operator, self._context = operator, context

    @cached_property
    def _service(self) -> str:
        return self._settings().base_url

    @cached_property
    def _task(self) -> str:
        return digest_of(*task_identity(self._operator, self._context))

    def read(self, paths: Mapping[str, Any]) -> Made | None:
        """Return the picture at these paths, with the files that match its item. ``None`` if there is no output.

        Files that others have changed since the item was written are left out.
        """
        if not self.are_kept:
            return None
        first = next(iter(paths.values()))
        with storing(first):
            where = self.place(first)
            if (item := _load(where)) is None:
                return None
            files = {name: (place_of(path), item["assets"].get(name)) for name, path in paths.items()}
            outputs = {
                name: told_output(file, asset)
                for name, (file, asset) in files.items()
                if asset is not None and _is_there(file, asset, place_of(where))
            }
            return Made(outputs, item["properties"], where) if outputs else None

    def write(
        self,
        request: ProcessRequest,
        paths: Mapping[str, Any],
        stored: Mapping[str, Download],
        digest: str,
        *,
        cost: float | None = None,
        media_types: Mapping[str, str] | None = None,
        scenes: Iterable[SourceScene] = (),
        with_statistics: bool = True,
        **more: Any,
    ) -> Made:
        """Describe a complete and paid picture by an item. A failure is logged.

        :param request: request of the picture.
        :param paths: path of each output.
        :param stored: each output as stored.
        :param digest: the request's digest.
        :param cost: PU.
        :param media_types: media types of outputs that differ from the requested ones.
        :param scenes: scenes of the picture, as far as they are known.
        :param with_statistics: whether to read pixels for the statistics of their bands.
        :param more: further properties, such as ``coverage`` and ``tiles``.
        """
        own = {"request_sha256": digest, "service": self._service, "task": self._task, "processing_units": cost, **more}
        properties = {f"{OWN}{name}": value for name, value in own.items()}
        made = Made({name: stored_output(one) for name, one in stored.items()}, properties)
        if not self.are_kept:
            return made
        where = self.place(next(iter(paths.values())))

        def describe() -> None:
            from sentinelhub_provider.stac.item import PictureFile

            folder, types = parent(where), {**request.formats, **(media_types or {})}
            files = {
                name: PictureFile(
                    relative(paths[name], folder),
                    one.size,
                    one.sha256,
                    types[name],
                    statistics_of(paths[name], request) if with_statistics and types[name].startswith("image/") else (),
                )
                for name, one in stored.items()
            }
            self.describe(where, request, files, made=utc_now(), scenes=scenes, properties=properties)

        return Made(made.outputs, properties, where) if self._try(where, describe) else made

    def keep(self, made: Made) -> None:
        """Add a picture that stays to the Collection. A killed attempt may not have done that."""
        where = str(made.item)
        self._find_folder(where)
        self._try(where, lambda: self._remember(_load(where), where))

    def drop(self, paths: Mapping[str, Any]) -> None:
        """Remove the request from the items of outputs that are about to change. Their task stays known."""
        for name, path in paths.items() if self.are_kept else ():
            where = self.place(path)
            self._try(where, partial(self._empty, {name: path}, where))

    def _empty(self, paths: Mapping[str, Any], where: str) -> None:
        item = _load(where)
        if item is not None:
            self._store(without_request(item, is_there=self.read(paths) is not None), where)
        elif exists(where):
            place_of(where).unlink()

    def is_of_request(self, made: Made | None, request: str) -> bool:
        """Tell whether this request to this deployment made a picture."""
        return made is not None and (made.properties.get(DIGEST), made.properties.get(SERVICE)) == (
            request,
            self._service,
        )

    def is_of_task(self, made: Made | None) -> bool:
        """Tell whether an earlier attempt of this task made a picture."""
        return made is not None and made.properties.get(TASK) == self._task


def _load(where: str) -> dict[str, Any] | None:
    """Return a stored item, ``None`` if there is none or the file is something else."""
    place = place_of(where)
    try:
        return read_item(place.read_text(encoding="utf-8-sig")) if place.exists() else None
    except UnicodeDecodeError:
        return None


def _is_there(file: Any, asset: Mapping[str, Any], item: Any) -> bool:
    """Tell whether a file matches its asset. It is read if it is newer than its item, as after a copy."""
    if not file.exists():
        return False
    found = file.stat()
    is_known = is_as_told(asset, found.st_size, found.st_mtime, item.stat().st_mtime)
    if is_known is not None:
        return is_known
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == sha256_of(asset)

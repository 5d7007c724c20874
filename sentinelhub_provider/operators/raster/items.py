"""The STAC Items of a task's pictures. They tell by which request a picture was made, so that it is known again.

The item of ``ndvi.tif`` is ``ndvi.tif.stac.json``, beside it or in a folder of items. It names no request from before
a new picture comes until after it has come, so that it always describes the files that it names.
"""

from __future__ import annotations

import hashlib
import json
import logging
import posixpath
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubOutputError, SentinelHubRequestError
from sentinelhub_provider.hooks.output import check_writable, is_object_path, place_of, store, uri_of
from sentinelhub_provider.operators.arguments import task_identity, utc_now
from sentinelhub_provider.operators.raster.coverage import statistics_of
from sentinelhub_provider.transport.download import storing

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.process import ProcessRequest
    from sentinelhub_provider.operators.base import SentinelHubOperator
    from sentinelhub_provider.stac.collection import FolderCollection, Member
    from sentinelhub_provider.stac.item import SourceScene
    from sentinelhub_provider.transport.download import Download

SUFFIX = ".stac.json"
OWN = "sentinelhub:"
DIGEST = f"{OWN}request_sha256"
TASK = f"{OWN}task"
SERVICE = f"{OWN}service"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Made:
    """A picture that was made: the files of it that are there as its item says, and what else that says.

    :param outputs: ``path``, ``size`` in bytes, ``sha256`` and ``content_type`` of each file, by output.
    :param properties: of the item.
    :param item: where the item is; ``None`` where there is none.
    """

    outputs: dict[str, dict[str, Any]]
    properties: Mapping[str, Any]
    item: str | None = None

    @property
    def coverage(self) -> float | None:
        """Share of the area that has data, 0 to 1; ``None`` where that is not known."""
        return self.properties.get(f"{OWN}coverage")

    @property
    def tiles(self) -> str | None:
        """Name of the folder with the tiles that a mosaic was made of, within ``<output>.tiles``."""
        return self.properties.get(f"{OWN}tiles")


class Items:
    """The items of one task's pictures.

    :param operator: the task.
    :param where: ``True`` for beside the pictures, ``False`` for nowhere, or a folder.
    :param folder: that of the Collection; by default that of the first item.
    """

    def __init__(self, operator: SentinelHubOperator, context: Context, where: Any, folder: str | None = None) -> None:
        self._where = {"true": True, "false": False}.get(str(where).strip().lower(), where)
        is_path = isinstance(where, str | PurePath) or is_object_path(where)
        if not isinstance(self._where, bool) and (not is_path or str(where).strip() in ("", "None")):
            raise SentinelHubRequestError(f"stac is {where!r}. Give true, false or a folder.", field="stac")
        self._operator, self._context = operator, context
        self._folder = folder if isinstance(self._where, bool) else str(self._where).rstrip("/")
        self._pending, self._is_checked = deque[Any](), False

    @cached_property
    def _service(self) -> str:
        return self._operator.hook.settings.base_url

    @cached_property
    def _task(self) -> str:
        return digest_of(*task_identity(self._operator, self._context))

    @cached_property
    def _collection(self) -> FolderCollection:
        from sentinelhub_provider.hooks.sharing import merge_lock
        from sentinelhub_provider.stac.collection import FolderCollection

        is_remote = is_object_path(place_of(self._folder))
        lock = merge_lock(self._operator.hook.settings, str(self._folder)) if is_remote else None
        return FolderCollection(self._folder, lock=lock)

    @cached_property
    def _collection_id(self) -> str:
        return self._collection.id()

    @property
    def are_kept(self) -> bool:
        """Whether there are any."""
        return self._where is not False

    @property
    def collection(self) -> str | None:
        """Where the Collection is; ``None`` where there is none."""
        return self._collection.path if self.are_kept and self._folder is not None else None

    def check(self) -> None:
        """Find out, before anything is paid for, that the folder of ``stac`` can be written.

        :raises SentinelHubOutputError: where it cannot.
        """
        if isinstance(self._where, bool) or self._is_checked:
            return
        try:
            check_writable(f"{self._folder}/check{SUFFIX}")
        except SentinelHubOutputError as error:
            raise SentinelHubOutputError(str(error).replace("output_path", "stac", 1), final=error.final) from error
        self._is_checked = True

    def read(self, paths: Mapping[str, Any]) -> Made | None:
        """Return the picture whose outputs are at these paths, as far as they are as its item says.

        ``None`` where no output is. What others have changed since the item was written is not there.
        """
        if not self.are_kept:
            return None
        first = next(iter(paths.values()))
        with storing(first):
            where = self._place(first)
            if (item := _load(where)) is None:
                return None
            outputs = {}
            for name, path in paths.items():
                asset, output = item["assets"].get(name), place_of(path)
                if asset is not None and _is_as_told(output, asset, place_of(where)):
                    outputs[name] = {
                        "path": str(output),
                        "size": asset["file:size"],
                        "sha256": asset["file:checksum"][-64:],
                        "content_type": asset["type"].partition(";")[0],
                    }
            return Made(outputs, item["properties"], str(where)) if outputs else None

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
        """Describe a picture that is complete, and paid for, by an item: where that fails, it is logged.

        :param request: of the picture.
        :param paths: where each output is.
        :param stored: each output, as it was stored.
        :param digest: the request's digest.
        :param cost: PU.
        :param media_types: of outputs that have another than was asked for.
        :param scenes: that went into it, as far as they are known.
        :param with_statistics: whether pixels are read for the statistics of their bands.
        :param more: further properties, such as ``coverage`` and ``tiles``.
        """
        own = {"request_sha256": digest, "service": self._service, "task": self._task, "processing_units": cost, **more}
        properties = {f"{OWN}{name}": value for name, value in own.items()}
        outputs = {
            name: {
                "path": one.path,
                "size": one.size,
                "sha256": one.sha256,
                "content_type": one.content_type.partition(";")[0],
            }
            for name, one in stored.items()
        }
        made = Made(outputs, properties)
        if not self.are_kept:
            return made
        where = self._place(next(iter(paths.values())))

        def describe() -> None:
            from sentinelhub_provider.stac.item import PictureFile, picture_item, to_json

            self._find_folder(where)
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
            href = relative(where, str(self._folder)).removeprefix("./")
            item = picture_item(
                href.removesuffix(SUFFIX).replace("/", "--"),
                request,
                files,
                made=utc_now(),
                collection=self._collection_id,
                collection_href=relative(self._collection.path, folder),
                scenes=scenes,
                properties=properties,
            )
            document = to_json(item)
            self._store(document, where)
            self._remember(document, where)

        return Made(outputs, properties, str(where)) if self._try(where, describe) else made

    def keep(self, made: Made) -> None:
        """Have a picture that stays in the Collection, which an attempt that was killed may not have got to."""
        where = str(made.item)
        self._find_folder(where)
        self._try(where, lambda: self._remember(_load(where), where))

    def drop(self, paths: Mapping[str, Any]) -> None:
        """Forget by which request outputs were made, for they are about to change. Whose they are stays known."""
        for name, path in paths.items() if self.are_kept else ():
            where = self._place(path)
            self._try(where, lambda name=name, path=path, where=where: self._empty({name: path}, where))

    def _empty(self, paths: Mapping[str, Any], where: Any) -> None:
        item = _load(where)
        if item is None:
            if exists(where):
                place_of(where).unlink()
            return
        gone = [DIGEST, f"{OWN}tiles"] if self.read(paths) is not None else [DIGEST, f"{OWN}tiles", TASK]
        kept = {name: value for name, value in item["properties"].items() if name not in gone}
        self._store({**item, "properties": kept}, where)

    def publish(self) -> None:
        """Add to the Collection what was described since the last time. Where that fails, it is logged."""
        members: list[Member] = []
        while self._pending:
            members.append(self._pending.popleft())
        if members and not self._try(self._collection.path, lambda: self._collection.add(members)):
            self._pending.extend(members)

    def is_of_request(self, made: Made | None, request: str) -> bool:
        """Tell whether this very request, to this deployment, made a picture."""
        return made is not None and (made.properties.get(DIGEST), made.properties.get(SERVICE)) == (
            request,
            self._service,
        )

    def is_of_task(self, made: Made | None) -> bool:
        """Tell whether an earlier attempt of this task made a picture."""
        return made is not None and made.properties.get(TASK) == self._task

    def _find_folder(self, where: Any) -> None:
        if self._folder is None:
            self._folder = parent(where)

    def _remember(self, item: Any, where: Any) -> None:
        from sentinelhub_provider.stac.collection import Member

        self._pending.append(Member.of(item, relative(where, str(self._folder))))

    def _store(self, item: Mapping[str, Any], where: Any) -> None:
        from sentinelhub_provider.stac.collection import to_bytes

        store(to_bytes(item), where, content_type="application/geo+json")

    def _try(self, where: Any, act: Any) -> bool:
        try:
            act()
        except Exception as error:  # of the storage's library, whichever that is
            log.warning("%s cannot be written, without which a picture is not known again: %s", where, error)
            return False
        return True

    def _place(self, path: Any) -> str:
        if self._where is True:
            return f"{path}{SUFFIX}"
        name = str(path).rpartition("/")[2]
        return f"{self._folder}/{name}-{digest_of(uri_of(path))[:16]}{SUFFIX}"


def parent(path: Any) -> str:
    """Return the folder that a file is in."""
    folder, slash, _ = str(path).rpartition("/")
    return folder or slash or "."


def relative(path: Any, folder: str) -> str:
    """Return where a file is, as seen from a folder: relative within a disk or bucket, else as a URL."""
    target, start = uri_of(path), uri_of(folder)
    if target.split("/", 3)[:3] != start.split("/", 3)[:3]:  # another storage or bucket
        return target
    found = posixpath.relpath(target, start)
    return found if found.startswith("../") else f"./{found}"


def exists(path: Any) -> bool:
    """Tell whether there is a file."""
    with storing(path):
        return bool(place_of(path).exists())


def _load(where: Any) -> dict[str, Any] | None:
    """Return an item as it is stored; ``None`` where there is none, or something else."""
    place = place_of(where)
    try:
        found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
        parts = found["assets"], found["properties"]
        return found if all(isinstance(part, dict) for part in parts) else None
    except (ValueError, TypeError, KeyError):
        return None


def _is_as_told(file: Any, asset: Mapping[str, Any], item: Any) -> bool:
    """Tell whether a file is what its asset says. It is read where it is newer than its item, as after a copy."""
    told = [asset.get(field) for field in ("type", "file:checksum")]
    if not all(isinstance(one, str) for one in told) or not file.exists():
        return False
    found = file.stat()
    if found.st_size != asset.get("file:size"):
        return False
    times = found.st_mtime, item.stat().st_mtime
    if type(times[0]) is type(times[1]) and times[0] <= times[1]:
        return True
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == str(told[1])[-64:]


def digest_of(*parts: Any) -> str:
    """Return hexadecimal digits that stand for all parts, which are JSON."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

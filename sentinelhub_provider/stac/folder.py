"""The folder of a task's STAC Items, and their Collection.

The pictures are already paid for. So a later failure in here is logged and does not fail the task.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.values import digest_of
from sentinelhub_provider.exceptions import SentinelHubOutputError, SentinelHubRequestError
from sentinelhub_provider.hooks.output import check_writable, is_object_path, parent, place_of, relative, store, uri_of
from sentinelhub_provider.stac import ITEM_SUFFIX

if TYPE_CHECKING:
    from datetime import datetime

    from sentinelhub_provider.api.datasets import RasterRequest
    from sentinelhub_provider.connection import ConnectionSettings
    from sentinelhub_provider.stac.collection import FolderCollection, Member
    from sentinelhub_provider.stac.item import PictureFile, SourceScene

log = logging.getLogger(__name__)


class ItemFolder:
    """The folder of a task's items. The item of ``ndvi.tif`` is ``ndvi.tif.stac.json``.

    :param where: ``True`` for beside the pictures, ``False`` for no items, or a folder.
    :param settings: returns the connection's settings, whose ``auth_cache`` has locks.
    :param folder: folder of the Collection, for items beside the pictures. Default: the folder of the first item.
    :raises SentinelHubRequestError: if ``where`` is something else.
    """

    without_it = ""
    """Text for the log about a picture whose item cannot be written."""
    is_shared = True
    """Whether several tasks may write the Collection at the same time."""

    def __init__(self, where: Any, settings: Callable[[], ConnectionSettings], folder: str | None = None) -> None:
        self._where = {"true": True, "false": False}.get(str(where).strip().lower(), where)
        is_path = isinstance(where, str | PurePath) or is_object_path(where)
        if not isinstance(self._where, bool) and (not is_path or str(where).strip() in ("", "None")):
            raise SentinelHubRequestError(f"stac is {where!r}. Give true, false or a folder.", field="stac")
        self._settings = settings
        self._folder = folder if isinstance(self._where, bool) else str(self._where).rstrip("/")
        self._pending, self._is_checked = deque[Any](), False

    @cached_property
    def _collection(self) -> FolderCollection:
        from sentinelhub_provider.hooks.sharing import merge_lock
        from sentinelhub_provider.stac.collection import FolderCollection

        is_remote = is_object_path(place_of(self._folder))
        lock = merge_lock(self._settings(), str(self._folder), is_needed=self.is_shared) if is_remote else None
        return FolderCollection(self._folder, lock=lock)

    @cached_property
    def _collection_id(self) -> str:
        return self._collection.id()

    @property
    def are_kept(self) -> bool:
        """Whether there are items."""
        return self._where is not False

    @property
    def collection(self) -> str | None:
        """Path of the Collection, ``None`` if there is none."""
        return self._collection.path if self.are_kept and self._folder is not None else None

    def check(self) -> None:
        """Check that the folder of ``stac`` is writable, before anything is paid for.

        :raises SentinelHubOutputError: if it is not writable.
        """
        if isinstance(self._where, bool) or self._is_checked:
            return
        try:
            check_writable(f"{self._folder}/check{ITEM_SUFFIX}")
        except SentinelHubOutputError as error:
            raise SentinelHubOutputError(str(error).replace("output_path", "stac", 1), final=error.final) from error
        self._is_checked = True

    def place(self, path: Any) -> str:
        """Return the path of a picture's item."""
        if self._where is True:
            return f"{path}{ITEM_SUFFIX}"
        name = str(path).rpartition("/")[2]
        return f"{self._folder}/{name}-{digest_of(uri_of(path))[:16]}{ITEM_SUFFIX}"

    def describe(
        self,
        where: str,
        request: RasterRequest,
        files: Mapping[str, PictureFile],
        *,
        made: datetime,
        scenes: Iterable[SourceScene] = (),
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an item, and remember to add it to the Collection.

        :param where: see :meth:`place`. For the rest, see :func:`~sentinelhub_provider.stac.item.picture_item`.
        """
        from sentinelhub_provider.stac.item import picture_item, to_json

        self._find_folder(where)
        item = picture_item(
            relative(where, str(self._folder)).removeprefix("./").removesuffix(ITEM_SUFFIX).replace("/", "--"),
            request,
            files,
            made=made,
            collection=self._collection_id,
            collection_href=relative(self._collection.path, parent(where)),
            scenes=scenes,
            properties=properties,
        )
        document = to_json(item)
        self._store(document, where)
        self._remember(document, where)

    def publish(self) -> None:
        """Add the new items to the Collection. A failure is logged."""
        members: list[Member] = []
        while self._pending:
            members.append(self._pending.popleft())
        if members and not self._try(self._collection.path, lambda: self._collection.add(members)):
            self._pending.extend(members)

    def _find_folder(self, where: str) -> None:
        if self._folder is None:
            self._folder = parent(where)

    def _remember(self, item: Any, where: str) -> None:
        from sentinelhub_provider.stac.collection import Member

        self._pending.append(Member.of(item, relative(where, str(self._folder))))

    def _store(self, item: Mapping[str, Any], where: str) -> None:
        from sentinelhub_provider.stac.collection import to_bytes

        store(to_bytes(item), where, content_type="application/geo+json")

    def _try(self, where: str, act: Callable[[], object]) -> bool:
        try:
            act()
        except Exception as error:  # of the storage's library, whichever that is
            log.warning("%s cannot be written%s: %s", where, self.without_it, error)
            return False
        return True

"""Keeps the lines of a part file in an object store, whose objects cannot be appended to: some lines to an object."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from sentinelhub_provider.hooks.output import check_connection
from sentinelhub_provider.transport.targets import prove_writable

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

KEEP_EVERY = 5.0
"""Seconds between two objects: what a kill loses at most."""

KEEP_AFTER_FAULT = 60.0
"""Seconds until a store that did not take an object is tried again."""


class PartStore:
    """
    A folder of objects, in the order of their names.

    :param folder: for one task alone.
    :param clock: seconds, monotonic.
    :param wall_clock: seconds since the epoch, which the names begin with: later attempts come later.
    """

    def __init__(
        self,
        folder: ObjectStoragePath,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = str(folder)
        self._folder: Any = folder
        self._clock, self._wall_clock = clock, wall_clock
        self._kept = 0
        self._next = 0.0

    def load(self, file: IO[bytes]) -> None:
        """
        Copy what earlier attempts left into a file.

        :raises Exception: the store library's, also where the folder cannot be written.
        """
        check_connection(self._folder)
        prove_writable(self._folder.fs, self._name())
        for name in self._names():
            with self._folder.fs.open(name, "rb") as kept:
                shutil.copyfileobj(kept, file)
        file.flush()
        self._kept = file.tell()
        self._next = self._clock() + KEEP_EVERY

    def keep(self, file: IO[bytes], *, at_once: bool = False) -> None:
        """Keep the lines that are new. A fault of the store is logged: the task has the answers, and goes on."""
        if not at_once and self._clock() < self._next:
            return
        file.seek(self._kept)
        lines = file.read()
        if not lines:
            return
        try:
            self._folder.fs.pipe_file(self._name(), lines)
        except Exception as error:  # of the storage's library, whichever that is
            log.warning("answers cannot be kept at %s for now: %s", self.url, error)
            self._next = self._clock() + KEEP_AFTER_FAULT
            return
        self._kept += len(lines)
        self._next = self._clock() + KEEP_EVERY

    def remove(self) -> None:
        """Remove the folder: its answers are in the table."""
        try:
            self._folder.fs.rm(self._names())
        except Exception as error:  # of the storage's library, whichever that is
            log.warning("answers at %s are not needed any more and cannot be removed: %s", self.url, error)

    def _name(self) -> str:
        return f"{self._folder.path}/{int(self._wall_clock() * 1000):015d}-{self._kept:012d}.jsonl"

    def _names(self) -> list[str]:
        self._folder.fs.invalidate_cache()
        return sorted(self._folder.fs.find(self._folder.path))

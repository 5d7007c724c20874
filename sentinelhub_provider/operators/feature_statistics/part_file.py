"""
Answers that are already paid for, kept until the whole is done.

A file of JSON lines, appended to as answers come. Memory holds only where each one lies. A task that is killed, even in
the middle of a line, finds on its next attempt everything that was written whole. Where the table goes to an object
store, :mod:`~sentinelhub_provider.operators.feature_statistics.part_store` keeps the lines there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from sentinelhub_provider.exceptions import SentinelHubOutputError
from sentinelhub_provider.hooks.output import is_object_path, place_of
from sentinelhub_provider.transport.download import storing

if TYPE_CHECKING:
    from sentinelhub_provider.operators.feature_statistics.part_store import PartStore


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int
    is_complete: bool


def part_file(output_path: Any, part_folder: Any, *, identity: Sequence[str], digest: str) -> PartFile:
    """
    Return the part file of a task: the same for each of its attempts, and for it alone.

    :param output_path: where its table goes, a path or URL, or ``None``. Its folder is where parts lie.
    :param part_folder: where they lie instead, a path or URL; for neither, a folder of the machine's temporary one.
    :param identity: what names the task in its run; stands for it where it has no output path.
    :param digest: of what all its requests have in common, so that answers to other requests are not taken for its own.
    :raises SentinelHubOutputError: where a URL cannot be opened.
    """
    place = f"{identity[-1]}-{_digest(*identity)}" if output_path is None else str(output_path)
    name = f".{Path(place).name}.{_digest(place, digest)}.part"
    if part_folder is not None or output_path is not None:
        with storing(part_folder or output_path, "part_folder" if part_folder else "output_path"):
            folder: Any = place_of(part_folder) if part_folder is not None else place_of(output_path).parent
            if is_object_path(folder):
                from sentinelhub_provider.operators.feature_statistics.part_store import PartStore

                return PartFile(None, PartStore(folder / name))
    else:
        folder = Path(tempfile.gettempdir()) / f"sentinelhub-statistics-{os.getuid()}"
    return PartFile(folder / name)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


class PartFile:
    """
    Answers by key; of two with the same key the later one counts.

    A context manager: one attempt at a time may have a file open. Leaving keeps what is in it; :meth:`remove` takes it
    away.

    :param path: the file, whose folder is made where it is missing; ``None`` for one that goes with the process.
    :param store: keeps its lines elsewhere.
    :raises SentinelHubOutputError: where it cannot be written; and where another attempt has it open, which may pass:
        Airflow may take an attempt for dead that still works.
    """

    def __init__(self, path: Path | None, store: PartStore | None = None) -> None:
        self.path = path
        self.spent = 0.0
        """PU that all answers in the file cost."""
        self._store = store
        self._places: dict[str, _Place] = {}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        where = self._store.url if self._store is not None else self.path
        with ExitStack() as stack, storing(where, "the part file"):
            file = stack.enter_context(self._open())
            if self._store is not None:
                self._store.load(file)
            stack.pop_all()
        self._file = file
        self._load(file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            if self._store is not None and self._places:
                self._store.keep(self._file, at_once=True)
            self._file.close()
            self._file = None

    def _open(self) -> IO[bytes]:
        """Open the file, and lock it where its disk knows locks."""
        if self.path is None:
            return tempfile.TemporaryFile(prefix="sentinelhub-")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise SentinelHubOutputError(
                f"{self.path} is being written by another attempt or task with the same requests. A retry goes on once "
                "that has ended. Two tasks that write the same table need an output_path each.",
                final=False,
            ) from error
        except OSError:  # a disk without locks
            pass
        return file

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def is_complete(self, key: str) -> bool:
        """Tell whether there is an answer in which no interval failed that can be repeated."""
        place = self._places.get(key)
        return place is not None and place.is_complete

    def get(self, key: str) -> dict[str, Any] | None:
        """Read an answer."""
        place = self._places.get(key)
        if place is None or self._file is None:
            return None
        self._file.seek(place.offset)
        answer: dict[str, Any] = json.loads(self._file.readline())["answer"]
        return answer

    def add(self, key: str, answer: Mapping[str, Any], *, units: float, is_complete: bool) -> None:
        """
        Write an answer.

        :param units: PU that it cost.
        :raises SentinelHubOutputError: where the disk does not take it.
        """
        assert self._file is not None  # noqa: S101 - called within the block
        line = json.dumps({"key": key, "units": units, "complete": is_complete, "answer": answer})
        with storing(self.path or tempfile.gettempdir(), "the part file"):
            self._file.seek(0, 2)
            offset = self._file.tell()
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        self._places[key] = _Place(offset, is_complete)
        self.spent += units
        if self._store is not None:
            self._store.keep(self._file)

    def remove(self) -> None:
        """Take the file away: its answers are in the table."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        if self._store is not None:
            self._store.remove()
            self._store = None

    def _load(self, file: IO[bytes]) -> None:
        """Find what an earlier attempt left; a line that it did not finish is cut off."""
        offset = 0
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                self._places[entry["key"]] = _Place(offset, entry["complete"])
                self.spent += entry["units"]
            except (ValueError, KeyError, TypeError):
                break
            offset += len(line)
        file.truncate(offset)

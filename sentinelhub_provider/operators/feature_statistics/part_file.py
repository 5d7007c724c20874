"""
Answers that are already paid for, kept on disk until the whole is done.

A file of JSON lines, appended to as answers come. Memory holds only where each one lies. A task that is killed, even in
the middle of a line, finds on its next attempt everything that was written whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from sentinelhub_provider.exceptions import SentinelHubOutputError

if TYPE_CHECKING:
    from filelock import BaseFileLock


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int
    is_complete: bool


def part_path(output_path: Any, part_folder: str | None, *, identity: Sequence[str], digest: str) -> Path:
    """
    Name the file of a task: the same for each of its attempts, and for it alone.

    :param output_path: where its table goes, a path or URL, or ``None``. A local file's folder is where parts lie.
    :param part_folder: where they lie instead; for neither, a folder of the machine's temporary one.
    :param identity: what names the task in its run; stands for it where it has no output path.
    :param digest: of what all its requests have in common, so that answers to other requests are not taken for its own.
    """
    place = f"{identity[-1]}-{_digest(*identity)}" if output_path is None else str(output_path)
    name = f".{Path(place).name}.{_digest(place, digest)}.part"
    if part_folder is not None:
        return Path(part_folder).expanduser() / name
    if output_path is not None and "://" not in place:
        return Path(place).expanduser().absolute().parent / name
    return Path(tempfile.gettempdir()) / f"sentinelhub-statistics-{os.getuid()}" / name


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


class PartFile:
    """
    Answers by key; of two with the same key the later one counts.

    A context manager: one task at a time may have it open. Leaving keeps the file; :meth:`remove` takes it away.

    :param path: the file; its folder is made where it is missing.
    :raises SentinelHubOutputError: where it cannot be written, or another task has it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spent = 0.0
        """PU that all answers in the file cost."""
        self._places: dict[str, _Place] = {}
        self._file: IO[bytes] | None = None
        self._lock: BaseFileLock | None = None

    def __enter__(self) -> Self:
        from filelock import FileLock, Timeout

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(f"{self.path}.lock", timeout=0)
            self._lock.acquire()
            self._file = self.path.open("a+b")
        except Timeout as error:
            raise SentinelHubOutputError(
                f"{self.path} is being written by another task with the same requests. Wait for it, or give "
                "this task another output_path."
            ) from error
        except OSError as error:
            raise SentinelHubOutputError(
                f"part_folder {self.path.parent} cannot be written: {error}. Give another one."
            ) from error
        self._load(self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock is not None:
            self._lock.release()

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
        try:
            self._file.seek(0, 2)
            offset = self._file.tell()
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise SentinelHubOutputError(f"part_folder: {self.path} cannot be written: {error}.") from error
        self._places[key] = _Place(offset, is_complete)
        self.spent += units

    def remove(self) -> None:
        """Take the file away: its answers are in the table."""
        self.path.unlink(missing_ok=True)
        Path(f"{self.path}.lock").unlink(missing_ok=True)

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

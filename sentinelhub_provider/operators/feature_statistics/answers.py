"""Keeps paid answers until a table is made of all of them, in a file or as the task's result.

The answers are in a file of JSON lines, which grows as they come. Memory holds only their positions. A task that is
killed, even in the middle of a line, finds all complete lines on its next attempt. If the table goes to an object
store, whose objects cannot grow, the lines are kept there, several in each object.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import IO, Any, Self

from airflow.sdk import ObjectStoragePath

from sentinelhub_provider.api.geo.geometry import Feature
from sentinelhub_provider.api.statistical.survey import Survey
from sentinelhub_provider.api.statistical.table import (
    column_kinds,
    column_names,
    json_record,
    property_cell,
    rows,
    table_format,
)
from sentinelhub_provider.exceptions import SentinelHubOutputError
from sentinelhub_provider.features.files import require
from sentinelhub_provider.hooks.output import check_connection, is_object_path, place_of, target_for
from sentinelhub_provider.tables import Dataset
from sentinelhub_provider.transport.download import prove_writable, storing

log = logging.getLogger(__name__)

KEEP_EVERY = 5.0  # seconds between two objects, so a kill loses the answers of at most so long
KEEP_AFTER_FAULT = 60.0  # seconds until a store that did not take an object is tried again
Feed = Callable[[bytes], None]  # takes the file's next bytes
Records = Iterator[dict[str, Any]]
CONTENT_TYPES = {"csv": "text/csv", "jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}
WIDER = {
    "unknown": ("boolean", "integer", "number", "text"),
    "boolean": ("text",),
    "integer": ("number", "text"),
    "number": ("text",),
    "text": (),
}
"""Kinds of columns that can also hold the values of a kind."""
ROW_GROUP = 20_000  # rows of a group in a Parquet file, which are in memory together


def part_file(
    output_path: Any, part_folder: Any, *, identity: Sequence[str], digest: str, is_shared: bool = False
) -> PartFile:
    """Return the part file of a task. It is the same for all attempts of the task and belongs to the task alone.

    :param output_path: path or URL of the table, or ``None``. Its folder holds the parts.
    :param part_folder: path or URL of another folder for the parts. Without both, it is a folder of the machine's
        temporary one.
    :param identity: names of the task in its run, in place of an output path.
    :param digest: digest of the facts that all its requests share, so that answers to other requests do not count.
    :param is_shared: whether other tasks write to the same output path, as to a dataset.
    :raises SentinelHubOutputError: if a URL cannot be opened.
    """
    place = f"{identity[-1]}-{_digest(*identity)}" if output_path is None else str(output_path)
    # A long name is cut, because with the digest it must not exceed the limit of file names.
    name = f".{Path(place).name[:50]}.{_digest(place, digest, *(identity if is_shared else ()))}.part"
    if part_folder is not None or output_path is not None:
        with storing(part_folder or output_path, "part_folder" if part_folder else "output_path"):
            folder: Any = place_of(part_folder) if part_folder is not None else place_of(output_path).parent
            if is_object_path(folder):
                return PartFile(None, PartStore(folder / name))
    else:
        folder = Path(tempfile.gettempdir()) / f"sentinelhub-statistics-{os.getuid()}"
    return PartFile(folder / name)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


class PartFile:
    """Answers by key. A later answer replaces an earlier one with the same key.

    This is a context manager, and only one attempt at a time may have the file open. Leaving it keeps the file, and
    :meth:`remove` deletes it. ``path``: the file, whose folder is made if it is missing, ``None`` for a file that ends
    with the process. ``store``: keeps its lines elsewhere. Raises :class:`SentinelHubOutputError` if it cannot be
    written. The same error comes if another attempt has it open, which may pass, as Airflow may take a working attempt
    for dead.
    """

    def __init__(self, path: Path | None, store: PartStore | None = None) -> None:
        self.path = path
        self.spent = 0.0
        """PU that all answers in the file cost."""
        self._store = store
        self._places: dict[str, tuple[int, bool]] = {}  # start of an answer's line, and whether the answer is complete
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

    def __exit__(self, *_error: object) -> None:
        if self._file is not None:
            if self._store is not None and self._places:
                self._store.keep(self._file, at_once=True)
            with suppress(OSError):  # the disk is full, as the last answer has reported
                self._file.close()
            self._file = None

    def _open(self) -> IO[bytes]:
        """Open the file, and lock it if its disk supports locks."""
        if self.path is None:
            return tempfile.TemporaryFile(prefix="sentinelhub-")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise SentinelHubOutputError(
                f"{self.path} is being written by another attempt or task with the same requests. A retry goes on "
                "after its end. Two tasks that write the same table need an output_path each.",
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
        """Tell whether there is an answer without failed intervals that can be repeated."""
        return self._places.get(key, (0, False))[1]

    def get(self, key: str) -> dict[str, Any] | None:
        """Read an answer."""
        if key not in self._places or self._file is None:
            return None
        self._file.seek(self._places[key][0])
        answer: dict[str, Any] = json.loads(self._file.readline())["answer"]
        return answer

    def add(self, key: str, answer: Mapping[str, Any], *, units: float, is_complete: bool) -> None:
        """Write an answer.

        ``units``: its cost in PU. Raises :class:`SentinelHubOutputError` if the disk does not take it.
        """
        assert self._file is not None  # noqa: S101 - called within the block
        line = json.dumps({"key": key, "units": units, "complete": is_complete, "answer": answer})
        with storing(self.path or tempfile.gettempdir(), "the part file"):
            self._file.seek(0, 2)
            offset = self._file.tell()
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        self._places[key] = offset, is_complete
        self.spent += units
        if self._store is not None:
            self._store.keep(self._file)

    def remove(self) -> None:
        """Delete the file, whose answers are in the table."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        if self._store is not None:
            self._store.remove()
            self._store = None

    def _load(self, file: IO[bytes]) -> None:
        """Find the answers of an earlier attempt. Cut off a line that it did not finish."""
        offset = 0
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                self._places[entry["key"]] = offset, entry["complete"]
                self.spent += entry["units"]
            except (ValueError, KeyError, TypeError):
                break
            offset += len(line)
        file.truncate(offset)


class PartStore:
    """A folder of objects, in the order of their names.

    ``folder``: a folder for this task alone. ``clock``: returns monotonic seconds. ``wall_clock``: returns seconds
    since the epoch, which begin the names, so that later attempts come later.
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
        """Copy the answers of earlier attempts into a file.

        :raises Exception: of the store's library, also if the folder cannot be written.
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
        """Store the new lines. A fault of the store is logged, because the task has the answers and goes on."""
        if not at_once and self._clock() < self._next:
            return
        try:
            file.seek(self._kept)
            lines = file.read()
            if not lines:
                return
            self._folder.fs.pipe_file(self._name(), lines)
        except Exception as error:  # of the storage's library, whichever that is, or of a full disk
            log.warning("answers cannot be kept at %s for now: %s", self.url, error)
            self._next = self._clock() + KEEP_AFTER_FAULT
            return
        self._kept += len(lines)
        self._next = self._clock() + KEEP_EVERY

    def remove(self) -> None:
        """Delete the folder, whose answers are in the table."""
        try:
            self._folder.fs.rm(self._names())
        except Exception as error:  # of the storage's library, whichever that is
            log.warning("answers at %s are no longer needed and cannot be removed: %s", self.url, error)

    def _name(self) -> str:
        return f"{self._folder.path}/{int(self._wall_clock() * 1000):015d}-{self._kept:012d}.jsonl"

    def _names(self) -> list[str]:
        self._folder.fs.invalidate_cache()
        return sorted(self._folder.fs.find(self._folder.path))


def records(features: Iterable[Feature], found: Survey, part: PartFile, states: Counter[str]) -> Records:
    """Yield the table's rows in the order of the features, and count their ``states``. A missing answer has no row."""
    template = found.template.example
    columns, expected = column_names(template.body, found.properties), template.intervals
    for feature, key in found.of_use(features):
        answer = part.get(key)
        if answer is not None:
            own = {name: property_cell(feature.properties.get(name), kind) for name, kind in found.properties.items()}
            for row in rows(answer, feature_id=str(feature.id), expected=expected):
                states[row["state"]] += 1
                yield {name: row.get(name) for name in columns} | own


def write_table(
    cells: Records, body: Mapping[str, Any], properties: Mapping[str, str], path: Any, wanted: str | None
) -> dict[str, Any]:
    """Write a file, which appears when it is complete. Return its path, size in bytes, sha256 and content type.

    :param body: the request's JSON, which determines the columns.
    :param properties: kinds of further columns by their names.
    :param wanted: the format. Default: by the path's ending.
    :raises SentinelHubOutputError: if the path cannot be written.
    """
    kind = table_format(path, wanted)
    with target_for(path) as receiver:
        if kind == "parquet":
            _write_parquet(cells, receiver.feed, schema_of(body, properties))
        elif kind == "csv":
            _write_csv(cells, receiver.feed, column_names(body, properties))
        else:
            # Numbers without a value become null, as does NaN, which JSON does not have.
            for one in cells:
                receiver.feed(json.dumps(json_record(one), allow_nan=False).encode() + b"\n")
        stored = receiver.complete(content_type=CONTENT_TYPES[kind], processing_units=None, url="")
    return {name: value for name, value in asdict(stored).items() if name not in ("url", "processing_units")}


def _write_csv(cells: Records, feed: Feed, columns: Sequence[str]) -> None:
    """Write CSV (RFC 4180) with a header. A cell without a value is empty, a histogram is JSON."""
    with io.TextIOWrapper(io.BufferedWriter(_Sink(feed)), encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({name: _csv_cell(value) for name, value in one.items()} for one in cells)


def _csv_cell(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps([json_record(item) for item in value])
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value


def merge_table(cells: Records, schema: Any, dataset: Dataset) -> dict[str, Any]:
    """Merge the table into a dataset. Return its path and the partitions that changed.

    :raises SentinelHubOutputError: if it cannot be written.
    """
    with dataset:
        for table in _tables(cells, schema):
            dataset.add(table)
        return {"path": str(dataset.path), "partitions": dataset.merge()}


def schema_of(body: Mapping[str, Any], properties: Mapping[str, str]) -> Any:
    """Return the columns of the table and their types (a ``pyarrow.Schema``).

    The data of one day do not change them.
    """
    arrow = require_parquet_table()
    return arrow.schema([(name, _arrow_type(arrow, kind)) for name, kind in column_kinds(body, properties).items()])


def kinds_there(properties: Mapping[str, str], there: Any) -> dict[str, str]:
    """Return the kinds of properties. If a dataset's columns (a ``pyarrow.Schema``) can hold them, return its kinds.

    So a day fits in with the others even if its numbers happen to be whole, or if it has none.
    """
    arrow = require_parquet_table()
    found = dict(properties)
    for name, kind in properties.items():
        for wider in WIDER[kind]:
            if name in there.names and there.field(name).type == _arrow_type(arrow, wider):
                found[name] = wider
    return found


def _write_parquet(cells: Records, feed: Feed, schema: Any) -> None:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(_Sink(feed), schema, compression="zstd") as writer:
        for table in _tables(cells, schema):
            writer.write_table(table)


def _tables(cells: Records, schema: Any) -> Iterator[Any]:
    """Yield the rows as Arrow tables of a fixed number of rows."""
    import pyarrow

    while group := list(islice(cells, ROW_GROUP)):
        yield pyarrow.Table.from_pylist(group, schema=schema)


def _arrow_type(arrow: Any, kind: str) -> Any:
    """Return the type of a column of a kind, text if a property has no value anywhere."""
    low, high = ("low", arrow.float64()), ("high", arrow.float64())
    types = {
        "boolean": arrow.bool_(),
        "integer": arrow.int64(),
        "number": arrow.float64(),
        "time": arrow.timestamp("us", tz="UTC"),
        "bins": arrow.list_(arrow.struct([low, high, ("count", arrow.int64())])),
    }
    return types.get(kind, arrow.string())


class _Sink(io.RawIOBase):
    """A file whose bytes go elsewhere."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        chunk = bytes(data)
        self._feed(chunk)
        return len(chunk)


def require_parquet_table() -> Any:
    """Return pyarrow for a table. Raises :class:`SentinelHubRequestError` if it is not installed."""
    return require("pyarrow", field="output_path", otherwise="let output_path end with .csv or .jsonl")

"""A partitioned Parquet dataset in Hive style, with a folder and one file for each partition.

Merging a table replaces rows by their key. A partition's file is replaced as a whole, so that a reader sees it as it
was or as it is. A lock lets one merge at a time change a partition, so that no rows are lost.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubOutputError, SentinelHubRequestError
from sentinelhub_provider.features.files import require
from sentinelhub_provider.hooks.output import check_connection, folder_lock, forget_listings, place_of, target_for
from sentinelhub_provider.transport.download import storing

if TYPE_CHECKING:
    import pyarrow

KEY = ("feature_id", "interval_from", "output", "band")
"""Key columns. A new row replaces the one with the same key. A row without an output is about all outputs."""

TIMES = {"interval_year": "%Y", "interval_month": "%Y-%m", "interval_day": "%Y-%m-%d"}
"""Partitions by time, with the format of their values from ``interval_from`` in UTC."""

FILE = "data.parquet"
CONTENT_TYPE = "application/vnd.apache.parquet"
Lock = Callable[[], AbstractContextManager[Any]]
"""Takes a lock for as long as its context lasts."""


def parquet_files(folder: Any) -> list[Any]:
    """Return the Parquet files below a folder without hidden ones, like other readers, such as Spark."""
    return [file for file in folder.glob("**/*.parquet") if not file.name.startswith((".", "_"))]


class Dataset:
    """A dataset to merge rows into. :meth:`add` tables within its context, then :meth:`merge` them.

    :param path: its root folder, a local path or a URL that Airflow's object storage knows.
    :param partition_by: one or more of ``interval_year``, ``interval_month`` and ``interval_day``.
    :param lock: keeps others from merging at the same time. For a local path, the default is a file in the root. For an
        object storage you must give one, or only one task at a time may merge.
    :raises SentinelHubRequestError: for another partition, or if pyarrow is not installed.
    """

    def __init__(self, path: Any, partition_by: Sequence[str] | str, *, lock: Lock | None = None) -> None:
        require("pyarrow", field="partition_by", otherwise="leave partition_by out")
        given: Any = partition_by
        names: list[Any] = list(given) if isinstance(given, list | tuple) else [given]
        wrong = [name for name in names if not (isinstance(name, str) and name in TIMES)]
        if wrong or not names or len(set(names)) < len(names):
            said = f"{wrong[0]!r} is not one of them" if wrong else f"it is {names!r}"
            raise SentinelHubRequestError(
                f"partition_by: give one or more of {', '.join(TIMES)}, each once, but {said}."
            )
        self.path, self._partitions = path, names
        with storing(path):
            self._root: Any = place_of(path)
        self._lock = lock or self._own_lock
        self._spool = ExitStack()

    def __enter__(self) -> Self:
        self._folder = Path(self._spool.enter_context(tempfile.TemporaryDirectory(prefix="sentinelhub-")))
        self._writers: dict[tuple[str, ...], Any] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def check(self, schema: pyarrow.Schema) -> None:
        """Check that rows of a schema fit and that the root is writable, before anything is paid for.

        :raises SentinelHubRequestError: if the dataset has other columns or types, or files of something else.
        :raises SentinelHubOutputError: if it cannot be read or written.
        """
        taken = [name for name in self._partitions if name in schema.names]
        if taken:
            raise SentinelHubRequestError(
                f"partition_by has {', '.join(taken)}, which is a column of the table, too. Leave it out of properties."
            )
        there = self.schema()
        if there is not None:
            self._compare(there, schema, str(self.path))
        with target_for(self._root / f"{FILE}.check"):
            pass

    def schema(self) -> pyarrow.Schema | None:
        """Return the columns of the dataset, ``None`` if there is none yet. Raises as :meth:`check`."""
        import pyarrow.parquet

        with storing(self.path):
            check_connection(self._root)
            forget_listings(self._root)
            files = parquet_files(self._root)
            for file in files:
                *folders, name = file.relative_to(self._root).parts
                if name != FILE or [folder.partition("=")[0] for folder in folders] != self._partitions:
                    raise SentinelHubRequestError(
                        f"output_path {self.path} holds {file}, which is not a file of a dataset partitioned by "
                        f"{', '.join(self._partitions)}. Choose another folder.",
                        field="output_path",
                    )
            if not files:
                return None
            return _plain(self._read(files[-1], pyarrow.parquet.read_schema))

    def add(self, table: pyarrow.Table) -> None:
        """Take more rows. They go to this machine's disk for now."""
        import pyarrow.compute
        import pyarrow.parquet

        start = table["interval_from"]
        values = [pyarrow.compute.strftime(start, format=TIMES[name]) for name in self._partitions]
        keys = pyarrow.table(values, names=[str(number) for number in range(len(values))])
        for value in keys.group_by(keys.column_names).aggregate([]).to_pylist():
            mask = None
            for name, wanted in value.items():
                is_equal = pyarrow.compute.equal(keys[name], wanted)
                mask = is_equal if mask is None else pyarrow.compute.and_(mask, is_equal)
            partition = tuple(value.values())
            if partition not in self._writers:
                place = self._folder / f"{len(self._writers)}.parquet"
                writer = pyarrow.parquet.ParquetWriter(place, table.schema)
                self._writers[partition] = self._spool.enter_context(writer), place
            self._writers[partition][0].write_table(table.filter(mask))

    def merge(self) -> list[str]:
        """Merge the rows. Return their partitions, such as ``interval_month=2026-11``.

        :raises SentinelHubOutputError: if the dataset cannot be written, or is locked for too long.
        """
        import pyarrow.parquet

        changed = []
        for values, (writer, place) in sorted(self._writers.items()):
            writer.close()
            partition = dict(zip(self._partitions, values, strict=True))
            with self._locked():
                self._replace(partition, pyarrow.parquet.read_table(place))
            place.unlink()
            changed.append(_folder(partition))
        return changed

    def _replace(self, partition: Mapping[str, str], rows: pyarrow.Table) -> None:
        """Rewrite a partition with the new rows in place of the old ones with the same keys."""
        import pyarrow.parquet

        path, former = self._root / _folder(partition) / FILE, None
        with storing(path):
            forget_listings(path)
            if path.exists():
                former = self._read(path, pyarrow.parquet.read_table)
                self._compare(_plain(former.schema), rows.schema, str(path))
                former = former.select(rows.column_names).cast(rows.schema)
            buffer = io.BytesIO()
            pyarrow.parquet.write_table(merged(former, rows), buffer, compression="zstd")
        with target_for(path) as receiver:
            receiver.feed(buffer.getvalue())
            receiver.complete(content_type=CONTENT_TYPE, processing_units=None, url="")

    def _read(self, path: Any, read: Callable[[Any], Any]) -> Any:
        """Read a partition's file. Raises :class:`SentinelHubRequestError` for one that is damaged."""
        import pyarrow

        with path.open("rb") as file:
            try:
                return read(file)
            except pyarrow.ArrowInvalid as error:
                raise SentinelHubRequestError(
                    f"output_path {self.path} holds {path}, which is damaged: {error} Restore it, or delete it and "
                    "run its tasks again.",
                    field="output_path",
                ) from error

    def _compare(self, there: pyarrow.Schema, wanted: pyarrow.Schema, file: str) -> None:
        """Raise :class:`SentinelHubRequestError` if columns or types differ."""
        from pyarrow import types

        old, new = ({field.name: field.type for field in schema} for schema in (there, wanted))
        # pandas has no type for a column without any value.
        old = {name: new.get(name, kind) if types.is_null(kind) else kind for name, kind in old.items()}
        if old == new:
            return
        differences = [f"{name} is new" for name in new if name not in old]
        differences += [f"{name} is missing" for name in old if name not in new]
        differences += [
            f"{name} is {new[name]}, there {old[name]}" for name in new if old.get(name, new[name]) != new[name]
        ]
        raise SentinelHubRequestError(
            f"output_path {self.path} is a dataset with other columns, as in {file}: {'; '.join(differences)}. Ask for "
            "the same statistics and properties, partition by the same columns, or choose another folder.",
            field="output_path",
        )

    def _own_lock(self) -> AbstractContextManager[Any]:
        return folder_lock(self._root)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock. Raises :class:`SentinelHubOutputError`, which is not final, if it cannot be had or kept."""
        try:
            with self._lock():
                yield
        except SentinelHubError:
            raise
        except Exception as error:  # of filelock or of Redis
            raise SentinelHubOutputError(
                f"output_path {self.path} cannot be locked ({type(error).__name__}). Others merge into it, or the "
                "lock cannot be reached. A retry of the task merges again and requests nothing again.",
                final=False,
            ) from error


def merged(former: pyarrow.Table | None, rows: pyarrow.Table) -> pyarrow.Table:
    """Return a partition's rows with new ones in place of those with the same key, in the order of their keys."""
    import pyarrow

    if former:  # it exists and has rows
        rows = _without_failures(rows.select(former.column_names), former)
        rows = pyarrow.concat_tables([_without(former, rows), rows])
    return rows.sort_by([(name, "ascending") for name in KEY])  # so that the same rows are the same bytes


def _plain(schema: pyarrow.Schema) -> pyarrow.Schema:
    """Return the columns of a file as this package writes them. Others, such as pandas, have other types for them."""
    import pyarrow
    from pyarrow import types

    def plain(kind: pyarrow.DataType) -> pyarrow.DataType:
        if types.is_dictionary(kind):
            kind = kind.value_type
        if types.is_large_string(kind) or types.is_string_view(kind):
            return pyarrow.string()
        return pyarrow.timestamp("us", tz="UTC") if types.is_timestamp(kind) and kind.tz else kind

    return pyarrow.schema([(field.name, plain(field.type)) for field in schema])


def _folder(partition: Mapping[str, str]) -> str:
    return "/".join(f"{name}={quote(str(value), safe='')}" for name, value in partition.items())


def _without_failures(rows: pyarrow.Table, former: pyarrow.Table) -> pyarrow.Table:
    """Leave out intervals that failed now but not before, so that their known rows stay."""
    import pyarrow
    import pyarrow.compute

    if "state" not in rows.column_names:
        return rows
    whole, has_failed = ["feature_id", "interval_from"], pyarrow.compute.field("state") == "failed"
    numbered = rows.select([*whole, "state"]).append_column("row", pyarrow.array(range(len(rows))))
    known = former.filter(~has_failed).select(whole)
    failed = numbered.filter(has_failed).join(known, keys=whole, join_type="left anti")
    kept = pyarrow.concat_tables([numbered.filter(~has_failed), failed])
    return rows.take(kept["row"].combine_chunks().sort())


def _without(former: pyarrow.Table, rows: pyarrow.Table) -> pyarrow.Table:
    """Return the rows of a table that others do not replace."""
    import pyarrow
    import pyarrow.compute

    def keys(table: pyarrow.Table) -> pyarrow.Table:
        # A join takes nulls for different, so text replaces them. It refuses lists, such as histograms, so they go.
        return pyarrow.table({name: _filled(table[name]) for name in KEY})

    has_no_output = pyarrow.compute.field("output") == ""
    new, whole = keys(rows), ["feature_id", "interval_from"]
    kept = keys(former).append_column("row", pyarrow.array(range(len(former))))
    kept = kept.join(new, keys=list(KEY), join_type="left anti")
    kept = kept.join(new.filter(has_no_output).select(whole), keys=whole, join_type="left anti")
    empty = kept.filter(has_no_output).join(new.select(whole), keys=whole, join_type="left anti")
    kept = pyarrow.concat_tables([kept.filter(~has_no_output), empty])
    return former.take(kept["row"].combine_chunks().sort())


def _filled(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    import pyarrow.compute
    import pyarrow.types

    return pyarrow.compute.fill_null(column, "") if pyarrow.types.is_string(column.type) else column

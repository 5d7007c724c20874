"""Writes a table row by row: CSV, JSON lines, and Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sentinelhub_provider.api.statistical.table import COUNTS, json_record
from sentinelhub_provider.features.packages import require_pyarrow

Feed = Callable[[bytes], None]
"""Takes the file's next bytes."""

CONTENT_TYPES = {
    "csv": "text/csv",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}
ROW_GROUP = 20_000
"""Rows that a Parquet file keeps together, and that are in memory at a time."""


class Table(Protocol):
    """A table that is being written."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a row."""

    def close(self) -> None:
        """Write what is left."""


class CsvTable:
    """CSV (RFC 4180) with a head; a cell without a value is empty, a histogram is JSON."""

    def __init__(self, feed: Feed, columns: Sequence[str]) -> None:
        self._feed = feed
        self._buffer = io.StringIO(newline="")
        self._writer = csv.DictWriter(self._buffer, columns)
        self._writer.writeheader()

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a row."""
        self._writer.writerow({name: _csv_cell(value) for name, value in record.items()})
        if self._buffer.tell() > 65_536:
            self.close()

    def close(self) -> None:
        """Write what is left."""
        self._feed(self._buffer.getvalue().encode())
        self._buffer.seek(0)
        self._buffer.truncate()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps([json_record(item) for item in value])
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value


class JsonLinesTable:
    """One JSON object to a line; numbers without a value are null, as NaN is, which JSON does not have."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a row."""
        self._feed(json.dumps(json_record(record), allow_nan=False).encode() + b"\n")

    def close(self) -> None:
        """Nothing is left."""


class ParquetTable:
    """
    Parquet, with row groups of 20,000 rows.

    :param properties: columns that are features' properties, and their kinds.
    """

    def __init__(self, feed: Feed, columns: Sequence[str], *, properties: Mapping[str, str]) -> None:
        arrow = require_parquet_table()
        import pyarrow.parquet

        self._arrow = arrow
        self._schema = arrow.schema([(name, _arrow_type(arrow, name, properties.get(name))) for name in columns])
        self._writer = pyarrow.parquet.ParquetWriter(_Sink(feed), self._schema, compression="zstd")
        self._records: list[Mapping[str, Any]] = []

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a row."""
        self._records.append(record)
        if len(self._records) >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._records:
            self._writer.write_table(self._arrow.Table.from_pylist(self._records, schema=self._schema))
            self._records = []


def _arrow_type(arrow: Any, name: str, kind: str | None) -> Any:
    """Return a column's type, which no day's data change."""
    kinds = {"boolean": arrow.bool_, "integer": arrow.int64, "number": arrow.float64, "text": arrow.string}
    if kind is not None:
        return kinds[kind]()
    if name.startswith("interval_"):
        return arrow.timestamp("us", tz="UTC")
    if name in (*COUNTS, "histogram_under", "histogram_over"):
        return arrow.int64()
    if name == "histogram":
        low, high = ("low", arrow.float64()), ("high", arrow.float64())
        return arrow.list_(arrow.struct([low, high, ("count", arrow.int64())]))
    return arrow.string() if name in ("feature_id", "output", "band", "state", "error") else arrow.float64()


class _Sink(io.RawIOBase):
    """A file, as pyarrow wants one, whose bytes go elsewhere."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Hand bytes on."""
        chunk = bytes(data)
        self._feed(chunk)
        return len(chunk)


def require_parquet_table() -> Any:
    """
    Return pyarrow for a table that is to be written.

    :raises SentinelHubRequestError: where it is not installed.
    """
    return require_pyarrow(field="output_path", otherwise="let output_path end with .csv or .jsonl")


def open_table(kind: str, feed: Feed, columns: Sequence[str], *, properties: Mapping[str, str]) -> Table:
    """
    Begin a table.

    :param kind: ``csv``, ``jsonl`` or ``parquet``.
    :param feed: takes the file's bytes.
    """
    if kind == "csv":
        return CsvTable(feed, columns)
    return JsonLinesTable(feed) if kind == "jsonl" else ParquetTable(feed, columns, properties=properties)

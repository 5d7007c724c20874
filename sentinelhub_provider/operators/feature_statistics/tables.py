"""Makes the table of a statistics task from the answers on disk: into a file, or as the task's result."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from sentinelhub_provider.api.geo.geometry import Feature
from sentinelhub_provider.api.statistical.survey import Survey
from sentinelhub_provider.api.statistical.table import (
    COUNTS,
    column_names,
    json_record,
    property_cell,
    record,
    rows,
    table_format,
)
from sentinelhub_provider.features.files import require
from sentinelhub_provider.hooks.output import target_for
from sentinelhub_provider.operators.feature_statistics.part_file import PartFile

Feed = Callable[[bytes], None]  # Takes the file's next bytes

Records = Iterator[dict[str, Any]]

CONTENT_TYPES = {"csv": "text/csv", "jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}
ROW_GROUP = 20_000  # Rows that a Parquet file keeps together, and that are in memory at a time


def records(features: Iterable[Feature], found: Survey, part: PartFile, states: Counter[str]) -> Records:
    """Yield the table's rows, in the order of the features, counting their ``states``; no answer has no row."""
    template = found.template.example
    columns, expected = column_names(template.body, found.properties), template.intervals
    for feature, key in found.of_use(features):
        answer = part.get(key)
        if answer is not None:
            own = {name: property_cell(feature.properties.get(name), kind) for name, kind in found.properties.items()}
            for row in rows(answer, feature_id=str(feature.id), expected=expected):
                states[row.state] += 1
                yield record(row, columns) | own


def write_table(cells: Records, found: Survey, path: Any, wanted: str | None) -> dict[str, Any]:
    """Write a file, which appears when it is complete; return its path, size in bytes, sha256 and content type.

    :param wanted: the format; what the path's ending says by default.
    :raises SentinelHubOutputError: where the path cannot be written.
    """
    kind = table_format(path, wanted)
    columns = column_names(found.template.example.body, found.properties)
    with target_for(path) as receiver:
        if kind == "parquet":
            _write_parquet(cells, receiver.feed, columns, found.properties)
        elif kind == "csv":
            _write_csv(cells, receiver.feed, columns)
        else:
            # Numbers without a value are null, as NaN is, which JSON does not have.
            for one in cells:
                receiver.feed(json.dumps(json_record(one), allow_nan=False).encode() + b"\n")
        stored = receiver.complete(content_type=CONTENT_TYPES[kind], processing_units=None, url="")
    return {name: value for name, value in asdict(stored).items() if name not in ("url", "processing_units")}


def _write_csv(cells: Records, feed: Feed, columns: Sequence[str]) -> None:
    """Write CSV (RFC 4180) with a head; a cell without a value is empty, a histogram is JSON."""
    with io.TextIOWrapper(io.BufferedWriter(_Sink(feed)), encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({name: _csv_cell(value) for name, value in one.items()} for one in cells)


def _csv_cell(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps([json_record(item) for item in value])
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value


def _write_parquet(cells: Records, feed: Feed, columns: Sequence[str], properties: Mapping[str, str]) -> None:
    arrow = require_parquet_table()
    import pyarrow.parquet

    schema = arrow.schema([(name, _arrow_type(arrow, name, properties.get(name))) for name in columns])
    with pyarrow.parquet.ParquetWriter(_Sink(feed), schema, compression="zstd") as writer:
        while group := list(islice(cells, ROW_GROUP)):
            writer.write_table(arrow.Table.from_pylist(group, schema=schema))


def _arrow_type(arrow: Any, name: str, kind: str | None) -> Any:
    """Return a column's type, which no day's data change. ``kind``: that of a feature's property."""
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
    """Return pyarrow for a table. Raises :class:`SentinelHubRequestError` where it is not installed."""
    return require("pyarrow", field="output_path", otherwise="let output_path end with .csv or .jsonl")

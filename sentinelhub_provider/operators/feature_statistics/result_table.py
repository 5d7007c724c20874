"""Makes the table of a statistics task from the answers on disk: into a file, or as the task's result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sentinelhub_provider.api.geo.feature import Feature
from sentinelhub_provider.api.statistical.answer import State, rows
from sentinelhub_provider.api.statistical.survey import Survey
from sentinelhub_provider.api.statistical.table import column_names, json_record, property_cell, record, table_format
from sentinelhub_provider.hooks.output import target_for
from sentinelhub_provider.operators.feature_statistics.part_file import PartFile
from sentinelhub_provider.operators.feature_statistics.table_files import CONTENT_TYPES, open_table
from sentinelhub_provider.operators.xcom import check_xcom_size
from sentinelhub_provider.transport.download import DownloadReceiver

Records = Iterator[dict[str, Any]]


@dataclass
class Tally:
    """How many rows went by, and how many of them stand for an interval that failed."""

    rows: int = 0
    missing: int = 0

    def counted(self, cells: Records) -> Records:
        """Yield records, counting them."""
        for one in cells:
            self.rows += 1
            self.missing += one["state"] == State.FAILED
            yield one


def records(features: Iterable[Feature], found: Survey, part: PartFile) -> Records:
    """Yield the table's rows, in the order of the features; those without an answer have none."""
    template = found.template.example
    columns, expected = column_names(template.body, found.properties), template.intervals
    for feature, key in found.of_use(features):
        answer = part.get(key)
        if answer is not None:
            own = {name: property_cell(feature.properties.get(name), kind) for name, kind in found.properties.items()}
            for row in rows(answer, feature_id=str(feature.id), expected=expected):
                yield record(row, columns) | own


def return_table(cells: Records, max_size: int) -> list[dict[str, Any]]:
    """
    Return the rows as JSON can hold them.

    :param max_size: bytes of JSON.
    :raises SentinelHubRequestError: for more.
    """
    table = [json_record(one) for one in cells]
    check_xcom_size(table, max_size, what="The table", advice="Give output_path.", field="output_path")
    return table


def write_table(cells: Records, found: Survey, path: Any, wanted: str | None) -> dict[str, Any]:
    """
    Write a file, which appears when it is complete; return its path, size in bytes, sha256 and content type.

    :param wanted: the format; what the path's ending says by default.
    :raises SentinelHubOutputError: where the path cannot be written.
    """
    kind = table_format(path, wanted)
    columns = column_names(found.template.example.body, found.properties)
    with DownloadReceiver(target_for(path)) as receiver:
        table = open_table(kind, receiver.feed, columns, properties=found.properties)
        for one in cells:
            table.write(one)
        table.close()
        stored = receiver.complete(content_type=CONTENT_TYPES[kind], processing_units=None, url="")
    return {name: value for name, value in asdict(stored).items() if name not in ("url", "processing_units")}

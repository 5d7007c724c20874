"""A partitioned dataset as a Delta Lake table. Each merge of a partition is one commit of the table's log.

A reader sees one version of the table. If two writers commit at the same time, one commit fails. Its merge is then
repeated over the other writer's rows. This also holds for writers without this package.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sentinelhub_provider.exceptions import SentinelHubOutputError, SentinelHubRequestError
from sentinelhub_provider.features.files import require
from sentinelhub_provider.hooks.output import check_connection, forget_listings, is_object_path
from sentinelhub_provider.tables.dataset import KEY, Dataset, merged
from sentinelhub_provider.transport.download import storing

if TYPE_CHECKING:
    import pyarrow
    from airflow.sdk import ObjectStoragePath

LOG = "_delta_log"
TRIES = 30
"""Tries of a commit that meets other commits, before the task gives up for now."""

PAUSE = 0.1
"""Longest pause between two tries in seconds, for each try so far."""

S3 = ("s3", "s3a")


class DeltaDataset(Dataset):
    """A Delta Lake table to merge rows into, as into a :class:`~sentinelhub_provider.tables.Dataset`.

    It takes the same parameters, but ``path`` must be local or a URL of S3. It also raises
    :class:`~sentinelhub_provider.exceptions.SentinelHubRequestError` if deltalake is not installed,
    and for other storages.
    """

    def __init__(self, path: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(path, *arguments, **options)
        require("deltalake", what="Delta Lake", field="output_format", otherwise="leave output_format out")
        check_storage(self._root, path)

    def check(self, schema: pyarrow.Schema) -> None:
        """Check as a dataset does, and refuse columns that differ in case alone, which Delta Lake cannot have."""
        names = list(dict.fromkeys([*self._partitions, *schema.names]))
        again = {name.lower() for name, count in Counter(map(str.lower, names)).items() if count > 1}
        if again:
            raise SentinelHubRequestError(
                f"properties: a Delta Lake table cannot have columns that differ in case alone, such as "
                f"{', '.join(name for name in names if name.lower() in again)}. Rename them in the file, leave them "
                "out, or leave output_format out for a Parquet dataset.",
                field="properties",
            )
        super().check(schema)

    def schema(self) -> pyarrow.Schema | None:
        """Return the table's columns without partitions, ``None`` if there is no table yet. Raises as ``check``."""
        with storing(self.path):
            check_connection(self._root)
            forget_listings(self._root)
            if not is_delta(self._root):
                self._check_free()
                return None
            table = open_delta(self._root)
        self._check_readable(table)
        return self._columns(table)

    def _check_readable(self, table: Any) -> None:
        from deltalake.exceptions import DeltaProtocolError

        try:
            table.to_pyarrow_dataset()
        except DeltaProtocolError as error:
            raise SentinelHubRequestError(
                f"output_path {self.path} is a Delta Lake table with features that deltalake cannot read: {error}. "
                "Turn them off, such as deletion vectors, or choose another folder.",
                field="output_path",
            ) from error

    def _check_free(self) -> None:
        file = next(self._root.glob("**/*.parquet"), None)
        if file is not None:
            raise SentinelHubRequestError(
                f"output_path {self.path} holds {file}, and is not a Delta Lake table. Choose another folder.",
                field="output_path",
            )

    def _columns(self, table: Any) -> pyarrow.Schema:
        import pyarrow

        there = table.metadata().partition_columns
        if list(there) != self._partitions:
            raise SentinelHubRequestError(
                f"output_path {self.path} is a Delta Lake table that is partitioned by {', '.join(there) or 'nothing'},"
                f" not by {', '.join(self._partitions)}. Partition by the same columns, or choose another folder.",
                field="output_path",
            )
        fields = pyarrow.schema(table.schema().to_arrow())
        odd = [f"{name} is {fields.field(name).type}" for name in there if not is_text(fields.field(name).type)]
        if odd:
            raise SentinelHubRequestError(
                f"output_path {self.path} is a Delta Lake table whose partitions are not text: {', '.join(odd)}. "
                "Choose another folder.",
                field="output_path",
            )
        return pyarrow.schema([field for field in fields if field.name not in there])

    def _replace(self, partition: Mapping[str, str], rows: pyarrow.Table) -> None:
        from deltalake.exceptions import CommitFailedError

        met: CommitFailedError | None = None
        for number in range(TRIES):
            time.sleep(random.uniform(0, PAUSE * number))  # noqa: S311 - so that those who met do not meet again
            with storing(self.path):
                try:
                    return self._commit(partition, rows)
                except CommitFailedError as error:
                    met = error
        raise SentinelHubOutputError(
            f"output_path {self.path} could not be committed to {TRIES} times: {met}. Others write to the table all "
            "the time, or the storage refuses. A retry of the task merges again and requests nothing again.",
            final=False,
        ) from met

    def _commit(self, partition: Mapping[str, str], rows: pyarrow.Table) -> None:
        """Replace a partition's rows in the version that they were read from. It fails if a newer version changed them.

        A merge without changes makes no version.
        """
        import pyarrow
        from deltalake import DeltaTable, WriterProperties, write_deltalake

        uri, options = location(self._root)
        if not is_delta(self._root):
            whole = pyarrow.schema([*rows.schema, *((name, pyarrow.string()) for name in self._partitions)])
            DeltaTable.create(uri, whole, mode="ignore", partition_by=self._partitions, storage_options=options)
            forget_listings(self._root)
        table = open_delta(self._root)
        self._compare(self._columns(table), rows.schema, LOG)
        former = table.to_pyarrow_table(filters=[(name, "=", value) for name, value in partition.items()])
        former = former.select(rows.column_names).cast(rows.schema)
        new = merged(former, rows)
        if _are_alike(new, former.sort_by([(name, "ascending") for name in KEY])):
            return
        for name, value in partition.items():
            new = new.append_column(name, pyarrow.array([value] * len(new), pyarrow.string()))
        write_deltalake(
            table,
            new,
            mode="overwrite",
            predicate=" AND ".join(f"{name} = '{value}'" for name, value in partition.items()),
            writer_properties=WriterProperties(compression="ZSTD"),
        )


def _are_alike(one: pyarrow.Table, other: pyarrow.Table) -> bool:
    """Tell whether two tables hold the same, also NaN, which ``equals`` takes for different: their bytes tell."""
    import pyarrow

    def content(table: pyarrow.Table) -> pyarrow.Buffer:
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table.combine_chunks())
        return sink.getvalue()

    return bool(one.equals(other)) or (one.shape == other.shape and bool(content(one).equals(content(other))))


def is_text(kind: pyarrow.DataType) -> bool:
    """Tell whether a type is one of Arrow's texts."""
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_delta(place: Any) -> bool:
    """Tell whether a place, which :func:`place_of` returned, is a Delta Lake table."""
    return next((place / LOG).glob("*.json"), None) is not None  # a killed worker may leave the folder alone


def open_delta(place: Any) -> Any:
    """Return the newest version of a table, a ``deltalake.DeltaTable``."""
    deltalake = require("deltalake", what="Delta Lake", field="path", otherwise="read it by other means")
    uri, options = location(place)
    return deltalake.DeltaTable(uri, storage_options=options)


def check_storage(place: Any, path: Any) -> None:
    """Refuse a place that Delta tables cannot be written to. Raises :class:`SentinelHubRequestError`."""
    odd = next((sign for sign in "%[]\\" if sign in str(place)), None)
    if odd is not None:  # deltalake would write to one folder and read another, or panic during the write
        raise SentinelHubRequestError(
            f"output_path {path}: a Delta Lake table cannot be below a name with {odd!r}. Choose another folder.",
            field="output_path",
        )
    if is_object_path(place) and place.protocol not in S3:
        raise SentinelHubRequestError(
            f"output_path {path}: a Delta Lake table has to be on a local disk or in S3. Leave output_format out for a "
            "Parquet dataset, which can be in any storage.",
            field="output_path",
        )


def location(place: Any) -> tuple[str, dict[str, str] | None]:
    """Return a table's address and storage options, because deltalake opens storages without Airflow."""
    if is_object_path(place):
        return f"s3://{quote(place.path.strip('/'))}", _s3_options(place)
    return place.as_uri(), None


def _s3_options(place: ObjectStoragePath) -> dict[str, str]:
    """Return the keys of a connection or of the machine. They are read each time, as they may last only an hour."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook = S3Hook(aws_conn_id=place.conn_id)
    keys = hook.get_credentials(region_name=hook.conn_region_name)
    endpoint = hook.conn_config.get_service_endpoint_url("s3") if place.conn_id else None
    found = {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "AWS_REGION": hook.conn_region_name or "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true" if str(endpoint).startswith("http://") else None,
    }
    return {name: value for name, value in found.items() if value}

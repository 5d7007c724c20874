"""The base of operators that write a table of statistics. It decides the table's place and format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.values import read_choice
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.operators.request_arguments import StatisticsRequestOperator

if TYPE_CHECKING:
    from sentinelhub_provider.operators.argument_types import FilePath
    from sentinelhub_provider.tables import Dataset


class StatisticsTableOperator(StatisticsRequestOperator):
    """An operator that writes a table of statistics.

    :param output_path: file for the table, a local path or a URL that Airflow's object storage knows. (templated)
    :param output_format: ``csv``, ``jsonl`` or ``parquet``. Default: by the path's ending. With ``partition_by`` it is
        ``parquet``, the default, or ``delta`` for a Delta Lake table. (templated)
    :param partition_by: one or more of ``interval_year``, ``interval_month`` and ``interval_day``. ``output_path`` is
        then the folder of a dataset of Parquet files in Hive style or of a Delta Lake table. The table is merged into
        it. A row replaces the one with the same feature, interval, output and band. (templated)
    :param kwargs: see :class:`~sentinelhub_provider.operators.request_arguments.StatisticsRequestOperator`.
    """

    def __init__(
        self,
        *,
        output_path: FilePath | None = None,
        output_format: str | None = None,
        partition_by: Sequence[str] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_path, self.output_format, self.partition_by = output_path, output_format, partition_by

    template_fields_renderers = dict.fromkeys(("partition_by",), "json")

    columns: Mapping[str, str] = MappingProxyType({})
    """Kinds of the table's columns by their names, once the table is written."""

    def check_table_arguments(self) -> None:
        """Refuse arguments that do not go together. Raises :class:`SentinelHubRequestError`."""
        if self.partition_by is not None:
            if not str(self.output_path or "").strip():
                raise SentinelHubRequestError(
                    "partition_by is given, so output_path has to be the folder of a dataset. Give output_path."
                )
            self._dataset()
        elif self.output_format is not None and str(self.output_format).strip().lower() == "delta":
            raise SentinelHubRequestError(
                "output_format is 'delta', so partition_by has to say how the table is partitioned: give one or more "
                "of interval_year, interval_month and interval_day."
            )
        elif self.output_path is not None:
            from sentinelhub_provider.api.statistical.table import table_format

            if table_format(self.output_path, self.output_format) == "parquet":
                from sentinelhub_provider.operators.feature_statistics.answers import require_parquet_table

                require_parquet_table()

    def check_table(self, body: Mapping[str, Any], properties: Mapping[str, str]) -> Mapping[str, str]:
        """Check that the table of a request can be stored, before anything is paid for.

        :param body: the request's JSON.
        :param properties: kinds of further columns by their names: ``boolean``, ``integer``, ``number``, ``text``, or
            ``unknown`` without a value.
        :returns: the kinds that these columns have in the table.
        :raises SentinelHubRequestError: if a dataset has other columns.
        :raises SentinelHubOutputError: if the path cannot be written.
        """
        from sentinelhub_provider.hooks.output import check_writable
        from sentinelhub_provider.operators.feature_statistics.answers import kinds_there, schema_of

        if self.partition_by is not None:
            dataset = self._dataset()
            there = dataset.schema()
            properties = properties if there is None else kinds_there(properties, there)
            dataset.check(schema_of(body, properties))
        elif self.output_path is not None:
            check_writable(self.output_path)
        return properties

    def write_table(
        self, cells: Iterator[dict[str, Any]], body: Mapping[str, Any], properties: Mapping[str, str]
    ) -> dict[str, Any]:
        """Store the table. Return ``path``, ``size``, ``sha256`` and ``content_type``, or ``path`` and ``partitions``.

        :param cells: its rows. :meth:`check_table` describes the other parameters and the errors.
        """
        from sentinelhub_provider.api.statistical.table import column_kinds
        from sentinelhub_provider.operators.feature_statistics.answers import merge_table, schema_of, write_table

        self.columns = column_kinds(body, properties)
        if self.partition_by is not None:
            return merge_table(cells, schema_of(body, properties), self._dataset())
        return write_table(cells, body, properties, self.output_path, self.output_format)

    def _dataset(self) -> Dataset:
        from sentinelhub_provider.hooks.output import is_object_path, place_of
        from sentinelhub_provider.hooks.sharing import merge_lock
        from sentinelhub_provider.tables import Dataset, DeltaDataset

        kinds = {"parquet": Dataset, "delta": DeltaDataset}
        kind = kinds[read_choice(self.output_format or "parquet", tuple(kinds), "output_format")]
        is_remote = is_object_path(place_of(self.output_path))
        # A Delta Lake commit that meets another one is repeated. A lock would only save it from that.
        needs_lock = kind is Dataset
        lock = merge_lock(self.hook.settings, str(self.output_path), is_needed=needs_lock) if is_remote else None
        return kind(self.output_path, self.structured("partition_by"), lock=lock)

"""An operator for the Batch Statistical API, which computes statistics of many features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.job import BATCH_STATISTICS, Job
from sentinelhub_provider.exceptions import SentinelHubOutputError, SentinelHubRequestError
from sentinelhub_provider.operators.feature_statistics.table_operator import StatisticsTableOperator
from sentinelhub_provider.operators.jobs.listed import SentinelHubListedJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.job_requests.batch_statistics import BatchStatisticsRequest
    from sentinelhub_provider.api.time_range import TimeRange
    from sentinelhub_provider.operators.jobs.results import FeatureResults


class SentinelHubBatchStatisticsOperator(StatisticsTableOperator, SentinelHubListedJobOperator):
    """Computes statistics of many features over time and delivers one JSON file for each feature to a bucket.

    One job is started and paid for, even if workers die. See :doc:`/explanation/jobs`. The task waits for it in the
    triggerer. When the job is done, the task reads its files in the bucket, because single features may have failed.
    The results are in a folder of the task's own below ``delivery``. A retry finds its job by that folder, because the
    API keeps no description.

    It returns a dict with ``id`` of the job, its ``state``, ``processing_units`` spent (PU), ``delivery`` (the URL with
    that folder) and ``features``. The latter is a dict with ``total``, ``done``, ``failed`` and more, or ``None`` if
    the bucket could not be read. With ``output_path``, the files become one table, the same as that of the Statistics
    operator. The result then also has ``rows``, ``missing_intervals``, ``path`` and more.

    .. seealso:: :doc:`/how-to/operators/batch_statistics`

    :param evalscript_url: URL of an evalscript in a bucket that the same credentials open. It replaces ``evalscript``,
        which must have less than 32 KB. (templated)
    :param kwargs: ``output_path``, ``output_format`` and ``partition_by`` of
        :class:`~sentinelhub_provider.operators.feature_statistics.table_operator.StatisticsTableOperator`. Arguments of
        :class:`~sentinelhub_provider.operators.request_arguments.StatisticsRequestOperator`, where ``resolution`` is a
        pixel's side in units of the features' CRS, metres or degrees. ``features``, ``delivery`` and the other
        arguments of :class:`~sentinelhub_provider.operators.jobs.listed.SentinelHubListedJobOperator` and of any
        Airflow operator.
    """

    kind = BATCH_STATISTICS
    also_described_by = ("features", "evalscript_url", "delivery")
    ui_color = "#d3ead0"

    def __init__(self, *, evalscript_url: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.evalscript_url = evalscript_url

    def build(self, context: Context) -> BatchStatisticsRequest:
        """Return the checked request. The job tag becomes a folder of its delivery."""
        from sentinelhub_provider.api.geo.bounds import MAX_SIDE
        from sentinelhub_provider.api.job_requests.batch_statistics import build_batch_statistics, read_batch_statistics
        from sentinelhub_provider.api.job_requests.delivery import check_one_script

        whole = self.whole_request(context)
        if whole is not None:
            keys: dict[str, Any] = {"delivery": self.access, "features": self.features_access}
            request = read_batch_statistics(whole, **keys, **self.checks)
            self.check_table(request.body, {})
            return request
        wanted = self.described(context, "features", "collection", "delivery")
        check_one_script(self.evalscript, self.evalscript_url)
        features = self.source_of_features(MAX_SIDE)
        request = build_batch_statistics(
            wanted,
            features=features,
            delivery=self.location(str(self.delivery).strip()),
            evalscript_reference=None if self.evalscript_url is None else self.location(self.evalscript_url),
            features_crs=self.features_crs if self.prepared is None else self.prepared.crs,
            **self.checks,
        )
        self.check_table(request.body, {})
        return request

    def _check_arguments(self) -> None:
        super()._check_arguments()
        self.check_table_arguments()
        if self.output_path is not None and not self.wait_for_completion:
            raise SentinelHubRequestError(
                "output_path is given, but wait_for_completion is false. The table needs a finished job."
            )

    def _result(self, context: Context) -> dict[str, Any]:
        if self.job_id is not None and self.output_path is not None:
            try:
                body, _ = self._request_of_table(context)
            except SentinelHubRequestError as error:
                raise SentinelHubRequestError(
                    f"output_path is given: {error} Give the arguments that the job was made with.",
                    field=error.field,
                ) from error
            self.check_table(body, {})
        return super()._result(context)

    def outcome(self, context: Context, job: Job | None) -> dict[str, Any]:
        """Return the task's result. Read the outcome of the features, and make the table."""
        result = super().outcome(context, job)
        if self.output_path is None:
            return result
        from sentinelhub_provider.api.statistical.chart import Chart
        from sentinelhub_provider.api.statistical.table import column_names, rows
        from sentinelhub_provider.operators.jobs.buckets import BucketError
        from sentinelhub_provider.operators.jobs.results import statistics_of_features

        body, intervals = self._request_of_table(context)
        columns, states = column_names(body), Counter[str]()

        def cells() -> Iterator[dict[str, Any]]:
            for name, answer in statistics_of_features(result["delivery"], result["id"], self.delivery_conn_id):
                for row in rows(answer, feature_id=name, expected=intervals):
                    states[row["state"]] += 1
                    yield {name: row.get(name) for name in columns}

        try:
            self.chart = Chart()
            stored = self.write_table(self.chart.watch(cells()), body, {})
        except BucketError as error:
            raise SentinelHubOutputError(
                f"The table of job {result['id']} cannot be made: {error}. A retry reads the bucket again. A task that "
                f"is cleared pays for a new job, unless job_id={result['id']!r} is given.",
                final=error.final,
            ) from error
        self.log.info("%d rows at %s", states.total(), stored["path"])
        return {**result, "rows": states.total(), "missing_intervals": states["failed"], **stored}

    def _request_of_table(self, context: Context) -> tuple[Mapping[str, Any], list[TimeRange]]:
        """Return the request for the table's columns, and the intervals.

        After a wait, the request is not made again.
        """
        from sentinelhub_provider.api.statistical.request import build_calculations, read_split_time, split_time

        body = self.whole_request(context)
        if body is not None:
            time, _ = read_split_time(body["aggregation"], now=None)
        else:
            wanted = self.described(context)
            body = build_calculations(wanted)
            time = split_time(wanted.time_range, wanted.aggregation_interval, wanted.last_interval, now=None)
        return body, time.intervals

    def check(self, url: str, job: Job) -> FeatureResults:
        """Read the files of the features."""
        from sentinelhub_provider.operators.jobs.results import check_batch_statistics

        return check_batch_statistics(url, job.id, self.delivery_conn_id, expected=self.expected_features)

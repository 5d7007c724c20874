"""An operator that has statistics made of many features: the Batch Statistical API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.job import BATCH_STATISTICS, Job
from sentinelhub_provider.operators.jobs.listed import SentinelHubListedJobOperator
from sentinelhub_provider.operators.request_arguments import StatisticsRequestOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.job_requests.batch_statistics import BatchStatisticsRequest
    from sentinelhub_provider.operators.jobs.buckets import Unchecked
    from sentinelhub_provider.operators.jobs.results import FeatureResults


class SentinelHubBatchStatisticsOperator(StatisticsRequestOperator, SentinelHubListedJobOperator):
    """Have statistics made of many features over time, and delivered to a bucket: one JSON file for each feature.

    One job is started and paid for, whatever dies: see :doc:`/jobs`. It is waited for in the triggerer. When it is
    done, its files are read in the bucket, as single features may have failed. Results lie in a folder of the task's
    own below ``delivery``, by which its job is found again: the API keeps no description.

    Returned is a dict: ``id`` of the job, its ``state``, ``processing_units`` spent (PU), ``delivery`` (URL, with that
    folder), and ``features`` (a dict with ``total``, ``done``, ``failed`` and more; ``None`` where the bucket could not
    be read).

    .. seealso:: :doc:`/operators/batch_statistics`

    :param evalscript_url: URL of an evalscript in a bucket that the same credentials open, instead of ``evalscript``,
        which must have less than 32 KB. (templated)
    :param kwargs: what is wanted, see
        :class:`~sentinelhub_provider.operators.request_arguments.StatisticsRequestOperator`, where ``resolution`` is a
        pixel side in units of the features' CRS, metres or degrees; ``features``, ``delivery`` and more, see
        :class:`~sentinelhub_provider.operators.jobs.listed.SentinelHubListedJobOperator`; and further arguments of any
        Airflow operator.
    """

    kind = BATCH_STATISTICS
    also_described_by = ("features", "evalscript_url", "delivery")
    ui_color = "#d3ead0"

    def __init__(self, *, evalscript_url: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.evalscript_url = evalscript_url

    def build(self, context: Context) -> BatchStatisticsRequest:
        """Return the checked request; the job tag will be a folder of its delivery."""
        from sentinelhub_provider.api.geo.bounds import MAX_SIDE
        from sentinelhub_provider.api.job_requests.batch_statistics import build_batch_statistics, read_batch_statistics
        from sentinelhub_provider.api.job_requests.delivery import check_one_script

        whole = self.whole_request(context)
        if whole is not None:
            delivery = self.access_for(whole, ("output",))
            features_access = self.features_access_for(whole, ("input", "features"))
            return read_batch_statistics(whole, delivery=delivery, features=features_access, **self.checks)
        wanted = self.described(context, "features", "collection", "delivery")
        check_one_script(self.evalscript, self.evalscript_url)
        features = self.source_of_features(MAX_SIDE)
        return build_batch_statistics(
            wanted,
            features=features,
            delivery=self.location(str(self.delivery).strip()),
            evalscript_reference=None if self.evalscript_url is None else self.location(self.evalscript_url),
            features_crs=self.features_crs if self.prepared is None else self.prepared.crs,
            **self.checks,
        )

    def check(self, url: str, job: Job) -> FeatureResults | Unchecked:
        """Read the files of the features."""
        from sentinelhub_provider.operators.jobs.results import check_batch_statistics

        return check_batch_statistics(url, job.id, self.delivery_conn_id, expected=self.expected_features)

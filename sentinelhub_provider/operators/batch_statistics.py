"""An operator that has statistics made of many features: the Batch Statistical API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.job import BATCH_STATISTICS, Job
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.operators.arguments import json_of, times_of_run, utc_now
from sentinelhub_provider.operators.jobs.listed import SentinelHubListedJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.job_requests.batch_statistics import BatchStatisticsRequest
    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.operators.jobs.buckets import Unchecked
    from sentinelhub_provider.operators.jobs.results import FeatureResults

_NOT_WITH_REQUEST = (
    "features",
    "collection",
    "evalscript",
    "evalscript_url",
    "time_range",
    "width",
    "height",
    "resolution",
    "percentiles",
    "histogram",
    "calculations",
    "mosaicking_order",
    "max_cloud_cover",
    "upsampling",
    "downsampling",
    "delivery",
)


class SentinelHubBatchStatisticsOperator(SentinelHubListedJobOperator):
    """
    Have statistics made of many features over time, and delivered to a bucket: one JSON file for each feature.

    One job is started and paid for, whatever dies: see :doc:`/jobs`. It is waited for in the triggerer. When it is
    done, its files are read in the bucket, as single features may have failed. Results lie in a folder of the task's
    own below ``delivery``, by which its job is found again: the API keeps no description.

    Returned is a dict: ``id`` of the job, its ``state``, ``processing_units`` spent (PU), ``delivery`` (URL, with that
    folder), and ``features`` (a dict with ``total``, ``done``, ``failed`` and more; ``None`` where the bucket could not
    be read).

    .. seealso:: :doc:`/operators/batch_statistics`

    :param features: URL of a GeoPackage in a bucket, ``s3://bucket/fields.gpkg``; or GeoJSON, or a GeoJSON, GeoPackage
        or GeoParquet file, of which a GeoPackage is made and uploaded. (templated)
    :param features_crs: EPSG code of features that do not say it. (templated)
    :param features_folder: where in a bucket a GeoPackage is uploaded; near ``delivery`` by default. (templated)
    :param features_conn_id: connection for that bucket; ``delivery_conn_id`` by default. (templated)
    :param id_property: the property that names each feature.
    :param collection: a collection's id, an entry of ``input.data`` as the API has it, or a list of either. (templated)
    :param evalscript: JavaScript of less than 32 KB; the name of a ``.js`` file beside the DAG; or ``ndvi-clear``. It
        must have the output ``dataMask``. (templated)
    :param evalscript_url: URL of an evalscript in a bucket that the same credentials open, instead of it. (templated)
    :param time_range: as for the Process operator; the run's data interval by default. (templated)
    :param aggregation_interval: an ISO 8601 period, such as ``P10D``. (templated)
    :param last_interval: ``SKIP``, ``SHORTEN`` or ``EXTEND`` the last interval where it is not whole.
    :param resolution: pixel side in units of the features' CRS: metres or degrees. (templated)
    :param width: pixels of each feature's raster, with ``height``, instead of ``resolution``. (templated)
    :param height: pixels. (templated)
    :param percentiles: per cent, such as ``[10, 50, 90]``.
    :param histogram: of each band: number of bins, or the API's own.
    :param calculations: the API's own, instead of the two.
    :param mosaicking_order: ``mostRecent``, ``leastRecent`` or ``leastCC``.
    :param max_cloud_cover: per cent of a scene. (templated)
    :param upsampling: ``NEAREST``, ``BILINEAR`` or ``BICUBIC``.
    :param downsampling: the same.
    :param analyse: have the job analysed before it is started.
    :param kwargs: further arguments, of :class:`~sentinelhub_provider.operators.jobs.base.SentinelHubJobOperator`, such
        as ``delivery``, ``job_timeout``, ``on_partial`` and ``deferrable``, and of any Airflow operator.
    """

    kind = BATCH_STATISTICS

    template_fields: Sequence[str] = (
        "features",
        "features_crs",
        "features_folder",
        "features_conn_id",
        "collection",
        "evalscript",
        "evalscript_url",
        "time_range",
        "aggregation_interval",
        "resolution",
        "width",
        "height",
        "max_cloud_cover",
        *SentinelHubListedJobOperator.template_fields,
    )
    template_file_fields: Sequence[str] = ("evalscript", "request")
    template_fields_renderers = {"request": "json", "evalscript": "js"}  # noqa: RUF012 - Airflow's own form
    ui_color = "#d3ead0"

    def __init__(
        self,
        *,
        features: Any = None,
        features_crs: Any = None,
        features_folder: str | None = None,
        features_conn_id: str | None = None,
        id_property: str | None = None,
        collection: Any = None,
        evalscript: str | None = None,
        evalscript_url: str | None = None,
        time_range: Any = None,
        aggregation_interval: Any = "P1D",
        last_interval: str | None = None,
        resolution: Any = None,
        width: Any = None,
        height: Any = None,
        percentiles: Sequence[float] | None = None,
        histogram: Any = None,
        calculations: Mapping[str, Any] | None = None,
        mosaicking_order: str | None = None,
        max_cloud_cover: float | str | None = None,
        upsampling: str | None = None,
        downsampling: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.features_crs = features_crs
        self.features_folder = features_folder
        self.features_conn_id = features_conn_id
        self.id_property = id_property
        self.collection = collection
        self.evalscript = evalscript
        self.evalscript_url = evalscript_url
        self.time_range = time_range
        self.aggregation_interval = aggregation_interval
        self.last_interval = last_interval
        self.resolution = resolution
        self.width = width
        self.height = height
        self.percentiles = percentiles
        self.histogram = histogram
        self.calculations = calculations
        self.mosaicking_order = mosaicking_order
        self.max_cloud_cover = max_cloud_cover
        self.upsampling = upsampling
        self.downsampling = downsampling

    def build(self, context: Context, tag: str) -> BatchStatisticsRequest:
        """Return the checked request; the tag is a folder of its delivery."""
        from sentinelhub_provider.api.job_requests.batch_statistics import read_batch_statistics

        deployment = self.hook.settings.deployment.name
        if self.request is None:
            return self._build(context, deployment).tagged(tag)
        self.refuse_both(_NOT_WITH_REQUEST)
        body = json_of(self.request, "request")
        return read_batch_statistics(
            body,
            delivery=self.access_for(body, ("output",)),
            features=self.features_access_for(body, ("input", "features")),
            deployment=deployment,
            now=utc_now(),
        ).tagged(tag)

    def _build(self, context: Context, deployment: str) -> BatchStatisticsRequest:
        from sentinelhub_provider.api.geo.bounds import MAX_SIDE
        from sentinelhub_provider.api.job_requests.batch_statistics import build_batch_statistics
        from sentinelhub_provider.api.job_requests.delivery import Location

        self.require("features", "collection", "delivery")
        if (self.evalscript is None) == (self.evalscript_url is None):
            what = "are both given" if self.evalscript is not None else "are both missing"
            raise SentinelHubRequestError(f"evalscript and evalscript_url {what}. Give one.", field="evalscript")
        features = self.source_of_features(MAX_SIDE)
        script = self.evalscript_url
        return build_batch_statistics(
            collections=self.collection,
            time_range=times_of_run(context, self.time_range, "time_range"),
            features=features.location,
            delivery=self.delivery_location,
            evalscript=self.evalscript,
            evalscript_reference=None if script is None else Location(script, self.access(script)),
            aggregation_interval=self.aggregation_interval,
            last_interval=self.last_interval,
            width=self.width,
            height=self.height,
            resolution=self.resolution,
            features_crs=self.features_crs if features.crs is None else features.crs,
            percentiles=self.percentiles,
            histogram=self.histogram,
            calculations=self.calculations,
            mosaicking_order=self.mosaicking_order,
            max_cloud_cover=None if self.max_cloud_cover is None else float(self.max_cloud_cover),
            upsampling=self.upsampling,
            downsampling=self.downsampling,
            deployment=deployment,
            now=utc_now(),
        )

    def estimate(self, request: BatchStatisticsRequest) -> Estimate | None:
        """Return what the request will cost."""
        sizes = None if self.known_features is None else self.known_features.sizes
        return request.estimate(samples=self.samples, sizes=sizes)

    def check(self, url: str, job: Job) -> FeatureResults | Unchecked:
        """Read the files of the features."""
        from sentinelhub_provider.operators.jobs.results import check_batch_statistics

        return check_batch_statistics(url, job.id, self.delivery_conn_id, expected=self.expected_features)

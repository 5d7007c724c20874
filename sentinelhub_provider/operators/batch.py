"""An operator that has large areas processed: the Batch Process API, version 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.job import BATCH_PROCESS, Job
from sentinelhub_provider.exceptions import SentinelHubBudgetError, SentinelHubRequestError
from sentinelhub_provider.operators.arguments import geometry_of, json_of, log_and_check_cost, times_of_run, utc_now
from sentinelhub_provider.operators.jobs.listed import SentinelHubListedJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.job_requests.batch_process import BatchProcessRequest
    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.operators.jobs.buckets import Unchecked
    from sentinelhub_provider.operators.jobs.results import FeatureResults

_NOT_WITH_REQUEST = (
    "collection",
    "evalscript",
    "time_range",
    "bbox",
    "geometry",
    "crs",
    "tiling_grid",
    "resolution",
    "buffer",
    "features",
    "width",
    "height",
    "mosaicking_order",
    "max_cloud_cover",
    "upsampling",
    "downsampling",
    "outputs",
    "overwrite",
    "skip_existing",
    "cog",
    "cog_parameters",
    "create_collection",
    "collection_id",
    "zarr",
    "delivery",
)
_PLAIN = ("buffer", "overwrite", "skip_existing", "cog", "cog_parameters", "create_collection", "delivery")
"""Of these, what is no template, or one elsewhere."""


class SentinelHubBatchProcessOperator(SentinelHubListedJobOperator):
    """
    Have a large area processed along a tiling grid, or many features, and the pictures delivered to a bucket.

    One job is started and paid for, whatever dies: see :doc:`/jobs`. It is waited for in the triggerer. When it is
    done, its result database is read in the bucket, as single features may have failed.

    Returned is a dict: ``id`` of the job, its ``state``, ``processing_units`` spent (PU), ``delivery`` (URL), and
    ``features`` (a dict with ``total``, ``done``, ``failed`` and more; ``None`` where the bucket could not be read).

    .. seealso:: :doc:`/operators/batch`

    :param collection: a collection's id, an entry of ``input.data`` as the API has it, or a list of either. (templated)
    :param evalscript: JavaScript; the name of a ``.js`` file beside the DAG; or one of the names that the Process
        operator knows. (templated)
    :param time_range: as for the Process operator; the run's data interval by default. (templated)
    :param bbox: west, south, east, north in units of ``crs``: a must with ``tiling_grid``. (templated)
    :param geometry: GeoJSON, WKT, or a file of either, as for the Process operator. (templated)
    :param crs: EPSG code of both; longitude and latitude by default. (templated)
    :param tiling_grid: id or name of the grid that the area is cut along, such as ``0`` for the UTM grid of 20 km; or
        give ``features``. (templated)
    :param resolution: pixel side in the grid's unit; or in that of the features' CRS. (templated)
    :param buffer: pixels by which tiles are made larger at each end, one number or two.
    :param features: instead of a grid: URL of a GeoPackage in a bucket, ``s3://bucket/fields.gpkg``; or GeoJSON, or a
        GeoJSON, GeoPackage or GeoParquet file, of which a GeoPackage is made and uploaded. (templated)
    :param features_crs: EPSG code of features that do not say it. (templated)
    :param features_folder: where in a bucket a GeoPackage is uploaded; near ``delivery`` by default. (templated)
    :param features_conn_id: connection for that bucket; ``delivery_conn_id`` by default. (templated)
    :param id_property: the property that names each feature.
    :param width: pixels of each feature, with ``height``, instead of ``resolution``; at most 3500. (templated)
    :param height: pixels. (templated)
    :param mosaicking_order: ``mostRecent``, ``leastRecent`` or ``leastCC``. (templated)
    :param max_cloud_cover: per cent of a scene. (templated)
    :param upsampling: ``NEAREST``, ``BILINEAR`` or ``BICUBIC``. (templated)
    :param downsampling: the same. (templated)
    :param outputs: ``tiff``, or formats by output identifier. (templated)
    :param overwrite: replace files that exist; without it and ``skip_existing``, they make the job fail.
    :param skip_existing: leave out tiles whose outputs exist.
    :param cog: write Cloud Optimized GeoTIFFs.
    :param cog_parameters: the API's ``cogParameters``.
    :param create_collection: make a BYOC collection of the results, which must be COGs.
    :param collection_id: or put them into this one. (templated)
    :param zarr: deliver one Zarr group: the API's ``arrayParameters``, ``arrayOverrides`` and ``group``.
    :param description: words by which people know the job in the dashboard; the task's names by default. (templated)
    :param analyse: have the job analysed, and its cost checked, before it is started.
    :param kwargs: further arguments, of :class:`~sentinelhub_provider.operators.jobs.base.SentinelHubJobOperator`, such
        as ``delivery``, ``job_timeout``, ``on_partial`` and ``deferrable``, and of any Airflow operator.
    """

    kind = BATCH_PROCESS

    template_fields: Sequence[str] = (
        *(name for name in _NOT_WITH_REQUEST if name not in _PLAIN),
        "features_crs",
        "features_folder",
        "features_conn_id",
        "description",
        *SentinelHubListedJobOperator.template_fields,
    )
    template_file_fields: Sequence[str] = ("evalscript", "request")
    template_fields_renderers = {  # noqa: RUF012 - Airflow's own form
        "collection": "json",
        "evalscript": "js",
        "bbox": "json",
        "geometry": "json",
        "outputs": "json",
        "request": "json",
        "zarr": "json",
    }
    ui_color = "#cfe8e4"

    def __init__(
        self,
        *,
        collection: Any = None,
        evalscript: str | None = None,
        time_range: Any = None,
        bbox: Any = None,
        geometry: Any = None,
        crs: Any = None,
        tiling_grid: Any = None,
        resolution: Any = None,
        buffer: Any = None,
        features: Any = None,
        features_crs: Any = None,
        features_folder: str | None = None,
        features_conn_id: str | None = None,
        id_property: str | None = None,
        width: Any = None,
        height: Any = None,
        mosaicking_order: str | None = None,
        max_cloud_cover: Any = None,
        upsampling: str | None = None,
        downsampling: str | None = None,
        outputs: Any = None,
        overwrite: bool | None = None,
        skip_existing: bool | None = None,
        cog: bool | None = None,
        cog_parameters: Mapping[str, Any] | None = None,
        create_collection: bool | None = None,
        collection_id: str | None = None,
        zarr: Mapping[str, Any] | None = None,
        description: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection = collection
        self.evalscript = evalscript
        self.time_range = time_range
        self.bbox = bbox
        self.geometry = geometry
        self.crs = crs
        self.tiling_grid = tiling_grid
        self.resolution = resolution
        self.buffer = buffer
        self.features = features
        self.features_crs = features_crs
        self.features_folder = features_folder
        self.features_conn_id = features_conn_id
        self.id_property = id_property
        self.width = width
        self.height = height
        self.mosaicking_order = mosaicking_order
        self.max_cloud_cover = max_cloud_cover
        self.upsampling = upsampling
        self.downsampling = downsampling
        self.outputs = outputs
        self.overwrite = overwrite
        self.skip_existing = skip_existing
        self.cog = cog
        self.cog_parameters = cog_parameters
        self.create_collection = create_collection
        self.collection_id = collection_id
        self.zarr = zarr
        self.description = description

    def build(self, context: Context, tag: str) -> BatchProcessRequest:
        """Return the checked request; the tag is in its description."""
        from sentinelhub_provider.api.job_requests.batch_process import read_batch_process

        deployment = self.hook.settings.deployment.name
        if self.request is None:
            return self._build(context, deployment).tagged(tag)
        self.refuse_both(_NOT_WITH_REQUEST)
        body = json_of(self.request, "request")
        return read_batch_process(
            body,
            delivery=self.access_for(body, ("output", "delivery")),
            features=self.features_access_for(body, ("input", "features")),
            deployment=deployment,
            now=utc_now(),
        ).tagged(tag)

    def _build(self, context: Context, deployment: str) -> BatchProcessRequest:
        from sentinelhub_provider.api.job_requests.batch_input import MAX_FEATURE_SIDE
        from sentinelhub_provider.api.job_requests.batch_process import build_batch_process

        self.require("collection", "evalscript", "delivery")
        if (self.features is None) == (self.tiling_grid is None):
            what = "are both given" if self.features is not None else "are both missing"
            raise SentinelHubRequestError(f"tiling_grid and features {what}. Give one.", field="tiling_grid")
        features = None if self.features is None else self.source_of_features(MAX_FEATURE_SIDE)
        return build_batch_process(
            collections=self.collection,
            evalscript=str(self.evalscript),
            delivery=self.delivery_location,
            time_range=times_of_run(context, self.time_range, "time_range"),
            bbox=self.bbox,
            geometry=geometry_of(self, self.geometry, "geometry"),
            crs=self.crs,
            tiling_grid=self.tiling_grid,
            resolution=self.resolution,
            buffer=self.buffer,
            features=None if features is None else features.location,
            width=self.width,
            height=self.height,
            outputs=self.outputs,
            overwrite=self.overwrite,
            skip_existing=self.skip_existing,
            cog=self.cog,
            cog_parameters=self.cog_parameters,
            create_collection=self.create_collection,
            collection_id=self.collection_id,
            zarr=self.zarr,
            description=self.description or " ".join(map(str, self.names(context))),
            mosaicking_order=self.mosaicking_order,
            max_cloud_cover=self.max_cloud_cover,
            upsampling=self.upsampling,
            downsampling=self.downsampling,
            deployment=deployment,
            now=utc_now(),
        )

    def estimate(self, request: BatchProcessRequest) -> Estimate | None:
        """Return what the request will cost."""
        sizes = None if self.known_features is None else self.known_features.sizes
        return request.estimate(samples=self.samples, sizes=sizes)

    def check_cost(self, context: Context, request: BatchProcessRequest) -> None:
        """Check the cost; where it is only known of an analysed job, and this one will be, leave it until then."""
        if self.analyse and self.estimate(request) is None:
            self.log.info("the cost is checked when the job is analysed")
            return
        super().check_cost(context, request)

    def check_analysed(self, context: Context, job: Job) -> None:
        """Check the cost of what the job's manifest lists, where it could not be told before."""
        from sentinelhub_provider.operators.jobs.buckets import Unchecked
        from sentinelhub_provider.operators.jobs.manifest import sizes_in_manifest

        if self.max_processing_units is None or self.job_id is not None:
            return
        request: BatchProcessRequest = self.built(context)
        if self.estimate(request) is not None:
            return
        sizes = sizes_in_manifest(request.delivery.url, job.id, self.delivery_conn_id)
        if isinstance(sizes, Unchecked):
            raise SentinelHubBudgetError(
                f"max_processing_units is {self.max_processing_units:g}, but what {job} will make cannot be told: "
                f"{sizes}. It was not started, and costs nothing. Let delivery_conn_id read the bucket, or leave "
                "max_processing_units out."
            )
        self.log.info("%s will make %d features", job, sizes.count)
        estimate = request.estimate(samples=self.samples, sizes=sizes)
        log_and_check_cost(self, context, estimate, self.max_processing_units)

    def check(self, url: str, job: Job) -> FeatureResults | Unchecked:
        """Read the job's result database."""
        from sentinelhub_provider.operators.jobs.results import check_batch_process

        return check_batch_process(url, job.id, self.delivery_conn_id)

"""An operator for the Batch Process API, version 2, which processes large areas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.job import BATCH_PROCESS, Job
from sentinelhub_provider.api.values import read_flag
from sentinelhub_provider.exceptions import SentinelHubBudgetError, SentinelHubJobError, SentinelHubRequestError
from sentinelhub_provider.operators.arguments import number_of
from sentinelhub_provider.operators.jobs.catalogued import CataloguedJobOperator
from sentinelhub_provider.operators.jobs.listed import SentinelHubListedJobOperator
from sentinelhub_provider.operators.request_arguments import ImageryOperator
from sentinelhub_provider.operators.templating import own_arguments

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.job_requests.batch_process import BatchProcessRequest
    from sentinelhub_provider.operators.jobs.items import Pictures
    from sentinelhub_provider.operators.jobs.results import FeatureResults


class SentinelHubBatchProcessOperator(ImageryOperator, CataloguedJobOperator, SentinelHubListedJobOperator):
    """Processes a large area along a tiling grid, or many features, and delivers the pictures to a bucket.

    One job is started and paid for, even if workers die. See :doc:`/explanation/jobs`. The task waits for it in the
    triggerer. When the job is done, the task reads its result database in the bucket, because single features may have
    failed.

    It returns a dict with these members. The last seven come from the bucket and are ``None`` if it could not be read.

    - ``id`` of the job and its ``state``
    - ``processing_units`` spent (PU)
    - ``delivery``, a URL
    - ``collection_id`` of the BYOC collection, if the service names one
    - ``features``, a dict with ``total``, ``done``, ``failed`` and more
    - ``file_count``, ``size`` of all files in bytes, and their ``folder``
    - ``files``, the URLs of the first 100
    - ``item_count``, the number of STAC Items of pictures, and ``collection``, the URL of their STAC Collection

    .. seealso:: :doc:`/how-to/operators/batch`

    :param tiling_grid: ID or name of the grid for the area, such as ``0`` for the UTM grid of 20 km. Use ``features``
        instead for features. (templated)
    :param buffer: pixels that are added to tiles at each end, one number or two. (templated)
    :param overwrite: replace existing files. Without it and ``skip_existing``, existing files fail the job. (templated)
    :param skip_existing: leave out tiles whose outputs exist. (templated)
    :param cog: write Cloud Optimized GeoTIFFs. (templated)
    :param cog_parameters: the API's ``cogParameters``. (templated)
    :param create_collection: make a BYOC collection of the results, which must be COGs. (templated)
    :param collection_id: put the results into this BYOC collection instead. (templated)
    :param zarr: the API's ``arrayParameters``, ``arrayOverrides`` and ``group``, to deliver one Zarr group. (templated)
    :param description: text for the job in the dashboard. Default: the task's names. (templated)
    :param kwargs: arguments of :class:`~sentinelhub_provider.operators.request_arguments.ImageryOperator`.
        ``tiling_grid`` needs ``bbox`` or ``geometry``. ``resolution`` is a pixel's side in the grid's unit or that of
        the features' CRS. ``width`` and ``height`` are those of each feature, at most 3500. ``outputs`` is ``tiff`` by
        default. Also ``stac`` of :class:`~sentinelhub_provider.operators.jobs.catalogued.CataloguedJobOperator`,
        ``features``, ``delivery`` and the other arguments of
        :class:`~sentinelhub_provider.operators.jobs.listed.SentinelHubListedJobOperator` and of any Airflow operator.
    """

    kind = BATCH_PROCESS
    ui_color = "#cfe8e4"

    def __init__(
        self,
        *,
        tiling_grid: int | str | None = None,
        buffer: int | Sequence[int] | str | None = None,
        overwrite: bool | str | None = None,
        skip_existing: bool | str | None = None,
        cog: bool | str | None = None,
        cog_parameters: Mapping[str, Any] | str | None = None,
        create_collection: bool | str | None = None,
        collection_id: str | None = None,
        zarr: Mapping[str, Any] | str | None = None,
        description: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.tiling_grid, self.buffer = tiling_grid, buffer
        self.overwrite, self.skip_existing = overwrite, skip_existing
        self.cog, self.cog_parameters = cog, cog_parameters
        self.create_collection, self.collection_id = create_collection, collection_id
        self.zarr, self.description = zarr, description

    also_described_by = (*own_arguments(__init__, but=("description",)), "features", "delivery")
    template_fields_renderers = dict.fromkeys(("buffer", "cog_parameters", "zarr"), "json")

    def build(self, context: Context) -> BatchProcessRequest:
        """Return the checked request. The job tag goes into its description."""
        from sentinelhub_provider.api.job_requests.batch_input import MAX_FEATURE_SIDE
        from sentinelhub_provider.api.job_requests.batch_output import RASTER_MEMBERS
        from sentinelhub_provider.api.job_requests.batch_process import build_batch_process, read_batch_process

        whole = self.whole_request(context)
        if whole is not None:
            return read_batch_process(whole, delivery=self.access, features=self.features_access, **self.checks)
        wanted = self.described(context, "collection", "evalscript", "delivery")
        features = None if self.features is None else self.source_of_features(MAX_FEATURE_SIDE)
        return build_batch_process(
            wanted,
            delivery=self.location(str(self.delivery).strip()),
            tiling_grid=self.tiling_grid,
            buffer=self.structured("buffer"),
            features=features,
            zarr=self.structured("zarr"),
            description=self.description or self._names(context),
            **{name: self.structured(name) for name in RASTER_MEMBERS},
            **self.checks,
        )

    def _names(self, context: Context) -> str:
        """Return the task's names for the dashboard."""
        ti: Any = context["ti"]
        index = getattr(ti, "map_index", -1)
        mapped = [f"[{index}]"] if isinstance(index, int) and index >= 0 else []
        return " ".join([f"{getattr(ti, 'dag_id', '')}.{self.task_id}", *mapped, str(context.get("run_id") or "")])

    def check_cost(self, context: Context, request: BatchProcessRequest) -> None:
        """Check the cost. If it becomes known only by the job's analysis, leave the check until then."""
        if self.analyse and self.estimate(request) is None:
            self.log.info("the cost is checked when the job is analysed")
            return
        super().check_cost(context, request)

    def check_analysed(self, context: Context, job: Job) -> None:
        """Check the cost of the job's manifest if it was unknown before and there is a limit."""
        from sentinelhub_provider.operators.jobs.buckets import BucketError
        from sentinelhub_provider.operators.jobs.results import sizes_in_manifest

        if self.job_id is not None or (self.budget is None and not self.hook.has_budget):
            return
        request: BatchProcessRequest = self.built(context)
        if self.estimate(request) is not None:
            return
        try:
            sizes = sizes_in_manifest(request.delivery.url, job.id, self.delivery_conn_id)
        except BucketError as error:
            if self.budget is None:
                self.log.warning("the cost of %s is unknown: %s", job, error)
                return
            raise SentinelHubBudgetError(
                f"max_processing_units is {self.budget:g}, but the size of {job} is unknown: "
                f"{error}. It was not started, and has cost nothing. Let delivery_conn_id read the bucket, or leave "
                "max_processing_units out."
            ) from error
        self.log.info("%s will make %d features", job, sizes.count)
        self.check_estimate(context, self.estimate(request, sizes))

    def outcome(self, context: Context, job: Job | None) -> dict[str, Any]:
        """Return the task's result. See the class."""
        assert job is not None  # noqa: S101 - this kind always has one
        try:
            result = super().outcome(context, job)
        except SentinelHubJobError:
            self._files(job, is_told=False)  # the good pictures are there and paid for, so they have items
            raise
        if (
            job.collection_id is None
            and self.create_collection
            and read_flag(self.create_collection, "create_collection")
        ):
            self.log.warning(
                "%s job %s does not name the collection that it made. Look for it in the dashboard. To know it before, "
                "make it with SentinelHubByocCreateCollectionOperator, and pass its collection_id",
                job.kind,
                job.id,
            )
        return {**result, "collection_id": job.collection_id, **self._files(job, is_told=result["features"] is None)}

    def _files(self, job: Job, *, is_told: bool) -> dict[str, Any]:
        """Return the facts about files from the bucket. ``is_told``: whether a warning about the bucket was logged."""
        from sentinelhub_provider.operators.jobs.buckets import BucketError
        from sentinelhub_provider.operators.jobs.files import files_of_batch_process

        told: dict[str, Any] = dict.fromkeys(("file_count", "size", "folder", "files", "item_count", "collection"))
        if not self.check_features or job.delivery_url is None:
            return told
        is_zarr = job.output_type == "zarr"
        pictures = None if is_zarr or is_told else self._pictures(job, job.delivery_url)
        noting: dict[str, Any] = (
            {} if pictures is None else {"outputs": tuple(pictures.common.media_types), "on_file": pictures.add}
        )
        try:
            found = files_of_batch_process(job.delivery_url, job.id, self.delivery_conn_id, is_zarr=is_zarr, **noting)
        except BucketError as error:
            if not is_told:
                self.log.warning("the files of %s job %s are not counted: %s", job.kind, job.id, error)
            return told
        self.log.info("%s", found)
        told |= {"file_count": found.count, "size": found.size, "folder": found.folder, "files": list(found.first)}
        if pictures is None:
            return told
        there, collection = self.catalogued(
            job, pictures.all(), found.folder, pictures.raster, pictures.common.media_types
        )
        if pictures.files_left_out:
            shown = number_of(len(pictures.found), "picture")
            self.log.warning("%s have items, but %d files more have none", shown, pictures.files_left_out)
        return {**told, "item_count": len(there), "collection": collection}

    def _pictures(self, job: Job, url: str) -> Pictures | None:
        """Return what will note the job's pictures for their items; ``None`` where they shall or can have none."""
        from sentinelhub_provider.api.job_requests.batch_pictures import BatchPictures
        from sentinelhub_provider.both_ways import at_once
        from sentinelhub_provider.hooks.jobs import worker_calls
        from sentinelhub_provider.operators.jobs.items import Pictures
        from sentinelhub_provider.operators.jobs.results import delivered_features

        if not self.items().are_kept:
            return None
        try:
            calls = worker_calls(self.hook, self.kind, **self.call_arguments)
            common = BatchPictures.of(at_once(calls.request_of(job.id)))
            if "<" not in url or "<requestId>" in url:
                return Pictures(common, self.delivery_conn_id)
            if common.skips_existing:
                raise SentinelHubRequestError(
                    "with skip_existing, pictures of other jobs may be among them. Put <requestId> into delivery."
                )
            return Pictures(common, self.delivery_conn_id, delivered_features(url, job.id, self.delivery_conn_id))
        except Exception as error:  # nothing here may fail the task: the pictures are paid for
            self.log.warning("the pictures of %s job %s have no STAC Items: %s", job.kind, job.id, error)
            return None

    def check(self, url: str, job: Job) -> FeatureResults:
        """Read the job's result database."""
        from sentinelhub_provider.operators.jobs.results import check_batch_process

        return check_batch_process(url, job.id, self.delivery_conn_id)

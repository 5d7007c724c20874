"""The base of the Batch Process and Batch Statistics operators: features and their outcome."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.job import Job, JobState
from sentinelhub_provider.api.values import read_choice, read_flag
from sentinelhub_provider.exceptions import SentinelHubJobError, SentinelHubRequestError
from sentinelhub_provider.operators.jobs.base import SentinelHubJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.job_requests.delivery import Access, Location
    from sentinelhub_provider.api.processing_units import Estimate, FeatureSizes
    from sentinelhub_provider.operators.argument_types import Crs, FeatureSource
    from sentinelhub_provider.operators.jobs.features import PreparedFeatures
    from sentinelhub_provider.operators.jobs.results import FeatureResults

ON_PARTIAL = ("fail", "warn")

FOLDER = "features"
"""Folder of uploaded GeoPackages, below the fixed part of the delivery."""

STORES = ("s3://", "gs://")


class SentinelHubListedJobOperator(SentinelHubJobOperator):
    """An operator of jobs over many features, Batch Process or Batch Statistics.

    :param features: URL of a GeoPackage in a bucket, such as ``s3://bucket/fields.gpkg``. Or GeoJSON, or a file of any
        kind that :func:`~sentinelhub_provider.features.open_features` reads, which is uploaded as a GeoPackage.
        (templated)
    :param features_crs: EPSG code of features that do not name theirs. (templated)
    :param features_folder: folder in a bucket for an uploaded GeoPackage. Default: near ``delivery``. (templated)
    :param features_conn_id: connection for that bucket. Default: ``delivery_conn_id``. (templated)
    :param id_property: the property that names each feature. (templated)
    :param layer: layer of a file that has several. (templated)
    :param analyse: whether to analyse the job and check its cost before its start. (templated)
    :param on_partial: ``fail`` the task if features failed, or ``warn`` and return. (templated)
    :param kwargs: see :class:`SentinelHubJobOperator`.
    """

    prepared: PreparedFeatures | None = None
    """The features' GeoPackage while the task runs."""

    def __init__(
        self,
        *,
        features: FeatureSource | None = None,
        features_crs: Crs | None = None,
        features_folder: str | None = None,
        features_conn_id: str | None = None,
        id_property: str | None = None,
        layer: str | None = None,
        analyse: bool | str = False,
        on_partial: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features, self.features_crs = features, features_crs
        self.features_folder, self.features_conn_id = features_folder, features_conn_id
        self.id_property, self.layer = id_property, layer
        self.analyse, self.on_partial = analyse, on_partial

    def _check_arguments(self) -> None:
        super()._check_arguments()
        self.check_texts("features_folder", "features_conn_id")
        self.analyse = read_flag(self.analyse, "analyse")
        self.on_partial = read_choice(self.on_partial, ON_PARTIAL, "on_partial")

    @abstractmethod
    def check(self, url: str, job: Job) -> FeatureResults:
        """Read the outcome of the job's features in the bucket.

        ``url``: the job's delivery. Raises :class:`BucketError` if the outcome cannot be read.
        """

    def estimate(self, request: Any, sizes: FeatureSizes | None = None) -> Estimate | None:
        """Return the estimated cost of the request over features of these sizes. Default: the known sizes."""
        if sizes is None and self.prepared is not None:
            sizes = self.prepared.sizes
        estimate: Estimate | None = request.estimate(samples=self.sample_count, sizes=sizes)
        return estimate

    def plan(self) -> dict[str, Any]:
        """Return the actions before the start."""
        return {"analyse": self.analyse}

    def payload(self, context: Context) -> dict[str, Any]:
        """Return the body to send, after its cost is checked and its features are in the bucket."""
        payload = super().payload(context)
        if self.prepared is not None:
            conn_id = self.delivery_conn_id if self.features_conn_id is None else self.features_conn_id
            url = self.prepared.upload(self._folder, conn_id)
            self.log.info("%d features are at %s", self.prepared.count, url)
        return payload

    def outcome(self, context: Context, job: Job | None) -> dict[str, Any]:  # noqa: ARG002 - the job says it all
        """Return the task's result. Read the outcome of the features."""
        assert job is not None  # noqa: S101 - these kinds always have one
        found = self._checked(job)
        return {
            "id": job.id,
            "state": job.state.value,
            "processing_units": job.cost,
            "delivery": job.delivery_url,
            "features": None if found is None else asdict(found),
        }

    def _checked(self, job: Job) -> FeatureResults | None:
        from sentinelhub_provider.operators.jobs.buckets import BucketError

        if job.state is JobState.PARTIAL:
            self._fail_or_warn(job, f"in part only{f': {job.error}' if job.error else ''}", reason="PARTIAL")
        if not self.check_features:
            return None
        try:
            if job.delivery_url is None:
                raise BucketError("the service does not say where the results are")
            found = self.check(job.delivery_url, job)
        except BucketError as error:
            what = "is done, but the outcome of its features could not be checked"
            self.log.warning("%s job %s %s: %s.", job.kind, job.id, what, error)
            return None
        if found.is_good:
            self.log.info("%s", found)
        else:
            self._fail_or_warn(job, str(found), reason="FEATURES")
        return found

    def _fail_or_warn(self, job: Job, what: str, *, reason: str) -> None:
        """Fail the task for a partly done job, or warn, as ``on_partial`` says."""
        if self.on_partial == "warn":
            self.log.warning("%s job %s: %s", job.kind, job.id, what)
            return
        raise SentinelHubJobError(
            f"{job.kind} job {job.id} is done, but {what}. The good results are in the bucket. With on_partial='warn' "
            "the task goes on. Clear it to do everything again.",
            job_status=JobState.PARTIAL.value,
            reason=reason,
            final=True,
        )

    @property
    def _folder(self) -> str:
        """Folder of an uploaded GeoPackage."""
        from sentinelhub_provider.api.job_requests.delivery import fixed_folder

        return str(self.features_folder or f"{fixed_folder(str(self.delivery).strip())}/{FOLDER}")

    def source_of_features(self, max_side: int) -> Location:
        """Return the place of the features. Other features become a GeoPackage in a bucket.

        ``max_side``: most pixels of a feature's side. Raises :class:`SentinelHubRequestError` if features cannot be
        used.
        """
        from sentinelhub_provider.api.job_requests.batch_input import feature_size
        from sentinelhub_provider.features.files import template_folders
        from sentinelhub_provider.operators.jobs.features import Raster, prepare_features

        pixel_side = self.structured("resolution")
        one = pixel_side[0] if isinstance(pixel_side, list | tuple) else pixel_side
        size, pixel = feature_size(self.width, self.height, one, max_side=max_side)
        if isinstance(self.features, str) and self.features.strip().startswith(STORES):
            url = self.features.strip()
            if url.lower().endswith(".gpkg"):
                return self._features_location(url)
        if not self._folder.startswith(STORES):
            raise SentinelHubRequestError(
                f"features_folder is {self._folder!r}. Give a folder of a bucket that Sentinel Hub can read, such as "
                "s3://my-bucket/features.",
                field="features_folder",
            )
        self.prepared = self.stack.enter_context(
            prepare_features(
                self.features,
                id_property=self.id_property,
                layer=self.layer,
                crs=self.features_crs,
                raster=Raster(size, None if pixel is None else (pixel, pixel), max_side),
                folders=template_folders(self),
            )
        )
        self.expected_features = self.prepared.count
        return self._features_location(self.prepared.url_in(self._folder))

    def _features_location(self, url: str) -> Location:
        from sentinelhub_provider.api.job_requests.delivery import Location

        return Location(url, self.features_access(url))

    def features_access(self, url: str) -> Access | None:
        """Return the access to the features' bucket."""
        from sentinelhub_provider.hooks.delivery import access_of

        conn_id = self.features_conn_id
        return self.access(url) if conn_id is None else access_of(conn_id, url, field="features_conn_id")

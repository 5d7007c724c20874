"""What Batch Process and Batch Statistics have in common: jobs that are listed, features, and results of each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.job import Job, JobState
from sentinelhub_provider.api.values import read_choice, read_flag
from sentinelhub_provider.exceptions import SentinelHubJobError
from sentinelhub_provider.operators.jobs.base import SentinelHubJobOperator, url_at
from sentinelhub_provider.operators.templating import own_arguments

if TYPE_CHECKING:
    from collections.abc import Generator

    from airflow.sdk import Context

    from sentinelhub_provider.api.job_requests.delivery import Access
    from sentinelhub_provider.operators.jobs.buckets import Unchecked
    from sentinelhub_provider.operators.jobs.driver import DeferralState
    from sentinelhub_provider.operators.jobs.features import JobFeatures
    from sentinelhub_provider.operators.jobs.results import FeatureResults
    from sentinelhub_provider.operators.jobs.stores import JobStore


ON_PARTIAL = ("fail", "warn")


class SentinelHubListedJobOperator(SentinelHubJobOperator):
    """
    An operator of jobs over many features.

    :param features: URL of a GeoPackage in a bucket, ``s3://bucket/fields.gpkg``; or GeoJSON, or a file of any
        kind that :func:`~sentinelhub_provider.features.open_features` reads, of which a GeoPackage is made and
        uploaded. (templated)
    :param features_crs: EPSG code of features that do not say it. (templated)
    :param features_folder: where in a bucket a GeoPackage is uploaded; near ``delivery`` by default. (templated)
    :param features_conn_id: connection for that bucket; ``delivery_conn_id`` by default. (templated)
    :param id_property: the property that names each feature. (templated)
    :param layer: which layer of a file that has several. (templated)
    :param analyse: have the job analysed, and its cost checked, before it is started. (templated)
    :param on_partial: ``fail`` the task where features failed, or ``warn`` and return. (templated)
    :param kwargs: see :class:`~sentinelhub_provider.operators.jobs.base.SentinelHubJobOperator`.
    """

    known_features: JobFeatures | None = None

    def __init__(
        self,
        *,
        features: Any = None,
        features_crs: Any = None,
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

    own_template_fields = (*own_arguments(__init__), *SentinelHubJobOperator.own_template_fields)
    template_fields: Sequence[str] = (*own_arguments(__init__), *SentinelHubJobOperator.template_fields)

    @property
    def analyses(self) -> bool:
        """Whether the job is analysed before it is started. Raises :class:`SentinelHubRequestError`."""
        return read_flag(self.analyse, "analyse")

    def _check_arguments(self) -> None:
        super()._check_arguments()
        self.on_partial = read_choice(self.on_partial, ON_PARTIAL, "on_partial")

    @abstractmethod
    def check(self, url: str, job: Job) -> FeatureResults | Unchecked:
        """Read in the bucket what became of the job's features. ``url``: the job's delivery."""

    def flow(self, context: Context, deferral: DeferralState, store: JobStore) -> Generator[Any, Any, Job | None]:  # noqa: ARG002
        """Return the job's life."""
        from sentinelhub_provider.api.jobs.lifecycle import Plan, job_flow

        attempt = self.attempt
        plan = Plan(
            kind=self.kind,
            tag=attempt.tag,
            timeout=self.timeout_of_job,
            digest=self.digest(context, deferral),
            began=deferral.began_at,
            not_before=attempt.not_before,
            earlier_tags=attempt.earlier_tags,
            job_id=self.job_id,
            analyse=self.analyses,
        )
        return job_flow(plan, clock=self._clock, known=deferral.job_id, waited=deferral.waited)

    def payload(self, context: Context) -> dict[str, Any]:
        """Return what is sent, once its cost was checked and its features are in the bucket."""
        payload = super().payload(context)
        if self.known_features is not None:
            self.known_features.upload()
        return payload

    def outcome(self, context: Context, job: Job | None) -> dict[str, Any]:  # noqa: ARG002 - the job says it all
        """Return what the task returns; read what became of the features."""
        assert job is not None  # noqa: S101 - these kinds always have one
        url = job.delivery_url
        found = self._checked(job, url)
        return {
            "id": job.id,
            "state": job.state.value,
            "processing_units": job.cost,
            "delivery": url,
            "features": None if found is None else found.to_dict(),
        }

    def _checked(self, job: Job, url: str | None) -> FeatureResults | None:
        from sentinelhub_provider.operators.jobs.buckets import Unchecked

        if job.state is JobState.PARTIAL:
            self.fail_or_warn(job, f"in part only{f': {job.error}' if job.error else ''}", reason="PARTIAL")
        if not self.check_features:
            return None
        found = Unchecked("The service does not say where the results are.") if url is None else self.check(url, job)
        if isinstance(found, Unchecked):
            self.log.warning("%s job %s is done, but whether all features are could not be checked: %s",
                             job.kind, job.id, found)  # fmt: skip
            return None
        if found.is_good:
            self.log.info("%s", found)
        else:
            self.fail_or_warn(job, str(found), reason="FEATURES")
        return found

    def fail_or_warn(self, job: Job, what: str, *, reason: str) -> None:
        """Fail the task for a job that is done in part, or warn, as it was told to."""
        if self.on_partial == "warn":
            self.log.warning("%s job %s: %s", job.kind, job.id, what)
            return
        raise SentinelHubJobError(
            f"{job.kind} job {job.id} is done, but {what}. What succeeded is in the bucket. With on_partial='warn' the "
            "task goes on; clear it to have everything done anew.",
            job_status=JobState.PARTIAL.value,
            reason=reason,
            final=True,
        )

    # --- what requests are built of ----------------------------------------------------------------------------------

    def source_of_features(self, max_side: int) -> JobFeatures:
        """Return the features, made a GeoPackage where they are none."""
        from sentinelhub_provider.api.job_requests.batch_input import feature_size
        from sentinelhub_provider.operators.jobs.feature_upload import Raster
        from sentinelhub_provider.operators.jobs.features import job_features

        pixel_side = self.structured("resolution")
        one = pixel_side[0] if isinstance(pixel_side, list | tuple) else pixel_side
        size, pixel = feature_size(self.width, self.height, one, max_side=max_side)
        raster = Raster(size, None if pixel is None else (pixel, pixel), max_side)
        self.known_features = job_features(self, self.stack, self.features, delivery=str(self.delivery), raster=raster)
        self.expected_features = self.known_features.count
        return self.known_features

    def features_access_for(self, body: Any, path: Sequence[str]) -> Access | None:
        """Return how the features' bucket is reached, ``None`` where as the delivery's."""
        from sentinelhub_provider.hooks.delivery import access_of

        return None if self.features_conn_id is None else access_of(self.features_conn_id, url_at(body, path))

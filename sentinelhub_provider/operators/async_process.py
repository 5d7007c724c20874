"""An operator that has one large picture made while nobody waits: the Async Process API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.async_lifecycle import IF_UNCLEAR
from sentinelhub_provider.api.jobs.job import ASYNC_PROCESS, Job
from sentinelhub_provider.api.jobs.steps import Delivered
from sentinelhub_provider.exceptions import SentinelHubJobError, SentinelHubRequestError
from sentinelhub_provider.operators.arguments import geometry_of, json_of, times_of_run, utc_now
from sentinelhub_provider.operators.jobs.base import SentinelHubJobOperator

if TYPE_CHECKING:
    from collections.abc import Generator

    from airflow.sdk import Context

    from sentinelhub_provider.api.job_requests.async_process import AsyncProcessRequest
    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.operators.jobs.attempt import Attempt
    from sentinelhub_provider.operators.jobs.buckets import Unchecked
    from sentinelhub_provider.operators.jobs.driver import DeferralState
    from sentinelhub_provider.operators.jobs.results import AsyncResults
    from sentinelhub_provider.operators.jobs.stores import JobStore

_NOT_WITH_REQUEST = (
    "collection",
    "evalscript",
    "evalscript_url",
    "time_range",
    "bbox",
    "geometry",
    "crs",
    "width",
    "height",
    "resolution",
    "mosaicking_order",
    "max_cloud_cover",
    "upsampling",
    "downsampling",
    "outputs",
    "delivery",
)


class SentinelHubAsyncProcessOperator(SentinelHubJobOperator):
    """
    Have one picture of up to 10,000 x 10,000 pixels made, and delivered to a bucket.

    One job is sent and paid for, whatever dies: see :doc:`/jobs`. It is waited for in the triggerer. The API does not
    say how a job ended; that is read in the bucket. Outputs lie in a folder of the task's own below ``delivery``.

    Returned is a dict: ``id`` of the job (``None`` where only its outputs were found), its ``state`` (``DONE``, or
    ``GONE`` where the bucket could not be read), ``processing_units`` (``None``: the API does not say), ``delivery``
    (URL, with that folder), and ``files`` (URLs of the outputs, ``None`` where the bucket could not be read).

    .. seealso:: :doc:`/operators/async_process`

    :param collection: as for :class:`~sentinelhub_provider.operators.process.SentinelHubProcessOperator`, and so are
        ``time_range``, ``bbox``, ``geometry``, ``crs``, ``width``, ``height``, ``resolution``, ``mosaicking_order``,
        ``max_cloud_cover``, ``upsampling`` and ``downsampling``. (templated)
    :param evalscript: JavaScript; the name of a ``.js`` file beside the DAG; or one of the names that the Process
        operator knows. (templated)
    :param evalscript_url: URL of an evalscript in a bucket that the same credentials open, instead of it. (templated)
    :param outputs: ``tiff`` (the default), ``png`` or ``jpeg``, or formats by output identifier. (templated)
    :param if_unclear: what to do where nobody can tell whether an earlier attempt sent the job, and its outputs are not
        in the bucket: ``wait`` for them, then fail; ``fail`` at once; or wait, then ``resend``, at the risk of paying
        twice.
    :param unclear_wait: seconds that such waiting takes.
    :param kwargs: further arguments, of :class:`~sentinelhub_provider.operators.jobs.base.SentinelHubJobOperator`, such
        as ``delivery``, ``job_timeout`` and ``deferrable``, and of any Airflow operator.
    """

    kind = ASYNC_PROCESS

    template_fields: Sequence[str] = (
        *(name for name in _NOT_WITH_REQUEST if name != "delivery"),
        *SentinelHubJobOperator.template_fields,
    )
    template_file_fields: Sequence[str] = ("evalscript", "request")
    template_fields_renderers = {  # noqa: RUF012 - Airflow's own form
        "collection": "json",
        "evalscript": "js",
        "bbox": "json",
        "geometry": "json",
        "outputs": "json",
        "request": "json",
    }
    ui_color = "#cfe0f2"

    def __init__(
        self,
        *,
        collection: Any = None,
        evalscript: str | None = None,
        evalscript_url: str | None = None,
        time_range: Any = None,
        bbox: Any = None,
        geometry: Any = None,
        crs: Any = None,
        width: Any = None,
        height: Any = None,
        resolution: Any = None,
        mosaicking_order: str | None = None,
        max_cloud_cover: Any = None,
        upsampling: str | None = None,
        downsampling: str | None = None,
        outputs: Any = None,
        if_unclear: str = "wait",
        unclear_wait: float = 3600.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection = collection
        self.evalscript = evalscript
        self.evalscript_url = evalscript_url
        self.time_range = time_range
        self.bbox = bbox
        self.geometry = geometry
        self.crs = crs
        self.width = width
        self.height = height
        self.resolution = resolution
        self.mosaicking_order = mosaicking_order
        self.max_cloud_cover = max_cloud_cover
        self.upsampling = upsampling
        self.downsampling = downsampling
        self.outputs = outputs
        self.if_unclear = if_unclear
        self.unclear_wait = unclear_wait

    def build(self, context: Context, tag: str) -> AsyncProcessRequest:
        """Return the checked request; the tag is a folder of its delivery."""
        from sentinelhub_provider.api.job_requests.async_process import build_async_process, read_async_process
        from sentinelhub_provider.api.job_requests.delivery import Location

        if self.if_unclear not in IF_UNCLEAR:
            raise SentinelHubRequestError(
                f"if_unclear is {self.if_unclear!r}. Give one of {', '.join(IF_UNCLEAR)}.", field="if_unclear"
            )
        deployment = self.hook.settings.deployment.name
        if self.request is not None:
            self.refuse_both(_NOT_WITH_REQUEST)
            body = json_of(self.request, "request")
            access = self.access_for(body, ("output", "delivery"))
            return read_async_process(body, delivery=access, deployment=deployment, now=utc_now()).tagged(tag)
        self.require("collection", "delivery")
        script = self.evalscript_url
        return build_async_process(
            collections=self.collection,
            delivery=self.delivery_location,
            evalscript=self.evalscript,
            evalscript_reference=None if script is None else Location(script, self.access(script)),
            time_range=times_of_run(context, self.time_range, "time_range"),
            bbox=self.bbox,
            geometry=geometry_of(self, self.geometry, "geometry"),
            crs=self.crs,
            width=self.width,
            height=self.height,
            resolution=self.resolution,
            mosaicking_order=self.mosaicking_order,
            max_cloud_cover=self.max_cloud_cover,
            upsampling=self.upsampling,
            downsampling=self.downsampling,
            outputs=self.outputs,
            deployment=deployment,
            now=utc_now(),
        ).tagged(tag)

    def estimate(self, request: AsyncProcessRequest) -> Estimate | None:
        """Return what the request will cost."""
        return request.estimate(samples=self.samples)

    def job_store(self, context: Context, attempt: Attempt) -> JobStore:
        """Return the task state store where there is one, and a note in the bucket where it can be written."""
        from sentinelhub_provider.operators.jobs.stores import BucketJobStore, first_durable

        store = super().job_store(context, attempt)
        if self.job_id is not None:
            return store
        return first_durable(store, BucketJobStore(self._folder(context), self.delivery_conn_id, self.log))

    def flow(self, attempt: Attempt, deferral: DeferralState, store: JobStore) -> Generator[Any, Any, Job | None]:
        """Return the job's life."""
        from sentinelhub_provider.api.jobs.async_lifecycle import AsyncPlan, async_flow

        plan = AsyncPlan(
            timeout=self.timeout_of_job,
            began=deferral.began,
            job_id=self.job_id,
            if_unclear=self.if_unclear,
            unclear_wait=timedelta(seconds=self.unclear_wait),
            remembers=store.is_durable,
            is_first_attempt=attempt.is_first,
        )
        return async_flow(plan, clock=self._clock, known=deferral.job_id, waited=deferral.waited)

    def delivered(self, context: Context) -> Delivered:
        """Look for the outputs of a job whose id is not known."""
        from sentinelhub_provider.operators.jobs.buckets import Unchecked

        found = self._check(context, None)
        if isinstance(found, Unchecked):
            self.log.warning("%s", found)
            return Delivered.UNREADABLE
        return {"delivered": Delivered.OUTPUTS, "failed": Delivered.ERROR, "nothing": Delivered.NOTHING}[found.outcome]

    def outcome(self, context: Context, job: Job | None) -> dict[str, Any]:
        """Return what the task returns; the bucket says how the job ended."""
        from sentinelhub_provider.operators.jobs.buckets import Unchecked

        job_id = None if job is None else job.id
        result: dict[str, Any] = {"id": job_id, "state": "GONE", "processing_units": None, "delivery": None}
        if self.job_id is not None and self.delivery is None and self.request is None:
            self.log.warning("%s job %s is over; how, cannot be checked without delivery", self.kind, job_id)
            return {**result, "files": None}
        url = self._url(context)
        result["delivery"] = url
        if not self.check_features:
            return {**result, "files": None}
        found = self._check(context, job_id)
        if isinstance(found, Unchecked):
            self.log.warning("%s job %s is over, but how it ended could not be checked: %s", self.kind, job_id, found)
            return {**result, "files": None}
        if found.outcome == "delivered":
            self.log.info("%s", found)
            return {**result, "state": "DONE", "files": list(found.files)}
        if found.outcome == "failed":
            what = f"failed: {found.error}. Correct the request, and clear the task for a new job"
        else:
            what = (
                f"is over, but {found}. It was deleted, belongs to another account, or could not write to the bucket: "
                "check its credentials and its region"
            )
        raise SentinelHubJobError(f"{self.kind} job {job_id or '(id unknown)'} {what}.", job_status="FAILED")

    def _check(self, context: Context, job_id: str | None) -> AsyncResults | Unchecked:
        from sentinelhub_provider.operators.jobs.results import check_async_process

        return check_async_process(self._url(context), job_id, self._outputs(context), self.delivery_conn_id)

    def _outputs(self, context: Context) -> Sequence[str]:
        if self.job_id is None or self.request is not None:
            outputs: Sequence[str] = self.built(context).outputs
            return outputs
        return tuple(self.outputs) if isinstance(self.outputs, Mapping) and "type" not in self.outputs else ("default",)

    def _url(self, context: Context) -> str:
        """Return where outputs go: to the task's own folder, or where somebody else's job was told to put them."""
        if self.job_id is not None and self.delivery is not None:
            return self.delivery
        url: str = self.built(context).delivery.url
        if self.job_id is not None:
            return url.replace(f"/{self.attempt.tag}", "", 1)
        return url

    def _folder(self, context: Context) -> str:
        """Return the folder of a task's own."""
        from sentinelhub_provider.api.job_requests.delivery import fixed_folder

        return fixed_folder(self._url(context))

"""An operator for the Async Process API, which renders one large picture in the background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.async_lifecycle import IF_UNCLEAR
from sentinelhub_provider.api.jobs.job import ASYNC_PROCESS, Job
from sentinelhub_provider.api.jobs.steps import Delivered
from sentinelhub_provider.api.values import read_choice, read_number
from sentinelhub_provider.exceptions import SentinelHubJobError, SentinelHubRequestError
from sentinelhub_provider.operators.arguments import is_last_try
from sentinelhub_provider.operators.jobs.base import FOREVER
from sentinelhub_provider.operators.jobs.catalogued import CataloguedJobOperator
from sentinelhub_provider.operators.request_arguments import ImageryOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.job_requests.async_process import AsyncProcessRequest
    from sentinelhub_provider.operators.jobs.attempt import JobStore
    from sentinelhub_provider.operators.jobs.results import AsyncResults


class SentinelHubAsyncProcessOperator(ImageryOperator, CataloguedJobOperator):
    """Renders one picture of up to 10,000 x 10,000 pixels and delivers it to a bucket.

    One job is sent and paid for, even if workers die. See :doc:`/explanation/jobs`. The task waits for it in the
    triggerer. The API does not say how a job ended, so the task reads that in the bucket. The outputs are in a folder
    of the task's own below ``delivery``.

    It returns a dict with these members:

    - ``id`` of the job, ``None`` if only its outputs were found
    - ``state``, ``DONE``, or ``GONE`` if the bucket could not be read
    - ``processing_units``, always ``None`` because the API does not name the cost
    - ``delivery``, the URL with that folder
    - ``files``, the URLs of the outputs, and their ``size`` in bytes, both ``None`` if the bucket could not be read
    - ``item``, the URL of the STAC Item, ``None`` without one

    .. seealso:: :doc:`/how-to/operators/async_process`

    :param evalscript_url: URL of an evalscript in a bucket that the same credentials open. It replaces ``evalscript``.
        (templated)
    :param if_unclear: what to do if it is unknown whether an earlier attempt sent the job, and its outputs are not in
        the bucket. ``fail`` fails at once. ``wait`` waits for the outputs, then fails. ``resend`` waits, then sends the
        job again, at the risk of paying twice.
    :param unclear_wait: seconds that such a wait takes.
    :param kwargs: arguments of :class:`~sentinelhub_provider.operators.request_arguments.ImageryOperator`, with
        ``outputs`` being ``tiff`` by default. Also ``stac``, ``delivery`` and the other arguments of
        :class:`~sentinelhub_provider.operators.jobs.catalogued.CataloguedJobOperator` and of any Airflow operator.
    """

    kind = ASYNC_PROCESS
    unclear_wait: Any
    _is_told = False
    also_described_by = ("evalscript_url", "delivery")
    ui_color = "#cfe0f2"

    def __init__(
        self,
        *,
        evalscript_url: str | None = None,
        if_unclear: str = "wait",
        unclear_wait: float | str = 3600.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.evalscript_url = evalscript_url
        self.if_unclear, self.unclear_wait = if_unclear, unclear_wait

    def _check_arguments(self) -> None:
        super()._check_arguments()
        self.if_unclear = read_choice(self.if_unclear, IF_UNCLEAR, "if_unclear")
        self.unclear_wait = min(read_number(self.unclear_wait, "unclear_wait", least=0), FOREVER)

    def build(self, context: Context) -> AsyncProcessRequest:
        """Return the checked request. The job tag becomes a folder of its delivery."""
        from sentinelhub_provider.api.job_requests.async_process import build_async_process, read_async_process

        whole = self.whole_request(context)
        if whole is not None:
            return read_async_process(whole, delivery=self.access, **self.checks)
        wanted = self.described(context, "collection", "delivery")
        reference = None if self.evalscript_url is None else self.location(self.evalscript_url)
        location = self.location(str(self.delivery).strip())
        return build_async_process(wanted, delivery=location, evalscript_reference=reference, **self.checks)

    def job_store(self, context: Context) -> JobStore:
        """Return the task state store if there is one, else a note in the bucket if it is writable."""
        from sentinelhub_provider.api.job_requests.delivery import fixed_folder
        from sentinelhub_provider.operators.jobs.attempt import bucket_store

        store = super().job_store(context)
        if self.job_id is not None or store.is_durable:
            return store
        is_needed = not self.attempt.is_first and not is_last_try(context)  # an earlier attempt may have left a record
        return bucket_store(fixed_folder(self._url(context)), self.delivery_conn_id, self.log, is_needed=is_needed)

    def plan(self) -> dict[str, Any]:
        """Return the actions for the case that it is unknown whether the job was sent."""
        return {"if_unclear": self.if_unclear, "unclear_wait": timedelta(seconds=self.unclear_wait)}

    def delivered(self, context: Context) -> Delivered:
        """Look for the outputs of a job of unknown ID."""
        from sentinelhub_provider.operators.jobs.buckets import BucketError

        try:
            return self._check(context, None).outcome
        except BucketError as error:
            self._warn("The outputs of the job are unchecked: %s.", error)
            return Delivered.UNREADABLE if error.final else Delivered.NOTHING

    def _warn(self, text: str, *values: Any) -> None:
        """Say once in an attempt that the bucket cannot be read."""
        if not self._is_told:
            self.log.warning(text, *values)
        self._is_told = True

    def outcome(self, context: Context, job: Job | None) -> dict[str, Any]:
        """Return the task's result. The bucket tells how the job ended."""
        from sentinelhub_provider.operators.jobs.buckets import BucketError

        job_id = None if job is None else job.id
        result: dict[str, Any] = dict.fromkeys(("id", "state", "processing_units", "delivery", "files", "size", "item"))
        result |= {"id": job_id, "state": "GONE"}
        if self.job_id is not None and self.delivery is None and self.request is None:
            self.log.warning("%s job %s is over. How it ended cannot be checked without delivery", self.kind, job_id)
            return result
        result["delivery"] = self._url(context)
        if not self.check_features:
            return result
        try:
            found = self._check(context, job_id)
        except BucketError as error:
            self._warn("%s job %s is over, but how it ended could not be checked: %s.", self.kind, job_id, error)
            return result
        if found.outcome is Delivered.OUTPUTS:
            self.log.info("%s", found)
            result |= {"state": "DONE", "files": list(found.files), "size": found.size}
            return {**result, "item": self._item(context, job, found)}
        if found.outcome is Delivered.ERROR:
            what = f"failed: {found.error}. Correct the request, and clear the task for a new job"
        else:
            what = (
                f"is over, but {found}. It was deleted, belongs to another account, or could not write to the bucket. "
                "Check its credentials and its region"
            )
        raise SentinelHubJobError(f"{self.kind} job {job_id or '(id unknown)'} {what}.", job_status="FAILED")

    def _item(self, context: Context, job: Job | None, found: AsyncResults) -> str | None:
        """Describe the picture, whose request says all but the size of its files; return the URL of its item."""
        from sentinelhub_provider.operators.jobs.items import Delivered as Picture

        if not self.items().are_kept:
            return None
        try:
            request: AsyncProcessRequest = self.built(context)
        except SentinelHubRequestError as error:
            self.log.warning("the picture has no STAC Item, as the task does not say how it was made: %s", error)
            return None
        made = [Picture(None, dict(found.outputs))]
        types = request.picture.formats
        items, _ = self.catalogued(
            job, made, found.source, lambda _: request.picture, types, request_sha256=request.digest
        )
        return next(iter(items), None)

    def _check(self, context: Context, job_id: str | None) -> AsyncResults:
        from sentinelhub_provider.operators.jobs.results import check_async_process

        return check_async_process(self._url(context), job_id, self._outputs(context), self.delivery_conn_id)

    def _outputs(self, context: Context) -> Sequence[str]:
        if self.job_id is None or self.request is not None:
            outputs: Sequence[str] = self.built(context).outputs
            return outputs
        return tuple(self.outputs) if isinstance(self.outputs, Mapping) and "type" not in self.outputs else ("default",)

    def _url(self, context: Context) -> str:
        """Return the URL of the outputs, which is the task's own folder or that of another program's job."""
        if self.job_id is not None and self.delivery is not None:
            return self.delivery
        url: str = self.built(context).delivery.url
        if self.job_id is not None:
            return url.replace(f"/{self.attempt.tag}", "", 1)
        return url

"""The facts of a task with a remote job: its arguments, request, cost and bucket."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from sentinelhub_provider.api.jobs.job import Job, JobKind
from sentinelhub_provider.api.jobs.polling import DEFAULT_POLL_INTERVAL
from sentinelhub_provider.exceptions import (
    SentinelHubRequestError,
)
from sentinelhub_provider.operators.arguments import utc_now
from sentinelhub_provider.operators.base import LONGEST_BLOCKING_WAIT
from sentinelhub_provider.operators.request_arguments import RequestOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.job_requests.delivery import Access, Location
    from sentinelhub_provider.api.jobs.steps import Delivered
    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.operators.jobs.attempt import Attempt, DeferralState, JobStore


class JobTask(RequestOperator):
    """A task with a remote job. It knows its arguments, its request, its cost and its bucket.

    :param delivery: folder in an object storage for the results, such as ``s3://my-bucket/results``. It may hold the
        API's placeholders. (templated)
    :param delivery_conn_id: Airflow connection of Amazon Web Services or Google Cloud. Its credentials let Sentinel Hub
        write to the bucket and the worker read the results. (templated)
    :param delivery_role_arn: IAM role that Sentinel Hub assumes, instead of the connection's keys. (templated)
    :param delivery_region: region of the bucket, if it is not the connection's or the deployment's. (templated)
    :param job_id: ID of an existing job to reconnect to, instead of creating one. (templated)
    :param wait_for_completion: whether the task waits until the job is over. ``False`` returns a dict about the started
        job with ``kind``, ``id``, ``state``, ``processing_units`` and ``delivery``. A
        :class:`~sentinelhub_provider.sensors.job.SentinelHubJobSensor` can wait for it. (templated)
    :param job_timeout: seconds that the job may take in all, from its creation. Then the job is stopped and the task
        fails. (templated)
    :param poll_interval: longest time between two status checks of the job in seconds. (templated)
    :param check_features: whether to read the job's results in the bucket, as a job that is done may have failed in
        part. (templated)
    :param stop_on_kill: whether to stop the job when the task is killed. (templated)
    :param deferrable: whether to wait for the job in the triggerer, without a worker slot. ``False`` waits in the
        worker, for an Airflow without triggerer.
    :param kwargs: the request, as ``request`` without credentials or by the arguments of
        :class:`~sentinelhub_provider.operators.request_arguments.RequestOperator`. Also further arguments of any
        Airflow operator.
    """

    kind: ClassVar[JobKind]
    job_timeout: Any
    poll_interval: Any
    check_features: Any
    stop_on_kill: Any
    wait_for_completion: Any
    attempt: Attempt
    """The attempt, known while the task runs."""
    deferral: DeferralState
    """The attempt's state from the triggerer, known while the task runs."""
    stack: ExitStack
    """Keeps the task's files on disk until it ends or waits in the triggerer, known while the task runs."""
    expected_features: int | None = None
    _request: Any = None
    _estimate: Estimate | None = None

    def __init__(
        self,
        *,
        delivery: str | None = None,
        delivery_conn_id: str | None = None,
        delivery_role_arn: str | None = None,
        delivery_region: str | None = None,
        job_id: str | None = None,
        wait_for_completion: bool | str = True,
        job_timeout: float | str = 24 * 3600.0,
        poll_interval: float | str = DEFAULT_POLL_INTERVAL,
        check_features: bool | str = True,
        stop_on_kill: bool | str = True,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(deferrable=deferrable, **kwargs)
        self.delivery, self.delivery_conn_id = delivery, delivery_conn_id
        self.delivery_role_arn, self.delivery_region = delivery_role_arn, delivery_region
        self.job_id, self.job_timeout, self.poll_interval = job_id, job_timeout, poll_interval
        self.check_features, self.stop_on_kill = check_features, stop_on_kill
        self.wait_for_completion = wait_for_completion

    # --- what a kind of job has to bring along -----------------------------------------------------------------------

    @abstractmethod
    def build(self, context: Context) -> Any:
        """Return the checked request. Raises :class:`SentinelHubRequestError`."""

    @abstractmethod
    def outcome(self, context: Context, job: Job | None) -> dict[str, Any]:
        """Return the task's result for a job that is over.

        :raises SentinelHubJobError: if the job failed.
        """

    def estimate(self, request: Any) -> Estimate | None:
        """Return the estimated cost of the request, ``None`` if unknown."""
        estimate: Estimate | None = request.estimate(samples=self.sample_count)
        return estimate

    def plan(self) -> dict[str, Any]:
        """Return this kind's additions to the :class:`~sentinelhub_provider.api.jobs.lifecycle.Plan`."""
        return {}

    def check_analysed(self, context: Context, job: Job) -> None:
        """Check the facts that become known by the job's analysis. Raises :class:`SentinelHubBudgetError`."""

    def delivered(self, context: Context) -> Delivered:
        """Return the content of the job's output folder, for kinds whose jobs cannot be listed."""
        raise TypeError(f"{self.kind} jobs of {context['ti']} are found by their tag")

    def job_store(self, context: Context) -> JobStore:
        """Return the store that outlives an attempt."""
        from sentinelhub_provider.operators.jobs.attempt import task_state_store

        return task_state_store(context, self.attempt.tag)

    @staticmethod
    def _clock() -> datetime:
        return utc_now()

    def _is_known(self) -> bool:
        """Whether the job is known, so that the task neither searches nor creates one."""
        return self.job_id is not None or self.deferral.job_id is not None

    def built(self, context: Context) -> Any:
        """Return the request with the job tag. It is made once."""
        if self._request is None:
            self._request = self.build(context).tagged(self.attempt.tag)
            self.request_sent = self._request.body
            for warning in self._request.warnings:
                self.log.warning("%s", warning)
        return self._request

    def payload(self, context: Context) -> dict[str, Any]:
        """Return the body that creates the job, after a check of its cost.

        Its cost is reserved when it is paid for. Until then, a job over a budget need not be created.

        :raises SentinelHubBudgetError: if it would cost more than it may.
        :raises SentinelHubRateLimitError: in the same case, if the task waits for the end of the budget's day or month.
        """
        request = self.built(context)
        self.log.info("%s of %s, delivered to %s", self.kind, request, request.delivery.url)
        self.check_cost(context, request)
        budget = self.hook.budget if self.hook.has_budget and self.kind.actions else None
        if budget is not None:
            budget.check(self.units_of(context), LONGEST_BLOCKING_WAIT)
        payload: dict[str, Any] = request.payload()
        return payload

    def check_estimate(self, context: Context, estimate: Estimate | None, **words: str) -> None:
        """Check the cost of the job, and keep it for the budgets."""
        self._estimate = estimate
        super().check_estimate(context, estimate, **words)

    def units_of(self, context: Context) -> float | None:
        """Return the PU that budgets reserve for the job, ``None`` if the task does not know them or has no budget."""
        if not self.hook.has_budget or self.job_id is not None:
            return None
        estimate = self._estimate or self.estimate(self.built(context))  # a retry that finds its job has no check
        from sentinelhub_provider.api.processing_units import MINIMUM, Service

        least = MINIMUM[Service.BATCH if self.kind.actions else Service.ASYNC]
        return least if estimate is None else estimate.processing_units

    def check_cost(self, context: Context, request: Any) -> None:
        """Check the cost before anything is sent. Raises :class:`SentinelHubBudgetError`."""
        self.check_estimate(context, self.estimate(request))

    def access(self, url: str) -> Access | None:
        """Return Sentinel Hub's access to the bucket of results."""
        from sentinelhub_provider.hooks.delivery import access_of

        found = access_of(self.delivery_conn_id, url, role_arn=self.delivery_role_arn, region=self.delivery_region)
        if found is not None and found.fault:
            raise SentinelHubRequestError(f"delivery_role_arn: {found.fault}.")
        return found

    def location(self, url: str) -> Location:
        """Return a place in the bucket of results, unchecked."""
        from sentinelhub_provider.api.job_requests.delivery import Location

        return Location(url, self.access(url))

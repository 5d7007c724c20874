"""What the operators of remote jobs have in common: one job for all attempts, waits that hold no slot, the outcome."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from sentinelhub_provider.api.jobs.job import DIGEST_SIZE, Job, JobKind, check_job_id
from sentinelhub_provider.api.jobs.polling import DEFAULT_POLL_INTERVAL
from sentinelhub_provider.api.jobs.steps import Delivered
from sentinelhub_provider.api.values import read_flag, read_seconds
from sentinelhub_provider.exceptions import SentinelHubRateLimitError
from sentinelhub_provider.operators.arguments import log_and_check_cost, log_and_push_spent, utc_now
from sentinelhub_provider.operators.failing import without_vain_retries
from sentinelhub_provider.operators.request_arguments import RequestOperator
from sentinelhub_provider.operators.templating import own_arguments

if TYPE_CHECKING:
    from collections.abc import Generator

    from airflow.sdk import Context

    from sentinelhub_provider.api.job_requests.delivery import Access, Location
    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.operators.jobs.attempt import Attempt
    from sentinelhub_provider.operators.jobs.driver import DeferralState, JobDriver
    from sentinelhub_provider.operators.jobs.stores import JobStore

DEFAULT_JOB_TIMEOUT = 24 * 3600.0


class SentinelHubJobOperator(RequestOperator):
    """
    An operator that has a remote job done: once, whatever dies.

    .. seealso:: :doc:`/jobs`

    :param delivery: folder in an object storage that results go to, such as ``s3://my-bucket/results``; it may hold the
        API's placeholders. (templated)
    :param delivery_conn_id: Airflow connection that holds the credentials with which Sentinel Hub reaches the bucket,
        and the worker reads results there: of Amazon Web Services or Google Cloud. (templated)
    :param delivery_role_arn: IAM role that Sentinel Hub assumes, instead of the connection's keys. (templated)
    :param delivery_region: region of the bucket, where it is not the connection's or the deployment's. (templated)
    :param job_id: reconnect to this job, which exists already, instead of creating one. (templated)
    :param job_timeout: seconds that the job may take in all, from its creation; then it is stopped, and the task fails.
    :param poll_interval: seconds between two looks at the job, at most.
    :param check_features: whether the job's results are read in the bucket, as a job that is done may have failed in
        part.
    :param stop_on_kill: whether the job is stopped when the task is killed.
    :param deferrable: whether the job is waited for in the triggerer, without holding a worker slot; ``False`` waits in
        the worker, where there is no triggerer.
    :param kwargs: what the job shall do, as ``request``, which holds no credentials, or by the arguments of
        :class:`~sentinelhub_provider.operators.request_arguments.RequestOperator`; and further arguments of any Airflow
        operator.
    """

    kind: ClassVar[JobKind]
    job_timeout: Any
    poll_interval: Any
    check_features: Any
    stop_on_kill: Any

    def __init__(
        self,
        *,
        delivery: str | None = None,
        delivery_conn_id: str | None = None,
        delivery_role_arn: str | None = None,
        delivery_region: str | None = None,
        job_id: str | None = None,
        job_timeout: float | str = DEFAULT_JOB_TIMEOUT,
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

    own_template_fields: ClassVar[tuple[str, ...]] = own_arguments(__init__, but=("deferrable",))
    template_fields: Sequence[str] = (*own_template_fields, *RequestOperator.template_fields)

    # --- what a kind of job has to bring along -----------------------------------------------------------------------

    @abstractmethod
    def build(self, context: Context, tag: str) -> Any:
        """Return the checked request, with the job tag. Raises :class:`SentinelHubRequestError`."""

    @abstractmethod
    def estimate(self, request: Any) -> Estimate | None:
        """Return what the request will cost, ``None`` where that cannot be told."""

    @abstractmethod
    def flow(self, context: Context, deferral: DeferralState, store: JobStore) -> Generator[Any, Any, Job | None]:
        """Return the job's life as a flow."""

    @abstractmethod
    def outcome(self, context: Context, job: Job | None) -> dict[str, Any]:
        """
        Return what the task returns of a job that is over.

        :raises SentinelHubJobError: where it is over, but not well.
        """

    def check_analysed(self, context: Context, job: Job) -> None:
        """Check what is only known of a job that was analysed. Raises :class:`SentinelHubBudgetError`."""

    def delivered(self, context: Context) -> Delivered:
        """Tell what is in the folder of the job's outputs, for kinds whose jobs cannot be listed."""
        raise TypeError(f"{self.kind} jobs of {context['ti']} are found by their tag")

    def job_store(self, context: Context, attempt: Attempt) -> JobStore:
        """Return what outlives an attempt."""
        from sentinelhub_provider.operators.jobs.stores import job_store_of

        return job_store_of(context, attempt.tag)

    # --- the course of a task ----------------------------------------------------------------------------------------

    def execute(self, context: Context) -> dict[str, Any]:
        """Do the work; see the class for what is returned."""
        return self.resume(context)

    def resume(self, context: Context, event: Any = None, **state: Any) -> dict[str, Any]:  # noqa: ARG002
        """
        Do the work, for the first time or after a wait in the triggerer.

        :param state: the members of :class:`~sentinelhub_provider.operators.jobs.driver.DeferralState`; ``dag.test()``
            loses them.
        :raises AirflowFailException: for errors that no repetition can cure.
        :raises TaskDeferred: where the task has to wait for long.
        """
        from sentinelhub_provider.operators.jobs.driver import DeferralState

        with without_vain_retries():
            self._check_arguments()
            return self._go(context, DeferralState(**{"began": self._clock().timestamp(), **state}))

    def execute_complete(self, context: Context, event: Any = None, **state: Any) -> dict[str, Any]:
        """
        Go on when the trigger has seen the job end.

        :param state: see :meth:`resume`.
        :raises SentinelHubResponseError: for an event that is none, or about another job.
        """
        from sentinelhub_provider.api.jobs.events import validated_event

        with without_vain_retries():
            named = event.get("id") if isinstance(event, Mapping) else None
            job_id = state.get("job_id") or str(named)
            seen = validated_event(event, self.kind, job_id)
            if seen.error is not None:
                raise seen.error
        return self.resume(context, **{"waited": True, **state, "job_id": job_id})

    @staticmethod
    def _clock() -> datetime:
        return utc_now()

    def on_kill(self) -> None:
        """Stop the job of a task that is killed."""
        driver: JobDriver | None = getattr(self, "_driver", None)
        if driver is not None:
            driver.kill()

    def _result(self, context: Context) -> dict[str, Any]:
        return self.execute(context)

    def _go(self, context: Context, deferral: DeferralState) -> dict[str, Any]:
        from sentinelhub_provider.operators.jobs.attempt import attempt_of
        from sentinelhub_provider.operators.jobs.calls import JobCalls
        from sentinelhub_provider.operators.jobs.driver import JobDriver

        self._attempt, self._request = attempt_of(self, context), None
        self.expected_features = deferral.expected_features
        attempt = self._attempt
        with ExitStack() as self._stack:
            if self.job_id is None and deferral.job_id is None:
                self.built(context)  # so that what cannot work is refused before anything is sent
            store = self.job_store(context, attempt)
            calls = JobCalls(self.hook, self.kind, attempt.tag, self.call_arguments)
            self._driver = JobDriver(self, context, self.kind, calls, store, deferral, clock=self._clock)
            try:
                job = self._driver.run(self.flow(context, deferral, store))
            except SentinelHubRateLimitError as error:
                self._driver.defer_for(error)
                raise
            result = self.outcome(context, job)
        if result["processing_units"] is not None:
            self.hook.meter("processing_units", result["processing_units"], self.kind.path)
        log_and_push_spent(self, context, result["processing_units"])
        return result

    def built(self, context: Context) -> Any:
        """Return the request, made once."""
        if self._request is None:
            self._request = self.build(context, self.attempt.tag)
            for warning in self._request.warnings:
                self.log.warning("%s", warning)
        return self._request

    expected_features: int | None = None
    _request: Any = None
    _attempt: Attempt | None = None
    _stack: ExitStack | None = None

    @property
    def stack(self) -> ExitStack:
        """Keeps what the task needs on disk until it ends or waits in the triggerer."""
        assert self._stack is not None  # noqa: S101 - set before a request is built
        return self._stack

    @property
    def attempt(self) -> Attempt:
        """Which attempt this is; known while the task runs."""
        assert self._attempt is not None  # noqa: S101 - set as the first thing
        return self._attempt

    def digest(self, context: Context, deferral: DeferralState) -> str | None:
        """Return a digest of the request, where this attempt looks for a job that an earlier one started."""
        is_known = self.job_id is not None or deferral.job_id is not None
        return None if is_known else str(self.built(context).digest)[:DIGEST_SIZE]

    def payload(self, context: Context) -> dict[str, Any]:
        """
        Return what is sent to create the job, once its cost was checked.

        :raises SentinelHubBudgetError: where it would cost more than it may.
        """
        request = self.built(context)
        self.check_cost(context, request)
        payload: dict[str, Any] = request.payload()
        return payload

    def check_cost(self, context: Context, request: Any) -> None:
        """Check the cost before anything is sent. Raises :class:`SentinelHubBudgetError`."""
        log_and_check_cost(self, context, self.estimate(request), self.budget)

    def access(self, url: str) -> Access | None:
        """Return how Sentinel Hub is to reach the bucket of results."""
        from sentinelhub_provider.hooks.delivery import access_of

        return access_of(self.delivery_conn_id, url, role_arn=self.delivery_role_arn, region=self.delivery_region)

    @property
    def timeout_of_job(self) -> timedelta:
        """How long the job may take."""
        return timedelta(seconds=float(self.job_timeout))

    def names(self, context: Context) -> Sequence[str]:
        """Return by which names people know the task."""
        ti: Any = context["ti"]
        index = getattr(ti, "map_index", -1)
        mapped = [f"[{index}]"] if isinstance(index, int) and index >= 0 else []
        return [f"{getattr(ti, 'dag_id', '')}.{self.task_id}", *mapped, str(context.get("run_id") or "")]

    @property
    def delivery_location(self) -> Location:
        """Where results go, unchecked."""
        location = self.location(str(self.delivery).strip())
        assert location is not None  # noqa: S101 - there is a URL
        return location

    def location(self, url: str | None) -> Location | None:
        """Return a place in the bucket of results, unchecked."""
        from sentinelhub_provider.api.job_requests.delivery import Location

        return None if url is None else Location(url, self.access(url))

    def access_for(self, body: Any, path: Sequence[str]) -> Access | None:
        """Return how a bucket is reached that a request's JSON names."""
        return self.access(url_at(body, path))

    def _check_arguments(self) -> None:
        """Read what templates rendered as text."""
        self.poll_interval = read_seconds(self.poll_interval, "poll_interval")
        self.job_timeout = read_seconds(self.job_timeout, "job_timeout")
        self.check_features = read_flag(self.check_features, "check_features")
        self.stop_on_kill = read_flag(self.stop_on_kill, "stop_on_kill")
        if self.job_id is not None:
            check_job_id(self.job_id)


def url_at(body: Any, path: Sequence[str]) -> str:
    """Return the URL of a storage in a request's JSON; empty where there is none, which its check finds out."""
    for name in path:
        body = body.get(name) if isinstance(body, Mapping) else None
    for scheme in ("s3", "gs"):
        storage = body.get(scheme) if isinstance(body, Mapping) else None
        if isinstance(storage, Mapping):
            return f"{scheme}://"
    return ""

"""The base of the operators of remote jobs: one job for all attempts, waits without a worker slot, and the outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.job import DIGEST_SIZE, Job, JobState, check_job_id
from sentinelhub_provider.api.values import read_flag, read_seconds
from sentinelhub_provider.exceptions import (
    SentinelHubError,
    SentinelHubJobError,
    SentinelHubRateLimitError,
)
from sentinelhub_provider.operators.arguments import log_and_push_spent, tell_outlets
from sentinelhub_provider.operators.base import end_of_attempt, without_vain_retries
from sentinelhub_provider.operators.jobs.task import JobTask

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.jobs.steps import Flow
    from sentinelhub_provider.operators.jobs.attempt import JobStore
    from sentinelhub_provider.operators.jobs.driver import JobDriver

FOREVER = 10 * 365 * 86_400.0  # seconds; larger numbers would lead past the last possible date


class SentinelHubJobOperator(JobTask):
    """An operator of a remote job. The job is paid for once, even if workers die.

    .. seealso:: :doc:`/explanation/jobs`

    :param kwargs: see :class:`~sentinelhub_provider.operators.jobs.task.JobTask`.
    """

    _driver: JobDriver | None = None

    # --- the course of a task ----------------------------------------------------------------------------------------

    def execute(self, context: Context) -> dict[str, Any]:
        """Do the work. See the class for the result."""
        return self.resume(context)

    def resume(self, context: Context, event: Any = None, **state: Any) -> dict[str, Any]:  # noqa: ARG002
        """Do the work, for the first time or after a wait in the triggerer.

        ``state`` has the members of :class:`~sentinelhub_provider.operators.jobs.attempt.DeferralState`, which
        ``dag.test()`` loses. Raises :class:`AirflowFailException` for errors that no repetition can help, and
        :class:`TaskDeferred` if the task has to wait for long.
        """
        from sentinelhub_provider.operators.jobs.attempt import DeferralState

        with without_vain_retries():
            self._check_arguments()
            self.set_limits(context)
            now = self._clock().timestamp()
            self.deferral = DeferralState(**{"began": now, "ends": end_of_attempt(self, now), **state})
            try:
                return self._result(context)
            except SentinelHubError as error:
                self.leave_imagery(context, job=None if self._driver is None else self._driver.seen, error=error)
                raise

    def execute_complete(self, context: Context, event: Any = None, **state: Any) -> dict[str, Any]:
        """Go on after the trigger has seen the job end.

        :param state: see :meth:`resume`.
        :raises SentinelHubResponseError: for an event of another shape, or about another job.
        """
        from sentinelhub_provider.api.jobs.events import Outcome, validated_event

        with without_vain_retries():
            named = event.get("id") if isinstance(event, Mapping) else None
            job_id = state.get("job_id") or str(named)
            seen = validated_event(event, self.kind, job_id)
            if seen.error is not None:
                raise seen.error
        if seen.outcome is Outcome.TIMEOUT and self.execution_timeout is not None:
            state = {"ends": self._clock().timestamp(), **state}  # dag.test() loses it
        return self.resume(context, **{"waited": True, **state, "job_id": job_id})

    def on_kill(self) -> None:
        """Stop the job of a killed task."""
        if self._driver is not None:
            self._driver.kill()

    def _check_arguments(self) -> None:
        """Read what templates rendered as text."""
        self.check_texts("delivery_conn_id", "delivery_role_arn", "delivery_region")
        self.poll_interval = read_seconds(self.poll_interval, "poll_interval")
        self.job_timeout = min(read_seconds(self.job_timeout, "job_timeout"), FOREVER)
        self.max_wait = min(self.max_wait_seconds, FOREVER)
        self.check_features = read_flag(self.check_features, "check_features")
        self.stop_on_kill = read_flag(self.stop_on_kill, "stop_on_kill")
        self.wait_for_completion = read_flag(self.wait_for_completion, "wait_for_completion")
        if self.job_id is not None:
            self.job_id = check_job_id(self.job_id)

    def _result(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.operators.jobs.attempt import attempt_of
        from sentinelhub_provider.operators.jobs.driver import JobDriver

        self.attempt, self._request, self._estimate = attempt_of(self, context), None, None
        self.expected_features = self.deferral.expected_features
        with ExitStack() as self.stack:
            if not self._is_known():
                self.built(context)  # to refuse a request that cannot work before anything is sent
            store = self.job_store(context)
            self._driver = driver = JobDriver(self, context, store)
            try:
                job = driver.run(self._flow(context, store))
            except SentinelHubRateLimitError as error:
                driver.defer_for(error)
                raise
            except SentinelHubJobError:
                self._tell_cost(context, driver.seen)
                raise
            if job is not None and not job.is_terminal:  # the task does not wait for it
                result: dict[str, Any] = {"kind": self.kind.name, "id": job.id, "state": job.state.value}
                result |= {"processing_units": job.cost, "delivery": job.delivery_url}
            else:
                self._tell_cost(context, job)  # also for a partly done job, which may fail the task
                result = self.outcome(context, job)
            self.returned = result
            tell_outlets(self, context, result)
            self.leave_imagery(context, result, job=job)
            return result

    def _flow(self, context: Context, store: JobStore) -> Flow[Job | None]:
        """Return the flow of the job's life."""
        from sentinelhub_provider.api.jobs.async_lifecycle import async_flow
        from sentinelhub_provider.api.jobs.lifecycle import Plan, job_flow

        plan = Plan(
            kind=self.kind,
            tag=self.attempt.tag,
            timeout=timedelta(seconds=self.job_timeout),
            max_wait=timedelta(seconds=self.max_wait_seconds),
            digest=None if self._is_known() else str(self.built(context).digest)[:DIGEST_SIZE],
            began=self.deferral.began_at,
            not_before=self.attempt.not_before,
            earlier_tags=self.attempt.earlier_tags,
            job_id=self.job_id,
            remembers=store.is_durable,
            is_first_attempt=self.attempt.is_first,
            **self.plan(),
        )
        flow: Callable[..., Flow[Any]] = job_flow if self.kind.actions else async_flow
        return flow(plan, clock=self._clock, known=self.deferral.job_id, waited=self.deferral.waited)

    def _tell_cost(self, context: Context, job: Job | None) -> None:
        cost = None if job is None else job.cost
        if cost is not None and job is not None and job.state in (JobState.DONE, JobState.PARTIAL, JobState.FAILED):
            self.hook.meter.spend(cost, self.kind.path)  # a stopped job may go on, and counts once
        log_and_push_spent(self, context, cost)

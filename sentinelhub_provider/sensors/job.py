"""A sensor for remote jobs that another program started."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from sentinelhub_provider.api.jobs.events import Outcome, validated_event
from sentinelhub_provider.api.jobs.job import Job, UnknownJobStateError, check_job_id, kind_of, problem_of
from sentinelhub_provider.api.jobs.polling import DEFAULT_POLL_INTERVAL
from sentinelhub_provider.both_ways import at_once
from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.operators.base import ConnectedOperator, without_vain_retries
from sentinelhub_provider.sensors.deferrable import DeferrableSensor

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

    from sentinelhub_provider.triggers.job import SentinelHubJobTrigger

POLL_DEADLINE = 60.0
"""Seconds that one status check may take with its repetitions."""


class SentinelHubJobSensor(ConnectedOperator, DeferrableSensor):
    """Wait for the end of a job that another DAG, a colleague or the dashboard started.

    It returns the job as a dict with ``kind``, ``id``, ``state`` and the service's other fields, such as ``cost`` (PU)
    and ``delivery_url``. If the job failed, was stopped or was deleted, the task fails at the next status check with
    the same error as the operators of such jobs. Passing faults of the service do not fail it. The sensor never changes
    the job.

    An Async Process job ends in state ``GONE``. Its outcome, good or bad, is in the bucket.

    .. seealso:: :doc:`/how-to/sensors`

    :param kind: ``batch-process``, ``batch-statistics`` or ``async-process``. (templated)
    :param job_id: the job's ID. (templated)
    :param deferrable: whether to wait in the triggerer, without a worker slot and with one poll loop for all jobs.
        Default: ``[operators] default_deferrable``. Otherwise ``mode`` decides how to wait.
    :param poke_interval: seconds between two status checks. The triggerer checks young jobs more often.
    :param kwargs: ``sentinelhub_conn_id`` and the arguments of every sensor, such as ``timeout``.
    """

    def __init__(
        self, *, kind: str, job_id: str, poke_interval: timedelta | float = DEFAULT_POLL_INTERVAL, **kwargs: Any
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.kind, self.job_id = kind, job_id

    template_fields: Sequence[str] = ("kind", "job_id", *ConnectedOperator.template_fields)

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - Airflow's signature
        """Check the job's status once.

        :raises AirflowFailException: if the job failed and a retry of the task cannot help.
        :raises SentinelHubError: if the job failed and may be started again.
        """
        from sentinelhub_provider.hooks.jobs import worker_calls

        with without_vain_retries():
            kind, job_id = kind_of(self.kind), check_job_id(self.job_id)
            try:
                job = at_once(worker_calls(self.hook, kind, deadline=POLL_DEADLINE).get(job_id))
            except SentinelHubError as error:
                if error.final or isinstance(error, UnknownJobStateError):
                    raise
                self.log.warning("the status of %s job %s cannot be checked, waiting goes on: %s", kind, job_id, error)
                return PokeReturnValue(is_done=False)
            self.log.info("%s", job)
            return _ended(job) if job.is_terminal else PokeReturnValue(is_done=False)

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Go on after the trigger fired.

        :raises AirflowSensorTimeout: if the job did not end within ``timeout`` seconds.
        :raises SentinelHubResponseError: for an event of something else.
        """
        from sentinelhub_provider.hooks.jobs import settle

        def check() -> PokeReturnValue:
            with without_vain_retries():
                checked = validated_event(event, kind_of(self.kind), check_job_id(self.job_id))
                if checked.outcome is Outcome.TIMEOUT:
                    self.log.warning("%s", checked.problem())
                    return PokeReturnValue(is_done=False)
                if checked.error is not None:
                    raise checked.error
                assert checked.job is not None  # noqa: S101 - a finished event has one
                settle(self.hook, [checked.job])
                return _ended(checked.job)

        ends = event.get("end_time") if isinstance(event, Mapping) else None
        return self._go_on(context, ends if isinstance(ends, int | float) else time.time(), check)

    def _trigger(self, context: Context, ends: float) -> SentinelHubJobTrigger:  # noqa: ARG002 - for other sensors
        from sentinelhub_provider.triggers.job import SentinelHubJobTrigger

        longest = self.poke_interval or DEFAULT_POLL_INTERVAL
        if self.exponential_backoff:
            # The trigger's interval grows with the job's age, up to this.
            longest = self.timeout if self.max_wait is None else self.max_wait.total_seconds()
        return SentinelHubJobTrigger(
            kind=self.kind,
            job_id=self.job_id,
            end_time=ends,
            sentinelhub_conn_id=self.sentinelhub_conn_id,
            poll_interval=longest,
            stop_on_kill=False,
        )


def _ended(job: Job) -> PokeReturnValue:
    """Return the job for XCom, or raise the error of its end."""
    if (problem := problem_of(job)) is not None:
        raise problem
    return PokeReturnValue(is_done=True, xcom_value=job.to_dict())

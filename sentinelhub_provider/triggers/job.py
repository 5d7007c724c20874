"""A trigger that waits for a remote job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from sentinelhub_provider.api.imagery import JOB_KEY, facts_of_job
from sentinelhub_provider.api.jobs.events import Outcome, event_of
from sentinelhub_provider.api.jobs.job import Job, check_job_id, kind_of
from sentinelhub_provider.api.jobs.polling import DEFAULT_POLL_INTERVAL
from sentinelhub_provider.api.values import read_number, read_seconds
from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.hooks.airflow_side import ask_airflow
from sentinelhub_provider.triggers.job_polling import PollFailure, StatusUpdate, connected, poller_of
from sentinelhub_provider.triggers.stored import StoredTrigger

FIRST_POLL_PATIENCE = 60.0
"""Seconds that the first status check may take even past the deadline. The job may have ended without a triggerer."""

ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""
States of a task in which its job may be stopped.

A deferred task waits on another triggerer. A task that is scheduled, runs or waits for its retry has an attempt that
takes care of the job. The attempt reconnects to the job, or stops it if a user cleared the task.
"""

UNKNOWN = "unknown"
"""Airflow did not tell the state, for any reason."""

ASK_SECONDS = 20.0
"""Seconds that a busy Airflow may take to tell the state."""

KEEP_AGAIN = 30.0
"""Seconds after which a job that could not be written to XCom is written again. A busy Airflow may answer late."""

KILL_SECONDS = 28.0
"""Seconds for the question and for stopping the job. Airflow gives ``on_kill`` 30 seconds."""


class SentinelHubJobTrigger(StoredTrigger):
    """Wait until a job ends. It does not matter who started it.

    All triggers of a triggerer that wait for jobs of one kind over one connection share one poll loop. A thousand jobs
    cost ten requests a round. Passing faults do not end the wait. One line in the task's log reports the beginning of
    each fault, and another one its end. :mod:`sentinelhub_provider.api.jobs.events` describes the event.

    :param kind: ``batch-process``, ``batch-statistics`` or ``async-process``.
    :param job_id: the job's ID.
    :param end_time: end of the wait without success, in seconds since the epoch.
    :param sentinelhub_conn_id: ID of the Airflow connection.
    :param poll_interval: longest time between two status checks in seconds. Young jobs are checked more often.
    :param stop_on_kill: whether to stop the job when a user marks the task as failed or as a success meanwhile (Airflow
        3.3 and later).
    :param tell_progress: whether to keep the job in XCom while it goes on, for the page *Satellite imagery*.
    :raises InvalidTriggerError: names the argument.
    """

    def __init__(
        self,
        kind: str,
        job_id: str,
        end_time: float,
        sentinelhub_conn_id: str = "sentinelhub_default",
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        stop_on_kill: bool = True,
        tell_progress: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kind = kind_of(kind)
        self.job_id = check_job_id(job_id)
        self.end_time = read_number(end_time, "end_time", what="seconds since the epoch, such as time.time() + 3600")
        self.sentinelhub_conn_id = sentinelhub_conn_id
        self.poll_interval = read_seconds(poll_interval, "poll_interval")
        self.stop_on_kill = bool(stop_on_kill)
        self.tell_progress = bool(tell_progress)
        self._keep_at: float | None = None
        """Time of the next try to write the job to XCom, in seconds since the epoch. ``None`` if nothing failed."""
        self._has_warned = False

    def _stored(self) -> dict[str, Any]:
        return {"kind": self.kind.name}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event when the job has ended, its deadline has passed, or its status cannot be checked any more."""
        event = {**await self._outcome(), "end_time": self.end_time}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _outcome(self) -> dict[str, Any]:
        job: Job | None = None
        checked = False
        patient_until = time.time() + FIRST_POLL_PATIENCE
        poller = poller_of(self.kind, self.sentinelhub_conn_id)
        async with poller.watch(self.job_id, self.poll_interval) as watch:
            while True:
                ends = self.end_time if checked else max(self.end_time, patient_until)
                until = ends if self._keep_at is None else min(ends, self._keep_at)
                try:
                    async with asyncio.timeout(max(0.0, until - time.time())):
                        update = await watch.inbox.get()
                except TimeoutError:
                    if time.time() < ends:  # time to write again, or the two clocks differ a little
                        if job is not None and self._keep_at is not None:
                            await self._keep(job)
                        continue
                    return event_of(self.kind, self.job_id, Outcome.TIMEOUT, job=job)
                checked = True
                match update:
                    case StatusUpdate(seen, recovered):
                        job = seen
                        self.log.info("%s%s", job, ", can be checked again" if recovered else "")
                        if job.is_terminal:
                            return event_of(self.kind, self.job_id, Outcome.FINISHED, job=job)
                        if self.tell_progress:
                            await self._keep(job)
                    case PollFailure(error, is_final=True):
                        return event_of(self.kind, self.job_id, Outcome.ERROR, job=job, error=error)
                    case PollFailure(error):
                        self.log.warning(
                            "%s job %s cannot be checked, waiting goes on: %s", self.kind, self.job_id, error
                        )

    async def _keep(self, job: Job) -> None:
        """Write a job to XCom, where the page reads it. A failure is reported once. Another try follows."""
        task: Any = self.task_instance
        if task is None:  # dag.test() runs a trigger without one
            return

        def write() -> None:
            from airflow.sdk.execution_time.xcom import XCom

            index = -1 if task.map_index is None else task.map_index
            key = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": index}
            XCom.set(JOB_KEY, facts_of_job(job), **key)

        try:
            async with asyncio.timeout(ASK_SECONDS):
                await ask_airflow(write)
            self._keep_at = None
        except Exception as error:  # of Airflow's own, whichever: the job goes on
            if not self._has_warned:
                self.log.warning("the page Satellite imagery shows this job late: %s", type(error).__name__)
            self._keep_at, self._has_warned = time.time() + KEEP_AGAIN, True

    async def on_kill(self) -> None:
        """Stop the job if a user ended the task that waits for it. Airflow 3.3 and later call this.

        Airflow also calls it when it moves the trigger to another triggerer. So the job is stopped only if Airflow says
        that the task has ended. If Airflow does not answer, the job goes on.
        """
        if not self.stop_on_kill:
            return
        stopping = asyncio.create_task(self._stop_where_ended())
        while not stopping.done():
            # Airflow cancels a trigger in each round until it is gone, even while it runs this method.
            with suppress(asyncio.CancelledError):
                await asyncio.shield(stopping)

    async def _stop_where_ended(self) -> None:
        ends = time.monotonic() + KILL_SECONDS
        state = await task_state(self)
        if state not in ENDED:
            self.log.info(
                "%s job %s goes on: the trigger was cancelled here, but the task is %s", self.kind, self.job_id, state
            )
        elif not self.kind.actions:
            self.log.warning("%s job %s cannot be stopped. It goes on and is paid for", self.kind, self.job_id)
        else:
            await self._stop(state, ends - time.monotonic())

    async def _stop(self, state: str | None, seconds: float) -> None:
        problem: Exception | None
        try:
            async with (
                asyncio.timeout(seconds),
                connected(self.kind, self.sentinelhub_conn_id, seconds) as calls,
            ):
                problem = await calls.act("stop", self.job_id)
        except (SentinelHubError, TimeoutError) as error:
            problem = error
        if problem is None:
            self.log.info("stopped %s job %s: the task ended as %s", self.kind, self.job_id, state)
        else:
            reason = str(problem) or "No answer came in time."
            self.log.warning("%s job %s may go on. Stop it in the dashboard. %s", self.kind, self.job_id, reason)


async def task_state(trigger: BaseTrigger) -> str | None:
    """Return the state of the trigger's task, such as ``deferred``.

    :returns: ``None`` for a task that was cleared and is not scheduled yet, :data:`UNKNOWN` if Airflow does not say.
    """
    task = trigger.task_instance
    if task is None:
        return UNKNOWN
    map_index = getattr(task, "map_index", None)
    is_mapped = map_index is not None and map_index >= 0

    def ask() -> str | None:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        states = RuntimeTaskInstance.get_task_states(
            dag_id=task.dag_id,
            task_ids=[task.task_id],
            run_ids=[task.run_id],
            map_index=map_index if is_mapped else None,
        )
        state = states[task.run_id][f"{task.task_id}_{map_index}" if is_mapped else task.task_id]
        return None if state is None else str(getattr(state, "value", state))

    try:
        async with asyncio.timeout(ASK_SECONDS):
            return await ask_airflow(ask)
    except Exception as error:  # any error of Airflow means that the state is unknown
        trigger.log.warning("Airflow did not tell the state of the task (%s: %s)", type(error).__name__, error)
        return UNKNOWN

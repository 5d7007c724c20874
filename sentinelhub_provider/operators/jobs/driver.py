"""Drives the flow of a job's life in a worker. It makes the calls and spends the waits here or in the triggerer."""

from __future__ import annotations

import random
import threading
from collections.abc import Generator
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import Context

from sentinelhub_provider.api.jobs import polling, steps
from sentinelhub_provider.api.jobs.async_lifecycle import unclear
from sentinelhub_provider.api.jobs.job import Job, UnknownJobStateError
from sentinelhub_provider.both_ways import at_once
from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubJobError, SentinelHubRateLimitError
from sentinelhub_provider.hooks.jobs import worker_calls
from sentinelhub_provider.operators.arguments import push
from sentinelhub_provider.operators.base import LONGEST_BLOCKING_WAIT, check_attempt, defer_until, wait_in_triggerer
from sentinelhub_provider.operators.imagery import is_shown
from sentinelhub_provider.operators.jobs.attempt import JobStore

if TYPE_CHECKING:
    from sentinelhub_provider.operators.jobs.task import JobTask

STOP_SECONDS = 4.0
"""Airflow kills a task for good 5 seconds after it asked the task to end."""


class JobDriver:
    """Drives a flow for one attempt.

    ``operator``: the task, which makes the request and reads the bucket. ``store``: the record that outlives the
    attempt.
    """

    def __init__(self, operator: JobTask, context: Context, store: JobStore) -> None:
        self._operator, self._context, self._store = operator, context, store
        self._kind, self._log, self._deferral = operator.kind, operator.log, operator.deferral
        self._calls = worker_calls(operator.hook, operator.kind, **operator.call_arguments)
        self._clock, self._killed = operator._clock, threading.Event()
        self._shown: str | None = self._deferral.job_id
        self._rests = False  # the job is stopped, and has to wait before it may be started again
        self.seen: Job | None = None
        """The job as last seen."""

    def run(self, flow: Generator[Any, Any, Job | None]) -> Job | None:
        """Carry out the flow's steps until it ends.

        :raises TaskDeferred: to spend a wait in the triggerer.
        :raises SentinelHubError: from the flow, and if a call fails with a clear outcome.
        :raises AirflowTaskTimeout: if ``execution_timeout`` passed in a wait.
        """
        answer: Any = None
        try:
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration as end:
                    found: Job | None = end.value
                    return found
                if isinstance(step, steps.AwaitEnd) and not self._operator.wait_for_completion:
                    return step.job
                answer = self._do(step)
                if isinstance(answer, Job):
                    self.seen = answer
                if self._killed.is_set() and not isinstance(step, steps.Create):  # keep its result first
                    self._end_after_kill(step)
        finally:
            flow.close()

    def _do(self, step: Any) -> Any:  # noqa: C901 - one line for each kind of step
        match step:
            case steps.LoadRecord():
                return self._load_record()
            case steps.SaveRecord(record, job):
                self.seen = job or self.seen
                return self._save_record(record)
            case steps.DeleteRecord():
                return self._store.delete()
            case steps.ListJobs(token):
                return at_once(self._calls.page(token, self._operator.attempt.tag))
            case steps.Create():
                payload = self._operator.payload(self._context)
                return at_once(self._calls.create(payload, self._operator.units_of(self._context)))
            case steps.Act(action, job):
                return self._act(action, job)
            case steps.CheckStatus(job_id):
                self._show(job_id)
                job = at_once(self._calls.get(job_id))
                self._log.info("%s", job)
                return job
            case steps.AwaitEnd(job, until):
                return self._await(job, until)
            case steps.WaitUntil():
                return self._wait(step)
            case steps.Warn(text):
                return self._log.warning("%s", text)
            case steps.Analysed(job):
                return self._operator.check_analysed(self._context, job)
            case steps.CheckOutputs():
                return self._operator.delivered(self._context)
        raise TypeError(f"there is no step {step!r}")

    # --- what outlives the attempt -----------------------------------------------------------------------------------

    def _load_record(self) -> steps.Record | None:
        try:
            kept = self._store.read()
            if kept is None:
                return None
            record = steps.Record(datetime.fromisoformat(kept["written"]), kept.get("id"), kept.get("digest"))
        except Exception as error:  # the store may raise anything
            if self._kind.actions:
                self._log.warning("the record of the job cannot be read (%s), so the job is found by its tag", error)
                return None
            if isinstance(error, KeyError | TypeError | ValueError):
                raise unclear(f"the record of the task's job is damaged ({type(error).__name__}: {error})") from error
            raise  # it is unknown whether the job was sent
        if record.job_id is not None:
            self._show(record.job_id)
        return record

    def _save_record(self, record: steps.Record) -> None:
        kept = {"written": record.written.isoformat(), "id": record.job_id, "digest": record.digest}
        if record.job_id is None:
            self._store.write(kept)  # if this fails, the job is not sent
            return
        self._log.info("%s job %s is this task's", self._kind, record.job_id)
        self._show(record.job_id)
        try:
            self._store.write(kept)
        except Exception as error:  # the store may raise anything, but the job goes on
            self._log.warning("the ID of job %s cannot be kept for a retry: %s", record.job_id, error)

    def _show(self, job_id: str) -> None:
        """Show the ID to others, and let :meth:`kill` stop the job."""
        if job_id != self._shown:
            self._shown = job_id
            push(self._operator, self._context, "job_id", job_id)
        self._deferral = replace(self._deferral, job_id=job_id)

    # --- calls and waits ---------------------------------------------------------------------------------------------

    def _act(self, action: steps.Action, job: Job) -> SentinelHubError | None:
        self._log.info("%s job %s: %s", job.kind, job.id, action)
        units = self._operator.units_of(self._context) if action == "start" else None
        said = at_once(self._calls.act(action, job.id, units))
        if said is not None:
            self._log.warning("%s job %s: the answer to %s was lost or refused: %s", job.kind, job.id, action, said)
        return said

    def _await(self, job: Job, until: datetime) -> Job:
        check_attempt(self._operator, self._deferral.ends, self._clock().timestamp())
        until = self._deferral.bounded(until)
        self._operator.leave_imagery(self._context, job=job)
        if self._operator.deferrable:
            self._defer_until_over(job, until)
        began, faults, jitter = self._clock(), 0, random.random()  # noqa: S311 - no secret
        interval = polling.first_wait(self._operator.poll_interval)
        state, completion = job.state, job.completion
        while (left := (until - self._clock()).total_seconds()) > 0:
            self._killed.wait(min(interval, left))
            if self._killed.is_set():
                break
            try:
                job = at_once(self._calls.get(job.id))
            except SentinelHubError as error:
                if error.final or isinstance(error, UnknownJobStateError):
                    raise
                faults += 1
                asked = getattr(error, "retry_after", None)
                interval = polling.wait_after_fault(faults, self._operator.poll_interval, jitter, asked)
                self._log.warning("%s job %s cannot be checked, waiting goes on: %s", self._kind, job.id, error)
                continue
            faults = 0
            if job.state is not state or job.is_terminal or polling.has_progressed(job.completion, completion):
                self._log.info("%s", job)
                self._operator.leave_imagery(self._context, job=job)
                state, completion = job.state, job.completion
            if job.is_terminal:
                break
            age = (self._clock() - (job.created or began)).total_seconds()
            interval = polling.wait_between(age, self._operator.poll_interval, jitter)
        return job

    def _defer_until_over(self, job: Job, until: datetime) -> NoReturn:
        from sentinelhub_provider.triggers.job import SentinelHubJobTrigger

        when = until.isoformat(timespec="seconds")
        self._log.info("waiting for %s job %s in the triggerer, until %s at most", job.kind, job.id, when)
        trigger = SentinelHubJobTrigger(
            kind=self._kind.name,
            job_id=job.id,
            end_time=until.timestamp(),
            sentinelhub_conn_id=self._operator.sentinelhub_conn_id,
            poll_interval=self._operator.poll_interval,
            stop_on_kill=self._operator.stop_on_kill,
            tell_progress=is_shown(self._operator, self._context),
        )
        kept = self._kept(job_id=job.id, waited=True)
        self._operator.defer(trigger=trigger, method_name="execute_complete", kwargs=kept)

    def _wait(self, wait: steps.WaitUntil) -> None:
        self._rests = wait.job is not None and wait.job.is_terminal and not wait.job.is_restarting
        check_attempt(self._operator, self._deferral.ends, self._clock().timestamp())
        moment = self._deferral.bounded(wait.moment)
        seconds = (moment - self._clock()).total_seconds()
        self._log.info("%s: waiting until %s", wait.reason, moment.isoformat(timespec="seconds"))
        if self._operator.deferrable and seconds > LONGEST_BLOCKING_WAIT:
            defer_until(self._operator, moment, self._kept(waited=wait.waited))
        self._killed.wait(max(0.0, seconds))
        self._rests = self._killed.is_set() and self._rests

    def _kept(self, **changes: Any) -> dict[str, Any]:
        return asdict(replace(self._deferral, expected_features=self._operator.expected_features, **changes))

    def defer_for(self, error: SentinelHubRateLimitError) -> None:
        """Wait in the triggerer if a rate limit asks for a long wait. Return if it does not, or if it is too long."""
        ends = self._deferral.bounded(self._deferral.began_at + timedelta(seconds=self._operator.max_wait_seconds))
        wait_in_triggerer(self._operator, error, self._clock(), ends.timestamp(), self._kept())

    # --- death -------------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Stop the job of a task that is about to be killed, within seconds. It may be called at any moment."""
        self._killed.set()
        job_id = self._shown
        if job_id is None:
            self._log.warning("killed before there was a job")
        elif not self._kind.actions:
            self._log.warning("killed: %s job %s cannot be stopped. It goes on and is paid for", self._kind, job_id)
        elif self._rests:  # a second stop might make its rest begin anew
            self._log.warning("killed: %s job %s is stopped already", self._kind, job_id)
        elif not self._operator.stop_on_kill:
            self._log.warning("killed: %s job %s goes on, as stop_on_kill is off", self._kind, job_id)
        else:
            self._stop(job_id)

    def _stop(self, job_id: str) -> None:
        """Stop a job in another thread, because this thread may hold a lock that the call needs."""
        calls = worker_calls(self._operator.hook, self._kind, deadline=STOP_SECONDS, timeout=STOP_SECONDS)
        said: list[SentinelHubError | None] = []

        def stop() -> None:
            try:
                said.append(at_once(calls.act("stop", job_id)))
            except SentinelHubError as error:
                said.append(error)

        thread = threading.Thread(target=stop, name="sentinelhub-stop", daemon=True)
        thread.start()
        thread.join(STOP_SECONDS)
        if said == [None]:
            self._log.warning("killed: %s job %s was told to stop", self._kind, job_id)
        else:
            why = str(said[0]) if said else "no answer in time"
            self._log.warning(
                "killed: %s job %s may go on, as stopping it failed: %s. See the dashboard", self._kind, job_id, why
            )

    def _end_after_kill(self, step: Any) -> NoReturn:
        """End an attempt that was killed and still lives. A worker that shuts down leaves the task to its retries."""
        if isinstance(step, steps.SaveRecord) and step.record.job_id is None:
            self._store.delete()  # nothing was sent
        if isinstance(step, steps.Act) and step.action == "start" and self._operator.stop_on_kill:
            self._stop(step.job.id)  # the first stop may have come before the start
        raise SentinelHubJobError(
            "The task was killed, and its job was stopped if possible. A retry reconnects to it.",
            job_status="UNKNOWN",
            final=False,
        )

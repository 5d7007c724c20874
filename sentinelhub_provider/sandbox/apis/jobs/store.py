"""The jobs of all clients. Safe to use from several threads.

A job moves on when it is read. The store's own thread does the work that reads or writes object storage. It runs while
there is such a job, and then ends.
"""

from __future__ import annotations

import copy
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sentinelhub_provider.sandbox.apis.jobs.failures import Accounts, InjectedFailures
from sentinelhub_provider.sandbox.apis.jobs.lifecycle import Finish, Situation, Task, due, perform, record
from sentinelhub_provider.sandbox.apis.jobs.model import Job, Part, Work
from sentinelhub_provider.sandbox.apis.jobs.rules import Durations, InjectedFailure
from sentinelhub_provider.sandbox.apis.jobs.states import ALLOWED, RESERVE, Action, Kind, stale_after
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.limits import Clock

if TYPE_CHECKING:
    from sentinelhub_provider.sandbox.gateway.state import Sandbox

TICK: Final = 0.05
"""Seconds of real time after which the thread reads the clock again."""

SIMULATED_FEATURES: Final = 10
"""Assumed number of features in a GeoPackage if the sandbox has no store to read it from."""

SETTLE_TIMEOUT: Final = 60.0


class JobStore:
    """The state behind the routes.

    ``clock`` returns seconds since 1970, which decide when jobs go on. ``charge`` is called with a client's id and the
    PU that a job costs. Without ``rasters``, batch jobs report features as done and render none. ``concurrent`` is the
    number of async requests that may run for a client at a time, or ``None`` for no limit.
    """

    def __init__(self, *, clock: Clock, charge: Callable[[str, float], None] = lambda _owner, _units: None) -> None:
        self._clock = clock
        self._charge = charge
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._clear()

    @classmethod
    def of(cls, sandbox: Sandbox) -> JobStore:
        """Return the jobs of a sandbox."""
        ledger = sandbox.ledger
        return sandbox.part(cls, lambda: cls(clock=sandbox.clock, charge=lambda _owner, units: ledger.charge(units)))

    def _clear(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._active: dict[str, Job] = {}
        self._failures = InjectedFailures()
        self._accounts = Accounts()
        self._busy: str | None = None
        self._turn = ""
        self.durations = Durations()
        self.rasters = True
        self.concurrent: int | None = None
        self.simulated_features = SIMULATED_FEATURES

    def reset(self) -> None:
        """Forget all jobs, injected failures and balances, and go back to the first durations."""
        with self._changed:
            for job in self._jobs.values():
                job.deleted = True
            self._clear()
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread. The next job that needs it starts a new one."""
        with self._changed:
            self._thread = None
            self._changed.notify_all()

    # --- what clients do ---------------------------------------------------------------------------------------------

    def create(
        self,
        kind: Kind,
        owner: str,
        request: dict[str, Any],
        make_work: Callable[[str], Work],
        *,
        runs_at_once: bool = False,
    ) -> Job:
        """Add a job. ``make_work`` gets its id. With ``runs_at_once``, it needs no analysis and no start."""
        job_id, now = str(uuid.uuid4()), self._clock()
        job = Job(job_id, kind, owner, request, make_work(job_id), created=now, updated=now, durations=self.durations)
        if runs_at_once:
            job.parts, job.status, job.phase_started = [Part(1, job_id, 0.0)], "PROCESSING", now
            job.tally.starts = 1
        with self._changed:
            self._jobs[job_id] = job
            self._watch(job)
            return copy.copy(job)

    def find(self, kind: Kind, owner: str, job_id: str) -> Job | None:
        """Find a client's job in its present state."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.kind is not kind or job.owner != owner:
                return None
            self._advance(job)
            return None if self._is_gone(job) else copy.copy(job)

    def listed(self, kind: Kind, owner: str) -> list[Job]:
        """List a client's jobs, oldest first, in their last known states. :meth:`refresh` moves one on."""
        with self._changed:
            mine = [job for job in self._jobs.values() if job.kind is kind and job.owner == owner]
            return [job for job in mine if not self._is_gone(job)]

    def refresh(self, job: Job) -> Job | None:
        """Return a listed job in its present state, or ``None`` if it is deleted."""
        return self.find(job.kind, job.owner, job.id)

    def refresh_all(self) -> None:
        """Move all jobs on, and delete those that have been idle for too long."""
        with self._changed:
            for job in list(self._active.values()):
                self._advance(job)
            for job in self._jobs.values():
                self._is_gone(job)

    def act(self, job: Job, action: Action) -> None:
        """Take a user's action. Raises ``ApiError`` (400) if the job's state does not allow it."""
        with self._changed:
            job, now = self._present(job), self._clock()
            stopped_already = action == "STOP" and job.pending_at is not None and job.action == "STOP"
            if stopped_already:
                job.tally.stops += 1
                return
            self._require(job, action, now)
            job.action, job.action_at = action, now
            # A phase that has begun keeps its duration.
            job.durations = self.durations if action != "STOP" else _with_phases_of(job.durations, self.durations)
            match action:
                case "ANALYSE":
                    job.tally.analyses += 1
                    job.pending_at = now
                case "START":
                    job.tally.starts += 1
                    job.pending_at = now + job.durations.starting
                case "STOP":
                    job.tally.stops += 1
                    # A job that is analysed stops at the end of the analysis.
                    job.pending_at = None if job.status == "ANALYSING" else now + job.durations.stopping
            job.updated = now
            self._watch(job)
            self._advance(job)

    def describe(self, job: Job, description: str) -> Job:
        """Change the description. Raises ``ApiError`` (409) for an active job."""
        with self._changed:
            job = self._present(job)
            if job.active:
                raise ApiError(
                    409,
                    "COMMON_BAD_PAYLOAD",
                    f"{job.kind.title} {job.id} is in status {job.status}: it can be changed only while it is neither "
                    "processed nor waiting to be",
                )
            job.request, job.updated = {**job.request, "description": description}, self._clock()
            return copy.copy(job)

    def running(self, kind: Kind, owner: str) -> int:
        """Count a client's active jobs."""
        with self._changed:
            mine = [job for job in self._active.values() if job.kind is kind and job.owner == owner]
            for job in mine:
                self._advance(job)
            return sum(job.active for job in mine)

    def require_reserve(self, owner: str) -> None:
        """Raise ``ApiError`` (403) for an account without the PU that a batch job needs."""
        with self._changed:
            if self._accounts.balance(owner) is not None:
                self.refresh_all()
            balance = self._accounts.balance(owner)
        if balance is not None and balance < RESERVE:
            raise ApiError(
                403,
                "ACCESS_INSUFFICIENT_PROCESSING_UNITS",
                f"Insufficient processing units: {RESERVE:g} must be available in your account, there are {balance:g}.",
            )

    # --- what a test or a demo does ----------------------------------------------------------------------------------

    def everything(self) -> list[Job]:
        """Return all jobs since the start or the last reset in their present state, including deleted jobs."""
        with self._changed:
            self.refresh_all()
            return [copy.copy(job) for job in self._jobs.values()]

    def set_durations(self, durations: Durations) -> None:
        """Set the durations of phases that begin from now on."""
        self.durations = durations

    def set_balance(self, owner: str, processing_units: float | None) -> None:
        """Set the PU in a client's account. ``None`` means no limit."""
        with self._changed:
            self._accounts.fill(owner, processing_units)

    def balance(self, owner: str) -> float | None:
        """Return the PU left in a client's account, or ``None`` for no limit."""
        with self._changed:
            return self._accounts.balance(owner)

    def inject(self, **fields: Any) -> InjectedFailure:
        """Inject a :class:`.rules.InjectedFailure` with these fields. Raises :class:`ValueError` for wrong values."""
        with self._changed:
            return self._failures.add(**fields)

    def injected(self) -> list[InjectedFailure]:
        """List the injected failures that are still to come, with the number of jobs that each will affect."""
        with self._changed:
            return self._failures.to_come()

    def clear_injected(self) -> None:
        """Forget all injected failures."""
        with self._changed:
            self._failures.clear()

    def delete(self, job_id: str) -> bool:
        """Delete a job. Return whether it existed."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.deleted:
                return False
            self._drop(job)
            return True

    def step(self, job_id: str | None = None) -> int:
        """Move one active job, or all, on by one state. Wait for their work. Return how many moved."""
        with self._changed:
            self.refresh_all()
            chosen = [job for job in self._active.values() if job_id in (None, job.id)]
            for job in chosen:
                job.forced = True
                self._advance(job)
        self.settle()
        return len(chosen)

    def settle(self, timeout: float = SETTLE_TIMEOUT) -> bool:
        """Wait until all work that is due is done, for at most ``timeout`` seconds. Return whether it is done."""
        end = time.monotonic() + timeout
        with self._changed:
            while self._is_due():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._wake()
                self._changed.wait(min(left, TICK))
            return True

    # --- moving on ---------------------------------------------------------------------------------------------------

    def _present(self, job: Job) -> Job:
        """Return the original of a job's copy in its present state. Raises ``ApiError`` (404) if it is deleted."""
        found = self._jobs.get(job.id)
        if found is not None:
            self._advance(found)
        if found is None or self._is_gone(found):
            raise not_found(job.kind, job.id)
        return found

    def _advance(self, job: Job) -> None:
        """Move a job on to now. Live work is left to the thread."""
        if not job.active:
            return
        if job.work.live:
            if self._next_task(job) is not None:
                self._wake()
        else:
            while (task := self._next_task(job)) is not None:
                self._record(job, task, perform(job, task))
        self._watch(job)

    def _is_due(self) -> bool:
        """Tell whether the thread has something to do now."""
        for job in list(self._active.values()):
            self._advance(job)
        return self._busy is not None or any(self._live_tasks())

    def _next_task(self, job: Job) -> Task | None:
        situation = Situation(self._failures.striking(), self._accounts.balance(job.owner))
        return due(job, self._clock(), situation)

    def _record(self, job: Job, task: Task, result: Any) -> None:
        record(job, task, result, self._clock(), lambda units: self._pay(job.owner, units))
        if isinstance(task, Finish) and task.failure is not None and not job.deleted:
            self._failures.applied(task.failure)
        self._watch(job)

    def _pay(self, owner: str, units: float) -> None:
        self._accounts.pay(owner, units)
        self._charge(owner, units)

    def _watch(self, job: Job) -> None:
        if job.active:
            self._active[job.id] = job
            if job.work.live:
                self._wake()
        else:
            self._active.pop(job.id, None)

    def _is_gone(self, job: Job) -> bool:
        if not job.deleted and not job.active and self._clock() - job.updated > stale_after(job.status):
            self._drop(job)
        return job.deleted

    def _drop(self, job: Job) -> None:
        job.deleted = True
        self._active.pop(job.id, None)

    def _require(self, job: Job, action: Action, now: float) -> None:
        if job.status not in ALLOWED[action] or job.pending_at is not None:
            raise ApiError(
                400,
                "COMMON_BAD_PAYLOAD",
                f"{action} is not allowed: {job.kind.title.lower()} {job.id} is in status {job.status}, "
                f"its last user action is {job.action}",
            )
        if action == "START" and now < job.restart_at:
            wait = f"{(job.restart_at - now) / 60:.1f} minutes"
            raise ApiError(
                400,
                "COMMON_BAD_PAYLOAD",
                f"{job.kind.title} {job.id} was stopped ({job.reason}); it cannot be restarted for {wait}",
            )

    # --- the thread --------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sandbox-jobs", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._thread is not threading.current_thread():
                    return  # closed
                # A closed thread may still do its last task.
                job, task = next(self._live_tasks(), (None, None)) if self._busy is None else (None, None)
                if job is None or task is None:
                    if not any(job.work.live for job in self._active.values()):
                        self._thread = None
                        return
                    self._changed.wait(TICK)
                    continue
                self._busy = self._turn = job.id
            result = perform(job, task)
            with self._changed:
                self._busy = None
                self._record(job, task, result)
                self._changed.notify_all()

    def _live_tasks(self) -> Iterator[tuple[Job, Task]]:
        """Yield the due tasks of live jobs. Begin after the job that had the last turn, so that jobs alternate."""
        live = [job for job in self._active.values() if job.work.live]
        turn = next((n for n, job in enumerate(live, 1) if job.id == self._turn), 0)
        for job in live[turn:] + live[:turn]:
            task = self._next_task(job)
            if task is not None:
                yield job, task


def not_found(kind: Kind, job_id: str) -> ApiError:
    """Return the 404 for a job that does not exist, is deleted, or belongs to another client."""
    return ApiError(404, "COMMON_NOT_FOUND", f"{kind.title} with id {job_id} not found")


def _with_phases_of(begun: Durations, durations: Durations) -> Durations:
    return replace(durations, analysing=begun.analysing, processing=begun.processing)

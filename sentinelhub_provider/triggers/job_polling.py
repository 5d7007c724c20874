"""One loop that polls all awaited jobs of a kind over one connection, however many there are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias

from sentinelhub_provider.api.jobs import polling
from sentinelhub_provider.api.jobs.job import Job, JobKind, JobState, UnknownJobStateError, job_of
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubError,
    SentinelHubTransportError,
)
from sentinelhub_provider.hooks.jobs import JobCalls
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.transport.steps import Wait
from sentinelhub_provider.triggers.shared_poll import PollLoop, shared

log = logging.getLogger(__name__)

REQUEST_DEADLINE = 60.0
"""Seconds that one poll may take with its repetitions. After that the loop backs off and tells the waiting triggers."""

SIDE_BY_SIDE = 5
"""Number of simultaneous requests about single jobs."""


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """The job has news. Its state is new, changed, or known again after a fault, or the job has progressed."""

    job: Job
    recovered: bool = False


@dataclass(frozen=True, slots=True)
class PollFailure:
    """The job's status cannot be checked. ``is_final`` means that another try cannot help."""

    error: SentinelHubError
    is_final: bool


PollUpdate: TypeAlias = StatusUpdate | PollFailure


@dataclass(eq=False, slots=True)
class Watch:
    """One trigger's wait for a job.

    :param since: start of the wait.
    :param due: time of the next status check.
    :param interval: seconds between the last status check and ``due``.
    :param inbox: changes, in order.
    """

    job_id: str
    poll_interval: float
    since: float
    due: float
    interval: float
    inbox: asyncio.Queue[PollUpdate] = field(default_factory=asyncio.Queue)
    is_first: bool = True
    faults: int = 0
    state: JobState | None = None
    completion: float | None = None
    created: datetime | None = None


class QuietHook(SentinelHubHook):
    """A hook that logs its waits at debug level, because its caller logs one line for a whole outage."""

    def _log_wait(self, wait: Wait) -> None:
        self.log.debug("%s", wait)


@asynccontextmanager
async def connected(kind: JobKind, conn_id: str, deadline: float) -> AsyncIterator[JobCalls]:
    """Make calls over a connection. Each round looks it up, so that a changed secret is in force the next time.

    :param deadline: seconds that one call may take.
    :raises SentinelHubError: if the connection cannot be used.
    """
    # An HTTP library takes half a second to load, which must not block the loop of all triggers.
    await asyncio.to_thread(import_module, "sentinelhub_provider.transport.async_session")
    async with aclosing(QuietHook(conn_id)) as hook:
        try:
            await hook.asettings()
        except SentinelHubError:
            raise
        except Exception as error:
            raise SentinelHubTransportError(
                f"Airflow could not look up the connection {conn_id!r} ({type(error).__name__})."
            ) from error
        yield JobCalls(hook.arequest, kind, deadline=deadline)


def poller_of(kind: JobKind, conn_id: str) -> JobPoller:
    """Return this event loop's poll loop for jobs of a kind over a connection."""
    make = partial(JobPoller, kind, lambda: connected(kind, conn_id, REQUEST_DEADLINE))
    return shared((JobPoller, conn_id, kind), make)


class JobPoller(PollLoop[Watch]):
    """Polls jobs of one kind and tells the triggers that wait for them.

    :param connect: makes the calls of one round possible.
    :param wall_clock: returns seconds since the epoch, as in the jobs' times.
    :param options: of :class:`~sentinelhub_provider.triggers.shared_poll.PollLoop`.
    """

    def __init__(
        self,
        kind: JobKind,
        connect: Callable[[], AbstractAsyncContextManager[JobCalls]],
        *,
        wall_clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.kind, self._connect, self._wall_clock = kind, connect, wall_clock
        self._watches: dict[str, list[Watch]] = {}
        """The jobs of a round with their triggers."""
        self._depth: int | None = None
        self._rounds_without_pages = 0

    def watch(self, job_id: str, poll_interval: float) -> AbstractAsyncContextManager[Watch]:
        """Wait for a job until the block ends. The inbox gets its state at the first check and at each change."""
        first, now = polling.first_wait(poll_interval), self._clock()
        return self._joined(Watch(job_id, poll_interval, now, now + first, first))

    async def _poll(self) -> None:
        now, jitter = self._clock(), self._jitter()
        self._watches = {}
        for watch in self._waiting:
            self._watches.setdefault(watch.job_id, []).append(watch)
        due = {
            job_id: min(watch.due for watch in watches)
            for job_id, watches in self._watches.items()
            if any(polling.is_due(watch.due, watch.interval, now, is_first=watch.is_first) for watch in watches)
        }
        requests = 0
        with self._failing(due, jitter):
            async with self._connect() as calls:
                requests = await self._check(calls, due, jitter)
        self._rests_until = self._clock() + polling.rest_after(requests)

    async def _check(self, calls: JobCalls, due: dict[str, float], jitter: float) -> int:
        """Check the due jobs, the most urgent first. Return the number of requests."""
        pages = 0
        if self.kind.actions and polling.should_list(len(due), self._depth):
            pages, unseen = await self._poll_pages(calls, set(due), jitter)
            due = {job_id: due[job_id] for job_id in unseen}
            self._rounds_without_pages = 0
        else:
            self._rounds_without_pages += 1
            if self._rounds_without_pages >= polling.RELEARN:
                self._depth = None
        singles = sorted(due, key=due.__getitem__)[: polling.MOST_SINGLES]
        await self._poll_each(calls, singles, jitter)
        return pages + len(singles)

    async def _poll_pages(self, calls: JobCalls, due: set[str], jitter: float) -> tuple[int, set[str]]:
        """Read the listing as far as it is useful. Return the number of pages and the jobs that are still to check."""
        unseen = set(due)
        token: str | None = None
        pages = fruitless = 0
        while True:
            try:
                documents, token = await calls.documents(token)
            except SentinelHubError as error:
                self._failed(unseen, error, jitter)
                return pages + 1, set()
            pages += 1
            found = unseen & documents.keys()
            unseen -= found
            fruitless = 0 if found else fruitless + 1
            for job_id in self._watches.keys() & documents.keys():
                with self._failing([job_id], jitter):
                    self._saw(job_of(self.kind, documents[job_id]), jitter)
            unseen = {job_id for job_id in unseen if self._is_awaited(job_id)}
            if token is None or not polling.should_read_on(len(unseen), fruitless):
                break
            if polling.is_past(_created_last(self.kind, documents), self._oldest_of(unseen)):
                break
        self._depth = pages
        return pages, unseen

    async def _poll_each(self, calls: JobCalls, job_ids: Iterable[str], jitter: float) -> None:
        limit = asyncio.Semaphore(SIDE_BY_SIDE)

        async def check(job_id: str) -> None:
            async with limit:
                if self._is_awaited(job_id):
                    with self._failing([job_id], jitter):
                        self._saw(await calls.get(job_id, light=True), jitter)

        async with asyncio.TaskGroup() as group:
            for job_id in job_ids:
                group.create_task(check(job_id))

    @contextmanager
    def _failing(self, job_ids: Iterable[str], jitter: float) -> Iterator[None]:
        """Report an error to the triggers that wait for these jobs."""
        try:
            yield
        except SentinelHubError as error:
            self._failed(job_ids, error, jitter)

    def _saw(self, job: Job, jitter: float) -> None:
        now = self._clock()
        for watch in self._watches.get(job.id, ()):
            news = watch.is_first or watch.faults > 0 or job.state is not watch.state or job.is_terminal
            news = news or polling.has_progressed(job.completion, watch.completion)
            recovered = watch.faults > 0
            watch.is_first, watch.faults, watch.state = False, 0, job.state
            watch.created = job.created or watch.created
            age = now - watch.since
            if watch.created is not None:
                age = max(age, self._wall_clock() - watch.created.timestamp())
            watch.interval = polling.wait_between(age, watch.poll_interval, jitter)
            watch.due = now + watch.interval
            if news:
                watch.completion = job.completion
                watch.inbox.put_nowait(StatusUpdate(job, recovered))

    def _failed(self, job_ids: Iterable[str], error: SentinelHubError, jitter: float) -> None:
        is_final = error.final or isinstance(error, UnknownJobStateError)
        now = self._clock()
        for watch in [watch for job_id in job_ids for watch in self._watches.get(job_id, ())]:
            watch.is_first = False
            watch.faults += 1
            retry_after = getattr(error, "retry_after", None)
            watch.interval = polling.wait_after_fault(watch.faults, watch.poll_interval, jitter, retry_after)
            watch.due = now + watch.interval
            # A secret may change in the middle of a round. The next round looks the connection up again.
            ends = is_final and (watch.faults > 1 or not isinstance(error, SentinelHubAuthenticationError))
            if ends or watch.faults == 1:
                watch.inbox.put_nowait(PollFailure(error, ends))

    def _after_fault(self, error: BaseException) -> None:
        """Report a fault of this package to all triggers, so that no trigger waits forever."""
        log.error("polling %s jobs failed", self.kind, exc_info=error)
        self._rests_until = self._clock() + polling.SHORTEST_INTERVAL
        said = f"Polling {self.kind} jobs broke with a {type(error).__name__}. The triggerer's log has its traceback."
        for watch in self._waiting:
            watch.inbox.put_nowait(
                PollFailure(SentinelHubError(f"{said} A retry of the task polls again."), is_final=True)
            )

    def _is_awaited(self, job_id: str) -> bool:
        """Tell whether a trigger still waits for a job. It may have left while a page was on its way."""
        return not self._waiting.isdisjoint(self._watches[job_id])

    def _oldest_of(self, job_ids: Iterable[str]) -> datetime | None:
        """Return the creation time of the oldest of these jobs, ``None`` if one of them was never seen."""
        created = [watch.created for job_id in job_ids for watch in self._watches[job_id]]
        return None if None in created else min(filter(None, created), default=None)


def _created_last(kind: JobKind, documents: Mapping[str, Any]) -> datetime | None:
    """Return the creation time of the last (oldest) job of a page, ``None`` if it does not say."""
    try:
        return job_of(kind, list(documents.values())[-1]).created if documents else None
    except SentinelHubError:
        return None

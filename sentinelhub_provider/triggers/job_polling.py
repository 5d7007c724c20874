"""One loop that polls all jobs of a kind that tasks wait for, however many those are.

A triggerer runs every trigger as a coroutine of one event loop. Those that wait for jobs of the same kind over the same
connection share a :class:`JobPoller`: it starts with the first of them and ends with the last.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Any, TypeAlias, TypeVar

from sentinelhub_provider.api.jobs import polling
from sentinelhub_provider.api.jobs.job import Job, JobKind, JobState, UnknownJobStateError, job_of
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubError,
    SentinelHubTransportError,
)
from sentinelhub_provider.hooks.jobs import aget_job, aget_page
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.transport.steps import Wait
from sentinelhub_provider.triggers.shared_poll import PollLoop

_Result = TypeVar("_Result")

log = logging.getLogger(__name__)

CLOSING_TIME = 5.0
"""Seconds that the last who leaves waits for the loop to close its connections."""

REQUEST_DEADLINE = 60.0
"""Seconds that one poll may take, repetitions included; after that the loop backs off and tells those who wait."""

SIDE_BY_SIDE = 5
"""Requests about single jobs that are under way at once."""


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """The job's state is known, and new: for the first time, changed, or known again after trouble."""

    job: Job
    recovered: bool = False


@dataclass(frozen=True, slots=True)
class PollFailure:
    """The job's status cannot be checked; ``is_final`` where trying again cannot help."""

    error: SentinelHubError
    is_final: bool


PollUpdate: TypeAlias = StatusUpdate | PollFailure


@dataclass(eq=False, slots=True)
class Watch:
    """One who waits for a job.

    :param since: when it began to.
    :param due: when the next status check is due.
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
    created: datetime | None = None


class QuietHook(SentinelHubHook):
    """A hook whose waits are told at debug level: its caller has one line for the whole of an outage."""

    def _log_wait(self, wait: Wait) -> None:
        self.log.debug("%s", wait)


class HookJobSource:
    """Polls jobs over an Airflow connection.

    The connection is looked up once, and again when its client is refused: its secret may have been changed since.
    """

    def __init__(self, kind: JobKind, conn_id: str) -> None:
        self._kind, self._conn_id = kind, conn_id
        self._hooks: list[SentinelHubHook] = []  # all are closed at the end: a request may be under way on a former one
        self._one_at_a_time = asyncio.Lock()

    async def job(self, job_id: str) -> Job:
        """Check the status of one job."""
        return await self._call(lambda hook: aget_job(hook, self._kind, job_id, deadline=REQUEST_DEADLINE))

    async def page(self, token: str | None) -> tuple[Any, str | None]:
        """Return one page of the listing, newest first, and the token of the next."""
        return await self._call(lambda hook: aget_page(hook, self._kind, token, deadline=REQUEST_DEADLINE))

    async def aclose(self) -> None:
        """Close all connections."""
        for hook in self._hooks:
            await hook.aclose()

    async def _call(self, act: Callable[[SentinelHubHook], Awaitable[_Result]]) -> _Result:
        hook = await self._current()
        try:
            return await act(hook)
        except SentinelHubAuthenticationError:
            renewed = await self._changed_since(hook)
            if renewed is None:
                raise
            return await act(renewed)

    async def _current(self) -> SentinelHubHook:
        async with self._one_at_a_time:
            if not self._hooks:
                self._hooks.append(await self._looked_up())
            return self._hooks[-1]

    async def _changed_since(self, hook: SentinelHubHook) -> SentinelHubHook | None:
        """Return a hook for the connection as it is now, ``None`` where it is as it was."""
        async with self._one_at_a_time:
            if self._hooks[-1] is hook:
                renewed = await self._looked_up()
                if await renewed.asettings() == await hook.asettings():
                    return None
                self._hooks.append(renewed)
            return self._hooks[-1]

    async def _looked_up(self) -> SentinelHubHook:
        hook = QuietHook(self._conn_id)
        # An HTTP library takes half a second to load: not on the loop that all triggers run on.
        await asyncio.to_thread(import_module, "sentinelhub_provider.transport.async_session")
        try:
            await hook.asettings()
        except SentinelHubError:
            raise
        except Exception as error:
            raise SentinelHubTransportError(
                f"Airflow could not look up the connection {self._conn_id!r} ({type(error).__name__})."
            ) from error
        return hook


class JobPoller(PollLoop):
    """Polls jobs of one kind and tells those who wait for them.

    :param source: where to poll; closed when the loop ends.
    :param wall_clock: seconds since the epoch, as jobs count their age.
    :param options: of :class:`~sentinelhub_provider.triggers.shared_poll.PollLoop`.
    """

    def __init__(
        self, kind: JobKind, source: HookJobSource, *, wall_clock: Callable[[], float] = time.time, **options: Any
    ) -> None:
        super().__init__(**options)
        self.kind, self._source, self._wall_clock = kind, source, wall_clock
        self._watches: dict[str, set[Watch]] = {}
        self._depth: int | None = None
        self._rounds_without_pages = 0

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits."""
        return not self._watches

    def watch(self, job_id: str, poll_interval: float) -> Watch:
        """Begin to wait for a job; the watch's inbox gets its state at the first status check and when it changes."""
        first = polling.first_wait(poll_interval)
        now = self._clock()
        watch = Watch(job_id, poll_interval, now, now + first, first)
        self._watches.setdefault(job_id, set()).add(watch)
        self._changed.set()
        return watch

    def leave(self, watch: Watch) -> None:
        """End waiting."""
        others = self._watches.get(watch.job_id, set())
        others.discard(watch)
        if not others:
            self._watches.pop(watch.job_id, None)
        self._changed.set()

    def give_up(self, error: SentinelHubError) -> None:
        """Tell all that nobody polls any more."""
        for watch in self._all():
            watch.inbox.put_nowait(PollFailure(error, is_final=True))

    async def run(self) -> None:
        """Poll, round after round, until cancelled."""
        try:
            await super().run()
        finally:
            await self._source.aclose()

    def _due(self) -> float:
        return min((watch.due for watch in self._all()), default=math.inf)

    async def _poll(self) -> None:
        now = self._clock()
        jitter = self._jitter()
        due = {
            job_id: min(watch.due for watch in watches)
            for job_id, watches in self._watches.items()
            if any(polling.is_due(watch.due, watch.interval, now, is_first=watch.is_first) for watch in watches)
        }
        requests = 0
        if self.kind.actions and polling.should_list(len(due), self._depth):
            pages, unseen = await self._poll_pages(set(due), jitter)
            requests += pages
            due = {job_id: due[job_id] for job_id in unseen}
            self._rounds_without_pages = 0
        else:
            self._rounds_without_pages += 1
            if self._rounds_without_pages >= polling.RELEARN:
                self._depth = None
        singles = sorted(due, key=due.__getitem__)[: polling.MOST_SINGLES]
        await self._poll_each(singles, jitter)
        self._rests_until = self._clock() + polling.rest_after(requests + len(singles))

    async def _poll_pages(self, due: set[str], jitter: float) -> tuple[int, set[str]]:
        """Read the listing as far as it is worth it; return the pages read and the jobs that are still to check."""
        unseen = set(due)
        token: str | None = None
        pages = fruitless = 0
        while True:
            try:
                page, token = await self._source.page(token)
                documents = polling.documents_by_id(page)
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
            unseen &= self._watches.keys()  # some may have left while the page was on its way
            if token is None or not polling.should_read_on(len(unseen), fruitless):
                break
            if polling.is_past(_created_last(self.kind, documents), self._oldest_of(unseen)):
                break
        self._depth = pages
        return pages, unseen

    async def _poll_each(self, job_ids: Iterable[str], jitter: float) -> None:
        limit = asyncio.Semaphore(SIDE_BY_SIDE)

        async def check(job_id: str) -> None:
            async with limit:
                if job_id not in self._watches:
                    return
                with self._failing([job_id], jitter):
                    self._saw(await self._source.job(job_id), jitter)

        async with asyncio.TaskGroup() as group:
            for job_id in job_ids:
                group.create_task(check(job_id))

    @contextmanager
    def _failing(self, job_ids: Iterable[str], jitter: float) -> Iterator[None]:
        """Tell those who wait for these jobs of an error."""
        try:
            yield
        except SentinelHubError as error:
            self._failed(job_ids, error, jitter)

    def _saw(self, job: Job, jitter: float) -> None:
        now = self._clock()
        for watch in self._watches.get(job.id, ()):
            news = watch.is_first or watch.faults > 0 or job.state is not watch.state or job.is_terminal
            recovered = watch.faults > 0
            watch.is_first, watch.faults, watch.state = False, 0, job.state
            watch.created = job.created or watch.created
            age = now - watch.since
            if watch.created is not None:
                age = max(age, self._wall_clock() - watch.created.timestamp())
            watch.interval = polling.wait_between(age, watch.poll_interval, jitter)
            watch.due = now + watch.interval
            if news:
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
            if is_final or watch.faults == 1:
                watch.inbox.put_nowait(PollFailure(error, is_final))

    def _all(self) -> list[Watch]:
        return [watch for watches in self._watches.values() for watch in watches]

    def _oldest_of(self, job_ids: Iterable[str]) -> datetime | None:
        """Return when the oldest of these jobs was created; ``None`` where one of them was never seen."""
        created = [watch.created for job_id in job_ids for watch in self._watches[job_id]]
        return None if None in created else min(filter(None, created), default=None)


def _created_last(kind: JobKind, documents: Mapping[str, Any]) -> datetime | None:
    """Return when the last job of a page, which is its oldest, was created; ``None`` where it does not say."""
    try:
        return job_of(kind, list(documents.values())[-1]).created if documents else None
    except SentinelHubError:
        return None


_Running: TypeAlias = tuple[JobPoller, asyncio.Task[None]]
_pollers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], _Running]] = (
    weakref.WeakKeyDictionary()
)


@asynccontextmanager
async def watching(
    kind: JobKind, conn_id: str, job_id: str, poll_interval: float, *, make: Callable[[], JobPoller]
) -> AsyncIterator[Watch]:
    """Wait for a job together with all others on this event loop who wait for jobs of its kind over its connection.

    :param make: makes the poller for the first of them.
    """
    running = _pollers.setdefault(asyncio.get_running_loop(), {})
    key = (conn_id, kind.name)
    found = running.get(key)
    if found is None:
        poller = make()
        # In a context of its own: what it logs is not the first trigger's.
        task = asyncio.create_task(_guarded(poller, running, key), context=contextvars.Context())
        found = running[key] = poller, task
    poller, task = found
    watch = poller.watch(job_id, poll_interval)
    try:
        yield watch
    finally:
        poller.leave(watch)
        if poller.is_idle and running.get(key) is found:
            del running[key]
            task.cancel()
            await asyncio.wait({task}, timeout=CLOSING_TIME)


async def _guarded(poller: JobPoller, running: dict[tuple[str, str], _Running], key: tuple[str, str]) -> None:
    """Run a poller; should it end before its last watch did, let nobody wait for it."""
    reason = "was cancelled"
    try:
        await poller.run()
    except Exception as error:
        log.exception("the loop that polls %s jobs over %s broke", key[1], key[0])
        reason = f"broke with a {type(error).__name__}; the triggerer's log has its traceback"
    finally:
        if key in running and running[key][0] is poller:
            del running[key]
        poller.give_up(
            SentinelHubError(f"The loop that polls {poller.kind} jobs {reason}. A retry of the task starts another.")
        )

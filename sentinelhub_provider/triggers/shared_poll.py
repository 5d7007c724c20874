"""One poll for many triggers of one event loop that wait for the same. One asks, and all get the answer."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import random
import time
import weakref
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from sentinelhub_provider.api.jobs.polling import wait_after_fault
from sentinelhub_provider.api.scenes.watch import FINAL_PAUSE
from sentinelhub_provider.exceptions import SentinelHubError

log = logging.getLogger(__name__)

SHORTEST_PAUSE = 10.0
"""Least seconds between the beginnings of two polls."""

CLOSING_TIME = 5.0
"""Seconds that the last trigger waits for the loop to close its connections."""

Scenes = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class PollResult:
    """The scenes that a poll found for a need. The poll began at a monotonic time."""

    need: Any
    began: float
    scenes: Scenes


@dataclass(eq=False, slots=True)
class Subscription:
    """One trigger's share in a poll.

    :param need: returns this trigger's need, which is the earliest time of sensing or a number of scenes.
    :param interval: returns the longest time in seconds between the last poll and the next.
    :param due: latest start of the next poll (monotonic).
    """

    need: Callable[[], Any]
    interval: Callable[[], float]
    due: float
    _latest: asyncio.Queue[PollResult | Exception] = field(default_factory=asyncio.Queue)

    async def next(self) -> Scenes:
        """Wait for the result of a new poll, or raise its error. Of several results, only the latest is kept."""
        latest = await self._latest.get()
        if isinstance(latest, Exception):
            raise latest
        return latest.scenes

    def offer(self, latest: PollResult | Exception) -> None:
        """Hand over the outcome of a poll."""
        while not self._latest.empty():
            self._latest.get_nowait()
        self._latest.put_nowait(latest)


async def first_of(*waits: Awaitable[Any]) -> Any:
    """Wait for the first of several, cancel the others, and return its result."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task in done).result()
    finally:
        for task in tasks:
            task.cancel()


class _Waiter(Protocol):
    due: float
    """Latest start of the next poll (monotonic)."""


W = TypeVar("W", bound=_Waiter)
Loop = TypeVar("Loop", bound="PollLoop[Any]")


class PollLoop(Generic[W]):
    """Polls when something is due, as long as a trigger waits.

    :param clock: returns monotonic seconds.
    :param jitter: returns a number in [0, 1).
    :param sleep: waits for so many seconds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._clock, self._jitter, self._sleep = clock, jitter, sleep
        self._waiting: set[W] = set()
        self._changed = asyncio.Event()
        self._rests_until = -math.inf
        self._task: asyncio.Task[None] | None = None

    @property
    def is_forgettable(self) -> bool:
        """Whether nobody waits and a new loop may begin at once."""
        return not self._waiting and self._rests_until <= self._clock()

    @asynccontextmanager
    async def _joined(self, waiter: W) -> AsyncIterator[W]:
        """Let a trigger take part until the block ends. The first one starts the loop, the last one ends it."""
        self._waiting.add(waiter)
        self._changed.set()
        if self._task is None or self._task.done():
            # The loop gets its own context, so that it does not log as the first trigger.
            self._task = asyncio.create_task(self._run(), context=contextvars.Context())
        try:
            yield waiter
        finally:
            self._waiting.discard(waiter)
            if not self._waiting and self._task is not None:
                ending, self._task = self._task, None
                ending.cancel()
                await asyncio.wait({ending}, timeout=CLOSING_TIME)

    async def _run(self) -> None:
        """Poll again and again until cancelled."""
        while True:
            self._changed.clear()
            due = min((waiter.due for waiter in self._waiting), default=math.inf)
            seconds = max(due, self._rests_until) - self._clock()
            if seconds > 0:
                waits = [self._changed.wait(), *([] if seconds == math.inf else [self._sleep(seconds)])]
                await first_of(*waits)
                continue
            try:
                await self._poll()
            except (Exception, asyncio.CancelledError) as error:
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
                    raise
                # Only something that the poll waited for was cancelled, so the other triggers wait on.
                self._after_fault(error)

    @abstractmethod
    async def _poll(self) -> None:
        """Poll once."""

    @abstractmethod
    def _after_fault(self, error: BaseException) -> None:
        """Go on after a poll that raised an error."""


class SharedPoll(PollLoop[Subscription]):
    """A loop that polls at regular intervals.

    A passing error is followed by longer and longer pauses. Two polls are at least ten seconds apart, even if triggers
    come and go.

    :param search: returns the scenes for the widest need of all subscribers.
    :param name: the subject of the search, for the log.
    :param widest: returns the wider one of two needs: ``min`` for times, ``max`` for numbers.
    :param endless: whether subscribers wait on after errors that only a user can mend. Such a poll is repeated each
        quarter of an hour. Otherwise the subscribers get the error.
    :param options: of :class:`PollLoop`.
    """

    def __init__(
        self,
        search: Callable[[Any], Awaitable[Scenes]],
        name: str,
        *,
        widest: Callable[..., Any] = min,
        endless: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._search, self._name, self._widest, self._endless = search, name, widest, endless
        self._last: PollResult | None = None
        self._faults = 0

    def subscribe(
        self, need: Callable[[], Any], interval: Callable[[], float], *, at_once: bool = True
    ) -> AbstractAsyncContextManager[Subscription]:
        """Take part until the block ends.

        :param at_once: whether the first poll is due now. Otherwise it is due after the first interval.
        """
        now = self._clock()
        subscription = Subscription(need, interval, now if at_once else now + interval())
        if at_once and self._last is not None and now - self._last.began < SHORTEST_PAUSE:
            self._hand_out(self._last, subscription)
        return self._joined(subscription)

    async def _poll(self) -> None:
        # Triggers that subscribe at the same moment, as after a restart, share the first result.
        await asyncio.sleep(0)
        began = self._clock()
        self._rests_until = began + SHORTEST_PAUSE
        need = self._widest(subscription.need() for subscription in self._waiting)
        self._last = PollResult(need, began, await self._search(need))
        if self._faults:
            log.info("%s: polling works again, after %d failures", self._name, self._faults)
        self._faults = 0
        self._hand_out(self._last, *self._waiting)

    def _hand_out(self, result: PollResult, *subscriptions: Subscription) -> None:
        for subscription in subscriptions:
            if self._widest(result.need, subscription.need()) == result.need:
                subscription.offer(result)
                subscription.due = result.began + subscription.interval()

    def _after_fault(self, error: BaseException) -> None:
        self._faults += 1
        interval = min((subscription.interval() for subscription in self._waiting), default=SHORTEST_PAUSE)
        is_known, is_final = isinstance(error, SentinelHubError), getattr(error, "final", False)
        if is_final and self._endless:
            pause = max(interval, FINAL_PAUSE * (1 - 0.1 * self._jitter()))
            words = "%s: %s No scene is announced until this is mended. Next poll in %.0f s."
            log.error(words, self._name, error, pause)
        elif not self._endless and isinstance(error, Exception) and (is_final or not is_known):
            for subscription in self._waiting:
                subscription.offer(error)
            return
        else:
            retry_after = getattr(error, "retry_after", None)
            pause = max(SHORTEST_PAUSE, wait_after_fault(self._faults, interval, self._jitter(), retry_after))
            words = "%s: a poll failed (%s: %s), %d in a row. Next one in %.0f s."
            about = (self._name, type(error).__name__, error, self._faults, pause)
            log.warning(words, *about, exc_info=None if is_known else error)
        self._rests_until = self._clock() + pause


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Any]] = weakref.WeakKeyDictionary()


def shared(key: Hashable, make: Callable[[], Loop]) -> Loop:
    """Return the running event loop's :class:`PollLoop` for this key. Make it if there is none."""
    loops = _loops.setdefault(asyncio.get_running_loop(), {})
    for idle in [each for each, loop in loops.items() if loop.is_forgettable]:
        del loops[idle]
    if key not in loops:
        loops[key] = make()
    found: Loop = loops[key]
    return found

"""One poll for all who watch the same: of many triggers of one event loop, one asks and all get the answer."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import weakref
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sentinelhub_provider.api.jobs.polling import wait_after_fault
from sentinelhub_provider.api.scenes.watch import FINAL_PAUSE, pause_between
from sentinelhub_provider.exceptions import SentinelHubError

log = logging.getLogger(__name__)

SHORTEST_PAUSE = 10.0
"""Seconds between the beginnings of two looks at least."""

Scenes = list[dict[str, Any]]
Search = Callable[[datetime], Awaitable[Scenes]]


@dataclass(frozen=True, slots=True)
class PollResult:
    """What one look found: all scenes sensed from ``since`` on that were in the Catalog at ``began`` (monotonic)."""

    since: datetime
    began: float
    scenes: Scenes


@dataclass(eq=False)
class Subscription:
    """
    One watcher's share in a poll.

    :param since: returns from which time of sensing on this watcher needs scenes.
    :param interval: seconds between two looks at most.
    """

    since: Callable[[], datetime]
    interval: float
    is_served: bool = False
    _latest: asyncio.Queue[PollResult] = field(default_factory=lambda: asyncio.Queue(maxsize=1))

    async def next(self) -> Scenes:
        """Wait for a look that was not taken yet. Of several, only the latest is kept: each is whole."""
        return (await self._latest.get()).scenes

    def offer(self, result: PollResult) -> bool:
        """Hand over a poll's result; return whether it reaches back far enough."""
        if result.since > self.since():
            return False
        with suppress(asyncio.QueueEmpty):
            self._latest.get_nowait()
        self._latest.put_nowait(result)
        self.is_served = True
        return True


class SharedPoll:
    """
    A loop that looks at regular intervals, as long as anybody subscribes.

    It ends on no error: a passing one is followed by longer and longer pauses, one that only a person can cure by
    pauses of a quarter of an hour. Between two looks there are at least ten seconds, whoever comes and goes.

    :param search: returns the scenes sensed since a time.
    :param name: what is watched, for the log.
    """

    def __init__(
        self,
        search: Search,
        name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._search = search
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._subscriptions: set[Subscription] = set()
        self._joined = asyncio.Event()
        self._began: float | None = None
        self._last: PollResult | None = None
        self._faults = 0
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def subscribe(self, since: Callable[[], datetime], interval: float) -> Iterator[Subscription]:
        """Take part until the block ends; the first subscriber starts the loop, the last one ends it."""
        subscription = Subscription(since, interval)
        self._subscriptions.add(subscription)
        last = self._last
        if last is None or self._clock() - last.began >= SHORTEST_PAUSE or not subscription.offer(last):
            self._joined.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"poll of {self._name}")
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            if not self._subscriptions and self._task is not None:
                self._task.cancel()
                self._task = None

    @property
    def is_forgettable(self) -> bool:
        """Whether nobody subscribes, and a new loop might begin at once."""
        return not self._subscriptions and self._rest() <= 0

    async def _run(self) -> None:
        while True:
            # Those who subscribe at the same moment, as after a restart, share the first result.
            await self._sleep(max(0.0, self._rest()))
            self._began = self._clock()
            await self._wait(await self._poll_once(self._began))

    async def _poll_once(self, began: float) -> float:
        """Look once, hand the result out, and return the seconds until the next result."""
        interval = min((subscription.interval for subscription in self._subscriptions), default=SHORTEST_PAUSE)
        try:
            since = min(subscription.since() for subscription in self._subscriptions)
            scenes = await self._search(since)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not this loop was cancelled, but something that the search waited for: its watchers wait on.
            return self._after_fault(error, interval)
        except Exception as error:
            return self._after_fault(error, interval)
        if self._faults:
            log.info("%s: looking works again, after %d failures", self._name, self._faults)
        self._faults = 0
        self._last = PollResult(since, began, scenes)
        for subscription in self._subscriptions:
            subscription.offer(self._last)
        if all(subscription.is_served for subscription in self._subscriptions):
            self._joined.clear()
        return pause_between(interval, self._jitter())

    def _after_fault(self, error: BaseException, interval: float) -> float:
        self._faults += 1
        if isinstance(error, SentinelHubError) and error.final:
            pause = max(interval, FINAL_PAUSE * (1 - 0.1 * self._jitter()))
            log.error(
                "%s: %s No scene is announced until this is cured. Next look in %.0f s.", self._name, error, pause
            )
            return pause
        retry_after = getattr(error, "retry_after", None)
        pause = max(SHORTEST_PAUSE, wait_after_fault(self._faults, interval, self._jitter(), retry_after))
        unexpected = None if isinstance(error, SentinelHubError) else error
        log.warning(
            "%s: a look failed (%s: %s), the %d. in a row. Next one in %.0f s.",
            self._name,
            type(error).__name__,
            error,
            self._faults,
            pause,
            exc_info=unexpected,
        )
        return pause

    def _rest(self) -> float:
        """Return the seconds that must pass before the next result."""
        return 0.0 if self._began is None else self._began + SHORTEST_PAUSE - self._clock()

    async def _wait(self, pause: float) -> None:
        """Wait for the next look, or until somebody joins; nobody cuts a pause after faults short."""
        if self._faults:
            await self._sleep(pause)
            return
        waits = [asyncio.ensure_future(self._sleep(pause)), asyncio.ensure_future(self._joined.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


_polls: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, SharedPoll]] = weakref.WeakKeyDictionary()


def shared_poll(key: Hashable, make: Callable[[], SharedPoll]) -> SharedPoll:
    """Return the running loop's poll of this key, made where there is none."""
    polls = _polls.setdefault(asyncio.get_running_loop(), {})
    for idle in [each for each, poll in polls.items() if poll.is_forgettable]:
        del polls[idle]
    if key not in polls:
        polls[key] = make()
    return polls[key]

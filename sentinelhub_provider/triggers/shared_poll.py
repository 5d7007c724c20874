"""One poll for all who wait for the same: of many triggers of one event loop, one asks and all get the answer."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import random
import time
import weakref
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sentinelhub_provider.api.jobs.polling import wait_after_fault
from sentinelhub_provider.api.scenes.watch import FINAL_PAUSE
from sentinelhub_provider.exceptions import SentinelHubError

log = logging.getLogger(__name__)

SHORTEST_PAUSE = 10.0
"""Seconds between the beginnings of two polls at least."""

Scenes = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a poll that began at a time (monotonic) found for a need."""

    need: Any
    began: float
    scenes: Scenes


@dataclass(eq=False, slots=True)
class Subscription:
    """One trigger's share in a poll.

    :param need: returns what this trigger needs: the earliest time of sensing, or a number of scenes.
    :param interval: returns the seconds between the last poll and the next at most.
    :param due: when the next poll begins at the latest (monotonic).
    """

    need: Callable[[], Any]
    interval: Callable[[], float]
    due: float
    _latest: asyncio.Queue[PollResult | Exception] = field(default_factory=asyncio.Queue)

    async def next(self) -> Scenes:
        """Wait for a poll that was not taken yet, or raise why there is none. Of several, only the latest is kept."""
        latest = await self._latest.get()
        if isinstance(latest, Exception):
            raise latest
        return latest.scenes

    def offer(self, latest: PollResult | Exception) -> None:
        """Hand over what came of a poll."""
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


async def wait_for(
    event: asyncio.Event, seconds: float, *, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
) -> None:
    """Wait until the event is set or the time is over."""
    await (event.wait() if seconds == math.inf else first_of(event.wait(), sleep(seconds)))


class PollLoop:
    """Polls when something is due, until cancelled.

    :param clock: seconds, monotonic.
    :param jitter: a number in [0, 1).
    :param wait: waits for an event or for seconds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        wait: Callable[[asyncio.Event, float], Awaitable[None]] = wait_for,
    ) -> None:
        self._clock, self._jitter, self._wait = clock, jitter, wait
        self._changed = asyncio.Event()
        self._rests_until = -math.inf

    async def run(self) -> None:
        """Poll, time after time."""
        while True:
            while True:
                self._changed.clear()
                seconds = max(self._due(), self._rests_until) - self._clock()
                if seconds <= 0:
                    break
                await self._wait(self._changed, seconds)
            await self._poll()

    @abstractmethod
    def _due(self) -> float:
        """Return when the next poll begins; endless where nobody waits."""

    @abstractmethod
    async def _poll(self) -> None:
        """Poll once."""


class SharedPoll(PollLoop):
    """A loop that polls at regular intervals, as long as anybody subscribes.

    A passing error is followed by longer and longer pauses. Between two polls there are at least ten seconds, whoever
    comes and goes.

    :param search: returns the scenes for the widest need of all subscribers.
    :param name: what is searched, for the log.
    :param widest: returns the wider one of two needs: ``min`` for times, ``max`` for numbers.
    :param endless: whether subscribers wait on after errors that only a person can cure; such a poll is repeated each
        quarter of an hour. Otherwise they are told.
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
        self._subscriptions: set[Subscription] = set()
        self._last: PollResult | None = None
        self._faults = 0
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def subscribe(
        self, need: Callable[[], Any], interval: Callable[[], float], *, at_once: bool = True
    ) -> Iterator[Subscription]:
        """Take part until the block ends; the first subscriber starts the loop, the last one ends it.

        :param at_once: whether the first poll is due now; otherwise after the first interval.
        """
        now = self._clock()
        subscription = Subscription(need, interval, now if at_once else now + interval())
        self._subscriptions.add(subscription)
        if at_once and self._last is not None and now - self._last.began < SHORTEST_PAUSE:
            self._hand_out(self._last, subscription)
        self._changed.set()
        if self._task is None or self._task.done():
            # In a context of its own: what it logs is not the first trigger's.
            self._task = asyncio.create_task(self.run(), context=contextvars.Context())
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
        return not self._subscriptions and self._rests_until <= self._clock()

    def _due(self) -> float:
        return min((subscription.due for subscription in self._subscriptions), default=math.inf)

    async def _poll(self) -> None:
        # Those who subscribe at the same moment, as after a restart, share the first result.
        await asyncio.sleep(0)
        began = self._clock()
        self._rests_until = began + SHORTEST_PAUSE
        try:
            need = self._widest(subscription.need() for subscription in self._subscriptions)
            self._last = PollResult(need, began, await self._search(need))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something that the search waited for was cancelled, not this loop: its subscribers wait on.
            self._after_fault(error)
        except Exception as error:
            self._after_fault(error)
        else:
            if self._faults:
                log.info("%s: polling works again, after %d failures", self._name, self._faults)
            self._faults = 0
            self._hand_out(self._last, *self._subscriptions)

    def _hand_out(self, result: PollResult, *subscriptions: Subscription) -> None:
        for subscription in subscriptions:
            if self._widest(result.need, subscription.need()) == result.need:
                subscription.offer(result)
                subscription.due = result.began + subscription.interval()

    def _after_fault(self, error: BaseException) -> None:
        self._faults += 1
        interval = min((subscription.interval() for subscription in self._subscriptions), default=SHORTEST_PAUSE)
        is_known, is_final = isinstance(error, SentinelHubError), getattr(error, "final", False)
        if is_final and self._endless:
            pause = max(interval, FINAL_PAUSE * (1 - 0.1 * self._jitter()))
            words = "%s: %s No scene is announced until this is cured. Next poll in %.0f s."
            log.error(words, self._name, error, pause)
        elif not self._endless and isinstance(error, Exception) and (is_final or not is_known):
            for subscription in self._subscriptions:
                subscription.offer(error)
            return
        else:
            retry_after = getattr(error, "retry_after", None)
            pause = max(SHORTEST_PAUSE, wait_after_fault(self._faults, interval, self._jitter(), retry_after))
            words = "%s: a poll failed (%s: %s), the %d. in a row. Next one in %.0f s."
            about = (self._name, type(error).__name__, error, self._faults, pause)
            log.warning(words, *about, exc_info=None if is_known else error)
        self._rests_until = self._clock() + pause


_polls: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, SharedPoll]] = weakref.WeakKeyDictionary()


def shared_poll(key: Hashable, make: Callable[[], SharedPoll]) -> SharedPoll:
    """Return the running loop's poll of this key, made where there is none."""
    polls = _polls.setdefault(asyncio.get_running_loop(), {})
    for idle in [each for each, poll in polls.items() if poll.is_forgettable]:
        del polls[idle]
    if key not in polls:
        polls[key] = make()
    return polls[key]

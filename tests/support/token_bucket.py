"""A rate limited service and a fleet of threads that share a rate limiter, event by event, in no time at all."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sentinelhub_provider.transport.rate_limit import (
    Limits,
    RateState,
    Slot,
    free_slot,
    learn,
    reserve,
    still_holds,
    teaches,
)

START = 1_000_000.0


@dataclass
class TokenBucket:
    """What the service allows: ``burst`` requests at once, ``rate`` per second in the long run.

    :param rate: may be changed at any time.
    """

    rate: float
    burst: float
    at: float = START
    level: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = self.burst

    def take(self, now: float) -> float:
        """Let a request through and return 0, or return the seconds until one would be."""
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1.0:
            return (1.0 - self.level) / self.rate
        self.level -= 1.0
        return 0.0


@dataclass
class Fleet:
    """Threads that send one request after another, all by one state.

    :param bucket: what the service allows.
    :param threads: of all processes together.
    :param latency: seconds from a request to its answer.
    :param retry_after: makes of the seconds to wait what the client is told.
    """

    bucket: TokenBucket
    threads: int
    latency: float
    limits: Limits = field(default_factory=Limits)
    retry_after: Callable[[float], float | None] = lambda seconds: seconds
    seed: int = 0
    state: RateState = field(default_factory=RateState)
    accepted: list[float] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> Fleet:
        """Let ``seconds`` pass; may be called again."""
        chance = random.Random(self.seed)
        if not hasattr(self, "_now"):
            self._now = START
            self._events = [(START + 0.05 * chance.random(), n, self._queue) for n in range(self.threads)]
            self._turn = self.threads
            heapq.heapify(self._events)
        ends = self._now + seconds
        while self._events[0][0] < ends:
            now, _, act = heapq.heappop(self._events)
            after, then = act(now)
            self._turn += 1
            # Threads oversleep, and the network takes now more, now less.
            heapq.heappush(self._events, (now + after + 0.001 * chance.random(), self._turn, then))
        self._now = ends
        return self

    @property
    def share_of_429s(self) -> float:
        """Requests that were refused, of all."""
        return len(self.rejected) / (len(self.rejected) + len(self.accepted))

    def share_of_ceiling(self) -> float:
        """Requests let through per second over the limit, from when the bucket was first empty."""
        burst = int(self.bucket.burst)
        span = self._now - self.accepted[burst - 1]
        return (len(self.accepted) - burst) / span / self.bucket.rate

    def rate_between(self, begin: float, end: float) -> float:
        """Requests let through per second in a stretch of time, in seconds from the start."""
        return sum(begin <= at - START < end for at in self.accepted) / (end - begin)

    def _queue(self, now: float) -> tuple[float, Callable]:
        if self.state.lets_go_freely(self.limits, now):
            slot = free_slot(self.state, now)
            return 0.0, lambda now: self._send(slot, now)
        self.state, slot = reserve(self.state, self.limits, now)
        return slot.wait, lambda now: self._come(slot, now)

    def _come(self, slot: Slot, now: float) -> tuple[float, Callable]:
        if not still_holds(self.state, slot):
            return 0.0, self._queue
        return self._send(replace(slot, made=slot.starts), now)

    def _send(self, slot: Slot, now: float) -> tuple[float, Callable]:
        wait = self.bucket.take(now)
        (self.rejected if wait else self.accepted).append(now)
        return self.latency, lambda now: self._settle(slot, wait, now)

    def _settle(self, slot: Slot, wait: float, now: float) -> tuple[float, Callable]:
        status = 429 if wait else 200
        if teaches(self.limits, slot, status=status):
            asked = self.retry_after(wait) if wait else None
            self.state = learn(self.state, self.limits, slot, now, status=status, retry_after=asked)
        return 0.0, self._queue

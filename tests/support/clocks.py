"""Clocks that move when they are told to."""

from __future__ import annotations

import asyncio


class FakeClock:
    """Seconds that pass only by :meth:`sleep`, which serves as the sleep of the code under test as well."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.waits: list[float] = []

    def __call__(self) -> float:
        """Return the present."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        self.waits.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        """Do what :meth:`sleep` does, for the event loop."""
        self.sleep(seconds)


class SteppedTime:
    """A clock whose sleepers wake in order, without anybody waiting."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait until :meth:`run` has come so far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, future))
        await future

    async def run(self, seconds: float) -> None:
        """Let so many seconds pass."""
        until = self.now + seconds
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            self._sleepers = [each for each in self._sleepers if not each[1].done()]
            due = min(self._sleepers, key=lambda each: each[0], default=None)
            if due is None or due[0] > until:
                break
            self.now = due[0]
            due[1].set_result(None)
        self.now = until

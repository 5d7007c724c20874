"""A clock that moves when it is told to."""

from __future__ import annotations


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

"""A token endpoint without a network."""

from __future__ import annotations

import threading

from clocks import FakeClock

from sentinelhub_provider.oauth.token import AccessToken

LIFETIME = 3600.0
WAIT = 10.0


class Endpoint:
    """A token endpoint that counts; ``gate`` holds its answers back, ``error`` is raised instead of one."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked = 0
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self._lock = threading.Lock()

    def fetch(self, _: float = 60.0) -> AccessToken:
        """Answer."""
        number = self._count()
        assert self.gate.wait(WAIT)
        return self._answer(number)

    def _count(self) -> int:
        with self._lock:
            self.asked += 1
            self.entered.set()
            return self.asked

    def _answer(self, number: int) -> AccessToken:
        if self.error is not None:
            raise self.error
        return AccessToken(f"token-{number}", self.clock() + LIFETIME, LIFETIME)

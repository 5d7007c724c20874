from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import requests

from sentinelhub_provider.sandbox.server import SandboxServer

START = 1_750_000_000.25
"""15 June 2025, and a quarter of a second: tokens must not live by whole seconds only."""


@dataclass
class FakeClock:
    """A clock that stands still until it is told to go on. Seconds since 1970."""

    now: float = START

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Go on."""
        self.now += seconds


@pytest.fixture(scope="session")
def session_clock() -> FakeClock:
    """The clock of the session's sandbox."""
    return FakeClock()


@pytest.fixture(scope="session")
def session_server(session_clock: FakeClock) -> Iterator[SandboxServer]:
    """One sandbox for the session."""
    with SandboxServer(control=True, clock=session_clock) as server:
        yield server


@pytest.fixture
def clock(session_clock: FakeClock) -> FakeClock:
    """The clock that rules the sandbox's tokens and limits."""
    return session_clock


@pytest.fixture
def server(session_server: SandboxServer, session_clock: FakeClock) -> SandboxServer:
    """A running sandbox with a clock that stands still, as it was at its start."""
    session_clock.now = START
    session_server.control.reset()
    return session_server


@pytest.fixture
def new_token(server: SandboxServer) -> Callable[..., str]:
    """Fetch a token of the main client, or of another."""

    def fetch(client_id: str | None = None, client_secret: str | None = None) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id or server.client_id,
            "client_secret": client_secret or server.client_secret,
        }
        answer = requests.post(server.token_url(), data=form, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    return fetch


@pytest.fixture
def bearer(new_token: Callable[..., str]) -> dict[str, str]:
    """The header of an authorized request."""
    return {"Authorization": f"Bearer {new_token()}"}

from __future__ import annotations

import pytest
from clocks import FakeClock
from token_endpoint import Endpoint


@pytest.fixture(name="clock")
def fixture_clock() -> FakeClock:
    """The clock of all."""
    return FakeClock()


@pytest.fixture(name="endpoint")
def fixture_endpoint(clock: FakeClock) -> Endpoint:
    """A token endpoint that works."""
    return Endpoint(clock)

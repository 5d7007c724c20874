"""What of a call is counted, and under which name."""

from __future__ import annotations

import pytest

from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.transport.answers import Answer
from sentinelhub_provider.transport.steps import Failure, FailureKind, Send, Wait, worth_counting

TOKEN = AccessToken("value", expires_at=2_000_000_000.0, lifetime=3600.0)
CALL = Send("GET", "https://sh.example.org/catalog/v1/collections", TOKEN, 60.0)
TOKEN_CALL = Send("POST", "https://sh.example.org/token", None, 60.0)


def wait(*, is_turn: bool) -> Wait:
    """A wait of a second."""
    return Wait(1.0, "rate limited", attempt=1, max_attempts=8, remaining=60.0, is_turn=is_turn)


@pytest.mark.parametrize(
    ("step", "outcome", "counted"),
    [
        pytest.param(CALL, Answer(200, {}), {"requests": 1}, id="an answer"),
        pytest.param(
            CALL,
            Answer(200, {"x-processingunits-spent": "0.65"}),
            {"requests": 1, "processing_units": 0.65},
            id="an answer that cost something",
        ),
        pytest.param(CALL, Answer(429, {}), {"requests": 1, "rate_limited": 1}, id="a 429"),
        pytest.param(CALL, Failure(FailureKind.SILENT), {"requests": 1}, id="no answer"),
        pytest.param(TOKEN_CALL, Answer(200, {}), {"token.requests": 1}, id="a token request"),
        pytest.param(wait(is_turn=False), None, {"retries": 1}, id="a wait after a failure"),
        pytest.param(wait(is_turn=True), None, {}, id="a wait for one's turn"),
    ],
)
def test_each_step_counts_once(step, outcome, counted):
    """Requests, token requests, retries and processing units each have a counter of their own."""
    assert dict(worth_counting(step, outcome)) == counted

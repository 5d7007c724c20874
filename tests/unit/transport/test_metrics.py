"""What of a call goes into the metrics, and under which name."""

from __future__ import annotations

import pytest

from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.transport.answers import Answer
from sentinelhub_provider.transport.rate_limit import Slot
from sentinelhub_provider.transport.steps import Failure, FailureKind, Send, Settle, Wait, measurements

TOKEN = AccessToken("value", expires_at=2_000_000_000.0, lifetime=3600.0)
CALL = Send("GET", "https://sh.example.org/catalog/v1/collections", TOKEN, 60.0)
SETTLED = Settle(Slot(0.0, 0.0), 200, None, None)
TOKEN_CALL = Send("POST", "https://sh.example.org/token", None, 60.0)


def wait(*, is_turn: bool) -> Wait:
    """A wait of a second."""
    return Wait(1.0, "rate limited", attempt=1, max_attempts=8, remaining=60.0, is_turn=is_turn)


@pytest.mark.parametrize(
    ("step", "outcome", "told"),
    [
        pytest.param(CALL, Answer(200, {}), {"requests 2xx": 1, "requests.duration 2xx": 1500}, id="an answer"),
        pytest.param(
            CALL,
            Answer(200, {"x-processingunits-spent": "0.65"}),
            {"requests 2xx": 1, "requests.duration 2xx": 1500, "processing_units": 0.65},
            id="an answer that cost something",
        ),
        pytest.param(
            CALL,
            Answer(429, {}),
            {"requests 429": 1, "requests.duration 429": 1500, "rate_limited": 1},
            id="a 429",
        ),
        pytest.param(CALL, Answer(503, {}), {"requests 5xx": 1, "requests.duration 5xx": 1500}, id="a fault"),
        pytest.param(
            CALL,
            Failure(FailureKind.SILENT),
            {"requests none": 1, "requests.duration none": 1500},
            id="no answer",
        ),
        pytest.param(
            TOKEN_CALL,
            Answer(401, {}),
            {"token.requests 4xx": 1, "token.requests.duration 4xx": 1500},
            id="a token request",
        ),
        pytest.param(wait(is_turn=False), None, {"retries": 1, "waits.duration": 1500}, id="a wait after a failure"),
        pytest.param(wait(is_turn=True), None, {"waits.duration": 1500}, id="a wait for one's turn"),
        pytest.param(SETTLED, 90.0, {"rate_limit.requests_per_minute": 90.0}, id="a pace that was learnt"),
        pytest.param(SETTLED, None, {}, id="an answer that taught nothing"),
    ],
)
def test_each_step_is_measured_once(step, outcome, told):
    """Requests, token requests, retries, waits and processing units each have a metric of their own."""
    found = list(measurements(step, outcome, 1.5))

    assert {" ".join(filter(None, (one.name, one.status))): one.value for one in found} == told
    assert all(one.kind == ("timing" if one.name.endswith("duration") else one.kind) for one in found)

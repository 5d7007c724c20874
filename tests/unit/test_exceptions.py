"""The error tree: what is final, what is carried, what survives the way between processes."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from sentinelhub_provider import exceptions as errors

EXAMPLES = [
    errors.SentinelHubError("m", status=418, code="C", service_message="s", endpoint="GET x", request_id="r"),
    errors.SentinelHubConfigurationError("m", field="login"),
    errors.SentinelHubRequestError("m", field="json", endpoint="GET x"),
    errors.SentinelHubRateLimitError("m", retry_after=2.5, status=429),
    errors.SentinelHubOutputError("m", endpoint="GET x"),
    errors.SentinelHubJobError("m", job_status="FAILED", reason="OUT_OF_PU"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("travel", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy], ids=["pickle", "copy"])
def test_error_survives_pickling_and_copying(error: errors.SentinelHubError, travel):
    """Executors hand errors between processes."""
    arrived = travel(error)

    assert type(arrived) is type(error)
    assert (str(arrived), arrived.args, vars(arrived)) == (str(error), error.args, vars(error))


def test_errors_that_may_pass_are_not_final():
    """A task's retries are for these, and wasted on all others."""
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.SentinelHubError)
    ]

    assert {kind for kind in kinds if not kind.final} == {
        errors.SentinelHubError,
        errors.SentinelHubTransportError,
        errors.SentinelHubRateLimitError,
        errors.SentinelHubServerError,
        errors.SentinelHubResponseError,
    }


@pytest.mark.parametrize(
    ("reason", "final"), [("OUT_OF_PU", False), ("UNHEALTHY", False), ("USER_ACTION", False), (None, True)]
)
def test_a_job_that_can_go_on_may_be_retried(reason: str | None, final: bool):
    """It was stopped for want of processing units or health; who stopped it on purpose means it."""
    assert errors.SentinelHubJobError("m", job_status="STOPPED", reason=reason).final is final


def test_who_raises_the_error_of_a_job_may_know_better():
    """Whether it is final, whatever the reason."""
    assert errors.SentinelHubJobError("m", job_status="STOPPED", reason="OUT_OF_PU", final=True).final
    assert not copy.copy(errors.SentinelHubJobError("m", job_status="STOPPED", final=False)).final


def test_bad_input_is_a_value_error_too():
    """Who knows nothing of this package catches what Python calls it."""
    assert issubclass(errors.SentinelHubConfigurationError, ValueError)
    assert issubclass(errors.SentinelHubRequestError, ValueError)
    assert issubclass(errors.SentinelHubOutputError, OSError)

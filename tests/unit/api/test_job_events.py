"""What a trigger tells its task, and what a task refuses to believe."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentinelhub_provider.api.jobs.events import Outcome, event_of, validated_event
from sentinelhub_provider.api.jobs.job import (
    ASYNC_PROCESS,
    BATCH_PROCESS,
    BATCH_STATISTICS,
    Job,
    JobState,
    UnknownJobStateError,
    gone,
)
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubConfigurationError,
    SentinelHubError,
    SentinelHubJobError,
    SentinelHubResponseError,
)

DONE = Job("j1", BATCH_PROCESS, JobState.DONE, cost=120.0)
FAILED = Job("j1", BATCH_PROCESS, JobState.FAILED, error="no such band", completion=40.0)


def through_json(event: Any) -> Any:
    """Return what the database gives back."""
    return json.loads(json.dumps(event))


def test_event_tells_state_reason_and_cost():
    """For those who read it without this package."""
    stopped = Job("j1", BATCH_PROCESS, JobState.STOPPED, reason="OUT_OF_PU", cost=3.5)

    event = event_of(BATCH_PROCESS, "j1", Outcome.FINISHED, job=stopped)

    assert event.items() >= {
        "kind": "batch-process", "id": "j1", "outcome": "finished", "state": "STOPPED", "reason": "OUT_OF_PU",
        "cost": 3.5,
        "error": None, "error_type": None,
    }.items()  # fmt: skip


def test_job_arrives_as_it_left():
    """And is no problem when it is done."""
    checked = validated_event(
        through_json(event_of(BATCH_PROCESS, "j1", Outcome.FINISHED, job=DONE)), BATCH_PROCESS, "j1"
    )

    assert checked.job == DONE
    assert checked.problem() is None


def test_failed_job_is_the_operators_error():
    """The same that a task raises who saw it itself."""
    event = through_json(event_of(BATCH_PROCESS, "j1", Outcome.FINISHED, job=FAILED))

    problem = validated_event(event, BATCH_PROCESS, "j1").problem()

    assert isinstance(problem, SentinelHubJobError)
    assert "failed at 40 %: no such band" in str(problem)


def test_timeout_says_where_the_job_was_last():
    """Also where it was never seen."""
    running = Job("j1", BATCH_PROCESS, JobState.PROCESSING)

    seen = validated_event(event_of(BATCH_PROCESS, "j1", Outcome.TIMEOUT, job=running), BATCH_PROCESS, "j1").problem()
    never = validated_event(event_of(BATCH_PROCESS, "j1", Outcome.TIMEOUT), BATCH_PROCESS, "j1").problem()

    assert "last seen as PROCESSING" in str(seen)
    assert "never seen" in str(never)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SentinelHubAuthenticationError("wrong secret", status=401), SentinelHubAuthenticationError),
        (SentinelHubConfigurationError("no host", field="host"), SentinelHubConfigurationError),
        (UnknownJobStateError("state EXPLODED"), SentinelHubResponseError),
        (SentinelHubError("the loop broke"), SentinelHubError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_keeps_its_kind(error: SentinelHubError, kind: type[SentinelHubError]):
    """So that retry policies see what they would have seen on the worker."""
    event = through_json(event_of(BATCH_PROCESS, "j1", Outcome.ERROR, error=error))

    problem = validated_event(event, BATCH_PROCESS, "j1").problem()

    assert type(problem) is kind
    assert str(problem) == str(error)
    assert problem.final is error.final
    assert getattr(problem, "field", None) == getattr(error, "field", None)


GOOD = event_of(BATCH_PROCESS, "j1", Outcome.FINISHED, job=DONE)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        pytest.param(None, "nothing", id="none"),
        pytest.param({}, "nothing", id="empty"),
        pytest.param("finished", "a str", id="text"),
        pytest.param(GOOD | {"id": "j2"}, "'j2'", id="other-job"),
        pytest.param(GOOD | {"kind": "batch-statistics"}, "'batch-statistics'", id="other-kind"),
        pytest.param({"status": "success"}, "an event about None", id="foreign"),
        pytest.param(GOOD | {"outcome": "success"}, "outcome 'success'", id="unknown-outcome"),
        pytest.param(GOOD | {"outcome": None}, "outcome None", id="no-outcome"),
        pytest.param(GOOD | {"outcome": ["finished"]}, "outcome \\['finished'\\]", id="odd-outcome"),
        pytest.param(GOOD | {"job": None}, "finished in state None", id="finished-without-job"),
        pytest.param(GOOD | {"job": {"state": "DONE"}}, "cannot be read", id="broken-job"),
        pytest.param(
            GOOD | {"job": (Job("j2", BATCH_PROCESS, JobState.DONE)).to_dict()}, "job j2", id="job-of-another"
        ),
        pytest.param(
            GOOD | {"job": Job("j1", BATCH_PROCESS, JobState.PROCESSING).to_dict()}, "PROCESSING", id="not-finished"
        ),
    ],
)
def test_event_that_cannot_be_trusted_is_refused(event: Any, words: str):
    """A task must not go on as if its job were done."""
    with pytest.raises(SentinelHubResponseError, match=words):
        validated_event(event, BATCH_PROCESS, "j1")


def test_error_about_a_field_that_its_kind_has_not_is_read():
    """Of a triggerer with another version."""
    event = event_of(BATCH_PROCESS, "j1", Outcome.ERROR, error=SentinelHubError("the loop broke"))

    problem = validated_event(event | {"error_field": "host"}, BATCH_PROCESS, "j1").problem()

    assert str(problem) == "the loop broke"


def test_async_job_that_is_gone_is_finished():
    """404 is how it ends."""
    event = event_of(ASYNC_PROCESS, "j1", Outcome.FINISHED, job=gone(ASYNC_PROCESS, "j1"))

    assert validated_event(event, ASYNC_PROCESS, "j1").problem() is None


def test_deleted_batch_job_is_an_error():
    """404 is not how it ends."""
    event = event_of(BATCH_STATISTICS, "j1", Outcome.FINISHED, job=gone(BATCH_STATISTICS, "j1"))

    assert isinstance(validated_event(event, BATCH_STATISTICS, "j1").problem(), SentinelHubJobError)

"""Long waits for a rate limit, which deferrable tasks spend in the triggerer."""

from __future__ import annotations

import time

import pytest
from airflow.sdk import BaseOperator

from sentinelhub_provider.exceptions import SentinelHubRateLimitError
from sentinelhub_provider.operators.base import LONGEST_BLOCKING_WAIT, wait_in_triggerer

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:  # Airflow 3.1
    from airflow.exceptions import TaskDeferred


def limited(retry_after: float | None) -> SentinelHubRateLimitError:
    """An error that asks to wait."""
    return SentinelHubRateLimitError("rate limited", retry_after=retry_after)


def test_a_long_wait_defers_until_it_is_over():
    """The trigger fires when the service takes requests again, and the task goes on where it is told to."""
    operator = BaseOperator(task_id="task")
    waits_until = time.time() + 3600

    with pytest.raises(TaskDeferred) as deferred:
        wait_in_triggerer(operator, limited(300.0), waits_until=waits_until)

    assert deferred.value.method_name == "resume"
    assert deferred.value.kwargs == {"waits_until": waits_until}
    assert deferred.value.trigger.moment.timestamp() == pytest.approx(time.time() + 300.0, abs=5.0)


@pytest.mark.parametrize(
    "retry_after",
    [
        pytest.param(None, id="of unknown length"),
        pytest.param(LONGEST_BLOCKING_WAIT, id="that is short"),
        pytest.param(7200.0, id="beyond what the task may wait in all"),
    ],
)
def test_other_waits_do_not(retry_after):
    """Then the error is the caller's to raise."""
    operator = BaseOperator(task_id="task")

    wait_in_triggerer(operator, limited(retry_after), waits_until=time.time() + 3600)

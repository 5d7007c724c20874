"""Long waits for a rate limit, which deferrable tasks spend in the triggerer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinelhub_provider.exceptions import SentinelHubRateLimitError
from sentinelhub_provider.operators.base import LONGEST_BLOCKING_WAIT, ConnectedOperator, wait_in_triggerer

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:  # Airflow 3.1
    from airflow.exceptions import TaskDeferred


NOW = datetime(2026, 6, 1, tzinfo=UTC)
ENDS = NOW.timestamp() + 3600


def limited(retry_after: float | None) -> SentinelHubRateLimitError:
    """An error that asks to wait."""
    return SentinelHubRateLimitError("rate limited", retry_after=retry_after)


def test_a_long_wait_defers_until_it_is_over():
    """The trigger fires when the service takes requests again, and the task goes on where it is told to."""
    operator = ConnectedOperator(task_id="task", deferrable=True)

    with pytest.raises(TaskDeferred) as deferred:
        wait_in_triggerer(operator, limited(300.0), NOW, ENDS, {"waits_until": ENDS})

    assert deferred.value.method_name == "resume"
    assert deferred.value.kwargs == {"waits_until": ENDS}
    assert deferred.value.trigger.moment == NOW + timedelta(seconds=300)


@pytest.mark.parametrize(
    ("retry_after", "deferrable"),
    [
        pytest.param(None, True, id="of unknown length"),
        pytest.param(LONGEST_BLOCKING_WAIT, True, id="that is short"),
        pytest.param(7200.0, True, id="beyond what the task may wait in all"),
        pytest.param(300.0, False, id="of a task that is not deferrable"),
    ],
)
def test_other_waits_do_not(retry_after, deferrable):
    """Then the error is the caller's to raise."""
    operator = ConnectedOperator(task_id="task", deferrable=deferrable)

    wait_in_triggerer(operator, limited(retry_after), NOW, ENDS, {})

"""What the job trigger is made from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.triggers.job import SentinelHubJobTrigger

GOOD: dict[str, Any] = {"kind": "batch-process", "job_id": "7f1c", "end_time": 1_800_000_000.0}


@pytest.mark.parametrize("kind", ["batch-process", "batch-statistics", "async-process"])
def test_trigger_survives_the_database(kind: str):
    """It is made anew in another process, from JSON."""
    given = GOOD | {"kind": kind, "sentinelhub_conn_id": "mine", "poll_interval": 12, "stop_on_kill": False}
    given["tell_progress"] = True

    path, kwargs = SentinelHubJobTrigger(**given).serialize()
    again = SentinelHubJobTrigger(**json.loads(json.dumps(kwargs)))

    assert path == f"{SentinelHubJobTrigger.__module__}.{SentinelHubJobTrigger.__qualname__}"
    assert kwargs == given
    assert again.serialize() == (path, kwargs)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "batch"),
        ("job_id", ""),
        ("job_id", None),
        ("end_time", None),
        ("end_time", "2026-06-01"),
        ("end_time", float("inf")),
        ("poll_interval", 0),
        ("poll_interval", None),
    ],
)
def test_argument_that_cannot_work_is_refused(field: str, value: Any):
    """Where it is given, not hours later in the triggerer."""
    with pytest.raises(SentinelHubRequestError) as caught:
        SentinelHubJobTrigger(**{**GOOD, field: value})

    assert caught.value.field == field

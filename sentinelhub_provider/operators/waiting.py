"""Waits for a rate limit in the triggerer, where waiting costs no worker slot."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator

from sentinelhub_provider.exceptions import SentinelHubRateLimitError

LONGEST_BLOCKING_WAIT = 60.0
"""Seconds; a deferrable operator spends longer waits in the triggerer. Shorter ones are not worth the way there."""


def wait_in_triggerer(
    operator: BaseOperator,
    error: SentinelHubRateLimitError,
    *,
    waits_until: float,
    method_name: str,
    kept: Mapping[str, Any] | None = None,
) -> None:
    """
    Defer the task until the service takes requests again; return without doing so where the wait is short or too long.

    :param operator: the task.
    :param error: says how long to wait.
    :param waits_until: when waiting ends without success, in seconds since the epoch.
    :param method_name: the operator's method to go on with; called with ``waits_until``, and what is kept.
    :param kept: more of its arguments, as JSON has them.
    :raises TaskDeferred: as Airflow wants it.
    """
    seconds = error.retry_after
    if seconds is None or seconds <= LONGEST_BLOCKING_WAIT:
        return
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    if moment.timestamp() > waits_until:
        return
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger

    operator.log.info("rate limited, waiting in the triggerer until %s", moment.isoformat(timespec="seconds"))
    operator.defer(
        trigger=DateTimeTrigger(moment=moment),
        method_name=method_name,
        kwargs={"waits_until": waits_until, **(kept or {})},
    )

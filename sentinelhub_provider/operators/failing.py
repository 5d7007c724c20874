"""Turns errors that no retry can cure into a failure that Airflow does not retry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sentinelhub_provider.exceptions import SentinelHubError


@contextmanager
def without_vain_retries() -> Iterator[None]:
    """
    Fail the task at once for errors whose repetition is bound to fail; let the others be retried as the task says.

    :raises AirflowFailException: with the error's own message, and the error as its cause.
    """
    try:
        yield
    except SentinelHubError as error:
        if not error.final:
            raise
        from airflow.providers.common.compat.sdk import AirflowFailException

        raise AirflowFailException(str(error)) from error

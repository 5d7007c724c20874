"""How much a task may return."""

from __future__ import annotations

import json
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubRequestError

MAX_XCOM_SIZE = 1024 * 1024
"""Bytes of JSON that a task may return: XCom lives in Airflow's metadata database."""


def check_xcom_size(value: Any, max_xcom_size: int, *, what: str, advice: str, field: str) -> None:
    """
    Refuse a result that is too large for XCom.

    :param max_xcom_size: bytes of JSON.
    :param what: how the message calls the result, such as ``The table``.
    :param advice: what to do instead.
    :param field: the argument that the advice is about.
    :raises SentinelHubRequestError: with both sizes.
    """
    size = len(json.dumps(value, default=str))
    if size > max_xcom_size:
        raise SentinelHubRequestError(
            f"{what} has {size:,} bytes of JSON, more than max_xcom_size={max_xcom_size:,}: XCom lives in Airflow's "
            f"metadata database. {advice}",
            field=field,
        )

"""Careful calls to Airflow: masked secrets, connections and metrics."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sentinelhub_provider.api.endpoints import service_name
from sentinelhub_provider.exceptions import SentinelHubConfigurationError
from sentinelhub_provider.transport.steps import PROCESSING_UNITS, Measurement

_Found = TypeVar("_Found")
_calls = set[asyncio.Future[Any]]()
"""Calls to Airflow that go on. An event loop alone does not keep them."""

_MEMBERS = {"conn_type", "login", "password", "host", "port", "schema", "extra", "description", "conn_id", "uri"}


@contextmanager
def named_if_missing(conn_id: str, *, field: str) -> Iterator[None]:
    """Raise :class:`SentinelHubConfigurationError`, which is final, if there is no such Airflow connection."""
    try:
        yield
    except Exception as error:
        # Airflow has two classes of this name, the SDK's and that of its core.
        if all(kind.__name__ != "AirflowNotFoundException" for kind in type(error).__mro__):
            raise
        fault = _fault_of_variable(f"AIRFLOW_CONN_{conn_id.upper()}")
        said = fault or f"There is no Airflow connection {conn_id!r}. Create it, or correct {field}."
        raise SentinelHubConfigurationError(said, field=field) from error


def _fault_of_variable(name: str) -> str | None:
    """Say why Airflow passes over a connection in an environment variable, without its values, which are secret."""
    text = os.environ.get(name, "").strip()
    if not text.startswith("{"):
        return None
    try:
        members = json.loads(text)
    except ValueError as error:
        return f"The environment variable {name} is not JSON: {error}. Correct it."
    unknown = ", ".join(map(repr, members.keys() - _MEMBERS))
    known = "conn_type, login (client ID), password (client secret), host and extra"
    said = f"has unknown members: {unknown}" if unknown else "holds values that Airflow does not take"
    return f"The environment variable {name} {said}. A connection in JSON has the members {known}."


def mask(secret: str) -> None:
    """Tell Airflow to replace ``secret`` by ``***`` wherever this task logs or renders it."""
    from airflow.sdk.log import mask_secret

    mask_secret(secret)


async def ask_airflow(act: Callable[..., _Found], *arguments: Any) -> _Found:
    """Call a blocking part of Airflow's SDK from an event loop.

    Only a thread of asgiref works. From others, Airflow 3.1's triggerer cannot reach its own loop and breaks down. It
    also breaks down if nobody reads an answer. So the call goes on if its caller is cancelled or has no more time.
    """
    from asgiref.sync import sync_to_async

    call = asyncio.ensure_future(sync_to_async(act)(*arguments))
    _calls.add(call)
    call.add_done_callback(_forget)
    return await asyncio.shield(call)


def _forget(call: asyncio.Future[Any]) -> None:
    _calls.discard(call)
    if not call.cancelled():
        call.exception()  # nobody may be left to see it


async def amask(secret: str) -> None:
    """Do the same as :func:`mask` on an event loop."""
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:  # before 3.3 there is only the blocking one
        await ask_airflow(mask, secret)
    else:
        await amask_secret(secret)


class Meter:
    """Writes the calls of one hook to Airflow's metrics (``sentinelhub.requests`` and so on). Threads share it.

    The tags are the connection, the API, the class of the status, and the window of a budget, which counts for all
    APIs.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._lock = threading.Lock()
        self.spent: float | None = None
        """PU that all answers so far name as their cost, with those of failed calls. ``None`` if none named a cost."""

    def __call__(self, measured: Measurement, url: str = "") -> None:
        """Write the metric ``sentinelhub.<name>`` for a call to a URL or path."""
        from airflow.providers.common.compat.sdk import Stats

        if measured.name == PROCESSING_UNITS:
            with self._lock:
                self.spent = (self.spent or 0.0) + measured.value
        api = "token" if measured.name.startswith("token.") else service_name(url) or "other"
        tags = {"conn_id": self._conn_id, **({"api": api} if measured.window is None else {"window": measured.window})}
        if measured.status is not None:
            tags["status"] = measured.status
        getattr(Stats, measured.kind)(f"sentinelhub.{measured.name}", measured.value, tags=tags)

    def spend(self, units: float, url: str) -> None:
        """Count PU that the answers do not name, such as the cost of a job at a path."""
        self(Measurement(PROCESSING_UNITS, units), url)

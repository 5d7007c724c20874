"""The expected cost of a call, from its JSON, for the budget that reserves it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from sentinelhub_provider.api.endpoints import path_within, service_name
from sentinelhub_provider.api.values import read_structure
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.transport.budget import Cost

_STARTS = re.compile(r"(?:/process)?/([^/]+)/start")  # this call pays for a job of Batch Process or Batch Statistics


def expected_cost(
    method: str, url: str, body: Any, *, samples: float = 1, deployment: str | None = None
) -> Cost | None:
    """Return the cost that budgets count for a request, ``None`` if it is free.

    A search of the Catalog costs at most one PU. It is counted and never refused, because sensors wait by it.
    :param samples: the same.
    """
    from sentinelhub_provider.api.processing_units import INGESTION, MINIMUM, Service

    service, path = service_name(url), path_within(url)
    if service not in (None, "process", "statistical") and method in ("GET", "HEAD", "OPTIONS"):
        return None
    match service:
        case None | "process" | "statistical":
            return Cost(expected_units(url, body, samples=samples, deployment=deployment))
        case "async-process":
            units = expected_units(url, body, samples=samples, deployment=deployment)
            return Cost(MINIMUM[Service.ASYNC] if units is None else units)
        case "catalog" if path == "/search":
            return Cost(expected_units(url, body), may_be_refused=False)
        case "byoc" | "zarr":
            return Cost(INGESTION)
        case "batch" | "batch-statistical" if found := _STARTS.fullmatch(path):
            return Cost(MINIMUM[Service.BATCH], job=unquote(found[1]))  # the least that either kind of job costs
    return None


def expected_units(url: str, body: Any, *, samples: float = 1, deployment: str | None = None) -> float | None:
    """Return the estimated PU of a Process, Statistical, Async Process or Catalog request, ``None`` if it is not known.

    :param body: JSON as an object, text, bytes or an open file, whose position stays the same.
    :param samples: data samples per pixel, for an evalscript with mosaicking ``ORBIT`` or ``TILE``.
    """
    from sentinelhub_provider.api.catalog import SearchRequest
    from sentinelhub_provider.api.process import read_process_request
    from sentinelhub_provider.api.processing_units import Service
    from sentinelhub_provider.api.statistical.request import read_statistical_request

    named: Any = {"deployment": deployment}
    anywhere: Any = {"max_side": None, "is_script_elsewhere": True, **named}
    estimates: dict[str | None, Any] = {
        "process": lambda body: read_process_request(body, **named).estimate(samples=samples),
        "statistical": lambda body: read_statistical_request(body, **named).estimate(samples=samples),
        "async-process": lambda body: read_process_request(body, **anywhere).estimate(
            samples=samples, service=Service.ASYNC
        ),
        "catalog": lambda body: SearchRequest(body).estimate() if isinstance(body, dict) else None,
    }
    estimate_of = estimates.get(service_name(url))
    if estimate_of is None or body is None:
        return None
    try:
        body = _unread(body)
        body = read_structure(body.decode() if isinstance(body, bytes) else body, "json")
        estimate = estimate_of(body)
    except (SentinelHubRequestError, UnicodeError):
        return None  # the service reports the fault of the request
    return None if estimate is None else float(estimate.processing_units)


def _unread(body: Any) -> Any:
    """Return the content of a body without moving the position of a file."""
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    if not (hasattr(body, "read") and hasattr(body, "seek")):
        return body
    start = body.tell()
    try:
        return body.read()
    finally:
        body.seek(start)

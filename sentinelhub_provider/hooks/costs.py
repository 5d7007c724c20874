"""What a call is going to cost, as far as its JSON says, for the budget that it is set aside from."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from sentinelhub_provider.api.endpoints import path_within, service_name
from sentinelhub_provider.api.values import read_structure
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.transport.budget import Cost

_STARTS = re.compile(r"(?:/process)?/([^/]+)/start")  # a job of Batch Process or Batch Statistics is paid for by that


def expected_cost(
    method: str, url: str, body: Any, *, samples: float = 1, deployment: str | None = None
) -> Cost | None:
    """Return what budgets count of a request, ``None`` for one that costs nothing.

    A search of the Catalog, for at most one PU, is counted and never refused: it is how sensors wait.

    :param body: see :func:`expected_units`.
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
            return Cost(MINIMUM[Service.BATCH], job=unquote(found[1]))  # at least, and the same for both
    return None


def expected_units(url: str, body: Any, *, samples: float = 1, deployment: str | None = None) -> float | None:
    """Return the PU of a Process, Statistical, Async Process or Catalog request by estimate, where it says.

    :param body: JSON as an object, text, bytes or an open file, which is left where it stands.
    :param samples: data samples to a pixel, where the evalscript's mosaicking is ``ORBIT`` or ``TILE``.
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
        return None  # what is wrong with it, the service will say
    return None if estimate is None else float(estimate.processing_units)


def _unread(body: Any) -> Any:
    """Return what a body says, without moving a file that is going to be sent."""
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    if not (hasattr(body, "read") and hasattr(body, "seek")):
        return body
    start = body.tell()
    try:
        return body.read()
    finally:
        body.seek(start)

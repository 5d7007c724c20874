"""What a call is going to cost, as far as its JSON says, for the budget that it is set aside from."""

from __future__ import annotations

from typing import Any

from sentinelhub_provider.api.endpoints import service_name
from sentinelhub_provider.api.values import read_structure
from sentinelhub_provider.exceptions import SentinelHubRequestError


def expected_units(url: str, body: Any, *, samples: float = 1, deployment: str | None = None) -> float | None:
    """Return the PU of a Process or Statistical request by estimate, ``None`` where it does not say.

    :param body: JSON as an object, text, bytes or an open file, which is left where it stands.
    :param samples: data samples to a pixel, where the evalscript's mosaicking is ``ORBIT`` or ``TILE``.
    """
    from sentinelhub_provider.api.process import read_process_request
    from sentinelhub_provider.api.statistical.request import read_statistical_request

    readers = {"process": read_process_request, "statistical": read_statistical_request}
    reader: Any = readers.get(service_name(url) or "")
    if reader is None or body is None:
        return None
    try:
        body = _unread(body)
        body = read_structure(body.decode() if isinstance(body, bytes) else body, "json")
        estimate = reader(body, deployment=deployment).estimate(samples=samples)
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

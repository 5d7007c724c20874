"""The one error that the sandbox's APIs raise, and the shapes in which Sentinel Hub writes errors on the wire.

Sentinel Hub has three shapes. REST services answer ``{"error": {status, reason, message, code, errors?}}``. The Catalog
answers ``{code, description}`` (an OGC exception). A broken rate limit is the REST object *without* its wrapper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

UNAUTHORIZED_MESSAGE = (
    "You are not authorized! Please provide a valid access token within the header "
    "[Authorization: Bearer <accessToken>] of your request."
)
FORBIDDEN_MESSAGE = "You are not authorized to perform this action."
EMPTY_ACCOUNT_MESSAGE = "Insufficient processing units or requests available in your account."
RATE_LIMIT_MESSAGE = "You have exceeded your rate limit"


class ApiError(Exception):
    """A request that Sentinel Hub refuses.

    ``status`` is the HTTP status. ``code`` is one of Sentinel Hub's error codes (``COMMON_BAD_PAYLOAD``, ...).
    ``reason`` is the status phrase. ``None`` derives it from ``status``. ``errors`` has details, either an object of
    fields and messages or a list. ``headers`` are added to the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        reason: str | None = None,
        errors: Mapping[str, Any] | Sequence[Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.reason = reason if reason is not None else reason_phrase(status)
        self.errors = errors
        self.headers = dict(headers or {})


def reason_phrase(status: int) -> str:
    """Return the standard phrase of an HTTP status (``"Bad Request"``), or ``"Unknown"`` for one that has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def rest_body(error: ApiError) -> dict[str, Any]:
    """Shape an error as the REST services do. A rate limit error has no ``error`` wrapper."""
    boom: dict[str, Any] = {
        "status": error.status,
        "reason": error.reason,
        "message": error.message,
        "code": error.code,
    }
    if error.errors is not None:
        boom["errors"] = error.errors
    return boom if error.status == HTTPStatus.TOO_MANY_REQUESTS else {"error": boom}


def catalog_body(error: ApiError) -> dict[str, Any]:
    """Shape an error as the Catalog does. 401 and 429 come from the gateway in front of it, in the REST shape."""
    if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS):
        return rest_body(error)
    # The service sends some errors with a number where the API description has a word.
    return {"code": int(error.code) if error.code.isdecimal() else error.code, "description": error.message}


def unauthorized() -> ApiError:
    """Return the 401 for a missing, foreign, expired or revoked token. Sentinel Hub does not tell them apart."""
    return ApiError(401, "COMMON_UNAUTHORIZED", UNAUTHORIZED_MESSAGE)


def forbidden() -> ApiError:
    """Return the 403 for a client that may not use an API."""
    return ApiError(403, "COMMON_INSUFFICIENT_PERMISSIONS", FORBIDDEN_MESSAGE)


def empty_account() -> ApiError:
    """Return the 403 for an account that has spent its processing units or requests."""
    return ApiError(403, "ACCESS_INSUFFICIENT_PROCESSING_UNITS", EMPTY_ACCOUNT_MESSAGE)


def rate_limited(wait: float) -> ApiError:
    """Return the 429 for a broken rate limit.

    ``wait`` is in seconds. ``Retry-After`` carries MILLISECONDS, as Sentinel Hub documents (unlike RFC 9110).
    """
    milliseconds = max(1, -int(-wait * 1000 // 1))
    return ApiError(429, "RATE_LIMIT_EXCEEDED", RATE_LIMIT_MESSAGE, headers={"Retry-After": str(milliseconds)})


def invalid(parameter: str, violation: str, value: Any = None) -> ApiError:
    """Return the 400 for a field. ``parameter`` is its path in the service's form, such as ``input->bounds->bbox``."""
    problem: dict[str, Any] = {"parameter": parameter}
    if value is not None:
        problem["invalidValue"] = value
    problem["violation"] = violation
    return ApiError(400, "COMMON_BAD_PAYLOAD", f"{parameter}: {violation}", errors=[problem])

"""Reads an answer: which error it is, and whether a 200 is a real success.

Sentinel Hub reports errors in several shapes: an object under ``error``, the same object bare (429), OGC's ``code`` and
``description`` (Catalog), OAuth2's ``error`` string, and an OGC ServiceException in XML.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

from sentinelhub_provider.exceptions import (
    SentinelHubBadRequestError,
    SentinelHubError,
    SentinelHubNotFoundError,
    SentinelHubPermissionError,
    SentinelHubQuotaExceededError,
    SentinelHubRateLimitError,
    SentinelHubResponseError,
    SentinelHubServerError,
)
from sentinelhub_provider.oauth.token import json_object

# Bytes of a body that are read for a verdict. They hold every error document and the magic number of any file.
EXCERPT_SIZE = 16 * 1024
UNITS_HEADER = "x-processingunits-spent"  # header field with the cost of a request
QUOTA_CODE = "ACCESS_INSUFFICIENT_PROCESSING_UNITS"
# A 429 that waiting cannot help. This one request costs more than the account may ever spend at once.
OVER_CAPACITY_CODE = "RATE_LIMIT_TOKEN_COUNT_EXCEEDS_CAPACITY"

# Codes of a refusal under any status.
_REFUSING_CODES = re.compile(
    "COMMON_(BAD_PAYLOAD|INSUFFICIENT_PERMISSIONS|METHOD_NOT_ALLOWED|NOT_FOUND|SENTINEL_ACCOUNT_EXPIRED"
    "|UNIQUE_KEY_VIOLATION|UNSUPPORTED_MEDIA_TYPE)|RENDERER_S1_MISSING_POLARIZATION"
)

# Words of a 500 about the request, its script, or unreadable data such as a corrupt tile or a missing band. openEO's
# client repeats neither ``IllegalArgumentException`` nor ``Illegal request to ... HTTP Status: 404``.
_HOPELESS = re.compile(
    r"\b(type|reference|syntax|range)error\b|failed to evaluate script|script must|is not (a function|defined)"
    r"|(illegalargument|unsupportedoperation|numberformat|dateparse|datetimeparse|classcast|outofbounds)exception"
    r"|illegal (request|collection|argument)|\b(invalid|malformed|unsupported)\b|http status: '?40[34]"
    r"|\bnot (supported|allowed|valid|present|found)\b|\bmust (be|have|not)\b|exceeds? the (limit|maximum)"
    r"|cannot parse",
    re.IGNORECASE,
)

# Words of a 500 that may pass in spite of the words above.
_PASSING = re.compile(
    r"\b(429|50[0234])\b|time.?out|timed out|unavailable|overload|too many|try again|temporar|service failure"
    r"|connection|upstream|gateway|interrupted",
    re.IGNORECASE,
)

_MESSAGE_SIZE = 2000
_REQUEST_ID_HEADERS = ("x-request-id", "x-correlation-id", "x-amzn-requestid", "x-amzn-trace-id")
_MAGIC: Mapping[str, tuple[bytes, ...]] = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/tiff": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. ``excerpt`` holds the first :data:`EXCERPT_SIZE` bytes of the body. ``size`` counts all bytes."""

    status: int
    headers: Mapping[str, str]
    excerpt: bytes = b""
    size: int = 0

    def header(self, name: str) -> str | None:
        """Return a header field by its name in any case, ``None`` if it is absent."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)

    @property
    def content_type(self) -> str:
        """Media type in lower case without parameters, empty if the answer names none."""
        return media_type(self.header("content-type"))

    @property
    def processing_units(self) -> float | None:
        """Cost of this request in processing units (PU), ``None`` if the service does not name it."""
        return spent_units(self.header(UNITS_HEADER))


def spent_units(value: str | None) -> float | None:
    """Read :data:`UNITS_HEADER` in processing units (PU), ``None`` if it is absent or not a finite number from 0."""
    try:
        units = float(value or "")
    except ValueError:
        return None
    return units if 0 <= units < math.inf else None


def media_type(content_type: str | None) -> str:
    """Return the media type in lower case without parameters, empty if there is none."""
    return (content_type or "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class ServiceMessage:
    """Code and words of an error document, ``None`` for a missing one."""

    code: str | None = None
    message: str | None = None


def read_error_document(excerpt: bytes) -> ServiceMessage:
    """Read an error document in any of the service's shapes. Other text is quoted in short."""
    text = excerpt.decode("utf-8", errors="replace").strip()
    if not text:
        return ServiceMessage()
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _from_markup(text)
    return _from_json(document)


def _from_json(document: Any) -> ServiceMessage:
    if not isinstance(document, dict):
        return ServiceMessage(message=_short(document))
    error = document.get("error")
    if isinstance(error, dict):
        document = error
    elif isinstance(error, str):  # OAuth2, RFC 6749 section 5.2
        return ServiceMessage(code=error[:80], message=_short(document.get("error_description")))
    code = document.get("code")
    words = [document.get("message") or document.get("description") or document.get("reason")]
    violations = document.get("errors")
    if isinstance(violations, list):
        told = map(_violation, violations[:5])
        words += [one for one in told if one.strip("[]") not in str(words[0])]
    elif isinstance(violations, dict):
        words += [f"[{name}: {problem}]" for name, problem in list(violations.items())[:5]]
    return ServiceMessage(
        code=str(code)[:80] if code is not None else None, message=_short(" ".join(str(word) for word in words if word))
    )


def _violation(violation: Any) -> str:
    """Describe one entry of ``errors``, which names the wrong parameter."""
    if not isinstance(violation, dict):
        return str(violation)
    parameter = violation.get("parameter")
    problem = violation.get("violation") or violation.get("description") or violation.get("message")
    return f"[{parameter}: {problem}]" if parameter else f"[{problem}]"


def _from_markup(text: str) -> ServiceMessage:
    exception = re.search(
        r"<ServiceException\b(?:\s+code=\"(?P<code>[^\"]*)\")?[^>]*>(?P<text>.*?)</ServiceException>", text, re.DOTALL
    )
    if exception:
        words = re.sub(r"<!\[CDATA\[|\]\]>", "", exception["text"])
        return ServiceMessage(code=exception["code"], message=_short(unescape(words)))
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.DOTALL | re.IGNORECASE)
    return ServiceMessage(message=_short(unescape(title[1]) if title else text[:200]))


def _short(words: object) -> str | None:
    text = " ".join(str(words or "").split())
    return text[:_MESSAGE_SIZE] + "..." * (len(text) > _MESSAGE_SIZE) or None


def error_from(
    answer: Answer, *, endpoint: str, has_body: bool = False, retry_after: float | None = None, note: str = ""
) -> SentinelHubError:
    """Return the error for an answer with a status of 400 or above.

    :param endpoint: method and URL, for the message.
    :param has_body: whether a body was sent. If the service says that it got none, the body was lost on the way.
    :param retry_after: seconds that the service asked to wait.
    :param note: a text for the end of the message of an error that may pass.
    """
    said = read_error_document(answer.excerpt)
    service = f": {said.message.rstrip('. ')}" if said.message else ""
    code = f" {said.code}" if said.code and said.code != str(answer.status) else ""  # the Catalog repeats the status
    request_id = next((value for name in _REQUEST_ID_HEADERS if (value := answer.header(name))), None)
    trace = f" (request id {request_id})" if request_id else ""
    was_lost = has_body and answer.status == 400 and "body should be non-empty" in (said.message or "").lower()
    kind, advice = _ADVICE[408] if was_lost else _kind_and_advice(answer.status, said)
    about: dict[str, Any] = {"retry_after": retry_after} if kind is SentinelHubRateLimitError else {}
    return kind(
        f"{endpoint} answered {answer.status}{code}{service}{trace}. {advice}{'' if kind.final else note}",
        status=answer.status,
        code=said.code,
        service_message=said.message,
        endpoint=endpoint,
        request_id=request_id,
        **about,
    )


def _kind_and_advice(status: int, said: ServiceMessage) -> tuple[type[SentinelHubError], str]:
    words = (said.message or "").lower()
    if status == 403 and (said.code == QUOTA_CODE or "insufficient processing units" in words):
        return SentinelHubQuotaExceededError, (
            "The account has no processing units or requests left in this period. See its usage in the dashboard. "
            "Wait for the next period or buy more."
        )
    if status == 429 and said.code == OVER_CAPACITY_CODE:
        return SentinelHubBadRequestError, (
            "This single request costs more processing units than the account may spend per minute. Make it smaller."
        )
    if status == 500 and _cannot_pass(said):
        return SentinelHubBadRequestError, (
            "The same request will fail again. Change it, or leave out the scenes that the service cannot read."
        )
    if status >= 500:
        return SentinelHubServerError, "The service failed. If it goes on, look at its status page or ask its support."
    return _ADVICE.get(
        status, (SentinelHubBadRequestError, "Change the request. Repeating it as it is will fail again.")
    )


_NOT_ALLOWED = "The client is known, but its account may not do this. Check its plan and the owner of what you ask for."
_NOT_RECEIVED = "The service did not receive the whole request. If it goes on, look at its status page."
_ADVICE: Mapping[int, tuple[type[SentinelHubError], str]] = {
    401: (SentinelHubPermissionError, _NOT_ALLOWED),  # from an API that refuses a new token
    403: (SentinelHubPermissionError, _NOT_ALLOWED),
    404: (
        SentinelHubNotFoundError,
        "Check the path and the ID or collection in it, and that the connection names the right deployment.",
    ),
    408: (SentinelHubServerError, _NOT_RECEIVED),
    425: (SentinelHubServerError, _NOT_RECEIVED),
    429: (
        SentinelHubRateLimitError,
        (
            "The account's rate limit held until the deadline. Allow a later deadline, run fewer tasks at once "
            "(an Airflow pool), or set the connection's requests_per_minute."
        ),
    ),
}


def _cannot_pass(said: ServiceMessage) -> bool:
    """Tell whether a 500 is about a fault of the request, its script or the data, which a repetition meets again."""
    words = said.message or ""
    is_hopeless = bool(_HOPELESS.search(words)) and not _PASSING.search(words)
    return is_hopeless or bool(_REFUSING_CODES.fullmatch(said.code or ""))


def problem_with_success(answer: Answer, *, method: str, accept: str | None, reads: bool = True) -> str | None:
    """Return the fault of an answer with a status below 300, ``None`` if it has none.

    :param accept: the media type that was asked for, if any.
    :param reads: whether the call asks for data. An empty 200 is then a fault.
    """
    if method.upper() == "HEAD" or answer.status == 204:
        return None
    if answer.size == 0:
        # 201 and 202 may be empty, because the header field Location names the result.
        return "an empty body" if answer.status == 200 and (reads or accept) else None
    content_type = answer.content_type
    wanted = [media_type(part) for part in (accept or "").split(",")]
    if content_type == "text/html" and "text/html" not in wanted:
        return "an HTML page"
    if content_type in _MAGIC and not answer.excerpt.startswith(_MAGIC[content_type]):
        return f"a body that does not match its content type {content_type}"
    if content_type in ("application/json", "application/geo+json", "") and (said := _error_in_disguise(answer)):
        return f"an error under status {answer.status} ({said})"
    if wanted and all(part.startswith("image/") for part in wanted) and not content_type.startswith("image/"):
        return f"{content_type or 'no content type'} instead of {accept}"
    return None


def _error_in_disguise(answer: Answer) -> str | None:
    """Find an error document under a 2xx, which is an object with ``error`` as its only member."""
    if answer.size > EXCERPT_SIZE or not answer.excerpt.lstrip().startswith(b"{"):
        return None
    document = json_object(answer.excerpt)
    error = document.get("error") if len(document) == 1 else None
    if not isinstance(error, dict) or not {"status", "code", "message"} & error.keys():
        return None
    said = _from_json(document)
    return " ".join(part for part in (said.code, said.message) if part)


def bad_answer(answer: Answer, problem: str, *, endpoint: str) -> SentinelHubResponseError:
    """Return the error for a success with a fault."""
    return SentinelHubResponseError(
        f"{endpoint} answered {answer.status} with {problem}. "
        "Nothing of it was kept. Check the connection's base URL and that no proxy answers in the service's place.",
        status=answer.status,
        endpoint=endpoint,
    )

"""The errors of Sentinel Hub calls, as a tree for callers to catch and retry policies to match.

Every message says what happened and what to do next. None of them holds a token or a secret.
"""

from __future__ import annotations

import re
from typing import Any

_RESTARTABLE = frozenset({"USER_ACTION", "OUT_OF_PU", "UNHEALTHY"})
"""Reasons for which a job was stopped and can go on from where it was."""


class SentinelHubError(Exception):
    """Root of all errors of this package.

    :param message: what happened and what you can do about it.
    :param status: HTTP status of the answer, ``None`` if there was no answer.
    :param code: Sentinel Hub's own error code, such as ``COMMON_BAD_PAYLOAD``, or OAuth2's, such as ``invalid_client``.
    :param service_message: the service's own words.
    :param endpoint: method and URL without query, such as ``POST https://services.sentinel-hub.com/process/v1``.
    :param request_id: the ID under which the service logged the request, if it sent one.
    """

    final: bool = False
    """Whether the same call is bound to fail again. Retries of a task cannot help then."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        service_message: str | None = None,
        endpoint: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.service_message = status, code, service_message
        self.endpoint, self.request_id = endpoint, request_id

    @property
    def about(self) -> dict[str, Any]:
        """The attributes that every error has, as arguments for another one."""
        return {name: getattr(self, name) for name in ("status", "code", "service_message", "endpoint", "request_id")}

    def __reduce__(self) -> tuple[Any, ...]:
        # Executors pass errors between processes. The arguments that a subclass requires are among its attributes.
        return _revived, (type(self), str(self), self.__dict__)


def _revived(kind: type[SentinelHubError], message: str, attributes: dict[str, Any]) -> SentinelHubError:
    """Restore an error from pickle or copy."""
    error = kind.__new__(kind)
    BaseException.__init__(error, message)
    error.__dict__.update(attributes)
    return error


class _FinalError(SentinelHubError):
    """An error that the same call would meet again."""

    final = True


class _FieldError(_FinalError, ValueError):
    """An error of your input. ``field`` names what you must change. It defaults to the message's first word."""

    def __init__(self, message: str, *, field: str | None = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.field = field or re.split(r"\W", message, maxsplit=1)[0]


class SentinelHubConfigurationError(_FieldError):
    """The connection cannot work. ``field`` names the field of the form that you must change."""


class SentinelHubRequestError(_FieldError):
    """The request cannot work and was not sent. ``field`` names the argument that you must change."""


class SentinelHubTransportError(SentinelHubError):
    """No complete answer arrived. The host is unreachable, TLS failed, time ran out, or the connection broke.

    :param was_sent: whether the service had the request, or a part of it, when that happened.
    """

    def __init__(self, message: str, *, was_sent: bool = False, **about: Any) -> None:
        super().__init__(message, **about)
        self.was_sent = was_sent


class SentinelHubAuthenticationError(_FinalError):
    """The token endpoint refused the client, or the API refused two tokens in a row."""


class SentinelHubPermissionError(_FinalError):
    """The client is known, but its account may not do this (403)."""


class SentinelHubQuotaExceededError(_FinalError):
    """The account has no processing units or requests left in its period (403). Waiting seconds does not help."""


class SentinelHubRateLimitError(SentinelHubError):
    """The service answered 429 until the deadline.

    :param retry_after: seconds that the service last asked to wait, ``None`` if it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.retry_after = retry_after


class SentinelHubBadRequestError(_FinalError):
    """The service refuses this request (400, other 4xx, or a 500 whose words say so). Change the request."""


class SentinelHubNotFoundError(_FinalError):
    """The address does not exist (404)."""


class SentinelHubServerError(SentinelHubError):
    """The service failed (5xx) or did not accept the request (408, 425) until the deadline."""


class SentinelHubResponseError(SentinelHubError):
    """The answer is unusable, such as HTML instead of data, an empty body, an error under a 200, or a redirect."""


class SentinelHubOutputError(SentinelHubError, OSError):
    """The answer cannot be stored at the given path.

    The error is final if the bucket does not exist or the permission is missing. It is not final if the storage does
    not answer now.
    """

    final = True

    def __init__(self, message: str, *, final: bool = True, **about: Any) -> None:
        super().__init__(message, **about)
        self.final = final


class SentinelHubJobError(SentinelHubError):
    """A remote job failed or was stopped.

    :param job_status: the job's last state, such as ``FAILED``.
    :param reason: the service's reason, such as ``OUT_OF_PU``.
    :param final: whether a retry cannot help. By default it helps only a job that goes on from where it stopped.
    """

    final = True

    def __init__(
        self, message: str, *, job_status: str, reason: str | None = None, final: bool | None = None, **about: Any
    ) -> None:
        super().__init__(message, **about)
        self.job_status = job_status
        self.reason = reason
        self.final = reason not in _RESTARTABLE if final is None else final


class SentinelHubBudgetError(_FinalError):
    """The call would cost more processing units than allowed. It was not sent."""

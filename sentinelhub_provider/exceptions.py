"""What can go wrong with a Sentinel Hub call, as a tree that callers catch and retry policies match.

Every message says what happened and what to do next. None of them holds a token or a secret.
"""

from __future__ import annotations

import re
from typing import Any

_RESTARTABLE = frozenset({"USER_ACTION", "OUT_OF_PU", "UNHEALTHY"})
"""Reasons that a job was stopped for, from which it goes on where it was."""


class SentinelHubError(Exception):
    """Root of all errors of this package.

    :param message: what happened and what to do about it, for a person.
    :param status: HTTP status of the answer, ``None`` when there was none.
    :param code: Sentinel Hub's own error code, such as ``COMMON_BAD_PAYLOAD``, or OAuth2's, such as ``invalid_client``.
    :param service_message: the service's own words.
    :param endpoint: method and URL without query, such as ``POST https://services.sentinel-hub.com/process/v1``.
    :param request_id: the id under which the service logged the request, where it sent one.
    """

    final: bool = False
    """Whether the same call is bound to fail again, so that a task's retries would be wasted on it."""

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
        """The attributes that every error has, to make another one of."""
        return {name: getattr(self, name) for name in ("status", "code", "service_message", "endpoint", "request_id")}

    def __reduce__(self) -> tuple[Any, ...]:
        # Executors hand errors between processes; the arguments that a subclass insists on are among its attributes.
        return _revived, (type(self), str(self), self.__dict__)


def _revived(kind: type[SentinelHubError], message: str, attributes: dict[str, Any]) -> SentinelHubError:
    """Make an error anew from what pickle or copy kept of it."""
    error = kind.__new__(kind)
    BaseException.__init__(error, message)
    error.__dict__.update(attributes)
    return error


class _FinalError(SentinelHubError):
    """An error that the same call would meet again."""

    final = True


class _FieldError(_FinalError, ValueError):
    """An error of what the user gave; ``field`` names what must be changed, by default the message's first word."""

    def __init__(self, message: str, *, field: str | None = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.field = field or re.split(r"\W", message, maxsplit=1)[0]


class SentinelHubConfigurationError(_FieldError):
    """A connection that cannot work; ``field`` is the name of the form's field that must be changed."""


class SentinelHubRequestError(_FieldError):
    """A request that cannot work, found before anything was sent; ``field`` is the argument that must be changed."""


class SentinelHubTransportError(SentinelHubError):
    """No whole answer arrived: host unreachable, TLS failure, time-out, or a connection that broke.

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
    """The account has no processing units or requests left in its period (403): waiting seconds does not help."""


class SentinelHubRateLimitError(SentinelHubError):
    """The service answered 429 for as long as the deadline allowed.

    :param retry_after: seconds that the service last asked to wait, ``None`` where it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.retry_after = retry_after


class SentinelHubBadRequestError(_FinalError):
    """The service refuses the request as it is (400, other 4xx, or a 500 whose words say so): change it."""


class SentinelHubNotFoundError(_FinalError):
    """Nothing lives at this address (404)."""


class SentinelHubServerError(SentinelHubError):
    """The service failed (5xx), or did not take the request in (408, 425), for as long as the deadline allowed."""


class SentinelHubResponseError(SentinelHubError):
    """An unusable answer: HTML instead of data, an empty body, an error under a 200, a redirect elsewhere."""


class SentinelHubOutputError(SentinelHubError, OSError):
    """The answer cannot be stored at the path that was given.

    It is not final where the storage does not answer for now; it is where there is no such bucket or no permission.
    """

    final = True

    def __init__(self, message: str, *, final: bool = True, **about: Any) -> None:
        super().__init__(message, **about)
        self.final = final


class SentinelHubJobError(SentinelHubError):
    """A remote job ended otherwise than well.

    :param job_status: the job's last state, such as ``FAILED``.
    :param reason: the service's reason, such as ``OUT_OF_PU``.
    :param final: whether a retry cannot help; by default it can only for a job that goes on from where it stopped.
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
    """The call would cost more processing units than it was allowed to; nothing was sent."""

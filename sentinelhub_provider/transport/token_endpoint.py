"""Fetches a token: sends the request, repeats it, and turns the endpoint's errors into those of the connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sentinelhub_provider.connection import ConnectionSettings
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubConfigurationError,
    SentinelHubError,
    SentinelHubRateLimitError,
    SentinelHubResponseError,
    SentinelHubServerError,
)
from sentinelhub_provider.oauth.client_credentials import (
    INVALID_SCOPE,
    ClientCredentials,
    is_refused_client,
    parse_token_answer,
    token_request,
)
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.transport.policy import Call

# Seconds that the token endpoint may stay silent. It is fast when it works, and another try must fit in.
TOKEN_READ_TIMEOUT = 15.0


def credentials_of(settings: ConnectionSettings) -> ClientCredentials:
    """Return the OAuth2 client that a connection describes."""
    client = (settings.auth_url, settings.client_id, settings.client_secret)
    return ClientCredentials(*client, settings.client_auth.value, settings.scope)


def fetch_token(
    settings: ConnectionSettings, call: Callable[..., Any], *, timeout: float, wall_clock: Callable[[], float]
) -> AccessToken:
    """Ask a connection's token endpoint for a token. ``call`` makes one call, as ``SentinelHubSession.call`` does.

    :raises SentinelHubAuthenticationError: if the endpoint refuses the client ID or the secret.
    :raises SentinelHubConfigurationError: if it refuses the scope.
    :raises SentinelHubError: for all other faults, which may pass.
    """
    request = token_request(credentials_of(settings))
    token_call = Call(
        method="POST",
        url=settings.auth_url,
        trusted=None,
        read_timeout=TOKEN_READ_TIMEOUT,
        deadline=timeout,
        spends=False,
        may_pass=_may_pass,
    )
    sent_at = wall_clock()
    try:
        response, _ = call(token_call, data=request.body, headers=dict(request.headers))
        return parse_token_answer(response.content, auth_url=settings.auth_url, now=sent_at)
    except SentinelHubError as error:
        raise _in_terms_of_the_connection(error, settings) from error.__cause__


def _may_pass(error: SentinelHubError) -> bool:
    """Tell whether a 4xx is worth another try, such as a gateway's page or a misread request."""
    return not is_refused_client(error.code, error.service_message) and error.code != INVALID_SCOPE


def _in_terms_of_the_connection(error: SentinelHubError, settings: ConnectionSettings) -> SentinelHubError:
    where = f"The token endpoint {settings.auth_url}"
    said = f"{error.code or ''}{f' ({error.service_message})' if error.service_message else ''}".strip()
    if isinstance(error, SentinelHubRateLimitError):
        return SentinelHubRateLimitError(
            f"{where} answered 429: too many logins. Let processes share their token by the connection's auth_cache "
            "(file on one host, redis:// for several) instead of asking for one each.",
            retry_after=error.retry_after,
            **error.about,
        )
    if is_refused_client(error.code, error.service_message):
        is_copernicus = settings.deployment.name == "copernicus-data-space"
        looks_foreign = settings.client_id.startswith("sh-") and not is_copernicus
        return SentinelHubAuthenticationError(
            f"{where} refused client {settings.client_id!r}: {said}. Check the connection's client ID and client "
            f"secret, and that the client belongs to the connection's deployment, {settings.deployment.title}. "
            "Clients of Sentinel Hub and of the Copernicus Data Space are not interchangeable."
            + (" This ID looks like one of the Copernicus Data Space." if looks_foreign else ""),
            **error.about,
        )
    if error.code == INVALID_SCOPE:
        return SentinelHubConfigurationError(
            f"Connection {settings.conn_id!r}, field 'scope': {where[0].lower()}{where[1:]} refused the scope "
            f"{settings.scope or ''!r}: {said}. Sentinel Hub needs no scope. Leave the field empty.",
            field="scope",
            **error.about,
        )
    if (error.status or 0) >= 400 and not isinstance(error, SentinelHubServerError):
        return SentinelHubResponseError(
            f"{where} answered {error.status} {said or 'without an OAuth2 error'}, which says nothing about the "
            "client. It may pass. If it goes on, check auth_url and whether a gateway or proxy answers in its place.",
            **error.about,
        )
    return error

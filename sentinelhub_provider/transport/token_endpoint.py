"""The token request as a call: what both sessions send to the token endpoint, and how they read what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sentinelhub_provider.connection import ConnectionSettings
from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubRateLimitError
from sentinelhub_provider.oauth.client_credentials import (
    ClientCredentials,
    TokenRequest,
    parse_token_answer,
    refused_client,
    token_request,
)
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.transport.policy import Call

TOKEN_DEADLINE = 60.0
"""Seconds that getting a token may take, repeating included; less where the call that needs it has less left."""

TOKEN_READ_TIMEOUT = 15.0
"""Seconds that the token endpoint may stay silent: it answers at once or not at all, and another try must fit in."""

_REFUSING = frozenset({400, 401, 403})


def credentials_of(settings: ConnectionSettings) -> ClientCredentials:
    """Return the OAuth2 client that a connection describes."""
    return ClientCredentials(
        auth_url=settings.auth_url,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        client_auth=settings.client_auth.value,
        scope=settings.scope,
    )


@dataclass(frozen=True, slots=True)
class TokenCall:
    """
    One fetch of a token.

    :param credentials: whose token.
    :param clock: seconds since the epoch.
    """

    credentials: ClientCredentials
    clock: Callable[[], float]

    def request(self) -> TokenRequest:
        """Say what to send."""
        return token_request(self.credentials)

    def call(self, timeout: float) -> Call:
        """Say how: without a token, repeated if need be, within ``timeout`` seconds."""
        return Call(
            method="POST",
            url=self.credentials.auth_url,
            trusted=None,
            read_timeout=TOKEN_READ_TIMEOUT,
            deadline=min(timeout, TOKEN_DEADLINE),
        )

    def read(self, body: bytes, sent_at: float) -> AccessToken:
        """Read the answer; ``sent_at`` is when the request was sent, by :attr:`clock`."""
        return parse_token_answer(body, auth_url=self.credentials.auth_url, now=sent_at)

    @contextmanager
    def refusals_worded(self) -> Iterator[None]:
        """Turn the endpoint's refusal of the client into the authentication error that it is, and word its 429."""
        try:
            yield
        except SentinelHubRateLimitError as error:
            raise _too_many_logins(error, self.credentials.auth_url) from error
        except SentinelHubError as error:
            if error.status not in _REFUSING:
                raise
            raise refused_client(
                error, auth_url=self.credentials.auth_url, client_id=self.credentials.client_id
            ) from error


def _too_many_logins(error: SentinelHubRateLimitError, auth_url: str) -> SentinelHubRateLimitError:
    return SentinelHubRateLimitError(
        f"The token endpoint {auth_url} answered 429: too many logins. Let processes share their token by the "
        "connection's auth_cache (file on one host, redis:// for several) instead of asking for one each.",
        retry_after=error.retry_after,
        status=error.status,
        code=error.code,
        service_message=error.service_message,
        endpoint=error.endpoint,
        request_id=error.request_id,
    )

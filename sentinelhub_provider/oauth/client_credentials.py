"""
The token request of the client credentials grant, and how its answer is read (RFC 6749 sections 4.4 and 5).

No I/O: :func:`token_request` says what to send, :func:`parse_token_answer` what came back means.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from oauthlib.oauth2 import BackendApplicationClient

from sentinelhub_provider.exceptions import SentinelHubAuthenticationError, SentinelHubError, SentinelHubResponseError
from sentinelhub_provider.oauth.token import AccessToken, seconds_from, unverified_claims

CLIENT_SECRET_BASIC = "client_secret_basic"  # noqa: S105 - a method's name


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """
    A client, and where and how it gets its tokens.

    :param auth_url: token endpoint.
    :param client_id: the client's id.
    :param client_secret: its secret; not in ``repr``.
    :param client_auth: ``client_secret_post`` or ``client_secret_basic``.
    :param scope: scope to ask for, ``None`` for the default.
    """

    auth_url: str
    client_id: str
    client_secret: str = field(repr=False)
    client_auth: str = "client_secret_post"
    scope: str | None = None

    @property
    def key(self) -> str:
        """
        Under which its tokens are kept: a digest of all that makes one token differ from another.

        The secret is in it, so that a changed secret is a new key and tried at once; the connection's id is not, so
        that two connections with the same client share a token.
        """
        parts = (
            self.auth_url,
            self.client_id,
            hashlib.sha256(self.client_secret.encode()).hexdigest(),
            self.scope or "",
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A POST to the token endpoint; headers and body hold the secret and are not in ``repr``."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)


def token_request(credentials: ClientCredentials) -> TokenRequest:
    """Say what to send to the token endpoint."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    client = BackendApplicationClient(client_id=credentials.client_id)
    if credentials.client_auth == CLIENT_SECRET_BASIC:
        body = client.prepare_request_body(scope=credentials.scope, include_client_id=False)
        # RFC 6749 section 2.3.1: both are form-urlencoded first, which requests' own Basic auth does not do.
        pair = f"{quote_plus(credentials.client_id)}:{quote_plus(credentials.client_secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        body = client.prepare_request_body(
            scope=credentials.scope, include_client_id=True, client_secret=credentials.client_secret
        )
    return TokenRequest(credentials.auth_url, headers, body)


def parse_token_answer(body: bytes, *, auth_url: str, now: float) -> AccessToken:
    """
    Read a successful answer of the token endpoint.

    :param body: the answer's body.
    :param auth_url: for messages.
    :param now: when the request was sent, in seconds since the epoch; the lifetime counts from there.
    :raises SentinelHubResponseError: where it holds no token that can be used.
    """
    answer = _json_object(body)
    value = answer.get("access_token")
    if not isinstance(value, str) or not value:
        raise _unusable(auth_url, "without an access_token")
    token_type = answer.get("token_type", "Bearer")
    if str(token_type).lower() != "bearer":
        raise _unusable(auth_url, f"with token_type {token_type!r} instead of Bearer")
    lifetime = _lifetime(answer, value, now)
    if lifetime is None:
        raise _unusable(auth_url, "whose token names no expiry (neither expires_in nor the JWT's exp)")
    if lifetime <= 0:
        raise _unusable(auth_url, "with a token that has already expired; check this machine's clock")
    scope = answer.get("scope")
    return AccessToken(
        value, expires_at=now + lifetime, lifetime=lifetime, scope=scope if isinstance(scope, str) else None
    )


def refused_client(error: SentinelHubError, *, auth_url: str, client_id: str) -> SentinelHubAuthenticationError:
    """Word the token endpoint's refusal of a client (RFC 6749 section 5.2)."""
    said = f" ({error.service_message})" if error.service_message else ""
    return SentinelHubAuthenticationError(
        f"The token endpoint {auth_url} refused client {client_id!r}: "
        f"{error.status} {error.code or 'without a code'}{said}. "
        "Check the connection's client ID and client secret, and that the client belongs to the chosen deployment: "
        "clients of Sentinel Hub and of the Copernicus Data Space are not interchangeable.",
        status=error.status,
        code=error.code,
        service_message=error.service_message,
        endpoint=f"POST {auth_url}",
        request_id=error.request_id,
    )


def _lifetime(answer: Mapping[str, Any], value: str, now: float) -> float | None:
    """Seconds that the token lives: ``expires_in`` if it says something, else the JWT's ``exp``, else unknown."""
    expires_in = seconds_from(answer.get("expires_in"))
    if expires_in is not None and expires_in > 0:
        return expires_in
    claims = unverified_claims(value)
    expires_at = seconds_from(claims.get("exp"))
    if expires_at is None:
        return expires_in
    issued_at = seconds_from(claims.get("iat"))
    # The issuer's own clock on both sides, where it tells: ours may be off by minutes.
    return expires_at - (issued_at if issued_at is not None else now)


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _unusable(auth_url: str, how: str) -> SentinelHubResponseError:
    return SentinelHubResponseError(
        f"The token endpoint {auth_url} answered {how}. "
        "Check that auth_url is an OAuth2 token endpoint and that no proxy answers in its place.",
        endpoint=f"POST {auth_url}",
    )

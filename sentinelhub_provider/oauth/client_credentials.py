"""Builds the token request of the client credentials grant and reads its answer (RFC 6749 sections 4.4 and 5)."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from oauthlib.oauth2 import BackendApplicationClient

from sentinelhub_provider.exceptions import SentinelHubResponseError
from sentinelhub_provider.oauth.token import AccessToken, json_object, seconds_from, unverified_claims

CLIENT_SECRET_BASIC = "client_secret_basic"  # noqa: S105 - a method's name
# The error codes for a wrong ID or secret. Other errors may pass or have another cause.
REFUSED_CLIENT_CODES = frozenset({"invalid_client", "unauthorized_client"})
INVALID_SCOPE = "invalid_scope"
# Seconds that a token is used if nothing names its lifetime. If it ends sooner, a 401 shows it.
ASSUMED_LIFETIME = 300.0
LONGEST_LIFETIME = 366 * 86_400.0  # seconds; a larger number is an error, and may exceed what the calendar can hold
# The characters of an access token (RFC 6750 section 2.1, generously). A header field cannot carry any others.
_TOKEN = re.compile(r"[!-~]+")
# The first words of the legacy token endpoint's errors, "Illegal client_id" and "Illegal secret!".
_LEGACY_REFUSAL = re.compile(r"illegal (client|secret)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A client with the address and method of its token requests. ``client_auth`` takes OpenID Connect's names."""

    auth_url: str
    client_id: str
    client_secret: str = field(repr=False)
    client_auth: str = "client_secret_post"
    scope: str | None = None

    @property
    def key(self) -> str:
        """The key of its tokens in a store. It is a digest of everything that distinguishes one token from another."""
        # A changed secret gives a new key, so it is tried at once. Connections with the same client share a token.
        secret = hashlib.sha256(self.client_secret.encode()).hexdigest()
        return hashlib.sha256(
            json.dumps((self.auth_url, self.client_id, secret, self.scope or "")).encode()
        ).hexdigest()


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A POST to the token endpoint. Headers and body hold the secret, so ``repr`` leaves them out."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)


def token_request(credentials: ClientCredentials) -> TokenRequest:
    """Build the request to the token endpoint."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    client = BackendApplicationClient(client_id=credentials.client_id)
    if credentials.client_auth == CLIENT_SECRET_BASIC:
        body = client.prepare_request_body(scope=credentials.scope, include_client_id=False)
        # RFC 6749 section 2.3.1 form-urlencodes both first, which requests' own Basic auth does not do.
        pair = f"{quote_plus(credentials.client_id)}:{quote_plus(credentials.client_secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        body = client.prepare_request_body(
            scope=credentials.scope, include_client_id=True, client_secret=credentials.client_secret
        )
    return TokenRequest(credentials.auth_url, headers, body)


def parse_token_answer(body: bytes, *, auth_url: str, now: float) -> AccessToken:
    """Read the body of an answer with status 200 from the token endpoint.

    :param now: the time of the request in seconds since the epoch. The lifetime counts from there.
    :raises SentinelHubResponseError: if the body holds no usable token. The message quotes an OAuth2 error if there is
        one.
    """
    answer = json_object(body)
    value = answer.get("access_token")
    value = value.strip() if isinstance(value, str) else ""
    if not value:
        code, words = (
            said[:500] if isinstance(said := answer.get(name), str) and said else None
            for name in ("error", "error_description")
        )
        quoted = f" ({': '.join(filter(None, (code, words)))})" if code or words else ""
        raise _unusable(auth_url, f"without an access_token{quoted}", code, words)
    if not _TOKEN.fullmatch(value):
        raise _unusable(auth_url, "with an access_token of characters that no token has")
    token_type = answer.get("token_type") or "Bearer"
    if str(token_type).lower() != "bearer":
        raise _unusable(auth_url, f"with token_type {token_type!r} instead of Bearer")
    lifetime = min(_lifetime(answer, value, now), LONGEST_LIFETIME)
    if lifetime <= 0:
        raise _unusable(auth_url, "with a token that has already expired; check this machine's clock")
    scope = answer.get("scope")
    return AccessToken(value, now + lifetime, lifetime, scope if isinstance(scope, str) else None)


def is_refused_client(code: str | None, message: str | None) -> bool:
    """Tell whether ID or secret are refused, by OAuth2's error code or in the legacy endpoint's own words."""
    return code in REFUSED_CLIENT_CODES or bool(_LEGACY_REFUSAL.match(message or ""))


def _lifetime(answer: Mapping[str, Any], value: str, now: float) -> float:
    """Return the token's lifetime in seconds, from ``expires_in``, else from the JWT's ``exp``, else an assumption."""
    expires_in = seconds_from(answer.get("expires_in"))
    if expires_in is not None and expires_in > 0:
        return expires_in
    claims = unverified_claims(value)
    expires_at = seconds_from(claims.get("exp"))
    if expires_at is None:
        return ASSUMED_LIFETIME if expires_in is None else expires_in
    issued_at = seconds_from(claims.get("iat"))
    # Both times are from the issuer's clock if it tells them, because the local clock may be off by minutes.
    return expires_at - (issued_at if issued_at is not None else now)


def _unusable(auth_url: str, how: str, code: str | None = None, words: str | None = None) -> SentinelHubResponseError:
    return SentinelHubResponseError(
        f"The token endpoint {auth_url} answered {how}. "
        "Check that auth_url is an OAuth2 token endpoint and that no proxy answers in its place.",
        code=code,
        service_message=words,
        endpoint=f"POST {auth_url}",
    )

"""The token request and its answers, as plain values (RFC 6749, in the wording of Keycloak).

``client_secret_post`` is what Sentinel Hub documents, ``client_secret_basic`` is what Postman sends by default.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from sentinelhub_provider.sandbox.gateway.auth.tokens import ClientRegistry, IssuedToken, TokenIssuer
from sentinelhub_provider.sandbox.settings import ClientSettings

FORM = "application/x-www-form-urlencoded"
REALMS = ("main", "CDSE")
#: ``SH`` is the one scope of the API descriptions; the rest are Keycloak's own, which it accepts by default.
KNOWN_SCOPES = frozenset({"SH", "openid", "profile", "email"})
DEFAULT_SCOPE = "SH"
BAD_CLIENT = "Invalid client or Invalid client credentials"


class OAuthError(Exception):
    """A refused token request, with ``error`` and ``error_description`` of RFC 6749, section 5.2."""

    def __init__(self, status: int, error: str, description: str, *, challenge: bool = False) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.description = description
        self.challenge = challenge

    def body(self) -> dict[str, Any]:
        """Return the error as RFC 6749 writes it."""
        return {"error": self.error, "error_description": self.description}

    def legacy_body(self) -> dict[str, Any]:
        """Return the error of the legacy ``/oauth/token``, in Sentinel Hub's REST shape and always as a 400."""
        known = self.error == "unauthorized_client"
        message = self.description if self.status != 401 else "Illegal secret!" if known else "Illegal client_id"
        return {"error": {"status": 400, "reason": "Bad Request", "message": message, "code": "OAUTH_ERROR"}}


@dataclass(frozen=True)
class TokenRequest:
    """A parsed token request, with its client (the secret may be missing), and its scope."""

    client_id: str
    client_secret: str | None = field(repr=False)
    scope: str
    by_header: bool


def parse_token_request(*, content_type: str, body: bytes, authorization: str | None) -> TokenRequest:
    """Read a token request from its form and its ``Authorization`` header. Raises ``OAuthError``."""
    if content_type.partition(";")[0].strip().lower() != FORM:
        raise OAuthError(415, "invalid_request", f"Content type must be {FORM}")
    form = _parse_form(body)
    grant = form.get("grant_type")
    if not grant:
        raise OAuthError(400, "invalid_request", "Missing form parameter: grant_type")
    if grant != "client_credentials":
        raise OAuthError(400, "unsupported_grant_type", "Unsupported grant_type")
    scope = form.get("scope", "").strip()
    if unknown := sorted(set(scope.split()) - KNOWN_SCOPES):
        raise OAuthError(400, "invalid_scope", f"Invalid scopes: {' '.join(unknown)}")

    basic = _parse_basic(authorization)
    if basic is None:
        client_id, secret = form.get("client_id", ""), form.get("client_secret")
    else:
        client_id, secret = basic
        if "client_secret" in form:
            raise OAuthError(400, "invalid_request", "Multiple client authentication methods in one request")
        if form.get("client_id", client_id) != client_id:
            raise OAuthError(400, "invalid_request", "client_id differs between the form and the Authorization header")
    if not client_id:
        raise OAuthError(401, "invalid_client", BAD_CLIENT, challenge=basic is not None)
    return TokenRequest(client_id, secret, scope or DEFAULT_SCOPE, by_header=basic is not None)


def authenticate(request: TokenRequest, clients: ClientRegistry) -> ClientSettings:
    """Return the client whose id and secret were given. Raises ``OAuthError`` (401)."""
    client = clients.get(request.client_id)
    if client is None:
        raise OAuthError(401, "invalid_client", BAD_CLIENT, challenge=request.by_header)
    if not request.client_secret:
        raise OAuthError(401, "unauthorized_client", "Client secret not provided in request")
    if not hmac.compare_digest(request.client_secret.encode(), client.client_secret.encode()):
        raise OAuthError(401, "unauthorized_client", BAD_CLIENT, challenge=request.by_header)
    return client


def grant_token(request: TokenRequest, *, clients: ClientRegistry, issuer: TokenIssuer, issuer_url: str) -> IssuedToken:
    """Authenticate the client and issue a token. Raises ``OAuthError``."""
    return issuer.issue(authenticate(request, clients), issuer=issuer_url, scope=request.scope)


def token_body(token: IssuedToken, *, scope: str) -> dict[str, Any]:
    """Shape a token answer as Keycloak does, without a refresh token for client credentials."""
    return {
        "access_token": token.value,
        "expires_in": int(round(token.expires_at - token.issued_at, 3)),
        "refresh_expires_in": 0,
        "token_type": "Bearer",
        "not-before-policy": 0,
        "scope": scope,
    }


def issuer_url(base_url: str, realm: str) -> str:
    """Return the ``iss`` of a realm's tokens. Keycloak's issuer is the realm's URL."""
    return f"{base_url}/auth/realms/{realm}"


def openid_configuration(base_url: str, realm: str) -> dict[str, Any]:
    """Return the realm's discovery document (OpenID Connect Discovery), with the endpoints that exist here."""
    issuer = issuer_url(base_url, realm)
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/protocol/openid-connect/token",
        "jwks_uri": f"{issuer}/protocol/openid-connect/certs",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "scopes_supported": sorted(KNOWN_SCOPES),
    }


def _parse_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body), errors="strict")
    except ValueError as error:
        raise OAuthError(400, "invalid_request", "The body is not a valid form") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError(400, "invalid_request", "duplicated parameter")
    return form


def _parse_basic(authorization: str | None) -> tuple[str, str] | None:
    """Return id and secret of a Basic header. RFC 6749 section 2.3.1 has both form-urlencoded before base64."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(value.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError(401, "invalid_client", BAD_CLIENT, challenge=True) from error
    client_id, colon, secret = decoded.partition(":")
    if not colon:
        raise OAuthError(401, "invalid_client", BAD_CLIENT, challenge=True)
    return unquote_plus(client_id), unquote_plus(secret)

"""Routes of the token endpoints of both deployments, their keys and discovery, and the legacy ones."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.oauth.handlers import (
    OAuthError,
    grant_token,
    issuer_url,
    openid_configuration,
    parse_token_request,
    token_body,
)
from sentinelhub_provider.sandbox.errors import rate_limited, rest_body
from sentinelhub_provider.sandbox.gateway.access import SandboxDep, authenticate, base_url
from sentinelhub_provider.sandbox.gateway.auth.tokens import bearer_token
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox

Realm = Literal["main", "CDSE"]
LEGACY_REALM: Realm = "main"
# RFC 6749 section 5.1: an answer with a token must not be cached.
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

router = APIRouter()


@router.post("/auth/realms/{realm}/protocol/openid-connect/token")
async def token(realm: Realm, request: Request, sandbox: SandboxDep) -> Response:
    """Give out an access token for client credentials."""
    return await _token(request, sandbox, realm, legacy=False)


@router.post("/oauth/token")
async def legacy_token(request: Request, sandbox: SandboxDep) -> Response:
    """Give out an access token at the address that Sentinel Hub used before it moved to Keycloak."""
    return await _token(request, sandbox, LEGACY_REALM, legacy=True)


@router.get("/auth/realms/{realm}/protocol/openid-connect/certs")
def certificates(realm: Realm, sandbox: SandboxDep) -> Response:  # noqa: ARG001 - restricts the path
    """Return the keys that tokens are signed with."""
    return json_response(sandbox.issuer.key.jwks())


@router.get("/auth/realms/{realm}/.well-known/openid-configuration")
def discovery(realm: Realm, request: Request) -> Response:
    """Return the realm's discovery document."""
    return json_response(openid_configuration(base_url(request), realm))


@router.get("/oauth/tokeninfo")
def token_info(request: Request, sandbox: SandboxDep) -> Response:
    """Return the claims of the bearer token."""
    authorization = request.headers.get("authorization")
    authenticate(sandbox, authorization)
    return json_response(sandbox.issuer.claims_of(bearer_token(authorization) or ""))


async def _token(request: Request, sandbox: Sandbox, realm: Realm, *, legacy: bool) -> Response:
    sandbox.ledger.count("token_requests")
    if wait := sandbox.limiter.admit_token_request():
        sandbox.ledger.count("rate_limited")
        error = rate_limited(wait)
        return json_response(rest_body(error), status=error.status, headers=error.headers)
    try:
        parsed = parse_token_request(
            content_type=request.headers.get("content-type", ""),
            body=await request.body(),
            authorization=request.headers.get("authorization"),
        )
        granted = grant_token(
            parsed, clients=sandbox.clients, issuer=sandbox.issuer, issuer_url=issuer_url(base_url(request), realm)
        )
    except OAuthError as refusal:
        return _refuse(refusal, sandbox, realm, legacy=legacy)
    sandbox.ledger.count("tokens_issued")
    return json_response(token_body(granted, scope=parsed.scope), headers=_NO_STORE)


def _refuse(refusal: OAuthError, sandbox: Sandbox, realm: Realm, *, legacy: bool) -> Response:
    if refusal.status == 401:
        sandbox.ledger.count("failed_logins")
    if legacy:
        return json_response(refusal.legacy_body(), status=400, headers=_NO_STORE)
    # RFC 6749 section 5.2: a client that tried the header is told which scheme it is.
    challenge = {"WWW-Authenticate": f'Basic realm="{realm}"'} if refusal.challenge else {}
    return json_response(refusal.body(), status=refusal.status, headers={**_NO_STORE, **challenge})

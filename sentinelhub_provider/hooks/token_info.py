"""The facts about a token, from its claims or from its deployment."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sentinelhub_provider.connection import ConnectionSettings
from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.oauth.token import AccessToken, json_object, seconds_from, unverified_claims
from sentinelhub_provider.origins import TrustedOrigins
from sentinelhub_provider.transport.policy import Call
from sentinelhub_provider.transport.session import SentinelHubSession

log = logging.getLogger(__name__)
TOKEN_INFO_DEADLINE = 10.0  # seconds for the token info endpoint; the token's claims are the other source


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """Facts about a token, without the token itself.

    :param client_id: the OAuth2 client that it was issued to.
    :param account: the account that it acts for, ``None`` if unknown.
    :param scopes: the granted scopes.
    :param issued_at: time of issue, ``None`` if unknown.
    :param expires_at: time of expiry.
    :param seconds_left: seconds from now until expiry.
    :param source: ``endpoint``, ``claims`` (of the JWT) or ``answer`` (of the token endpoint, for an opaque token).
    """

    client_id: str
    account: str | None
    scopes: tuple[str, ...]
    issued_at: datetime | None
    expires_at: datetime
    seconds_left: float
    source: str


def token_info(settings: ConnectionSettings, session: SentinelHubSession) -> TokenInfo:
    """Describe a session's current token. See :meth:`SentinelHubHook.token_info`."""
    token = session.current_token()
    url = settings.token_info_url
    claims: Mapping[str, Any] = {}
    source = "endpoint"
    if url:
        # The token goes back to the host that issued it, which may differ from the host of the APIs.
        call = Call("GET", url, TrustedOrigins.for_urls(url), deadline=TOKEN_INFO_DEADLINE, max_attempts=1)
        try:
            response, _ = session.call(call, headers={"Accept": "application/json"})
            claims = json_object(response.content)
        except SentinelHubError as error:
            log.info("the token info endpoint did not answer, so the token's own claims are used: %s", error)
    if not claims:
        claims = unverified_claims(token.value)
        source = "claims" if claims else "answer"
    return describe(token, claims, source=source, client_id=settings.client_id, now=time.time())


def describe(token: AccessToken, claims: Mapping[str, Any], *, source: str, client_id: str, now: float) -> TokenInfo:
    """Read claims under the names of Keycloak and of the older token info endpoint."""
    account = claims.get("account") or claims.get("aid") or claims.get("sub")
    scope = claims.get("scope") or token.scope or ""
    scopes = scope if isinstance(scope, list | tuple) else str(scope).split()
    return TokenInfo(
        client_id=str(claims.get("azp") or claims.get("client_id") or client_id),
        account=None if account is None else str(account),
        scopes=tuple(str(name) for name in scopes),
        issued_at=_moment(claims.get("iat")),
        expires_at=datetime.fromtimestamp(token.expires_at, UTC),
        seconds_left=token.seconds_left(now),
        source=source,
    )


def _moment(seconds: object) -> datetime | None:
    """Read a time in seconds since the epoch. Return ``None`` for anything else, such as milliseconds."""
    try:
        return datetime.fromtimestamp(seconds_from(seconds), UTC)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return None

"""The clients, and the issued and revoked tokens."""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sentinelhub_provider.sandbox.gateway.auth.keys import ALGORITHM, SigningKey
from sentinelhub_provider.sandbox.gateway.limits import Clock
from sentinelhub_provider.sandbox.settings import AccountState, Api, ClientSettings


@dataclass(frozen=True)
class IssuedToken:
    """One access token that was given out. ``expires_at`` is in seconds since 1970."""

    value: str = field(repr=False)
    jti: str
    client_id: str
    issued_at: float
    expires_at: float
    revoked: bool = False


class InvalidTokenError(Exception):
    """A bearer token that is not valid, or no longer. The text says why, and never reaches the caller of the API."""


class ClientRegistry:
    """The OAuth clients of a sandbox. Safe to change from another thread while the server runs."""

    def __init__(self, clients: Iterable[ClientSettings]) -> None:
        self._initial = {client.client_id: client for client in clients}
        self._clients = dict(self._initial)

    def get(self, client_id: str) -> ClientSettings | None:
        """Return a client, or ``None`` for an unknown id."""
        return self._clients.get(client_id)

    def put(self, client: ClientSettings) -> None:
        """Add a client or replace the one with the same id."""
        self._clients[client.client_id] = client

    def update(
        self,
        client_id: str,
        *,
        client_secret: str | None = None,
        permissions: frozenset[Api] | None = None,
        account: AccountState | None = None,
        token_lifetime: float | None = None,
    ) -> ClientSettings:
        """Change what is given of a client and return it. Raises ``KeyError`` for an unknown id."""
        given = {
            "client_secret": client_secret,
            "permissions": permissions,
            "account": account,
            "token_lifetime": token_lifetime,
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        client = replace(self._clients[client_id], **changes)
        self.put(client)
        return client

    def reset(self) -> None:
        """Go back to the clients of the settings."""
        self._clients = dict(self._initial)


class TokenIssuer:
    """Signs access tokens, remembers them, and checks those that come back."""

    def __init__(self, *, clock: Clock, token_lifetime: float, key: SigningKey | None = None) -> None:
        self._clock = clock
        self._initial_lifetime = token_lifetime
        self.token_lifetime = token_lifetime
        self.key = key if key is not None else SigningKey()
        self._lock = threading.Lock()
        self._tokens: dict[str, IssuedToken] = {}

    def issue(self, client: ClientSettings, *, issuer: str, scope: str) -> IssuedToken:
        """Sign a new access token with the claims that Sentinel Hub's tokens are known to carry."""
        import jwt

        now = self._clock()
        lifetime = client.token_lifetime or self.token_lifetime
        # Whole seconds where possible: that is what Keycloak writes. A lifetime below one second needs the fraction.
        whole = float(lifetime).is_integer()
        jti = secrets.token_hex(16)
        claims = {
            "exp": int(now) + int(lifetime) if whole else now + lifetime,
            "iat": int(now),
            "jti": jti,
            "iss": issuer,
            "aud": "account",
            "sub": stable_uuid("user", client.client_id),
            "typ": "Bearer",
            "azp": client.client_id,
            "scope": scope,
            "clientHost": "127.0.0.1",
            "preferred_username": f"service-account-{client.client_id.lower()}",
            "account": stable_uuid("account", client.client_id),
            "client_id": client.client_id,
        }
        key = self.key
        value = jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.key_id})
        # Good for the whole lifetime, though ``exp`` was rounded down: ``expires_in`` must not promise too much.
        token = IssuedToken(value, jti, client.client_id, now, now + lifetime)
        with self._lock:
            self._tokens[jti] = token
        return token

    def claims_of(self, value: str) -> dict[str, Any]:
        """Return the claims of a token that is good now, or raise ``InvalidTokenError``."""
        import jwt

        try:
            # Times are compared below, with the sandbox's own clock.
            claims: dict[str, Any] = jwt.decode(
                value,
                self.key.public,
                algorithms=[ALGORITHM],
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False},
            )
        except jwt.InvalidTokenError as error:
            raise InvalidTokenError(f"not a token of this sandbox: {error}") from error
        token = self._tokens.get(str(claims.get("jti")))
        if token is None:
            raise InvalidTokenError("issued before the last reset")
        if token.revoked:
            raise InvalidTokenError("revoked")
        if self._clock() >= token.expires_at:
            raise InvalidTokenError("expired")
        return claims

    def tokens(self) -> list[IssuedToken]:
        """Return every token issued since the last reset, oldest first, good or not."""
        with self._lock:
            return list(self._tokens.values())

    def revoke(self, value: str | None = None) -> int:
        """Revoke one token, or all of them if ``value`` is ``None``. Return how many were still valid."""
        with self._lock:
            chosen = [t for t in self._tokens.values() if not t.revoked and value in (None, t.value)]
            self._tokens.update({token.jti: replace(token, revoked=True) for token in chosen})
        return len(chosen)

    def rotate_key(self) -> None:
        """Sign with a new key and accept no token that another one signed."""
        self.key = SigningKey()

    def reset(self) -> None:
        """Forget all tokens (none issued before is accepted any more) and go back to the first lifetime."""
        with self._lock:
            self._tokens.clear()
        self.token_lifetime = self._initial_lifetime


def stable_uuid(kind: str, name: str) -> str:
    """Return the same UUID for the same name every time, so that a client keeps its user and account id."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sentinelhub-sandbox:{kind}:{name}"))


def bearer_token(authorization: str | None) -> str | None:
    """Return the token of an ``Authorization: Bearer ...`` header (RFC 6750), or ``None``."""
    scheme, _, value = (authorization or "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None

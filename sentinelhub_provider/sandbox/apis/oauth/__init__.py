"""OAuth2 client credentials like Sentinel Hub's Keycloak, with token endpoint, JWKS, discovery and token info."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    (
        "Tokens: Keycloak's other grants, sessions, refresh tokens, user info and introspection are not "
        "there. The claims are those that clients are known to read."
    ),
    (
        "Tokens: `Basic` credentials must be form-urlencoded as RFC 6749 says. The answer of token info is a "
        "guess, because the service no longer documents it."
    ),
    ("Tokens: a token of either realm opens every API. The real deployments refuse each other's tokens."),
)
"""Features of the service that this lacks, and unknown behaviour of the service."""

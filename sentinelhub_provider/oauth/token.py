"""An access token and the times at which it may be used."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

# Seconds before expiry at which the renewal starts. The official client uses the same figure.
MAX_LEEWAY = 120.0
# Seconds before expiry at which a token is no longer sent, because it must survive the way to the service.
MAX_MARGIN = 5.0


class TokenState(Enum):
    """The use that a token allows now."""

    FRESH = "use it"
    STALE = "use it, and let exactly one caller renew it meanwhile"
    INVALID = "do not use it"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token, hidden in ``repr``. It expires by this machine's clock, one lifetime after its issue."""

    value: str = field(repr=False)
    expires_at: float
    lifetime: float
    scope: str | None = None

    def state(self, now: float) -> TokenState:
        """Judge the token at ``now``, in seconds since the epoch."""
        # The leeway is at most half of the lifetime. Otherwise every call would renew a short-lived token.
        left = self.expires_at - now
        if left <= min(MAX_MARGIN, self.lifetime / 10):
            return TokenState.INVALID
        if left <= min(MAX_LEEWAY, self.lifetime / 2):
            return TokenState.STALE
        return TokenState.FRESH

    def seconds_left(self, now: float) -> float:
        """Seconds until expiry, never negative."""
        return max(0.0, self.expires_at - now)


def unverified_claims(token: str) -> Mapping[str, Any]:
    """Read the claims of a JWT (RFC 7519) without checking the signature. Use them for information and expiry only."""
    parts = token.split(".")
    try:
        return (
            json_object(base64.urlsafe_b64decode(f"{parts[1]}{'=' * (-len(parts[1]) % 4)}")) if len(parts) == 3 else {}
        )
    except ValueError:
        return {}


def json_object(text: bytes) -> Mapping[str, Any]:
    """Read a JSON object. Return an empty one for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def seconds_from(value: object) -> float | None:
    """Read a number of seconds that a server wrote as a number or a string. Return ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None

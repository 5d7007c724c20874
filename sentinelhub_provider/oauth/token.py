"""An access token, and when it may be used."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

# Seconds before expiry from which a token is renewed while it still works: the official client's figure.
MAX_LEEWAY = 120.0
# Seconds before expiry from which a token is not shown to the service any more: it must survive the way there.
MAX_MARGIN = 5.0


class TokenState(Enum):
    """What may be done with a token now."""

    FRESH = "use it"
    STALE = "use it, and let exactly one caller renew it meanwhile"
    INVALID = "do not use it"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token, which ``repr`` does not show; it expires by this machine's clock, a lifetime after issue."""

    value: str = field(repr=False)
    expires_at: float
    lifetime: float
    scope: str | None = None

    def state(self, now: float) -> TokenState:
        """Judge the token at ``now``, in seconds since the epoch."""
        # The leeway is at most half of the lifetime, so that a short-lived token is not renewed with every call.
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
    """Read the claims of a JWT (RFC 7519), for information and the expiry only: its signature is not checked."""
    parts = token.split(".")
    try:
        return (
            json_object(base64.urlsafe_b64decode(f"{parts[1]}{'=' * (-len(parts[1]) % 4)}")) if len(parts) == 3 else {}
        )
    except ValueError:
        return {}


def json_object(text: bytes) -> Mapping[str, Any]:
    """Read a JSON object; empty for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def seconds_from(value: object) -> float | None:
    """Read a number of seconds that a server wrote as number or string; ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None

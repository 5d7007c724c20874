"""
Keeps tokens in named values that a host system offers, such as Airflow Variables: no further infrastructure.

Such values know no lock and no expiry. A claim stands in for the lock: a value that says who fetches until when. Two
that claim in the same moment may both fetch; that costs a token request, nothing else.
"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable
from typing import Protocol

from sentinelhub_provider.oauth.stores import Blob

CLAIM_LIFETIME = 70.0
"""Seconds after which a claim is void: longer than the longest token request."""

SETTLING = (0.05, 0.3)
"""Seconds, by chance from this range, after which a claim that nobody overwrote counts."""

POLL = 0.5
"""Seconds between looks at another's claim: each look is a call to Airflow's API server."""

RENEWAL_CHANCE = 0.1
"""
Chance with which a token that still works is renewed by a caller who finds no claim.

A fleet comes upon the same token in the same second; with a chance, a few of it renew over the leeway instead of all at
its beginning. Two minutes of leeway are enough for one of them, and who finds none renews when the token has expired.
"""


class Variables(Protocol):
    """Named text values. ``get`` returns ``None`` for what is not there."""

    def get(self, name: str) -> str | None:
        """Return a value."""

    def set(self, name: str, value: str) -> None:
        """Set a value."""

    def delete(self, name: str) -> None:
        """Remove a value; does nothing where there is none."""


class VariableStore:
    """
    One variable by key.

    :param variables: the host system's.
    :param clock: seconds since the epoch, for claims.
    :param sleep: waits for seconds.
    :param chance: a number in [0, 1).
    """

    def __init__(
        self,
        variables: Variables,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._variables = variables
        self._clock = clock
        self._sleep = sleep
        self._chance = chance

    def read(self, key: str) -> Blob | None:
        """Return what is kept under ``key``, ``None`` where there is nothing."""
        value = self._variables.get(_name(key))
        return Blob(value.encode()) if value else None

    def write(self, key: str, data: bytes, lifetime: float) -> None:  # noqa: ARG002 - variables do not expire
        """Keep ``data``, which is ASCII, under ``key``."""
        self._variables.set(_name(key), data.decode("ascii"))

    def delete(self, key: str) -> None:
        """Forget what is kept under ``key``."""
        self._variables.delete(_name(key))

    def lock(self, key: str) -> VariableClaim:
        """Return a claim on ``key``, not yet made."""
        return VariableClaim(self._variables, f"{_name(key)}_claim", self._clock, self._sleep, self._chance)


class VariableClaim:
    """Says in a variable who fetches, and until when that is believed."""

    def __init__(
        self,
        variables: Variables,
        name: str,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        chance: Callable[[], float],
    ) -> None:
        self._variables = variables
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._mark = secrets.token_hex(8)

    def acquire(self, patience: float) -> bool:
        """
        Claim, and see whether the claim stood; ``False`` if another's stands for ``patience`` seconds.

        With no patience the caller holds a token that still works: then it tries with :data:`RENEWAL_CHANCE` only.
        """
        if patience <= 0 and self._chance() >= RENEWAL_CHANCE:
            return False
        ends = self._clock() + patience
        while True:
            if self._standing() is None:
                claim = {"mark": self._mark, "until": self._clock() + CLAIM_LIFETIME}
                self._variables.set(self._name, json.dumps(claim))
                shortest, longest = SETTLING
                self._sleep(shortest + (longest - shortest) * self._chance())
                if self._standing() == self._mark:
                    return True
            if self._clock() + POLL > ends:
                return False
            self._sleep(POLL)

    def release(self) -> None:
        """Take the claim back, unless another has taken its place."""
        if self._standing() == self._mark:
            self._variables.delete(self._name)

    def _standing(self) -> str | None:
        """Return the mark of the claim that stands now, if one does."""
        try:
            claim = json.loads(self._variables.get(self._name) or "null")
            mark, until = str(claim["mark"]), float(claim["until"])
        except (TypeError, ValueError, KeyError):
            return None
        # A claim from a host whose clock is far ahead would stand for ever.
        return mark if self._clock() < until <= self._clock() + 2 * CLAIM_LIFETIME else None


def _name(key: str) -> str:
    return f"sentinelhub_cache_{key[:40]}"

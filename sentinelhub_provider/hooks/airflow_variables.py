"""Keeps tokens in Airflow Variables. These have no lock, so tasks that start together may each fetch a token."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Generic

from airflow.sdk import Variable
from airflow.sdk import __version__ as sdk_version
from packaging.version import Version

from sentinelhub_provider.both_ways import Turns
from sentinelhub_provider.oauth.stores import Blob, StoreLock
from sentinelhub_provider.transport.state_stores import Change, Coding, State

# Chance with which a process renews a token that still works. Many tasks find the same token near its end in the same
# second, and this chance lets only a few of them renew it. If nobody renews the token, it is fetched after its end.
RENEWAL_CHANCE = 0.1
# Description of a Variable that users should not delete, unlike that of a token.
DESCRIPTION = (
    "Processing units that airflow-provider-sentinelhub spent of its budgets. If you delete this Variable, all "
    "budgets start again with nothing spent."
)
PROBE = "probe"  # key of a Variable that shows whether Airflow answers
# Whether Airflow (3.2 and later) keeps the answers to several threads of a process apart.
ANSWERS_ANY_THREAD = Version(sdk_version) >= Version("1.2")


def are_within_reach() -> bool:
    """Tell whether Variables can be used here. On an event loop, older Airflow answers one thread only."""
    if ANSWERS_ANY_THREAD:
        return True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


class VariableStore:
    """One Airflow Variable for each key. ``chance`` returns a number in [0, 1)."""

    def __init__(self, variables: Any = Variable, *, chance: Callable[[], float] = random.random) -> None:
        self._variables, self._chance = variables, chance

    def read(self, key: str) -> Blob | None:
        """Return the bytes under ``key``, ``None`` if there are none."""
        value = self._variables.get(_name(key), default=None)
        return Blob(str(value).encode()) if value else None

    def write(
        self,
        key: str,
        data: bytes,
        lifetime: float,  # noqa: ARG002 - variables do not expire
        *,
        description: str = "Kept by airflow-provider-sentinelhub. You may delete it at any time.",
    ) -> None:
        """Store ``data``, which is ASCII, under ``key``."""
        self._variables.set(_name(key), data.decode("ascii"), description=description)

    def lock(self, key: str) -> StoreLock:  # noqa: ARG002 - there is none
        """Return a stand-in for a lock. Every task without a token may fetch, but few of those with a usable token."""
        return StoreLock(lambda patience: patience > 0 or self._chance() < RENEWAL_CHANCE)


class VariableStateStore(Generic[State]):
    """A state in one Airflow Variable. Variables have no lock, so one of two simultaneous changes may be lost.

    Airflow gives the same answer for a missing Variable and for a failed look-up. So a missing state counts as new only
    if another Variable, which was just written, is found.
    """

    def __init__(
        self, key: str, coding: Coding[State], variables: Any = Variable, clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._key = VariableStore(variables), key
        self.place = f"the Airflow Variable {_name(key)}"
        self._coding, self._clock = coding, clock
        self._turns = Turns()  # so that threads of one task do not lose each other's changes

    def read(self) -> tuple[State, float]:
        """Return the state and the time."""
        now, blob = self._clock(), self._store.read(self._key)
        if blob is None:
            self._store.write(PROBE, b"1", self._coding.lifetime)
            if self._store.read(PROBE) is None:
                raise ConnectionError("Airflow does not answer for its Variables")
            blob = self._store.read(self._key)
        return self._coding.load(None if blob is None else blob.data), now

    def update(self, change: Change[State]) -> None:
        """Replace the state."""
        with self._turns:
            state, now = self.read()
            changed = change(state, now)
            if changed is not state:
                dumped = self._coding.dump(changed)
                self._store.write(self._key, dumped, self._coding.lifetime, description=DESCRIPTION)


def _name(key: str) -> str:
    return f"sentinelhub_cache_{key[:40]}"

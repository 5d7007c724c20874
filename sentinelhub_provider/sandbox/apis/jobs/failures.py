"""The surroundings of jobs: injected failures, and the accounts that pay for them.

Not safe to use from several threads by themselves: the store's lock guards them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

from sentinelhub_provider.sandbox.apis.jobs.rules import InjectedFailure


class InjectedFailures:
    """The injected failures, and how many jobs each has affected."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._injected: dict[int, InjectedFailure] = {}
        self._applied: Counter[int] = Counter()

    def add(self, **fields: Any) -> InjectedFailure:
        """Inject one, given as the fields of a :class:`.rules.InjectedFailure`. Raises :class:`ValueError`."""
        failure = InjectedFailure(id=next(self._numbers), **fields)
        self._injected[failure.id] = failure
        return failure

    def clear(self) -> None:
        """Forget all. Numbers go on: a job remembers those that have ended it."""
        self._injected.clear()
        self._applied.clear()

    def striking(self) -> list[InjectedFailure]:
        """List those that are still to come."""
        return [failure for failure in self._injected.values() if self._left(failure) != 0]

    def to_come(self) -> list[InjectedFailure]:
        """List those that are still to come, with how many jobs they will affect."""
        return [replace(failure, times=self._left(failure)) for failure in self.striking()]

    def applied(self, failure: InjectedFailure) -> None:
        """Note that one has ended a job."""
        self._applied[failure.id] += 1

    def _left(self, failure: InjectedFailure) -> int | None:
        """How many jobs it will affect; failures of features affect every job."""
        if failure.times is None or failure.kind == "features":
            return failure.times
        return max(0, failure.times - self._applied[failure.id])


class Accounts:
    """Processing units of clients. An account has no limit until it is filled."""

    def __init__(self) -> None:
        self._balances: dict[str, float] = {}

    def fill(self, owner: str, processing_units: float | None) -> None:
        """Put so many PU into an account; ``None`` for no end of them."""
        self._balances.pop(owner, None)
        if processing_units is not None:
            self._balances[owner] = processing_units

    def balance(self, owner: str) -> float | None:
        """Return the PU left; ``None`` for no end of them."""
        return self._balances.get(owner)

    def pay(self, owner: str, processing_units: float) -> None:
        """Take PU out, below zero if need be: what is done is done."""
        if owner in self._balances:
            self._balances[owner] -= processing_units

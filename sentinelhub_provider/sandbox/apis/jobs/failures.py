"""Injected failures, and the accounts that pay for jobs.

They are not thread-safe by themselves. The store's lock guards them.
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
        """Inject a :class:`.rules.InjectedFailure` with these fields. Raises :class:`ValueError`."""
        failure = InjectedFailure(id=next(self._numbers), **fields)
        self._injected[failure.id] = failure
        return failure

    def clear(self) -> None:
        """Forget all failures. Ids are not reused, because a job remembers the failures that have ended it."""
        self._injected.clear()
        self._applied.clear()

    def striking(self) -> list[InjectedFailure]:
        """List the failures that are still to come."""
        return [failure for failure in self._injected.values() if self._left(failure) != 0]

    def to_come(self) -> list[InjectedFailure]:
        """List the failures that are still to come, with the number of jobs that each will affect."""
        return [replace(failure, times=self._left(failure)) for failure in self.striking()]

    def applied(self, failure: InjectedFailure) -> None:
        """Note that a failure has ended a job."""
        self._applied[failure.id] += 1

    def _left(self, failure: InjectedFailure) -> int | None:
        """Return how many jobs it will affect, or ``None`` for all. Failures of features are not used up."""
        if failure.times is None or failure.kind == "features":
            return failure.times
        return max(0, failure.times - self._applied[failure.id])


class Accounts:
    """The processing units of clients. An account has no limit until it is filled."""

    def __init__(self) -> None:
        self._balances: dict[str, float] = {}

    def fill(self, owner: str, processing_units: float | None) -> None:
        """Set the PU in an account. ``None`` means no limit."""
        self._balances.pop(owner, None)
        if processing_units is not None:
            self._balances[owner] = processing_units

    def balance(self, owner: str) -> float | None:
        """Return the PU left, or ``None`` for no limit."""
        return self._balances.get(owner)

    def pay(self, owner: str, processing_units: float) -> None:
        """Take PU out, even below zero, because the work is done already."""
        if owner in self._balances:
            self._balances[owner] -= processing_units

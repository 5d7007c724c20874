"""What surrounds jobs: the troubles that are planned for them, and the accounts that they are paid from.

Not safe to use from several threads by themselves: the store's lock guards them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

from sentinelhub_provider.sandbox.apis.jobs.pace import Plant


class Troubles:
    """The plants, and how many jobs each has struck."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._plants: dict[int, Plant] = {}
        self._struck: Counter[int] = Counter()

    def add(self, **fields: Any) -> Plant:
        """Plan one, given as the fields of a :class:`.pace.Plant`. Raises :class:`ValueError` for what cannot be."""
        plant = Plant(id=next(self._numbers), **fields)
        self._plants[plant.id] = plant
        return plant

    def clear(self) -> None:
        """Forget all. Numbers go on: a job remembers those that have ended it."""
        self._plants.clear()
        self._struck.clear()

    def striking(self) -> list[Plant]:
        """List those that still strike."""
        return [plant for plant in self._plants.values() if self._left(plant) != 0]

    def to_come(self) -> list[Plant]:
        """List those that still strike, with how many jobs they will."""
        return [replace(plant, times=self._left(plant)) for plant in self.striking()]

    def struck(self, plant: Plant) -> None:
        """Note that one has ended a job."""
        self._struck[plant.id] += 1

    def _left(self, plant: Plant) -> int | None:
        """How many jobs it will strike; those that strike features strike in every job."""
        if plant.times is None or plant.kind == "features":
            return plant.times
        return max(0, plant.times - self._struck[plant.id])


class Accounts:
    """Processing units of clients; an account that was never filled has no end of them."""

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

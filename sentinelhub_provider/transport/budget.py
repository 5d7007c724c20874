"""What an account, or a DAG run, may spend: set aside before a request is sent, settled by what it cost.

Pure: a :data:`Ledger` is what all who share an account know; each function turns one ledger into the next. Units that
a request was set aside for stay spent where its task dies, since the service may have charged them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from sentinelhub_provider.exceptions import (
    SentinelHubBudgetError,
    SentinelHubConfigurationError,
    SentinelHubRateLimitError,
    SentinelHubTransportError,
)
from sentinelhub_provider.transport.state_stores import Change, Coding, StateStore

log = logging.getLogger(__name__)
FORGETTING = 62 * 24 * 3600.0  # seconds after which a window that nobody uses is dropped: two months
ROUNDING = 1e-9  # share of a limit by which sums of fractions may miss it

Ledger: TypeAlias = Mapping[str, tuple[float, float]]
"""PU set aside or spent, and when that last changed in seconds since the epoch, by the window's name."""


def _load(data: bytes | None) -> Ledger:
    """Read a ledger back. A damaged one is not forgotten, as a rate limit is: that would allow everything again."""
    return {name: (float(units), float(used_at)) for name, (units, used_at) in json.loads(data or b"{}").items()}


LEDGER: Coding[Ledger] = Coding(_load, lambda ledger: json.dumps(ledger).encode(), lifetime=int(FORGETTING))
"""How a ledger is kept."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time, or a DAG run, with the PU that may be spent in it; ``ends``: seconds since the epoch, ``None``: never."""

    name: str
    limit: float
    ends: float | None = None


@dataclass(frozen=True, slots=True)
class SpendingLimits:
    """PU that may be spent; ``None`` where nothing is said. Days and months are those of UTC.

    :param per_run: for all tasks of the DAG run that ``run`` names.
    :param waits: whether a request over the limit of a day or month waits for its end, instead of failing.
    """

    per_month: float | None = None
    per_day: float | None = None
    per_run: float | None = None
    run: str = ""
    waits: bool = False

    def __bool__(self) -> bool:
        return not self.per_month is self.per_day is self.per_run is None

    def windows(self, now: float) -> Iterator[Window]:
        """Yield the windows that a request at a time, in seconds since the epoch, belongs to."""
        moment = datetime.fromtimestamp(now, UTC)
        today = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.per_day is not None:
            yield Window(f"day {today:%Y-%m-%d}", self.per_day, (today + timedelta(days=1)).timestamp())
        if self.per_month is not None:
            following = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
            yield Window(f"month {today:%Y-%m}", self.per_month, following.timestamp())
        if self.per_run is not None:
            yield Window(f"DAG run {self.run}", self.per_run)


@dataclass(frozen=True, slots=True)
class Charge:
    """PU that were set aside for one request, in which windows."""

    units: float
    windows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Excess:
    """Why a request must not be sent: ``window`` has ``left`` PU left; they are known at the time ``at``."""

    window: Window
    used: float
    units: float
    at: float

    def error(self, limits: SpendingLimits) -> SentinelHubBudgetError | SentinelHubRateLimitError:
        """Return the error to raise: of a rate limit where the caller may wait for the window's end."""
        left = max(0.0, self.window.limit - self.used)
        said = (
            f"The budget of {self.window.limit:g} PU for the {self.window.name} has {left:.4g} PU left, and this "
            f"request costs {self.units:.4g} PU; it was not sent."
        )
        if self.window.ends is None or not limits.waits:
            return SentinelHubBudgetError(f"{said} Raise the budget, or ask for less.")
        return SentinelHubRateLimitError(f"{said} It may be sent afterwards.", retry_after=self.window.ends - self.at)


def set_aside(ledger: Ledger, limits: SpendingLimits, now: float, units: float) -> tuple[Ledger, Charge | Excess]:
    """Set units aside in all windows, or in none where one of them has too few left.

    Where a request's cost is not known, ``units`` is 0: then any unit that is left will do.
    """
    kept = {name: entry for name, entry in ledger.items() if now - entry[1] <= FORGETTING}
    windows = list(limits.windows(now))
    for window in windows:
        used = kept.get(window.name, (0.0, now))[0]
        if used + units > window.limit * (1 + ROUNDING) or (not units and used >= window.limit * (1 - ROUNDING)):
            return ledger, Excess(window, used, units, now)
    charge = Charge(units, tuple(window.name for window in windows))
    return _added(kept, charge.windows, units, now), charge


def settle(ledger: Ledger, charge: Charge, now: float, spent: float) -> Ledger:
    """Replace what was set aside by what was spent, in the windows that it was set aside in."""
    return _added(ledger, charge.windows, spent - charge.units, now)


def _added(ledger: Ledger, windows: tuple[str, ...], units: float, now: float) -> Ledger:
    return {**ledger, **{name: (max(0.0, ledger.get(name, (0.0, now))[0] + units), now) for name in windows}}


class Budget:
    """Sets units aside and settles them, with all who share the store. A store that fails lets nothing be spent."""

    def __init__(self, store: StateStore[Ledger], limits: SpendingLimits) -> None:
        self._store, self._limits = store, limits

    def set_aside(self, units: float | None) -> Charge:
        """Set units aside for one request, ``None`` where its cost is not known.

        :raises SentinelHubBudgetError: where the budget does not have them.
        :raises SentinelHubRateLimitError: the same, where a request waits for the window's end.
        :raises SentinelHubTransportError: where the store fails.
        """
        outcome: list[Charge | Excess] = []

        def change(ledger: Ledger, now: float) -> Ledger:
            ledger, result = set_aside(ledger, self._limits, now, units or 0.0)
            outcome[:] = [result]  # a store may have to try more than once
            return ledger

        self._update(change)
        if isinstance(outcome[0], Excess):
            raise outcome[0].error(self._limits)
        return outcome[0]

    def settle(self, charge: Charge, spent: float | None) -> None:
        """Replace what was set aside by what was spent, ``None`` where that is not known: then it counts as spent.

        A store that fails now costs a warning: the answer is there, and paid for.
        """
        if spent is None or spent == charge.units:
            return
        try:
            self._update(lambda ledger, now: settle(ledger, charge, now, spent))
        except SentinelHubTransportError as error:
            log.warning("%.4g PU stay set aside, though %.4g were spent: %s", charge.units, spent, error)

    def spent(self) -> dict[str, float]:
        """Return the PU set aside or spent so far in each window of now."""
        ledger, now = self._store.read()
        return {window.name: ledger.get(window.name, (0.0, 0.0))[0] for window in self._limits.windows(now)}

    def _update(self, change: Change[Ledger]) -> None:
        try:
            self._store.update(change)
        except SentinelHubConfigurationError:
            raise
        except Exception as error:  # its text may hold a Redis URL with its password
            raise SentinelHubTransportError(
                f"The budget cannot be kept ({type(error).__name__}). Check the connection's auth_cache; a retry of "
                "the task tries again."
            ) from None

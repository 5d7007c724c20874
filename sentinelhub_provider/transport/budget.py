"""The budgets of an account and of DAG runs. PU are reserved before a request is sent and settled by its cost.

This module is pure. A :data:`Ledger` holds the state that all users of an account share, and each function turns one
ledger into the next. The reserved units of a request stay spent if its task dies, because the service may have charged
them. The possible cost of a job is reserved once under its ID when it is started, however often that is tried, until
the job's own cost is known.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias

from sentinelhub_provider.exceptions import (
    SentinelHubBudgetError,
    SentinelHubConfigurationError,
    SentinelHubError,
    SentinelHubRateLimitError,
    SentinelHubTransportError,
)
from sentinelhub_provider.transport.state_stores import Change, Coding, StateStore
from sentinelhub_provider.transport.steps import Measure, Measurement

log = logging.getLogger(__name__)
FORGETTING = 62 * 24 * 3600.0  # seconds (two months) after which an unused window is dropped
REMAINING = "budget.remaining"
NAME_OF_JOBS = "job "  # start of the jobs' names in a ledger
ROUNDING = 1e-9  # share of a limit by which sums of fractions may miss it


class Entry(NamedTuple):
    """A ledger's entry for a window or a job.

    :param units: PU reserved or spent.
    :param used_at: time of the last change, in seconds since the epoch.
    :param reserved: the part of the units that is reserved and not known to be spent.
    :param windows: names of the windows that a job counts in. A window itself has none.
    """

    units: float
    used_at: float
    reserved: float = 0.0
    windows: tuple[str, ...] = ()


Ledger: TypeAlias = Mapping[str, Entry]
"""PU reserved and spent, by the window's name, or by ``job`` and a job's ID."""


class DamagedLedgerError(ValueError):
    """The stored data is not a ledger. It must not count as an empty one, because that would allow everything again."""


def _load(data: bytes | None) -> Ledger:
    try:
        ledger = {
            name: Entry(float(units), float(used_at), float(reserved), tuple(map(str, windows)))
            for name, (units, used_at, reserved, windows) in json.loads(data or b"{}").items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise DamagedLedgerError(str(error)) from None
    if not all(math.isfinite(number) for entry in ledger.values() for number in entry[:3]):
        raise DamagedLedgerError("a number is not finite")
    return ledger


LEDGER: Coding[Ledger] = Coding(_load, lambda ledger: json.dumps(ledger).encode(), lifetime=int(FORGETTING))
"""The format of a stored ledger."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The expected cost of a request.

    :param units: estimated PU, ``None`` if unknown.
    :param job: ID of the job that it starts. The cost of the job is known when the job is over.
    :param may_be_refused: whether a budget with too few units stops it. Otherwise it is only counted.
    """

    units: float | None = None
    job: str | None = None
    may_be_refused: bool = True


@dataclass(frozen=True, slots=True)
class Window:
    """A period or a DAG run with its PU limit. ``ends`` is in seconds since the epoch, ``None`` for never."""

    name: str
    limit: float
    ends: float | None = None


@dataclass(frozen=True, slots=True)
class SpendingLimits:
    """Limits in PU, ``None`` for no limit. Days and months are those of UTC.

    :param per_run: limit for all tasks of the DAG run ``run``.
    :param waits: whether a request over the limit of a day or month waits for its end instead of failing.
    """

    per_month: float | None = None
    per_day: float | None = None
    per_run: float | None = None
    run: str = ""
    waits: bool = False

    def __bool__(self) -> bool:
        return not self.per_month is self.per_day is self.per_run is None

    def windows(self, now: float) -> Iterator[Window]:
        """Yield the windows of a request at a time in seconds since the epoch."""
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
class Standing:
    """The standing of a budget, in PU.

    :param name: name of its window, such as ``day 2026-11-27`` or ``DAG run weekly scheduled__2026-11-27``.
    :param limit: PU that may be spent in it.
    :param spent: PU that were spent.
    :param reserved: PU for requests and jobs under way, or whose task died without an answer.
    :param ends: end of the window, ``None`` for a DAG run.
    """

    name: str
    limit: float
    spent: float
    reserved: float
    ends: datetime | None

    @property
    def remaining(self) -> float:
        """PU that may still be spent."""
        return max(0.0, self.limit - self.spent - self.reserved)


def standings(ledger: Ledger, limits: SpendingLimits, now: float) -> list[Standing]:
    """Return the standing of the budgets in force at a time in seconds since the epoch."""
    found = []
    for window in limits.windows(now):
        entry = ledger.get(window.name, Entry(0.0, now))
        ends = None if window.ends is None else datetime.fromtimestamp(window.ends, UTC)
        spent = max(0.0, entry.units - entry.reserved)
        found.append(Standing(window.name, window.limit, spent, entry.reserved, ends))
    return found


@dataclass(frozen=True, slots=True)
class Charge:
    """Reserved PU of one request and their windows.

    It starts ``job``. ``is_first`` marks the first try of that start.
    """

    units: float
    windows: tuple[str, ...]
    job: str | None = None
    is_first: bool = True


@dataclass(frozen=True, slots=True)
class Excess:
    """The reason not to send a request. ``window`` had too few PU left at the time ``at``."""

    window: Window
    used: float
    cost: Cost
    at: float

    def error(self, limits: SpendingLimits) -> SentinelHubBudgetError | SentinelHubRateLimitError:
        """Return the error to raise. It is a rate limit error if the caller may wait for the window's end.

        A cost above the whole limit would wait for ever.
        """
        left, units = max(0.0, self.window.limit - self.used), self.cost.units
        what = "this request" if self.cost.job is None else f"job {self.cost.job}"
        was_not = "was not sent" if self.cost.job is None else "was not started, and has cost nothing so far"
        costs = "has an unknown cost" if units is None else f"costs {units:.4g} PU"
        said = (
            f"The budget of {self.window.limit:g} PU for the {self.window.name} has {left:.4g} PU left, and {what} "
            f"{costs}. It {was_not}."
        )
        if self.window.ends is None or not limits.waits or _is_too_small(self.window, units):
            return SentinelHubBudgetError(f"{said} Raise the budget, or ask for less.")
        return SentinelHubRateLimitError(f"{said} You can send it afterwards.", retry_after=self.window.ends - self.at)


def _is_too_small(window: Window, units: float | None) -> bool:
    """Tell whether a cost is over the limit of a window in which nothing was spent."""
    return (units or 0.0) > window.limit * (1 + ROUNDING)


def set_aside(ledger: Ledger, limits: SpendingLimits, now: float, cost: Cost) -> tuple[Ledger, Charge | Excess]:
    """Reserve units in all windows, or in none if one of them has too few left.

    A request of unknown cost needs at least one unit. A restarted job counts as a whole in the windows of its last
    start, and what it already holds never shrinks.
    """
    kept: Ledger = {name: entry for name, entry in ledger.items() if now - entry.used_at <= FORGETTING}
    before = kept.get(_name_of(cost.job)) if cost.job else None
    if before is not None:
        kept = _changed(kept, before.windows, now, -before.units, -before.reserved)
        cost = replace(cost, units=max(cost.units or 0.0, before.units))
    windows, units = list(limits.windows(now)), cost.units or 0.0
    for window in sorted(windows, key=lambda one: not _is_too_small(one, units)):
        used = kept.get(window.name, Entry(0.0, now)).units
        if used + units > window.limit * (1 + ROUNDING) or (not units and used >= window.limit * (1 - ROUNDING)):
            return ledger, Excess(window, used, cost, now)
    charge = Charge(units, tuple(window.name for window in windows), cost.job, before is None)
    kept = _changed(kept, charge.windows, now, units, units)
    return {**kept, **({_name_of(cost.job): Entry(units, now, units, charge.windows)} if cost.job else {})}, charge


def settle(ledger: Ledger, charge: Charge, now: float, spent: float | None) -> Ledger:
    """Replace the reserved units by the spent ones, in the windows that they were reserved in.

    ``spent`` is ``None`` if unknown, and then all reserved units count. A job's cost is known when the job is over. So
    a failed start gives its units back only if it was the first one, because an earlier one may have started the job.
    """
    if charge.job is None:
        return _changed(
            ledger, charge.windows, now, 0.0 if spent is None else spent - charge.units, reserved=-charge.units
        )
    if spent == 0.0 and charge.is_first:
        return settle_jobs(ledger, {charge.job: 0.0}, now)
    return ledger


def settle_jobs(ledger: Ledger, costs: Mapping[str, float | None], now: float, stopped: Iterable[str] = ()) -> Ledger:
    """Replace the reserved units of jobs by their cost, once. Other jobs do not count.

    :param costs: PU by the job's ID. With ``None``, if the service does not name the cost, all reserved units count.
    :param stopped: the IDs of jobs that may be started again.
    """
    for job, cost in costs.items():
        entry = ledger.get(_name_of(job))
        if entry is None:
            continue
        units = entry.units if cost is None else max(0.0, cost)
        ledger = _changed(ledger, entry.windows, now, units - entry.units, -entry.reserved)
        left = {name: kept for name, kept in ledger.items() if name != _name_of(job)}
        ledger = {**left, _name_of(job): Entry(units, now, 0.0, entry.windows)} if job in stopped else left
    return ledger


def _name_of(job: str | None) -> str:
    return f"{NAME_OF_JOBS}{job}"


def _changed(ledger: Ledger, windows: Iterable[str], now: float, units: float, reserved: float) -> Ledger:
    """Add to the units of windows."""

    def entry(name: str) -> Entry:
        old = ledger.get(name, Entry(0.0, now))
        return Entry(max(0.0, old.units + units), now, max(0.0, old.reserved + reserved))

    return {**ledger, **{name: entry(name) for name in windows}}


class Budget:
    """Reserves and settles units, together with all that share the store. If the store fails, nothing can be spent.

    ``measure`` gets the units that are left of the day and the month for the metrics, after each settlement.
    """

    def __init__(
        self, store: StateStore[Ledger], limits: SpendingLimits, measure: Measure = lambda _, __: None
    ) -> None:
        self._store, self._limits, self._measure = store, limits, measure

    def set_aside(self, cost: Cost) -> Charge:
        """Reserve units for one request.

        :raises SentinelHubBudgetError: if the budget has too few left.
        :raises SentinelHubRateLimitError: in the same case, if the request may wait for the window's end.
        :raises SentinelHubTransportError: if the store fails.
        """
        outcome: list[Charge | Excess] = []

        def change(ledger: Ledger, now: float) -> Ledger:
            ledger, result = set_aside(ledger, self._limits, now, cost)
            outcome[:] = [result]  # a store may call this more than once
            return ledger

        self._update(change)
        if isinstance(outcome[0], Excess):
            raise outcome[0].error(self._limits)
        return outcome[0]

    def check(self, units: float | None, longest_wait: float) -> None:
        """Check whether a cost is within the budgets now, or in so many seconds if it may wait.

        Raises the errors of :meth:`set_aside`.
        """
        ledger, now = self._read()
        _, result = set_aside(ledger, self._limits, now, Cost(units))
        if isinstance(result, Excess):
            error = result.error(self._limits)
            if not isinstance(error, SentinelHubRateLimitError) or (error.retry_after or 0.0) > longest_wait:
                raise error

    def settle(self, charge: Charge | None, spent: float | None) -> None:
        """Replace the reserved units by the spent ones. With ``None``, if unknown, all reserved units count.

        ``charge`` is ``None`` if nothing was reserved. A store that fails now only costs a warning, because the answer
        is there and paid for.
        """

        def change(ledger: Ledger, now: float) -> Ledger:
            windows = tuple(window.name for window in self._limits.windows(now))
            return settle(ledger, charge or Charge(0.0, windows), now, spent)

        if spent or (charge is not None and charge.units):
            self._after_the_fact(change)

    def settle_jobs(self, costs: Mapping[str, float | None], stopped: Iterable[str] = ()) -> None:
        """Replace the reserved units of jobs by their cost.

        See :func:`settle_jobs`. A failing store costs a warning.
        """
        try:
            ledger, _ = self._read()
        except SentinelHubError as error:
            log.warning("the cost of jobs is not settled: %s", error)
            return
        known = {job: cost for job, cost in costs.items() if _name_of(job) in ledger}
        if known:
            self._after_the_fact(lambda ledger, now: settle_jobs(ledger, known, now, stopped))

    def standings(self) -> list[Standing]:
        """Return the standing of the budgets in force. Raises :class:`SentinelHubTransportError` if the store fails."""
        ledger, now = self._read()
        return standings(ledger, self._limits, now)

    def _read(self) -> tuple[Ledger, float]:
        found: list[tuple[Ledger, float]] = []

        def look(ledger: Ledger, now: float) -> Ledger:
            found[:] = [(ledger, now)]
            return ledger

        self._update(look)  # a file may look damaged while another process writes it
        return found[0]

    def _after_the_fact(self, change: Change[Ledger]) -> None:
        found: list[Standing] = []

        def noted(ledger: Ledger, now: float) -> Ledger:
            changed = change(ledger, now)
            found[:] = standings(changed, self._limits, now)
            return changed

        try:
            self._update(noted)
        except SentinelHubError as error:
            log.warning("the cost could not be noted, so the reserved units stay reserved: %s", error)
            return
        for one in found:
            if one.ends is not None:  # there are too many DAG runs for a tag
                self._measure(Measurement(REMAINING, one.remaining, "gauge", window=one.name.partition(" ")[0]), "")

    def _update(self, change: Change[Ledger]) -> None:
        try:
            self._store.update(change)
        except SentinelHubConfigurationError:
            raise
        except DamagedLedgerError:
            raise SentinelHubTransportError(
                f"The budget is damaged. {self._store.place} does not hold a ledger, so it is unknown what was spent. "
                "Nothing is sent. Correct it, or delete it. Then all budgets start again with nothing spent."
            ) from None
        except Exception as error:  # its text may hold a Redis URL with its password
            raise SentinelHubTransportError(
                f"The budget cannot be kept in {self._store.place} ({type(error).__name__}). Check the connection's "
                "auth_cache. A retry of the task tries again."
            ) from None

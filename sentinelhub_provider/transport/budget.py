"""What an account, or a DAG run, may spend: set aside before a request is sent, settled by what it cost.

Pure: a :data:`Ledger` is what all who share an account know; each function turns one ledger into the next. Units that
a request was set aside for stay spent where its task dies, since the service may have charged them. What a job may cost
is set aside under its id as it is started: once, however often that is tried, and until the job's own cost is known.
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
FORGETTING = 62 * 24 * 3600.0  # seconds after which a window that nobody uses is dropped: two months
REMAINING = "budget.remaining"
NAME_OF_JOBS = "job "  # what their names in a ledger begin with
ROUNDING = 1e-9  # share of a limit by which sums of fractions may miss it


class Entry(NamedTuple):
    """What a ledger says of a window, or of a job.

    :param units: PU set aside or spent.
    :param used_at: when that last changed, in seconds since the epoch.
    :param reserved: how many of the units are set aside, and not known to be spent.
    :param windows: names of the windows that a job counts in; none of a window itself.
    """

    units: float
    used_at: float
    reserved: float = 0.0
    windows: tuple[str, ...] = ()


Ledger: TypeAlias = Mapping[str, Entry]
"""What was set aside and spent, by the window's name, or by ``job`` and a job's id."""


class DamagedLedgerError(ValueError):
    """What is kept is no ledger. It is not taken for an empty one, as that would allow everything again."""


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
"""How a ledger is kept."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request is going to cost.

    :param units: PU by estimate, ``None`` where that is not known.
    :param job: id of the job that it starts, whose cost is known once it is over.
    :param may_be_refused: whether it is not sent where the budget has too few left, instead of just being counted.
    """

    units: float | None = None
    job: str | None = None
    may_be_refused: bool = True


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
class Standing:
    """How a budget stands, in PU.

    :param name: of its window, such as ``day 2026-11-27`` or ``DAG run weekly scheduled__2026-11-27``.
    :param limit: what may be spent in it.
    :param spent: what was spent.
    :param reserved: what is set aside for requests and jobs under way, or whose task died without an answer.
    :param ends: when the window ends, ``None`` for that of a DAG run.
    """

    name: str
    limit: float
    spent: float
    reserved: float
    ends: datetime | None

    @property
    def remaining(self) -> float:
        """What may still be spent."""
        return max(0.0, self.limit - self.spent - self.reserved)


def standings(ledger: Ledger, limits: SpendingLimits, now: float) -> list[Standing]:
    """Return how the budgets in force stand at a time, in seconds since the epoch."""
    found = []
    for window in limits.windows(now):
        entry = ledger.get(window.name, Entry(0.0, now))
        ends = None if window.ends is None else datetime.fromtimestamp(window.ends, UTC)
        spent = max(0.0, entry.units - entry.reserved)
        found.append(Standing(window.name, window.limit, spent, entry.reserved, ends))
    return found


@dataclass(frozen=True, slots=True)
class Charge:
    """PU that were set aside for one request, in which windows. ``job``: that it starts; ``is_first``: to be tried."""

    units: float
    windows: tuple[str, ...]
    job: str | None = None
    is_first: bool = True


@dataclass(frozen=True, slots=True)
class Excess:
    """Why a request must not be sent: ``window`` has too few PU left; they are known at the time ``at``."""

    window: Window
    used: float
    cost: Cost
    at: float

    def error(self, limits: SpendingLimits) -> SentinelHubBudgetError | SentinelHubRateLimitError:
        """Return the error to raise: of a rate limit where the caller may wait for the window's end."""
        left, units = max(0.0, self.window.limit - self.used), self.cost.units
        what = "this request" if self.cost.job is None else f"job {self.cost.job}"
        was_not = "was not sent" if self.cost.job is None else "was not started, and costs nothing so far"
        costs = "has a cost that is not known" if units is None else f"costs {units:.4g} PU"
        said = (
            f"The budget of {self.window.limit:g} PU for the {self.window.name} has {left:.4g} PU left, and {what} "
            f"{costs}; it {was_not}."
        )
        if self.window.ends is None or not limits.waits:
            return SentinelHubBudgetError(f"{said} Raise the budget, or ask for less.")
        return SentinelHubRateLimitError(f"{said} It may be sent afterwards.", retry_after=self.window.ends - self.at)


def set_aside(ledger: Ledger, limits: SpendingLimits, now: float, cost: Cost) -> tuple[Ledger, Charge | Excess]:
    """Set units aside in all windows, or in none where one of them has too few left.

    Where a request's cost is not known, any unit that is left will do. What a job holds is replaced by no less:
    a job that is started again counts as a whole in the windows of its last start.
    """
    kept: Ledger = {name: entry for name, entry in ledger.items() if now - entry.used_at <= FORGETTING}
    before = kept.get(_name_of(cost.job)) if cost.job else None
    if before is not None:
        kept = _changed(kept, before.windows, now, -before.units, -before.reserved)
        cost = replace(cost, units=max(cost.units or 0.0, before.units))
    windows, units = list(limits.windows(now)), cost.units or 0.0
    for window in windows:
        used = kept.get(window.name, Entry(0.0, now)).units
        if used + units > window.limit * (1 + ROUNDING) or (not units and used >= window.limit * (1 - ROUNDING)):
            return ledger, Excess(window, used, cost, now)
    charge = Charge(units, tuple(window.name for window in windows), cost.job, before is None)
    kept = _changed(kept, charge.windows, now, units, units)
    return {**kept, **({_name_of(cost.job): Entry(units, now, units, charge.windows)} if cost.job else {})}, charge


def settle(ledger: Ledger, charge: Charge, now: float, spent: float | None) -> Ledger:
    """Replace what was set aside by what was spent, in the windows that it was set aside in.

    ``spent``: ``None`` where it is not known, which counts as all of it. What a job spends is known when it is over; so
    only a first start that was refused gives its units back: another one may have started it before.
    """
    if charge.job is None:
        return _changed(
            ledger, charge.windows, now, 0.0 if spent is None else spent - charge.units, reserved=-charge.units
        )
    if spent == 0.0 and charge.is_first:
        return settle_jobs(ledger, {charge.job: 0.0}, now)
    return ledger


def settle_jobs(ledger: Ledger, costs: Mapping[str, float | None], now: float, stopped: Iterable[str] = ()) -> Ledger:
    """Replace what was set aside for jobs by what they cost, once. Other jobs do not count.

    :param costs: PU by the job's id, ``None`` where the service does not say: then all that was set aside counts.
    :param stopped: those of the jobs that may be started again.
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
    """Add to what the windows hold."""

    def entry(name: str) -> Entry:
        old = ledger.get(name, Entry(0.0, now))
        return Entry(max(0.0, old.units + units), now, max(0.0, old.reserved + reserved))

    return {**ledger, **{name: entry(name) for name in windows}}


class Budget:
    """Sets units aside and settles them, with all who share the store. A store that fails lets nothing be spent.

    ``measure``: takes what is left of the day and the month, for the metrics, each time that something was settled.
    """

    def __init__(
        self, store: StateStore[Ledger], limits: SpendingLimits, measure: Measure = lambda _, __: None
    ) -> None:
        self._store, self._limits, self._measure = store, limits, measure

    def set_aside(self, cost: Cost) -> Charge:
        """Set units aside for one request.

        :raises SentinelHubBudgetError: where the budget does not have them.
        :raises SentinelHubRateLimitError: the same, where a request waits for the window's end.
        :raises SentinelHubTransportError: where the store fails.
        """
        outcome: list[Charge | Excess] = []

        def change(ledger: Ledger, now: float) -> Ledger:
            ledger, result = set_aside(ledger, self._limits, now, cost)
            outcome[:] = [result]  # a store may have to try more than once
            return ledger

        self._update(change)
        if isinstance(outcome[0], Excess):
            raise outcome[0].error(self._limits)
        return outcome[0]

    def check(self, units: float | None, longest_wait: float) -> None:
        """Find out whether something would be within the budgets now, or in so many seconds where it may wait.

        Raises the errors of :meth:`set_aside`.
        """
        ledger, now = self._read()
        _, result = set_aside(ledger, self._limits, now, Cost(units))
        if isinstance(result, Excess):
            error = result.error(self._limits)
            if not isinstance(error, SentinelHubRateLimitError) or (error.retry_after or 0.0) > longest_wait:
                raise error

    def settle(self, charge: Charge | None, spent: float | None) -> None:
        """Replace what was set aside by what was spent, ``None`` where that is not known: then it counts as spent.

        ``charge``: ``None`` where nothing was set aside. A store that fails now costs a warning: the answer is there,
        and paid for.
        """

        def change(ledger: Ledger, now: float) -> Ledger:
            windows = tuple(window.name for window in self._limits.windows(now))
            return settle(ledger, charge or Charge(0.0, windows), now, spent)

        if spent or (charge is not None and charge.units):
            self._after_the_fact(change)

    def settle_jobs(self, costs: Mapping[str, float | None], stopped: Iterable[str] = ()) -> None:
        """Replace what was set aside for jobs by their cost; see :func:`settle_jobs`. Costs a warning as above."""
        try:
            ledger, _ = self._read()
        except SentinelHubError as error:
            log.warning("what jobs did cost is not settled: %s", error)
            return
        known = {job: cost for job, cost in costs.items() if _name_of(job) in ledger}
        if known:
            self._after_the_fact(lambda ledger, now: settle_jobs(ledger, known, now, stopped))

    def standings(self) -> list[Standing]:
        """Return how the budgets in force stand. Raises :class:`SentinelHubTransportError` where the store fails."""
        ledger, now = self._read()
        return standings(ledger, self._limits, now)

    def _read(self) -> tuple[Ledger, float]:
        found: list[tuple[Ledger, float]] = []

        def look(ledger: Ledger, now: float) -> Ledger:
            found[:] = [(ledger, now)]
            return ledger

        self._update(look)  # a file that is read while another process writes it may look damaged
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
            log.warning("what was spent could not be noted, and what was set aside stays so: %s", error)
            return
        for one in found:
            if one.ends is not None:  # runs of DAGs are too many for a tag
                self._measure(Measurement(REMAINING, one.remaining, "gauge", window=one.name.partition(" ")[0]), "")

    def _update(self, change: Change[Ledger]) -> None:
        try:
            self._store.update(change)
        except SentinelHubConfigurationError:
            raise
        except DamagedLedgerError:
            raise SentinelHubTransportError(
                f"The budget is damaged: {self._store.place} holds no ledger, so nobody knows what was spent, and "
                "nothing is sent. Correct it, or delete it: all budgets then begin anew, with nothing spent."
            ) from None
        except Exception as error:  # its text may hold a Redis URL with its password
            raise SentinelHubTransportError(
                f"The budget cannot be kept in {self._store.place} ({type(error).__name__}). Check the connection's "
                "auth_cache; a retry of the task tries again."
            ) from None

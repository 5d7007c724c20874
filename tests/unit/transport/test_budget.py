"""Budgets: windows of UTC days, months and DAG runs; what is set aside, spent, given back, refused."""

from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from clocks import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider.exceptions import (
    SentinelHubBudgetError,
    SentinelHubRateLimitError,
    SentinelHubTransportError,
)
from sentinelhub_provider.transport.budget import FORGETTING, LEDGER, Budget, Charge, SpendingLimits, set_aside, settle
from sentinelhub_provider.transport.state_stores import FileStateStore, MemoryStateStore, RedisStateStore


def at(text: str) -> float:
    """Return a time of UTC in seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.fixture(name="clock")
def fixture_clock() -> FakeClock:
    """A clock that stands at noon of a day in November."""
    return FakeClock(at("2026-11-27T12:00"))


def budget(clock: FakeClock, **limits: float | str | bool) -> Budget:
    """Return a budget of its own."""
    return Budget(MemoryStateStore(LEDGER, clock), SpendingLimits(**limits))  # type: ignore[arg-type]


def test_no_limit_is_no_budget():
    """A limit of nothing is one all the same."""
    assert not SpendingLimits()
    assert not SpendingLimits(run="weekly", waits=True)
    assert SpendingLimits(per_run=0.0)
    assert SpendingLimits(per_day=1)
    assert SpendingLimits(per_month=1)


ENDS = """
2026-11-27T12:00         2026-11-28 2026-12-01
2026-12-31T23:59:59.999  2027-01-01 2027-01-01
2028-02-28T00:00         2028-02-29 2028-03-01
2026-10-25T01:30         2026-10-26 2026-11-01
2027-01-31T05:00         2027-02-01 2027-02-01
"""


@pytest.mark.parametrize(("now", "day_ends", "month_ends"), [line.split() for line in ENDS.split("\n") if line])
def test_days_and_months_are_those_of_utc(now: str, day_ends: str, month_ends: str):
    """Whatever their length."""
    day, month, run = SpendingLimits(3, 2, 1, "weekly 1").windows(at(now))
    assert (day.name, day.limit, day.ends) == (f"day {now[:10]}", 2, at(day_ends))
    assert (month.name, month.limit, month.ends) == (f"month {now[:7]}", 3, at(month_ends))
    assert (run.name, run.limit, run.ends) == ("DAG run weekly 1", 1, None)


@pytest.mark.parametrize("unit", [1 / 3, 0.1, 0.005, 1.0, 2.52, 1e-4])
@pytest.mark.parametrize("count", [1, 57, 200])
def test_budget_for_so_many_requests_lets_so_many_go(clock: FakeClock, unit: float, count: int):
    """Whatever rounding does to the sum."""
    kept = budget(clock, per_day=unit * count)
    for _ in range(count):
        kept.settle(kept.set_aside(unit), unit)
    with pytest.raises(SentinelHubBudgetError, match=r"day 2026-11-27 has .* PU left"):
        kept.set_aside(unit)
    assert sum(kept.spent().values()) <= unit * count * (1 + 1e-9)


@given(
    limit=st.floats(0, 100),
    calls=st.lists(st.tuples(st.floats(0.005, 20), st.none() | st.floats(0, 1)), max_size=40),
)
def test_what_is_set_aside_never_exceeds_the_limit(limit: float, calls: list[tuple[float, float | None]]):
    """Whichever calls end, cost less than expected, or never answer."""
    kept, clock = budget(FakeClock(1e9), per_month=limit), 0.0
    for units, share in calls:
        try:
            charge = kept.set_aside(units)
        except SentinelHubBudgetError:
            assert clock + units > limit
            continue
        spent = units if share is None else units * share
        kept.settle(charge, None if share is None else spent)
        clock += spent
    assert clock <= limit * (1 + 1e-6) + 1e-9
    assert kept.spent() == {"month 2001-09": pytest.approx(clock, abs=1e-6)}


def test_window_that_is_full_takes_nothing_from_the_others(clock: FakeClock):
    """A request is set aside in all windows or in none."""
    kept = budget(clock, per_day=10, per_month=3)
    kept.set_aside(3)
    with pytest.raises(SentinelHubBudgetError, match="month 2026-11"):
        kept.set_aside(1)
    assert kept.spent() == {"day 2026-11-27": 3, "month 2026-11": 3}


def test_next_day_begins_anew_within_the_month(clock: FakeClock):
    """What began before midnight counts where it was set aside, also when it ends afterwards."""
    kept = budget(clock, per_day=10, per_month=25)
    late = kept.set_aside(10)
    clock.sleep(12 * 3600)
    kept.set_aside(10)
    kept.settle(late, 4)
    assert kept.spent() == {"day 2026-11-28": 10, "month 2026-11": 14}
    with pytest.raises(SentinelHubBudgetError, match="day"):
        kept.set_aside(1)


def test_cost_that_is_not_known_needs_something_left(clock: FakeClock):
    """It counts once the answer tells it, and may overrun the budget once."""
    kept = budget(clock, per_run=1.0, run="weekly 1")
    kept.settle(kept.set_aside(None), 1.5)
    with pytest.raises(SentinelHubBudgetError, match="DAG run weekly 1 has 0 PU left"):
        kept.set_aside(None)


def test_answer_that_names_no_cost_costs_what_was_set_aside(clock: FakeClock):
    """As does no answer at all."""
    kept = budget(clock, per_day=10)
    kept.settle(kept.set_aside(3), None)
    assert kept.spent() == {"day 2026-11-27": 3}


def test_who_may_wait_is_told_how_long(clock: FakeClock):
    """Until the day or month ends; a DAG run does not end by waiting."""
    kept = budget(clock, per_day=1, per_run=5, run="weekly 1", waits=True)
    kept.set_aside(1)
    with pytest.raises(SentinelHubRateLimitError, match="day") as refused:
        kept.set_aside(1)
    assert refused.value.retry_after == 12 * 3600
    with pytest.raises(SentinelHubBudgetError, match="DAG run"):
        budget(clock, per_run=5, run="weekly 1", waits=True).set_aside(6)


def test_windows_that_nobody_uses_are_dropped():
    """A ledger does not grow with each DAG run."""
    ledger = {"DAG run old": (5.0, 0.0), "DAG run new": (1.0, FORGETTING)}
    found, charge = set_aside(ledger, SpendingLimits(per_run=9, run="other"), FORGETTING + 1, 2.0)
    assert found == {"DAG run new": (1.0, FORGETTING), "DAG run other": (2.0, FORGETTING + 1)}
    assert charge == Charge(2.0, ("DAG run other",))
    assert settle(found, Charge(2.0, ("DAG run gone",)), 7.0, 0.5)["DAG run gone"] == (0.0, 7.0)


@pytest.mark.parametrize("damage", [b"{", b"[1]", b'{"day": "much"}', b"null", b"\xff"])
def test_store_that_fails_lets_nothing_be_spent(tmp_path: Path, clock: FakeClock, damage: bytes):
    """A rate limit that is lost is learnt again; a budget that is lost would allow everything again."""
    path = tmp_path / "client.budget"
    path.write_bytes(damage)
    kept = Budget(FileStateStore(path, LEDGER, clock), SpendingLimits(per_day=1))
    with pytest.raises(SentinelHubTransportError, match="auth_cache") as refused:
        kept.set_aside(0.5)
    assert not refused.value.final
    assert path.read_bytes() == damage


def test_store_that_fails_after_the_answer_costs_a_warning(tmp_path: Path, clock: FakeClock, caplog):
    """The answer is paid for; what was set aside stays so."""
    path = tmp_path / "client.budget"
    kept = Budget(FileStateStore(path, LEDGER, clock), SpendingLimits(per_day=1))
    charge = kept.set_aside(0.5)
    whole = path.read_bytes()
    path.write_bytes(b"{")
    kept.settle(charge, 0.25)
    assert "0.5 PU stay set aside, though 0.25 were spent" in caplog.text
    path.write_bytes(whole)
    assert kept.spent() == {"day 2026-11-27": 0.5}


def test_ledger_is_plain_json(tmp_path: Path, clock: FakeClock):
    """A person can read and correct it."""
    path = tmp_path / "client.budget"
    Budget(FileStateStore(path, LEDGER, clock), SpendingLimits(per_day=1)).set_aside(0.5)
    assert json.loads(path.read_text()) == {"day 2026-11-27": [0.5, clock()]}


class LosingRedis:
    """A client of Redis that gets no answer to its first transaction, and begins anew, as redis-py does."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.moment = 0

    def transaction(self, attempt: Any, _: str) -> None:
        """Let the transaction be done, and its answer be lost."""
        attempt(self)
        attempt(self)

    def get(self, name: str) -> bytes | None:
        """Return a value."""
        return self.values.get(name)

    def time(self) -> tuple[int, int]:
        """Return a time that goes on."""
        self.moment += 1
        return 1_790_000_000, self.moment

    def multi(self) -> None:
        """Begin."""

    def set(self, name: str, value: bytes, ex: int) -> None:
        """Set a value."""
        self.values[name] = value


def test_answer_of_redis_that_is_lost_changes_nothing_twice():
    """Units that are given back twice would be spent twice."""
    redis = LosingRedis()
    kept = Budget(RedisStateStore(redis, "a", LEDGER), SpendingLimits(per_run=10, run="weekly 1"))
    charge = kept.set_aside(3)
    kept.set_aside(3)
    kept.settle(charge, 1)
    assert json.loads(redis.values["a"])["DAG run weekly 1"][0] == 4


def test_error_of_a_store_is_shown_to_nobody():
    """Its text may hold a Redis URL with its password."""

    class Broken:
        def update(self, _: Any) -> None:
            raise ConnectionError("redis://:secret@host")

    with pytest.raises(SentinelHubTransportError, match="ConnectionError") as refused:
        Budget(Broken(), SpendingLimits(per_day=1)).set_aside(1)  # type: ignore[arg-type]
    assert "secret" not in "".join(traceback.format_exception(refused.value))

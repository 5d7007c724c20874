"""Budgets: windows of UTC days, months and DAG runs; what is set aside, spent, given back, refused."""

from __future__ import annotations

import json
import os
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
from sentinelhub_provider.transport.budget import (
    FORGETTING,
    LEDGER,
    Budget,
    Charge,
    Cost,
    Entry,
    Excess,
    Ledger,
    SpendingLimits,
    Standing,
    set_aside,
    settle,
    settle_jobs,
    standings,
)
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


def used(kept: Budget) -> dict[str, float]:
    """Return the PU that are set aside or spent in each window."""
    return {standing.name: standing.spent + standing.reserved for standing in kept.standings()}


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
        kept.settle(kept.set_aside(Cost(unit)), unit)
    with pytest.raises(SentinelHubBudgetError, match=r"day 2026-11-27 has .* PU left"):
        kept.set_aside(Cost(unit))
    assert sum(used(kept).values()) <= unit * count * (1 + 1e-9)


@given(
    limit=st.floats(0, 100),
    calls=st.lists(st.tuples(st.floats(0.005, 20), st.none() | st.floats(0, 1)), max_size=40),
)
def test_what_is_set_aside_never_exceeds_the_limit(limit: float, calls: list[tuple[float, float | None]]):
    """Whichever calls end, cost less than expected, or never answer."""
    kept, clock = budget(FakeClock(1e9), per_month=limit), 0.0
    for units, share in calls:
        try:
            charge = kept.set_aside(Cost(units))
        except SentinelHubBudgetError:
            assert clock + units > limit
            continue
        spent = units if share is None else units * share
        kept.settle(charge, None if share is None else spent)
        clock += spent
    assert clock <= limit * (1 + 1e-6) + 1e-9
    assert used(kept) == {"month 2001-09": pytest.approx(clock, abs=1e-6)}


def test_window_that_is_full_takes_nothing_from_the_others(clock: FakeClock):
    """A request is set aside in all windows or in none."""
    kept = budget(clock, per_day=10, per_month=3)
    kept.set_aside(Cost(3))
    with pytest.raises(SentinelHubBudgetError, match="month 2026-11"):
        kept.set_aside(Cost(1))
    assert used(kept) == {"day 2026-11-27": 3, "month 2026-11": 3}


def test_next_day_begins_anew_within_the_month(clock: FakeClock):
    """What began before midnight counts where it was set aside, also when it ends afterwards."""
    kept = budget(clock, per_day=10, per_month=25)
    late = kept.set_aside(Cost(10))
    clock.sleep(12 * 3600)
    kept.set_aside(Cost(10))
    kept.settle(late, 4)
    assert used(kept) == {"day 2026-11-28": 10, "month 2026-11": 14}
    with pytest.raises(SentinelHubBudgetError, match="day"):
        kept.set_aside(Cost(1))


def test_cost_that_is_not_known_needs_something_left(clock: FakeClock):
    """It counts once the answer tells it, and may overrun the budget once."""
    kept = budget(clock, per_run=1.0, run="weekly 1")
    kept.settle(kept.set_aside(Cost(None)), 1.5)
    with pytest.raises(SentinelHubBudgetError, match="DAG run weekly 1 has 0 PU left"):
        kept.set_aside(Cost(None))


def test_answer_that_names_no_cost_costs_what_was_set_aside(clock: FakeClock):
    """As does no answer at all."""
    kept = budget(clock, per_day=10)
    kept.settle(kept.set_aside(Cost(3)), None)
    assert used(kept) == {"day 2026-11-27": 3}


def test_who_may_wait_is_told_how_long(clock: FakeClock):
    """Until the day or month ends; a DAG run does not end by waiting."""
    kept = budget(clock, per_day=1, per_run=5, run="weekly 1", waits=True)
    kept.set_aside(Cost(1))
    with pytest.raises(SentinelHubRateLimitError, match="day") as refused:
        kept.set_aside(Cost(1))
    assert refused.value.retry_after == 12 * 3600
    with pytest.raises(SentinelHubBudgetError, match="DAG run"):
        budget(clock, per_run=5, run="weekly 1", waits=True).set_aside(Cost(6))


@pytest.mark.parametrize(
    ("limits", "window"),
    [({"per_day": 10}, "day"), ({"per_day": 100, "per_month": 10}, "month"), ({"per_day": 5, "per_month": 10}, "day")],
)
def test_a_cost_above_a_whole_budget_waits_for_nothing(clock: FakeClock, limits: dict[str, float], window: str):
    """The next day has no more units, so the wait would never end."""
    kept = budget(clock, **limits, waits=True)
    kept.set_aside(Cost(4))
    with pytest.raises(SentinelHubBudgetError, match=rf"PU for the {window} .*costs 11 PU.*Raise the budget"):
        kept.set_aside(Cost(11))
    with pytest.raises(SentinelHubBudgetError):
        kept.check(11, 3600.0)


def test_a_month_that_is_too_small_is_said_before_the_day_is_waited_for(clock: FakeClock):
    """Though the day is the first to have too few units left."""
    kept = budget(clock, per_day=20, per_month=10, waits=True)
    kept.set_aside(Cost(10))
    with pytest.raises(SentinelHubBudgetError, match="10 PU for the month"):
        kept.set_aside(Cost(11))


def test_windows_that_nobody_uses_are_dropped():
    """A ledger does not grow with each DAG run."""
    ledger = {"DAG run old": Entry(5.0, 0.0), "DAG run new": Entry(1.0, FORGETTING)}
    found, charge = set_aside(ledger, SpendingLimits(per_run=9, run="other"), FORGETTING + 1, Cost(2.0))
    assert found == {"DAG run new": Entry(1.0, FORGETTING), "DAG run other": Entry(2.0, FORGETTING + 1, 2.0)}
    assert charge == Charge(2.0, ("DAG run other",))
    assert settle(found, Charge(2.0, ("DAG run gone",)), 7.0, 0.5)["DAG run gone"] == Entry(0.0, 7.0)


def test_standing_tells_spent_from_reserved(clock: FakeClock):
    """And what is left, until when."""
    kept = budget(clock, per_day=10, per_run=4, run="weekly 1")
    kept.settle(kept.set_aside(Cost(2)), 1)
    kept.settle(kept.set_aside(Cost(0.5)), None)
    kept.set_aside(Cost(1))
    ends = datetime(2026, 11, 28, tzinfo=UTC)
    day, run = kept.standings()
    assert day == Standing("day 2026-11-27", 10, spent=1.5, reserved=1, ends=ends)
    assert run == Standing("DAG run weekly 1", 4, spent=1.5, reserved=1, ends=None)
    assert (day.remaining, run.remaining) == (7.5, 1.5)


def test_cost_that_was_not_expected_counts(clock: FakeClock):
    """What an answer says of a request that nothing was set aside for."""
    kept = budget(clock, per_day=10)
    kept.settle(None, 3)
    kept.settle(None, None)
    assert used(kept) == {"day 2026-11-27": 3}


def test_job_is_set_aside_once_and_costs_what_it_says(clock: FakeClock):
    """However often it is started; in the day of its last start."""
    kept = budget(clock, per_day=100, per_month=120)
    for units in (80, 80, 90):
        kept.settle(kept.set_aside(Cost(units, job="a")), None)
    assert used(kept) == {"day 2026-11-27": 90, "month 2026-11": 90}
    clock.sleep(86400)
    kept.settle(kept.set_aside(Cost(90, job="a")), None)
    assert used(kept) == {"day 2026-11-28": 90, "month 2026-11": 90}
    with pytest.raises(SentinelHubBudgetError, match=r"job b costs 31 PU. It was not started, and has cost nothing"):
        kept.set_aside(Cost(31, job="b"))
    kept.settle_jobs({"a": 70, "b": 50})
    kept.settle_jobs({"a": 70})  # a retry that looks again
    assert used(kept) == {"day 2026-11-28": 70, "month 2026-11": 70}
    assert [standing.reserved for standing in kept.standings()] == [0, 0]


def test_first_start_that_is_refused_gives_the_units_back(clock: FakeClock):
    """A later one does not: another attempt may have started the job."""
    kept = budget(clock, per_day=100)
    kept.settle(kept.set_aside(Cost(80, job="a")), 0.0)
    assert used(kept) == {"day 2026-11-27": 0}
    kept.settle(kept.set_aside(Cost(80, job="a")), None)
    kept.settle(kept.set_aside(Cost(80, job="a")), 0.0)
    assert used(kept) == {"day 2026-11-27": 80}


@pytest.mark.parametrize("cost", [30.0, 0.0, None, -1.0])
def test_job_that_was_stopped_may_be_started_again(clock: FakeClock, cost: float | None):
    """It counts as a whole again; where the service does not say what it cost, all that was set aside counts."""
    kept = budget(clock, per_day=100)
    kept.set_aside(Cost(80, job="a"))
    kept.settle_jobs({"a": cost}, stopped=["a"])
    assert used(kept) == {"day 2026-11-27": 80 if cost is None else max(0, cost)}
    assert kept.standings()[0].reserved == 0
    kept.set_aside(Cost(90, job="a"))
    kept.set_aside(Cost(10, job="a"))  # by somebody who does not know what it does
    assert used(kept) == {"day 2026-11-27": 90}
    kept.settle_jobs({"a": 85})
    assert used(kept) == {"day 2026-11-27": 85}


STEPS = st.one_of(
    st.tuples(st.just("request"), st.floats(0, 30), st.none() | st.floats(0, 30)),
    st.tuples(st.just("start"), st.integers(0, 3), st.floats(0, 30)),
    st.tuples(st.just("over"), st.integers(0, 3), st.none() | st.floats(0, 30)),
    st.tuples(st.just("stopped"), st.integers(0, 3), st.floats(0, 30)),
)


@given(limit=st.floats(1, 100), taken=st.lists(STEPS, max_size=30))
def test_ledgerholds_what_requests_and_jobs_hold(limit: float, taken: list[tuple[str, Any, Any]]):
    """Counted again in a plain way: a sum of requests, and one number for each job."""
    limits, now = SpendingLimits(per_month=limit), 1e9
    requests, jobs, held = 0.0, dict[Any, float](), set[int]()
    ledger: Ledger = {}
    for kind, one, other in taken:
        cost = Cost(one) if kind == "request" else Cost(other, job=str(one))
        if kind in ("request", "start"):
            changed, result = set_aside(ledger, limits, now, cost)
            if isinstance(result, Excess):
                assert changed is ledger
                continue
            ledger = changed
            if kind == "request":
                ledger = settle(ledger, result, now, other)
                requests += one if other is None else other
            else:
                jobs[one] = max(other, jobs[one]) if one in held else other
                held.add(one)
        elif one in held:
            ledger = settle_jobs(ledger, {str(one): other}, now, [str(one)] if kind == "stopped" else [])
            jobs[one] = jobs[one] if other is None else other
            if kind == "over":
                held.remove(one)
                jobs[f"{one} over {len(jobs)}"] = jobs.pop(one)
    (standing,) = standings(ledger, limits, now)
    assert standing.spent + standing.reserved == pytest.approx(requests + sum(jobs.values()), abs=1e-6)
    assert 0 <= standing.reserved <= sum(jobs.values()) + 1e-6
    assert {name for name in ledger if name.startswith("job")} == {f"job {one}" for one in held}


@pytest.mark.parametrize("damage", [b"{", b"[1]", b'{"day": "much"}', b'{"a": [NaN, 1, 0, []]}', b"null", b"\xff"])
def test_store_that_fails_lets_nothing_be_spent(tmp_path: Path, clock: FakeClock, damage: bytes):
    """A rate limit that is lost is learnt again; a budget that is lost would allow everything again."""
    path = tmp_path / "client.budget"
    path.write_bytes(damage)
    kept = Budget(FileStateStore(path, LEDGER, clock), SpendingLimits(per_day=1))
    with pytest.raises(SentinelHubTransportError, match=f"the file {path} does not hold a ledger.*delete") as refused:
        kept.set_aside(Cost(0.5))
    assert not refused.value.final
    assert path.read_bytes() == damage
    path.unlink()
    kept.set_aside(Cost(0.5))


def test_store_that_fails_after_the_answer_costs_a_warning(tmp_path: Path, clock: FakeClock, caplog):
    """The answer is paid for; what was set aside stays so."""
    path = tmp_path / "client.budget"
    kept = Budget(FileStateStore(path, LEDGER, clock), SpendingLimits(per_day=1))
    charge = kept.set_aside(Cost(0.5))
    whole = path.read_bytes()
    path.write_bytes(b"{")
    kept.settle(charge, 0.25)
    assert "the reserved units stay reserved" in caplog.text
    path.write_bytes(whole)
    assert used(kept) == {"day 2026-11-27": 0.5}


def test_ledgeris_plain_json(tmp_path: Path, clock: FakeClock):
    """A person can read and correct it."""
    path = tmp_path / "client.budget"
    Budget(FileStateStore(path, LEDGER, clock), SpendingLimits(per_day=1)).set_aside(Cost(0.5))
    assert json.loads(path.read_text()) == {"day 2026-11-27": [0.5, clock(), 0.5, []]}


def test_full_disk_leaves_the_ledger_as_it_was(tmp_path: Path, clock: FakeClock, monkeypatch):
    """A ledger that is cut off would stop everybody."""
    path = tmp_path / "client.budget"
    kept = Budget(FileStateStore(path, LEDGER, clock), SpendingLimits(per_day=1))
    kept.set_aside(Cost(0.25))
    before, write = path.read_bytes(), os.pwrite
    room = [10]
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: write(file, data[: room.pop() if room else None], at))
    with pytest.raises(SentinelHubTransportError, match="cannot be kept in the file"):
        kept.set_aside(Cost(0.0625))
    assert path.read_bytes() == before


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
    charge = kept.set_aside(Cost(3))
    kept.set_aside(Cost(3))
    kept.settle(charge, 1)
    assert json.loads(redis.values["a"])["DAG run weekly 1"][0] == 4


def test_error_of_a_store_is_shown_to_nobody():
    """Its text may hold a Redis URL with its password."""

    class Broken:
        place = "Redis"

        def update(self, _: Any) -> None:
            raise ConnectionError("redis://:secret@host")

    with pytest.raises(SentinelHubTransportError, match="ConnectionError") as refused:
        Budget(Broken(), SpendingLimits(per_day=1)).set_aside(Cost(1))  # type: ignore[arg-type]
    assert "secret" not in "".join(traceback.format_exception(refused.value))

"""When the next request may start: configured limits are kept, unknown ones are found, by all together."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_bucket import START, Fleet, TokenBucket

from sentinelhub_provider.transport.pacing import (
    COUNTED_PAUSE,
    FIRST_INTERVAL,
    FORGETTING,
    LONGEST_INTERVAL,
    MEASURING_INTERVAL,
    MEASURING_PAUSE,
    MOST_GROWTH,
    SAFETY,
    Limits,
    Pace,
    Slot,
    answered,
    first_pace,
    refused,
    reserve,
    still_holds,
    teaches,
)

NOW = START
NO_LIMITS = Limits()
PER_MINUTE = Limits(requests_per_minute=300)


def slots(pace: Pace, limits: Limits, count: int, now: float = NOW) -> tuple[Pace, list[Slot]]:
    """Reserve ``count`` slots at once."""
    given_ = []
    for _ in range(count):
        pace, slot = reserve(pace, limits, now)
        given_.append(slot)
    return pace, given_


def gaps(given_: list[Slot]) -> list[float]:
    """Seconds from slot to slot."""
    return [later.starts - earlier.starts for earlier, later in pairwise(given_)]


def slowed(now: float = NOW) -> Pace:
    """Return a pace that has just seen its first 429."""
    return refused(Pace(), NO_LIMITS, Slot(now - 0.1, made=now), now, retry_after=None)


# A configured limit


def test_configured_limit_spreads_requests_evenly():
    """300 a minute is one each 0.2 s, and a per cent more, from the very first."""
    _, given_ = slots(first_pace(PER_MINUTE), PER_MINUTE, 50)
    assert given_[0].wait == 0.0
    assert gaps(given_) == pytest.approx([0.2 * SAFETY] * 49)


def test_unused_time_is_not_saved_up():
    """After a minute in which nobody asked, requests are as far apart as ever."""
    pace, _ = slots(first_pace(PER_MINUTE), PER_MINUTE, 2)
    _, given_ = slots(pace, PER_MINUTE, 3, now=NOW + 60)
    assert given_[0].starts == NOW + 60
    assert gaps(given_) == pytest.approx([0.2 * SAFETY] * 2)


def test_configured_limit_teaches_nothing_by_answers():
    """Without PU to count, an answer leaves the shared pace alone, and its store in peace."""
    pace, slot = reserve(first_pace(PER_MINUTE), PER_MINUTE, NOW)
    assert answered(pace, PER_MINUTE, slot, NOW, spent=2.0) == pace
    assert not teaches(PER_MINUTE, slot, status=200)
    assert teaches(PER_MINUTE, slot, status=429)


def test_chance_429_under_a_configured_limit_pauses_for_no_longer_than_a_slot():
    """The limit is known already: there is nothing to measure."""
    pace, slot = reserve(first_pace(PER_MINUTE), PER_MINUTE, NOW)
    pace = refused(pace, PER_MINUTE, slot, NOW, retry_after=None)
    _, given_ = slots(pace, PER_MINUTE, 3)
    assert given_[0].wait == pytest.approx(0.2 * SAFETY)
    assert gaps(given_) == pytest.approx([0.2 * SAFETY] * 2)


def test_limit_set_too_high_is_corrected_by_the_service():
    """Twice what the account allows: it is kept to what the service lets through all the same."""
    fleet = Fleet(TokenBucket(5, 5), threads=40, latency=0.05, limits=Limits(requests_per_minute=600)).run(120)
    assert fleet.share_of_ceiling() > 0.95
    assert fleet.share_of_429s < 0.05


def test_configured_limit_meets_no_429():
    """At the limit itself the bucket never runs dry: what is asked for is had, and nothing is refused."""
    fleet = Fleet(TokenBucket(5, 5), threads=40, latency=0.05, limits=PER_MINUTE).run(60)
    assert not fleet.rejected
    assert fleet.rate_between(5, 60) == pytest.approx(5, rel=0.02)


# Processing units


def test_units_are_reserved_from_what_requests_cost_so_far():
    """At 60 PU a minute, a request that is expected to cost 2 PU keeps the next one waiting for 2 s."""
    limits = Limits(processing_units_per_minute=60)
    pace, first = reserve(first_pace(limits), limits, NOW)
    assert first.units == 0.0
    pace = answered(pace, limits, first, NOW, spent=2.0)
    assert pace.typical_units == 2.0
    pace, second = reserve(pace, limits, NOW)
    assert second.units == 2.0
    assert second.wait == pytest.approx(2.0 * SAFETY)
    _, third = reserve(pace, limits, NOW)
    assert third.wait == pytest.approx(4.0 * SAFETY)


@pytest.mark.parametrize(("spent", "owed"), [(3.0, 3.0), (2.0, 2.0), (0.5, 0.5)])
def test_reservation_is_corrected_by_what_was_spent(spent: float, owed: float):
    """Set aside 2 PU: whatever it then cost is what the next request waits for, not what was thought."""
    limits = Limits(processing_units_per_minute=60)
    pace, slot = reserve(replace(first_pace(limits), typical_units=2.0), limits, NOW)
    pace = answered(pace, limits, slot, NOW, spent=spent)
    assert pace.next_units == pytest.approx(NOW + owed * SAFETY)
    assert pace.typical_units == pytest.approx(2.0 + 0.2 * (spent - 2.0))


def test_both_limits_hold_at_once():
    """Where requests are cheap the one binds, where they are dear the other."""
    limits = Limits(requests_per_minute=60, processing_units_per_minute=60)
    _, cheap = slots(replace(first_pace(limits), typical_units=0.1), limits, 3)
    _, dear = slots(replace(first_pace(limits), typical_units=5.0), limits, 3)
    assert gaps(cheap) == pytest.approx([1.0 * SAFETY] * 2)
    assert gaps(dear) == pytest.approx([5.0 * SAFETY] * 2)


def test_units_that_are_not_told_change_nothing():
    """Not every answer carries its cost."""
    limits = Limits(requests_per_minute=60, processing_units_per_minute=60)
    pace, slot = reserve(replace(first_pace(limits), typical_units=2.0), limits, NOW)
    assert answered(pace, limits, slot, NOW, spent=None) == pace


# No limit known


def test_opening_sets_the_pace_free_within_a_few_answers():
    """An account far from its limit must not wait: after a dozen answers nothing holds requests back."""
    pace = Pace()
    answers = 0
    while not pace.is_free:
        answers += 1
        pace, slot = reserve(pace, NO_LIMITS, NOW)
        pace = answered(pace, NO_LIMITS, slot, NOW, spent=None)
    assert answers == 12


def test_silence_does_not_quicken_the_opening():
    """Requests that nobody has answered yet say nothing."""
    _, given_ = slots(Pace(), NO_LIMITS, 30)
    assert gaps(given_) == pytest.approx([FIRST_INTERVAL] * 29)


def test_first_429_pauses_everybody_then_measures():
    """The bucket fills for a set time, and is then emptied quickly."""
    _, given_ = slots(slowed(), NO_LIMITS, 3)
    assert given_[0].starts == pytest.approx(NOW + MEASURING_PAUSE)
    assert gaps(given_) == pytest.approx([MEASURING_INTERVAL] * 2, rel=0.05)


@pytest.mark.parametrize("through", [3, 10, 40])
def test_what_gets_through_a_round_is_the_limit(through: int):
    """After an empty bucket, ``n`` requests in a span are let through by one limit alone, give or take one."""
    pace, given_ = slots(slowed(), NO_LIMITS, through + 1)
    last = given_[-1]
    learnt = refused(pace, NO_LIMITS, last, last.starts, retry_after=None).interval
    span = last.starts - NOW
    assert span / (through + 1) < learnt < span / (through - 1)


def test_round_counts_no_time_in_which_nobody_asked():
    """A break of five minutes in mid-round does not make the service look slower."""
    pace, _ = slots(slowed(), NO_LIMITS, 10)
    pace, busy = reserve(pace, NO_LIMITS, NOW)
    _, late = reserve(pace, NO_LIMITS, NOW + 300)
    assert late.span == pytest.approx(busy.span + MEASURING_INTERVAL, rel=0.05)


@pytest.mark.parametrize("is_straggler", [False, True])
def test_round_counts_no_long_pause_that_the_service_asked_for(is_straggler: bool):
    """A bucket of five is full long before half a minute is over: five requests do not tell of ten a minute."""
    told = None if is_straggler else 30.0
    pace = refused(Pace(), NO_LIMITS, Slot(NOW, made=NOW), NOW, retry_after=told)
    if is_straggler:
        pace = refused(pace, NO_LIMITS, Slot(NOW, made=NOW), NOW, retry_after=30.0)
    pace, given_ = slots(pace, NO_LIMITS, 6)
    assert given_[0].starts == pytest.approx(NOW + 30)
    assert given_[0].span <= COUNTED_PAUSE + 1e-6
    assert refused(pace, NO_LIMITS, given_[-1], given_[-1].starts, retry_after=None).interval < 0.5


def test_the_better_a_limit_is_known_the_less_it_is_tried():
    """After a long round the pace quickens less than after a short one."""

    def growth_after(count: int) -> float:
        pace, given_ = slots(slowed(), NO_LIMITS, count)
        return refused(pace, NO_LIMITS, given_[-1], given_[-1].starts, retry_after=None).growth

    assert MOST_GROWTH == growth_after(1) > growth_after(5) > growth_after(20)


def test_429_takes_back_all_slots_given_before():
    """Those who wait in the queue ask again, and are told to wait longer."""
    pace, given_ = slots(Pace(), NO_LIMITS, 40)
    pace = refused(pace, NO_LIMITS, given_[0], NOW + 0.1, retry_after=None)
    assert not any(still_holds(pace, slot) for slot in given_)
    pace, anew = reserve(pace, NO_LIMITS, NOW + 0.1)
    assert still_holds(pace, anew)
    assert anew.wait == pytest.approx(MEASURING_PAUSE)


def test_stragglers_slow_nobody_twice():
    """Requests that were on their way at the first 429 bring more of them, which say nothing new."""
    pace, given_ = slots(Pace(), NO_LIMITS, 5)
    once = refused(pace, NO_LIMITS, given_[0], NOW + 0.1, retry_after=None)
    again = refused(once, NO_LIMITS, given_[1], NOW + 0.11, retry_after=None)
    assert again == once


@pytest.mark.parametrize("is_straggler", [False, True])
def test_nobody_starts_before_the_service_allows(is_straggler: bool):
    """``Retry-After`` holds for all, also where a straggler brings it."""
    pace, slot = reserve(Pace(), NO_LIMITS, NOW)
    if is_straggler:
        pace = refused(pace, NO_LIMITS, Slot(NOW, made=NOW), NOW + 0.1, retry_after=None)
    pace = refused(pace, NO_LIMITS, slot, NOW + 0.1, retry_after=30.0)
    _, anew = reserve(pace, NO_LIMITS, NOW + 0.2)
    assert anew.starts == pytest.approx(NOW + 30.1)


def test_answers_of_the_opening_quicken_nothing_after_a_429():
    """They were sent before the limit was met."""
    pace, slot = reserve(Pace(), NO_LIMITS, NOW)
    pace = refused(pace, NO_LIMITS, Slot(NOW, made=NOW), NOW + 0.1, retry_after=None)
    assert answered(pace, NO_LIMITS, slot, NOW + 0.2, spent=None) == pace


def test_what_was_learnt_is_forgotten_after_long_disuse():
    """Next day's run starts afresh, but for what a request costs."""
    pace = replace(slowed(), typical_units=3.0, used_at=NOW)
    kept, _ = reserve(pace, NO_LIMITS, NOW + FORGETTING - 1)
    dropped, slot = reserve(pace, NO_LIMITS, NOW + FORGETTING + 1)
    assert kept.round == 1
    assert dropped.is_opening
    assert dropped.interval == FIRST_INTERVAL
    assert dropped.typical_units == 3.0
    assert slot.wait == 0.0


def test_clock_that_was_set_back_holds_nobody_up():
    """A pace from an hour ahead would have everybody wait for an hour."""
    pace, _ = slots(first_pace(PER_MINUTE), PER_MINUTE, 5, now=NOW + 3600)
    _, slot = reserve(pace, PER_MINUTE, NOW)
    assert slot.wait == 0.0


# Properties

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "answer", "refuse"]),
        st.floats(0, 3),
        st.none() | st.floats(0, 100),
        st.integers(0, 20),
    ),
    max_size=80,
)
LIMITS = st.builds(Limits, st.none() | st.floats(1, 6000), st.none() | st.floats(1, 6000))


def play(events: list, limits: Limits) -> list[tuple[Pace, Slot | None, float]]:
    """Apply events at their times; return the pace after each, the slot if it gave one, and when."""
    pace, now, history = first_pace(limits), NOW, []
    given_: list[Slot] = []
    for what, later, number, which in events:
        now += later
        slot = None
        if what == "reserve" or not given_:
            pace, slot = reserve(pace, limits, now)
            given_.append(slot)
        elif what == "answer":
            pace = answered(pace, limits, given_[-1 - which % len(given_)], now, spent=number)
        else:
            pace = refused(pace, limits, given_[-1 - which % len(given_)], now, retry_after=number)
        history.append((pace, slot, now))
    return history


@given(EVENTS, LIMITS)
def test_slots_are_never_closer_than_the_configured_limit(events: list, limits: Limits):
    """Whatever comes back: of two slots that both hold, the later starts a whole interval after the earlier."""
    last: Slot | None = None
    for pace, slot, _ in play(events, limits):
        if slot is None:
            continue
        if last is not None and still_holds(pace, last):
            assert slot.starts - last.starts >= limits.interval - 1e-6
        last = slot


@given(EVENTS, LIMITS)
def test_slots_come_in_order_and_never_in_the_past(events: list, limits: Limits):
    """Who asks later starts later, and nobody is sent back in time."""
    last: Slot | None = None
    for pace, slot, now in play(events, limits):
        if slot is None:
            continue
        assert slot.starts >= slot.made == now
        assert slot.span >= 0.0
        if last is not None and still_holds(pace, last):
            assert slot.starts >= last.starts
        last = slot


@given(EVENTS, LIMITS)
def test_pace_stays_within_bounds(events: list, limits: Limits):
    """No history makes it stop, run backwards, or lose its numbers."""
    longest = max(LONGEST_INTERVAL, limits.interval)
    for pace, _, _ in play(events, limits):
        assert all(math.isfinite(getattr(pace, field.name)) for field in fields(Pace))
        assert 0.0 <= pace.interval <= longest
        assert 0.0 < pace.growth <= 0.15


@given(st.integers(1, 200), st.floats(0, 10), st.none() | st.floats(0, 100))
def test_no_slot_survives_a_429(count: int, later: float, retry_after: float | None):
    """However many were given, and whatever the service asked for."""
    pace, given_ = slots(Pace(), NO_LIMITS, count)
    now = NOW + later
    pace = refused(pace, NO_LIMITS, given_[0], now, retry_after=retry_after)
    assert not any(still_holds(pace, slot) for slot in given_)
    assert reserve(pace, NO_LIMITS, now)[1].starts >= now + (retry_after or 0.0)


# Simulated services


@pytest.mark.parametrize("form", ["honest", "misread", "missing"])
@pytest.mark.parametrize("threads", [10, 40])
@pytest.mark.parametrize("rate", [5, 20, 60])
def test_unknown_limit_is_found_and_used(rate: float, threads: int, form: str):
    """Within 15 s: over nine tenths of what the service allows, with fewer than a tenth of 429s."""
    told = {"honest": lambda seconds: seconds, "misread": lambda _: 0.001, "missing": lambda _: None}[form]
    fleet = Fleet(TokenBucket(rate, rate), threads, latency=0.01, retry_after=told).run(16)
    assert fleet.share_of_ceiling() > 0.93
    assert fleet.share_of_429s < 0.08


def test_bucket_of_a_minute_and_slow_answers():
    """As Sentinel Hub's own: 300 a minute, all of them at once if need be, 0.7 s each."""
    fleet = Fleet(TokenBucket(5, 300), threads=40, latency=0.7).run(300)
    assert fleet.share_of_ceiling() > 0.97
    assert fleet.share_of_429s < 0.1


def test_429s_are_rare_once_the_limit_is_known():
    """In the long run two or three in a hundred, which is what watching for a higher limit costs."""
    fleet = Fleet(TokenBucket(5, 5), threads=40, latency=0.05).run(60)
    accepted, rejected = len(fleet.accepted), len(fleet.rejected)
    fleet.run(600)
    late = len(fleet.rejected) - rejected
    assert late / (len(fleet.accepted) - accepted + late) < 0.04
    assert fleet.rate_between(60, 660) == pytest.approx(5, rel=0.03)


def test_lifted_limit_is_noticed_within_two_minutes():
    """The account got an upgrade, or another tenant of it went home."""
    bucket = TokenBucket(5, 5)
    fleet = Fleet(bucket, threads=20, latency=0.1).run(60)
    bucket.rate = bucket.burst = 1000.0
    fleet.run(120)
    assert fleet.rate_between(60, 70) < 10
    assert fleet.rate_between(170, 180) > 150
    assert fleet.pace.is_free


def test_lowered_limit_is_found_again():
    """From 60 a second to 5: a handful of 429s later the new limit is kept."""
    bucket = TokenBucket(60, 60)
    fleet = Fleet(bucket, threads=40, latency=0.01).run(20)
    rejected = len(fleet.rejected)
    bucket.rate = bucket.burst = bucket.level = 5.0
    fleet.run(30)
    assert fleet.rate_between(30, 50) == pytest.approx(5, rel=0.1)
    assert len(fleet.rejected) - rejected < 30


def test_no_limit_costs_next_to_nothing():
    """Twenty threads are all at work within a seventh of a second, and wait no more from then on."""
    fleet = Fleet(TokenBucket(1e6, 1e6), threads=20, latency=0.05).run(5)
    assert fleet.accepted[19] - START < 0.15
    assert fleet.rate_between(0.2, 5) == pytest.approx(20 / 0.052, rel=0.03)

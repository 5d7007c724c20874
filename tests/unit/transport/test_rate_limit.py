"""When the next request may start: configured limits are kept, unknown ones are found, by all together."""

from __future__ import annotations

import heapq
import math
from dataclasses import fields, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_bucket import START, Fleet, TokenBucket

from sentinelhub_provider.transport.rate_limit import (
    FORGETTING,
    LONGEST_ASKED,
    LONGEST_BACKOFF,
    MOST_COUNTED,
    PAUSE,
    PROBE_RATE,
    SAFETY,
    UNIT_LEASE,
    UNIT_POLL,
    Limits,
    RateState,
    Slot,
    give_back,
    learn,
    reserve,
    still_holds,
    teaches,
)

NOW = START
NO_LIMITS = Limits()
PER_MINUTE = Limits(requests_per_minute=300)
UNITS = Limits(processing_units_per_minute=300)


def slots(state: RateState, limits: Limits, count: int, now: float = NOW) -> tuple[RateState, list[Slot]]:
    """Reserve ``count`` slots at once."""
    given_ = []
    for _ in range(count):
        state, slot = reserve(state, limits, now)
        given_.append(slot)
    return state, given_


def gaps(given_: list[Slot]) -> list[float]:
    """Seconds from slot to slot."""
    return [later.starts - earlier.starts for earlier, later in pairwise(given_)]


def refused(state: RateState, slot: Slot, now: float, retry_after: float | None = None) -> RateState:
    """Learn from a 429 where no limit is configured."""
    return learn(state, NO_LIMITS, slot, now, status=429, retry_after=retry_after)


def slowed(now: float = NOW) -> RateState:
    """Return a state that has just seen its first 429."""
    return refused(RateState(), Slot(now - 0.1, made=now), now)


# A configured limit


def test_configured_limit_spreads_requests_evenly():
    """300 a minute is one each 0.2 s, and a per cent more, from the very first."""
    _, given_ = slots(RateState(), PER_MINUTE, 50)
    assert given_[0].wait == 0.0
    assert gaps(given_) == pytest.approx([0.2 * SAFETY] * 49)


def test_unused_time_is_not_saved_up():
    """After a minute in which nobody asked, requests are as far apart as ever."""
    state, _ = slots(RateState(), PER_MINUTE, 2)
    _, given_ = slots(state, PER_MINUTE, 3, now=NOW + 60)
    assert given_[0].starts == NOW + 60
    assert gaps(given_) == pytest.approx([0.2 * SAFETY] * 2)


def test_configured_limit_teaches_nothing_by_answers():
    """Without PU to count, an answer leaves the shared state alone, and its store in peace."""
    _, slot = reserve(RateState(), PER_MINUTE, NOW)
    assert not teaches(PER_MINUTE, slot, status=200)
    assert teaches(PER_MINUTE, slot, status=429)


@pytest.mark.parametrize("rate", [5, 60])
def test_limit_set_too_high_is_corrected_by_the_service(rate: float):
    """Twice what the account allows: it is kept to what the service lets through all the same."""
    limits = Limits(requests_per_minute=120 * rate)
    fleet = Fleet(TokenBucket(rate, rate), threads=40, latency=0.05, limits=limits).run(120)
    assert fleet.share_of_ceiling() > 0.95
    assert fleet.share_of_429s < 0.05


@pytest.mark.parametrize("rate", [5, 20, 60])
def test_configured_limit_meets_no_429(rate: float):
    """At the limit itself the bucket never runs dry: what is asked for is had, and nothing is refused."""
    limits = Limits(requests_per_minute=60 * rate)
    fleet = Fleet(TokenBucket(rate, rate), threads=40, latency=0.05, limits=limits).run(60)
    assert not fleet.rejected
    assert fleet.rate_between(5, 60) == pytest.approx(rate, rel=0.02)


# Who gives up


def test_slot_that_is_too_far_off_is_not_taken():
    """Whoever looks and leaves does not lengthen the queue for those who wait."""
    state, _ = slots(RateState(), PER_MINUTE, 10)
    for _ in range(100):
        state, slot = reserve(state, PER_MINUTE, NOW, patience=1.0)
        assert not slot.taken
        assert slot.wait > 1.0
    _, slot = reserve(state, PER_MINUTE, NOW)
    assert slot.wait == pytest.approx(10 * 0.2 * SAFETY)


def test_six_hundred_deferrable_tasks_finish_in_two_minutes():
    """At 300 a minute, with a minute's patience each: most are sent away once, and come when they were told to."""
    state = RateState()
    events = [(NOW, number, None) for number in range(600)]
    done: list[float] = []
    deferrals = 0
    while events:
        now, number, slot = heapq.heappop(events)
        assert now < NOW + 3600, f"{len(events)} tasks never finish"
        if slot is not None:
            done.append(now)
            continue
        state, slot = reserve(state, PER_MINUTE, now, patience=60.0)
        deferrals += not slot.taken
        # A task that was sent away starts a second or so late.
        late = 0.0 if slot.taken else 0.2 + number % 7 / 4
        heapq.heappush(events, (slot.starts + late, number, slot if slot.taken else None))
    assert len(done) == 600
    assert max(done) - NOW < 130
    assert deferrals < 600


def test_slot_that_is_given_back_is_the_next_ones():
    """Those behind it keep their slots; whoever asks next does not queue behind them."""
    state, given_ = slots(RateState(), PER_MINUTE, 10)
    state = give_back(state, PER_MINUTE, given_[7], NOW)
    state = give_back(state, PER_MINUTE, given_[3], NOW)
    _, again = slots(state, PER_MINUTE, 3)
    assert [slot.starts for slot in again] == [given_[3].starts, given_[7].starts, pytest.approx(NOW + 2 * SAFETY)]


def test_slot_that_was_sent_is_not_given_again():
    """Its time has come: to give it back would save unused time up."""
    state, given_ = slots(RateState(), PER_MINUTE, 2)
    state = give_back(state, PER_MINUTE, given_[0], NOW)
    _, slot = reserve(state, PER_MINUTE, NOW)
    assert slot.starts > given_[1].starts


def test_nothing_is_given_back_twice_by_a_429():
    """The queue starts anew then, the slots that were returned to it as well."""
    state, given_ = slots(RateState(), NO_LIMITS, 10)
    state = give_back(state, NO_LIMITS, given_[5], NOW)
    state = refused(state, given_[0], NOW)
    state = give_back(state, NO_LIMITS, given_[6], NOW)
    assert state.returned == ()


# Processing units


def test_one_request_finds_out_what_requests_cost():
    """The others ask again in a second, and take nothing until then."""
    state, first = reserve(RateState(), UNITS, NOW)
    assert first.wait == 0.0
    for _ in range(600):
        state, slot = reserve(state, UNITS, NOW)
        assert (slot.taken, slot.wait) == (False, UNIT_POLL)
    state = learn(state, UNITS, first, NOW + 0.5, status=200, spent=2.0)
    _, given_ = slots(state, UNITS, 3, now=NOW + 1)
    assert gaps(given_) == pytest.approx([0.4 * SAFETY] * 2)


@pytest.mark.parametrize("latency", [0.1, 5.0, 25.0])
@pytest.mark.parametrize("cost", [0.01, 1.0, 6.0, 30.0])
def test_unit_limit_holds_from_the_first_second(cost: float, latency: float):
    """600 callers at once under 300 PU a minute: never more than a request above what the time allows."""
    state, spent = RateState(), 0.0
    events: list[tuple[float, int, str, Slot | None]] = [(NOW, number, "ask", None) for number in range(600)]
    heapq.heapify(events)
    while events and events[0][0] < NOW + 60:
        now, number, what, slot = heapq.heappop(events)
        if what == "answer":
            assert slot is not None
            state = learn(state, UNITS, slot, now, status=200, spent=cost)
        elif what == "send":
            spent += cost
            assert spent <= 5 * (now - NOW) + cost * (1 + latency / UNIT_LEASE)
            heapq.heappush(events, (now + latency, number, "answer", slot))
        else:
            state, slot = reserve(state, UNITS, now)
            heapq.heappush(events, (slot.starts, number, "send" if slot.taken else "ask", slot))
    assert spent > min(300, 600 * cost) * (1 - latency / 60) * 0.9 - 2 * cost


@pytest.mark.parametrize("status", [429, 500, 404])
def test_request_that_fails_lets_the_next_one_find_out(status: int):
    """Nobody waits for the lease to run out."""
    state, first = reserve(RateState(), UNITS, NOW)
    state = learn(state, UNITS, first, NOW + 1, status=status)
    _, slot = reserve(state, UNITS, NOW + 1 + PAUSE)
    assert slot.taken
    assert slot.wait == 0.0


def test_request_that_never_ends_lets_the_next_one_find_out():
    """Its process was killed, perhaps."""
    state, _ = reserve(RateState(), UNITS, NOW)
    _, slot = reserve(state, UNITS, NOW + UNIT_LEASE)
    assert slot.taken


@pytest.mark.parametrize(("spent", "owed"), [(3.0, 3.0), (2.0, 2.0), (0.5, 0.5)])
def test_units_set_aside_are_corrected_by_what_was_spent(spent: float, owed: float):
    """Set aside 2 PU: whatever it then cost is what the next request waits for, not what was thought."""
    state, slot = reserve(RateState(units=2.0), UNITS, NOW)
    state = learn(state, UNITS, slot, NOW, status=200, spent=spent)
    assert state.next_units == pytest.approx(NOW + owed * 0.2 * SAFETY)
    assert state.units == pytest.approx(max(spent, 2.0 + 0.2 * (spent - 2.0)))


@pytest.mark.parametrize("what", ["given back", "refused", "failed", "void"])
def test_units_set_aside_for_nothing_are_given_back(what: str):
    """Only what was spent counts."""
    state, given_ = slots(RateState(units=2.0), UNITS, 2)
    owed = state.next_units
    if what == "given back":
        state = give_back(state, UNITS, given_[1], NOW)
    elif what == "void":
        state = give_back(replace(state, round=5), UNITS, given_[1], NOW)
    else:
        state = learn(state, UNITS, given_[1], NOW, status=429 if what == "refused" else 503)
    assert state.next_units == pytest.approx(owed - 0.4 * SAFETY)


def test_both_limits_hold_at_once():
    """Where requests are cheap the one binds, where they are dear the other."""
    limits = Limits(requests_per_minute=60, processing_units_per_minute=60)
    _, cheap = slots(RateState(units=0.1), limits, 3)
    _, dear = slots(RateState(units=5.0), limits, 3)
    assert gaps(cheap) == pytest.approx([1.0 * SAFETY] * 2)
    assert gaps(dear) == pytest.approx([5.0 * SAFETY] * 2)


def test_requests_that_spend_nothing_do_not_wait_for_units():
    """A catalog search is no picture."""
    state, _ = reserve(RateState(), UNITS, NOW)
    _, slot = reserve(replace(state, next_units=NOW + 60), UNITS, NOW, spends=False)
    assert slot.taken
    assert slot.wait < 0.1


def test_service_that_does_not_tell_costs_no_time():
    """A limit of units cannot be kept there, and is no reason to go one by one."""
    state, slot = reserve(RateState(), UNITS, NOW)
    state = learn(state, UNITS, slot, NOW, status=200)
    _, given_ = slots(state, UNITS, 3)
    assert all(slot.taken and slot.wait < 0.1 for slot in given_)


# Odd answers


@pytest.mark.parametrize("limits", [NO_LIMITS, PER_MINUTE, UNITS])
@pytest.mark.parametrize("retry_after", [1_780_000_000.0, 5.4e9, 1e300, math.inf])
def test_one_odd_retry_after_stops_everybody_for_two_minutes_at_most(limits: Limits, retry_after: float):
    """Then a request finds out; stragglers that say the same do not lengthen it."""
    state, given_ = slots(RateState(), limits, 2)
    for slot in given_:
        state = learn(state, limits, slot, NOW + 0.1, status=429, retry_after=retry_after)
    _, slot = reserve(state, limits, NOW + 1)
    assert slot.starts == pytest.approx(NOW + 0.1 + LONGEST_ASKED)


@pytest.mark.parametrize("spent", [1e9, 1e300])
def test_one_odd_cost_stops_everybody_for_two_minutes_at_most(spent: float):
    """And is forgotten as the next answers come."""
    state, slot = reserve(RateState(units=1.0), UNITS, NOW)
    state = learn(state, UNITS, slot, NOW, status=200, spent=spent)
    now = NOW
    for number in range(40):
        state, slot = reserve(state, UNITS, now)
        assert slot.wait <= LONGEST_ASKED * 1.1 if number == 0 else slot.wait <= 1.0
        now = slot.starts + 0.1
        state = learn(state, UNITS, slot, now, status=200, spent=1.0)
    assert state.units == pytest.approx(1.0, abs=0.2)


# Refusals that say little


def calls_one_after_the_other(refusals: int, pause: float, count: int = 40) -> list[float]:
    """Seconds that each call takes, where each is refused so many times without a word, then served."""
    state, now, took = RateState(), NOW, []
    for _ in range(count):
        began = now
        for attempt in range(refusals + 1):
            state, slot = reserve(state, NO_LIMITS, now)
            now = slot.starts + 0.05
            state = learn(state, NO_LIMITS, slot, now, status=429 if attempt < refusals else 200)
        took.append(now - began)
        now += pause
    return took


@pytest.mark.parametrize("pause", [0.0, 1.0, 20.0])
@pytest.mark.parametrize(("refusals", "longest"), [(1, 2.0), (2, 6.0)])
def test_isolated_429s_do_not_add_up(refusals: int, longest: float, pause: float):
    """Another program uses the same account: the fortieth call takes no longer than the sixth."""
    took = calls_one_after_the_other(refusals, pause)
    assert max(took) < longest
    assert max(took[6:]) <= took[5] * 1.05


@pytest.mark.parametrize("through", [1, 3, 10, 40])
def test_learnt_rate_follows_what_was_seen_to_pass(through: int):
    """After an empty bucket, ``n`` requests in a span tell the limit, the better the more they are."""
    state, given_ = slots(slowed(), NO_LIMITS, through + 1)
    last = given_[-1]
    interval = refused(state, last, last.starts).interval
    passed = given_[-2].starts - NOW
    assert 0.8 * passed / (through + 1) < interval <= 1.5 * passed / through


def test_refusals_without_a_success_double_the_pause_up_to_a_bound():
    """A service that is down is asked once a minute; the learnt rate stays what it was."""
    state, waits = slowed(), []
    for _ in range(16):
        state, slot = reserve(state, NO_LIMITS, state.next_request)
        state = refused(state, slot, slot.starts)
        waits.append(state.next_request - slot.starts)
    assert waits == pytest.approx([min(waits[0] * 2.0**number, LONGEST_BACKOFF) for number in range(16)])
    assert waits[-1] == pytest.approx(LONGEST_BACKOFF)
    assert state.interval == 1.0 / PROBE_RATE


def test_pause_is_forgotten_after_the_first_success():
    """The next 429 pauses for no longer than one that came alone."""
    state = slowed()
    for _ in range(12):
        state, slot = reserve(state, NO_LIMITS, state.next_request)
        state = refused(state, slot, slot.starts)
    state, _ = reserve(state, NO_LIMITS, state.next_request)
    state, slot = reserve(state, NO_LIMITS, state.next_request)
    state = refused(state, slot, slot.starts)
    assert state.next_request - slot.starts <= PAUSE
    assert state.interval <= 1.5 * MOST_COUNTED


# No limit known


def test_opening_sets_requests_free():
    """An account far from its limit must not wait: after the first seconds nothing holds requests back."""
    state, given_ = slots(RateState(), NO_LIMITS, 200)
    assert state.lets_go_freely(NO_LIMITS, given_[-1].starts)
    assert given_[19].wait < 0.2
    assert given_[-1].wait < 1.0


def test_first_429_pauses_everybody_then_measures():
    """The bucket fills for a set time, and is then emptied quickly."""
    _, given_ = slots(slowed(), NO_LIMITS, 3)
    assert given_[0].starts == pytest.approx(NOW + PAUSE)
    assert gaps(given_) == pytest.approx([1.0 / PROBE_RATE] * 2, rel=0.05)


def test_round_counts_no_time_in_which_nobody_asked():
    """A break of five minutes in mid-round does not make the service look slower."""
    state, _ = slots(slowed(), NO_LIMITS, 10)
    state, busy = reserve(state, NO_LIMITS, NOW)
    _, late = reserve(state, NO_LIMITS, NOW + 300)
    assert late.given_by.span == pytest.approx(busy.given_by.span + 1.0 / PROBE_RATE, rel=0.05)


def test_round_counts_no_long_pause_that_the_service_asked_for():
    """A bucket of five is full long before half a minute is over: five requests do not tell of ten a minute."""
    state = refused(RateState(), Slot(NOW, made=NOW), NOW, 60.0)
    state, given_ = slots(state, NO_LIMITS, 6)
    assert given_[0].starts == pytest.approx(NOW + 60)
    assert refused(state, given_[-1], given_[-1].starts).interval < 0.5 * MOST_COUNTED


def test_the_better_a_limit_is_known_the_less_it_is_tried():
    """After a long round the rate increases more slowly than after a short one."""

    def doubles_after(count: int) -> float:
        state, given_ = slots(slowed(), NO_LIMITS, count)
        return refused(state, given_[-1], given_[-1].starts).doubles_after

    assert doubles_after(2) < doubles_after(5) < doubles_after(15)


def test_429_takes_back_all_slots_given_before():
    """Those who wait in the queue ask again, and are told to wait longer."""
    state, given_ = slots(RateState(), NO_LIMITS, 40)
    state = refused(state, given_[0], NOW + 0.1)
    assert not any(still_holds(state, slot) for slot in given_)
    state, anew = reserve(state, NO_LIMITS, NOW + 0.1)
    assert still_holds(state, anew)
    assert anew.wait == pytest.approx(PAUSE)


def test_stragglers_slow_nobody_twice():
    """Requests that were on their way at the first 429 bring more of them, which say nothing new."""
    state, given_ = slots(RateState(), NO_LIMITS, 5)
    once = refused(state, given_[0], NOW + 0.1)
    assert refused(once, given_[1], NOW + 0.11) == once


@pytest.mark.parametrize("is_straggler", [False, True])
def test_nobody_starts_before_the_service_allows(is_straggler: bool):
    """``Retry-After`` holds for all, also where a straggler brings it."""
    state, slot = reserve(RateState(), NO_LIMITS, NOW)
    if is_straggler:
        state = refused(state, Slot(NOW, made=NOW), NOW + 0.1)
    state = refused(state, slot, NOW + 0.1, 30.0)
    _, anew = reserve(state, NO_LIMITS, NOW + 0.2)
    assert anew.starts == pytest.approx(NOW + 30.1)


def test_what_was_learnt_is_forgotten_after_long_disuse():
    """Next day's run starts afresh, but for what a request costs."""
    state = replace(slowed(), units=3.0)
    kept, _ = reserve(state, NO_LIMITS, NOW + FORGETTING - 1)
    dropped, slot = reserve(state, NO_LIMITS, NOW + FORGETTING + 1)
    assert kept.round == 1
    assert (dropped.round, dropped.interval, dropped.units) == (0, 1.0 / PROBE_RATE, 3.0)
    assert slot.wait == 0.0


def test_429_after_a_long_time_at_no_limit_is_remembered():
    """Free requests change nothing, and so leave no time of last use."""
    state = replace(RateState(interval=0.0), used_at=NOW - 2 * FORGETTING)
    state = refused(state, Slot(NOW, made=NOW), NOW, 5.0)
    assert reserve(state, NO_LIMITS, NOW + 1)[1].starts == pytest.approx(NOW + 5)


def test_clock_that_was_set_back_holds_nobody_up():
    """A state from an hour ahead would have everybody wait for an hour."""
    state, _ = slots(RateState(), PER_MINUTE, 5, now=NOW + 3600)
    _, slot = reserve(state, PER_MINUTE, NOW)
    assert slot.wait == 0.0


# Properties

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "look", "answer", "refuse", "give back", "vanish"]),
        st.floats(0, 3),
        st.none() | st.floats(0, 100) | st.sampled_from([1e300, math.inf]),
        st.integers(0, 20),
    ),
    max_size=80,
)
LIMITS = st.builds(Limits, st.none() | st.floats(1, 6000), st.none() | st.floats(1, 6000))


def history(events: list, limits: Limits) -> list[tuple[RateState, Slot | None, float]]:
    """Apply events at their times; return the state after each, the slot if it gave one, and when."""
    state, now, found = RateState(), NOW, []
    given_: list[Slot] = []
    for what, later, number, which in events:
        now += later
        slot, some = None, given_[-1 - which % len(given_)] if given_ else None
        if what in ("reserve", "look") or some is None:
            state, slot = reserve(state, limits, now, patience=math.inf if what == "reserve" else later)
            if slot.taken:
                given_.append(slot)
        elif what == "answer":
            spent = None if number is None or math.isinf(number) else number
            state = learn(state, limits, some, now, status=200, spent=spent)
        elif what == "refuse":
            state = learn(state, limits, some, now, status=429, retry_after=number)
        else:
            given_.remove(some)
            state = give_back(state, limits, some, now) if what == "give back" else state
        found.append((state, slot, now))
    return found


@given(EVENTS, LIMITS)
def test_slots_that_hold_are_never_closer_than_the_configured_limit(events: list, limits: Limits):
    """Whatever comes back, and whoever gives up: no two slots of a round are less than an interval apart."""
    rounds: dict[int, list[float]] = {}
    for state, slot, _ in history([event for event in events if event[0] != "give back"], limits):
        if slot is not None and slot.taken:
            rounds.setdefault(state.round, []).append(slot.starts)
    for starts in rounds.values():
        assert all(later - earlier >= limits.interval - 1e-6 for earlier, later in pairwise(sorted(starts)))


@given(EVENTS, LIMITS)
def test_state_stays_within_bounds(events: list, limits: Limits):
    """No history makes it stop, run backwards, or lose its numbers."""
    for state, slot, now in history(events, limits):
        numbers = [getattr(state, field.name) for field in fields(RateState) if field.name != "returned"]
        assert all(map(math.isfinite, [*numbers, *state.returned]))
        assert 0.0 <= state.interval <= 4 * MOST_COUNTED
        assert list(state.returned) == sorted(state.returned)
        assert slot is None or slot.starts >= slot.made == now


@given(EVENTS, st.builds(Limits, st.none() | st.floats(1, 6000)), st.integers(1, 30))
def test_slot_that_is_given_back_is_given_again(events: list, limits: Limits, count: int):
    """Whatever went before: callers that take slots and give them back leave the queue as they found it."""
    past = history(events, limits)
    state, now = (past[-1][0], past[-1][2]) if past else (RateState(), NOW)
    state, first = reserve(state, limits, now)  # which may forget what is too old
    state, behind = slots(state, limits, count, now)
    for slot in behind:
        state = give_back(state, limits, slot, now)
    _, again = slots(state, limits, count, now)
    assert first.taken
    assert [slot.starts for slot in again] == pytest.approx([slot.starts for slot in behind], abs=1e-3)


@settings(deadline=None, max_examples=40)
@given(EVENTS, st.sampled_from([PER_MINUTE, NO_LIMITS, UNITS]), st.integers(2, 40))
def test_nobody_starves_whatever_gives_up(events: list, limits: Limits, count: int):
    """Callers with patience all start in turn, among others that look and leave, vanish, or give back."""
    past = history(events, limits)
    state, now = (past[-1][0], past[-1][2]) if past else (RateState(), NOW)
    waiting = [(now, number, None) for number in range(count)]
    noise = iter(events)
    began, started = now, 0
    while waiting:
        now, number, slot = heapq.heappop(waiting)
        what, _, _, _ = next(noise, ("look", 0, 0, 0))
        state, other = reserve(state, limits, now, patience=0.0 if what == "look" else math.inf)
        if what != "vanish":  # which costs the queue one slot, and no more
            state = give_back(state, limits, other, now)
        if slot is not None and still_holds(state, slot):
            started += 1
            state = learn(state, limits, slot, now, status=200, spent=1.0)
            continue
        state, slot = reserve(state, limits, now)
        heapq.heappush(waiting, (slot.starts, number, slot))
        assert now - began < 3000
    assert started == count


@given(st.integers(1, 200), st.floats(0, 10), st.none() | st.floats(0, 300))
def test_no_slot_survives_a_429(count: int, later: float, retry_after: float | None):
    """However many were given, and whatever the service asked for."""
    state, given_ = slots(RateState(), NO_LIMITS, count)
    now = NOW + later
    state = refused(state, given_[0], now, retry_after)
    assert not any(still_holds(state, slot) for slot in given_)
    assert reserve(state, NO_LIMITS, now)[1].starts >= now + min(retry_after or 0.0, LONGEST_ASKED)


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
    assert fleet.state.interval == 0.0


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
    """Twenty threads are all at work within a sixth of a second, and wait no more from then on."""
    fleet = Fleet(TokenBucket(1e6, 1e6), threads=20, latency=0.05).run(5)
    assert fleet.accepted[19] - START < 0.17
    assert fleet.rate_between(0.2, 5) == pytest.approx(20 / 0.052, rel=0.03)

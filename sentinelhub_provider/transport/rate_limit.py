"""Decides when the next request may start, so that all users of an account keep to its rate limits together.

This module is pure. Users share a :class:`RateState`, and each function turns one state into the next. GCRA (the
generic cell rate algorithm) keeps a configured limit. Requests start one interval apart, and unused time is not saved
up. Without a configured limit, or if the service allows less, the interval is learnt in *rounds*. A 429 ends a round:

1. It shows that the service's token bucket is empty. All given slots become void, and everybody pauses.
2. The limit is the number of requests between two 429s over the time between them. A few refusals are weak evidence.
   They slow requests down to two thirds of the observed rate, and no further.
3. Within a round the rate increases from slot to slot, slowly at first, until the next 429 shows the present limit. So
   a lifted limit is noticed within a minute or two.

``Retry-After`` is in **milliseconds** at Sentinel Hub (in its documentation, 3398 means 3.4 s), against RFC 9110.
Proxies in front of it may write seconds, dates or nonsense, so every form is read and none is trusted blindly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_WAIT = 1.0  # seconds before the first repetition, before jitter
LONGEST_BACKOFF = 60.0  # seconds, upper bound of the exponential back-off
# Longest ``Retry-After`` in seconds. One odd answer must not stop everybody for longer without a probe.
LONGEST_ASKED = 120.0
# A configured limit is kept with one per cent to spare, for the service's clock and the network.
SAFETY = 1.01
# Requests per second at the start of a round without knowledge. Few of them are on their way when the 429 comes.
PROBE_RATE = 120.0
PROBE_SLOTS = 60  # slots after which a round without knowledge is twice as fast as at its start
PAUSE = 0.7  # seconds of a pause after a 429, less than the second's worth of requests that most token buckets hold
# Seconds of pauses that count as time in which the limit was measured. In longer ones the bucket may have run over.
MOST_COUNTED = 10.0
FREE_RATE = 1000.0  # requests per second from which a learnt rate counts as unlimited
# Seconds without requests after which the learnt rate is dropped, and the latest time at which a caller may return.
FORGETTING = 600.0
# While the cost of a request is unknown, one request at a time goes ahead. The others ask again after UNIT_POLL
# seconds. After UNIT_LEASE seconds without an answer, the next one goes.
UNIT_POLL = 1.0
UNIT_LEASE = 10.0
MOST_RETURNED = 1000  # unused slots that are kept for others


@dataclass(frozen=True, slots=True)
class Limits:
    """An account's limits from its connection, ``None`` for an unknown one."""

    requests_per_minute: float | None = None
    processing_units_per_minute: float | None = None

    @property
    def interval(self) -> float:
        """Seconds between requests, 0 without a limit."""
        return _seconds_each(self.requests_per_minute)

    @property
    def seconds_per_unit(self) -> float:
        """Seconds for one processing unit, 0 without a limit."""
        return _seconds_each(self.processing_units_per_minute)


def _seconds_each(per_minute: float | None) -> float:
    return 60.0 * SAFETY / per_minute if per_minute else 0.0


@dataclass(frozen=True, slots=True)
class RateState:
    """The state that all users of an account share. Times are in seconds since the epoch, by the clock of its store.

    :param next_request: the first time that is free for a request.
    :param next_units: time before which no further processing unit may be spent.
    :param next_return: time at which the next caller that cannot wait is told to return.
    :param returned: times of returned slots, in order.
    :param interval: learnt seconds between requests at the round's start, 0 for none.
    :param doubles_after: slots after which the round is twice as fast as at its start.
    :param round: number of 429s so far. Each starts a new round.
    :param given: slots of this round.
    :param span: seconds from the round's start to ``next_request``, without those in which nobody asked.
    :param gap: seconds that the round's last slot added to ``span``.
    :param refusals: 429s in a row, without a success between.
    :param units: expected PU of a request, negative while unknown.
    :param units_known_by: latest time to wait for the answer that tells the cost of a request.
    :param used_at: time of the last use.
    """

    next_request: float = 0.0
    next_units: float = 0.0
    next_return: float = 0.0
    returned: tuple[float, ...] = ()
    interval: float = 1.0 / PROBE_RATE
    doubles_after: float = PROBE_SLOTS
    round: int = 0
    given: int = 0
    span: float = 0.0
    gap: float = 0.0
    refusals: int = 0
    units: float = -1.0
    units_known_by: float = 0.0
    used_at: float = 0.0

    def lets_go_freely(self, limits: Limits, now: float) -> bool:
        """Tell whether a request may start at once without a slot."""
        return self.interval == 0.0 and self.next_request <= now and not limits.interval + limits.seconds_per_unit


@dataclass(frozen=True, slots=True)
class Slot:
    """Permission to start one request, or the time to ask again.

    :param starts: start time by the clock of the state's store.
    :param made: time of its making by the same clock.
    :param taken: whether it is a permission. Otherwise nothing was taken.
    :param spends: whether the request costs processing units.
    :param units: reserved processing units.
    :param given_by: the state that gave it.
    """

    starts: float
    made: float
    taken: bool = True
    spends: bool = True
    units: float = 0.0
    given_by: RateState = RateState()

    @property
    def wait(self) -> float:
        """Seconds to wait before the request may start, or before asking again."""
        return self.starts - self.made


def reserve(
    state: RateState, limits: Limits, now: float, *, patience: float = math.inf, spends: bool = True
) -> tuple[RateState, Slot]:
    """Give a slot for one request: the first returned one, or the one after all others."""
    # If the wait is longer than ``patience``, no slot is taken, and the caller learns when to return.
    if state.used_at and not -1.0 <= now - state.used_at <= FORGETTING:  # or the clock was set back
        state = RateState(units=state.units)
    state = replace(state, used_at=now, returned=tuple(time for time in state.returned if time >= now))
    spends_units = spends and limits.seconds_per_unit > 0.0
    if spends_units and state.units < 0.0 and now < state.units_known_by:
        return state, Slot(min(now + UNIT_POLL, state.units_known_by), made=now, taken=False)
    units = max(0.0, state.units) if spends_units else 0.0
    units_from = state.next_units if spends_units else now
    is_returned = bool(state.returned) and units_from <= state.returned[0]
    starts = max(now, units_from, state.returned[0] if is_returned else state.next_request)
    learnt = state.interval / (1.0 + ((state.given + 1) / state.doubles_after) ** 2)
    gap = max(limits.interval, learnt)
    if starts - now > patience:
        returns = min(max(starts, state.next_return), now + max(FORGETTING, starts - now))
        state = replace(state, next_return=returns + max(gap, units * limits.seconds_per_unit))
        return state, Slot(returns, made=now, taken=False)
    slot = Slot(starts, now, True, spends, units, given_by=state)
    if spends_units:
        state = replace(state, next_units=starts + units * limits.seconds_per_unit)
        if state.units < 0.0:
            state = replace(state, units_known_by=starts + UNIT_LEASE)
    if is_returned:
        return replace(state, returned=state.returned[1:]), slot
    state = replace(state, next_request=starts + gap, given=state.given + 1, span=state.span + gap, gap=gap)
    return (state if learnt > 1.0 / FREE_RATE else replace(state, interval=0.0)), slot


def free_slot(state: RateState, now: float) -> Slot:
    """Give a slot at once if nothing holds requests back. This does not change the state."""
    return Slot(now, made=now, given_by=state)


def still_holds(state: RateState, slot: Slot) -> bool:
    """Tell whether a slot still holds when its time has come. A later 429 takes it back."""
    return slot.taken and slot.given_by.round == state.round


def give_back(state: RateState, limits: Limits, slot: Slot, now: float) -> RateState:
    """Return a slot for others to use. It gives back its processing units, and its time if that is still to come."""
    if not slot.taken:
        return state
    state = _spent(state, limits, slot, now, 0.0)
    if slot.given_by.round != state.round or slot.starts <= now:
        return state
    return replace(state, returned=tuple(sorted((*state.returned, slot.starts))[:MOST_RETURNED]))


def teaches(limits: Limits, slot: Slot, *, status: int) -> bool:
    """Tell whether an answer may change the state. Most do not, which saves a write to the store."""
    return status == 429 or (slot.spends and limits.seconds_per_unit > 0.0)


def learn(
    state: RateState,
    limits: Limits,
    slot: Slot,
    now: float,
    status: int,
    retry_after: float | None = None,
    spent: float | None = None,
) -> RateState:
    """Learn from an answer, from the wait that a 429 asked for, and from the spent PU if the service names them."""
    state = _spent(state, limits, slot, now, 0.0 if spent is None and status >= 400 else spent)
    if slot.spends and spent is None and status < 300:
        state = replace(state, units=max(0.0, state.units))  # the service names no cost, so nothing to wait for
    elif slot.spends and spent is not None and limits.seconds_per_unit:
        # A rising cost is believed at once, a falling one step by step. Each answer corrects an estimate that is too
        # high.
        spent = min(spent, LONGEST_ASKED / limits.seconds_per_unit)
        state = replace(state, units=max(spent, state.units + 0.2 * (spent - state.units)))
    return _refused(state, limits, slot, now, retry_after or 0.0) if status == 429 else state


def _spent(state: RateState, limits: Limits, slot: Slot, now: float, spent: float | None) -> RateState:
    """Replace the reserved processing units by the spent ones, if known."""
    if not limits.seconds_per_unit or not slot.spends:
        return state
    state = replace(state, units_known_by=0.0)  # while the cost is unknown, the next request may find it out
    if spent is None:
        return state
    owed = min((spent - slot.units) * limits.seconds_per_unit, LONGEST_ASKED)
    return replace(state, next_units=max(now, state.next_units) + owed)


def _refused(state: RateState, limits: Limits, slot: Slot, now: float, asked: float) -> RateState:
    """Start a new round. The next request waits until the service allows it, and the rate is the observed one."""
    asked = min(asked, LONGEST_ASKED)
    then = slot.given_by
    if then.round != state.round:
        # It was sent before the last 429, so it teaches nothing but the time to wait.
        return replace(state, next_request=max(state.next_request, now + asked))
    interval, doubles_after, span, refusals = state.interval, state.doubles_after, 0.0, 0
    is_first = not interval or not state.round
    if is_first:
        interval, doubles_after = 1.0 / PROBE_RATE, PROBE_SLOTS
    elif then.given:
        # The bucket was not quite empty at the round's end, hence the quarter of a request.
        interval = min(then.span / (then.given + 0.25), 1.5 * (then.span - then.gap) / then.given)
        # The more requests passed, the better the limit is known, and the later it is tried again.
        doubles_after = min(max(8.0, 3.0 * then.given**1.5), 200.0)
    else:
        span, refusals = then.span, state.refusals + 1
    own = PAUSE if is_first else min(max(interval, limits.interval), PAUSE)
    if refusals:
        own = min(own * 2.0 ** min(refusals, 16), LONGEST_BACKOFF)
    pause = max(own, asked)
    return replace(
        state,
        next_request=now + pause,
        next_return=0.0,
        returned=(),
        interval=interval,
        doubles_after=doubles_after,
        round=state.round + 1,
        given=0,
        span=min(span + pause, MOST_COUNTED),
        gap=0.0,
        refusals=refusals,
        used_at=now,
    )


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Read ``Retry-After`` in seconds, at most :data:`LONGEST_ASKED`. Return ``None`` if it is absent or nonsense."""
    # An integer is milliseconds, a decimal is seconds, a date counts from ``now``. An integer that was meant as seconds
    # reads as next to nothing. The back-off, which is a lower bound, makes up for it.
    text = (value or "").strip()
    try:
        number = float(text)
    except ValueError:
        seconds = _seconds_until(text, now or datetime.now(UTC)) if text else None
    else:
        seconds = number / 1000 if text.isdecimal() else number
    return min(seconds, LONGEST_ASKED) if seconds is not None and 0 <= seconds < math.inf else None


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds())


def backoff(attempt: int, random: Callable[[], float]) -> float:
    """Return the seconds to wait after failed attempt ``attempt`` (from 1). ``random`` returns a number in [0, 1)."""
    # It doubles from FIRST_WAIT. The jitter comes after the cap, so that a fleet at the cap stays spread out.
    ceiling = min(LONGEST_BACKOFF, FIRST_WAIT * 2.0 ** min(attempt - 1, 16))
    return ceiling * (0.5 + 0.5 * random())


def wait_before_retry(attempt: int, retry_after: float | None, random: Callable[[], float]) -> float:
    """Return the larger of the requested wait and the back-off, in seconds."""
    # Up to a tenth is added to the requested wait, because a fleet that waits for one moment must not return in it.
    asked = 0.0 if retry_after is None else retry_after * (1 + 0.1 * random())
    return max(asked, backoff(attempt, random))

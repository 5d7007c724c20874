"""When the next request may start, so that all who share an account keep to its rate limits together.

Pure: :class:`RateState` is what they share; each function turns one state into the next. A configured limit is kept by
GCRA (the generic cell rate algorithm): requests start one interval apart, and time that nobody uses is not saved up.
Without a configured limit, or where the service allows less, the interval is learnt in *rounds*. A 429 ends a round:

1. It says that the service's token bucket is empty. All slots that were given become void, and everybody pauses.
2. What passed from one 429 to the next, over the time that it took, is the limit. A few refusals say little: they slow
   requests down to two thirds of the rate that was seen to pass, and no further.
3. Within a round the rate increases from slot to slot, slowly at first, until the next 429 says where the limit is now.
   A limit that was lifted is thus noticed within a minute or two.

``Retry-After`` is **milliseconds** at Sentinel Hub (its documentation's example: 3398 means 3.4 s), against RFC 9110.
Proxies in front of it write seconds, dates or nonsense all the same, so every form is read and none is trusted blindly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_WAIT = 1.0  # seconds before the first repetition, before jitter
LONGEST_BACKOFF = 60.0  # seconds that the exponential back-off never exceeds
# Seconds of ``Retry-After`` that are believed: one odd answer must not stop everybody for longer without a probe.
LONGEST_ASKED = 120.0
# A configured limit is kept with one per cent to spare: neither the service's clock nor the network is ours.
SAFETY = 1.01
# Requests per second at the start of a round of which nothing is known: few are on their way when the 429 comes.
PROBE_RATE = 120.0
PROBE_SLOTS = 60  # slots after which a round of which nothing is known is twice as fast as at its start
PAUSE = 0.7  # seconds of a pause after a 429: less than the second's worth of requests that most token buckets hold
# Seconds of pauses that count as time in which the limit was measured; in longer ones the bucket may have run over.
MOST_COUNTED = 10.0
FREE_RATE = 1000.0  # requests per second from which on a learnt rate is no limit any more
# Seconds without any request after which what was learnt is dropped; also how far ahead anybody is told to return.
FORGETTING = 600.0
# While nobody knows what a request costs, one at a time goes ahead. The others ask again after UNIT_POLL seconds;
# after UNIT_LEASE seconds without an answer, the next one goes.
UNIT_POLL = 1.0
UNIT_LEASE = 10.0
MOST_RETURNED = 1000  # unused slots that are kept for others


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection says about its account; ``None`` where it does not say."""

    requests_per_minute: float | None = None
    processing_units_per_minute: float | None = None

    @property
    def interval(self) -> float:
        """Seconds between requests; 0 where nothing is said."""
        return _seconds_each(self.requests_per_minute)

    @property
    def seconds_per_unit(self) -> float:
        """Seconds that a processing unit takes; 0 where nothing is said."""
        return _seconds_each(self.processing_units_per_minute)


def _seconds_each(per_minute: float | None) -> float:
    return 60.0 * SAFETY / per_minute if per_minute else 0.0


@dataclass(frozen=True, slots=True)
class RateState:
    """What all who share an account know. Times are seconds since the epoch, by the clock of the place it is kept in.

    :param next_request: the first time that is not given to a request yet.
    :param next_units: before when no further processing unit may be spent.
    :param next_return: when the next caller that cannot wait is told to return.
    :param returned: times of slots that were given back, in order.
    :param interval: learnt seconds between requests at the round's start; 0 for none.
    :param doubles_after: slots after which the round is twice as fast as at its start.
    :param round: 429s so far, from 0; each starts a new round.
    :param given: slots that this round gave.
    :param span: seconds from the round's start to ``next_request``, without those in which nobody asked.
    :param gap: seconds that the round's last slot added to ``span``.
    :param refusals: 429s in a row, without a success between.
    :param units: PU that a request is expected to cost; negative while nobody knows.
    :param units_known_by: until when to wait for the answer that tells what a request costs.
    :param used_at: when it was last used.
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
        """Tell whether a request may start at once, and needs no slot."""
        return self.interval == 0.0 and self.next_request <= now and not limits.interval + limits.seconds_per_unit


@dataclass(frozen=True, slots=True)
class Slot:
    """Leave to start one request, or word of when to ask again.

    :param starts: when, by the clock of the place where the state is kept.
    :param made: when it was given, by the same clock.
    :param taken: whether it is leave to start; otherwise nothing was taken.
    :param spends: whether the request costs processing units.
    :param units: processing units that were set aside for it.
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
    """Give leave to start one request: the first slot that was given back, or the one after all others."""
    # Where the wait would be longer than ``patience``, no slot is taken, and the caller is told when to return.
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
    """Give leave to start at once where nothing holds requests back, which needs no change to the state."""
    return Slot(now, made=now, given_by=state)


def still_holds(state: RateState, slot: Slot) -> bool:
    """Tell whether a slot may be used now that its time has come: a 429 since it was given takes it back."""
    return slot.taken and slot.given_by.round == state.round


def give_back(state: RateState, limits: Limits, slot: Slot, now: float) -> RateState:
    """Let others have what a slot holds: its processing units, and its time unless that has come."""
    if not slot.taken:
        return state
    state = _spent(state, limits, slot, now, 0.0)
    if slot.given_by.round != state.round or slot.starts <= now:
        return state
    return replace(state, returned=tuple(sorted((*state.returned, slot.starts))[:MOST_RETURNED]))


def teaches(limits: Limits, slot: Slot, *, status: int) -> bool:
    """Tell whether an answer may change the state; most do not, which saves its store the trouble."""
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
    """Learn from an answer, the wait that a 429 asked for, and the PU that were spent, as far as the service says."""
    state = _spent(state, limits, slot, now, 0.0 if spent is None and status >= 400 else spent)
    if slot.spends and spent is None and status < 300:
        state = replace(state, units=max(0.0, state.units))  # the service does not tell: nothing to wait for
    elif slot.spends and spent is not None and limits.seconds_per_unit:
        # A cost that rises is believed at once, one that falls by and by: too careful is corrected by each answer.
        spent = min(spent, LONGEST_ASKED / limits.seconds_per_unit)
        state = replace(state, units=max(spent, state.units + 0.2 * (spent - state.units)))
    return _refused(state, limits, slot, now, retry_after or 0.0) if status == 429 else state


def _spent(state: RateState, limits: Limits, slot: Slot, now: float, spent: float | None) -> RateState:
    """Replace the processing units that were set aside by those that were spent, where that is known."""
    if not limits.seconds_per_unit or not slot.spends:
        return state
    state = replace(state, units_known_by=0.0)  # while nobody knows the cost, the next request may find out
    if spent is None:
        return state
    owed = min((spent - slot.units) * limits.seconds_per_unit, LONGEST_ASKED)
    return replace(state, next_units=max(now, state.next_units) + owed)


def _refused(state: RateState, limits: Limits, slot: Slot, now: float, asked: float) -> RateState:
    """Start a new round: nobody starts before the service allows, and then no faster than what passed."""
    asked = min(asked, LONGEST_ASKED)
    then = slot.given_by
    if then.round != state.round:
        # It was sent before the last 429, and says nothing new but how long to wait.
        return replace(state, next_request=max(state.next_request, now + asked))
    interval, doubles_after, span, refusals = state.interval, state.doubles_after, 0.0, 0
    is_first = not interval or not state.round
    if is_first:
        interval, doubles_after = 1.0 / PROBE_RATE, PROBE_SLOTS
    elif then.given:
        # The bucket was not quite empty at the round's end, hence the quarter of a request.
        interval = min(then.span / (then.given + 0.25), 1.5 * (then.span - then.gap) / then.given)
        # The more passed, the better the limit is known, and the later it is tried again.
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
    """Read ``Retry-After`` in seconds, :data:`LONGEST_ASKED` at most; ``None`` for absence and nonsense."""
    # An integer is milliseconds, a decimal is seconds, a date counts from ``now``. An integer that was meant as seconds
    # thus reads as next to nothing; the back-off, which is never undercut, makes up for it.
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
    """Return the seconds to wait after failed attempt number ``attempt`` (from 1); ``random`` is a number in [0, 1)."""
    # Doubles from FIRST_WAIT; jitter comes after the cap, so that a fleet at the cap stays spread out.
    ceiling = min(LONGEST_BACKOFF, FIRST_WAIT * 2.0 ** min(attempt - 1, 16))
    return ceiling * (0.5 + 0.5 * random())


def wait_before_retry(attempt: int, retry_after: float | None, random: Callable[[], float]) -> float:
    """Return the larger of what the service asks for and the back-off, in seconds."""
    # What the service asks for is stretched by up to a tenth: a fleet that was told one moment must not return in it.
    asked = 0.0 if retry_after is None else retry_after * (1 + 0.1 * random())
    return max(asked, backoff(attempt, random))

"""
When the next request may start, so that all who share a connection keep to its rate limits together.

Pure: :class:`Pace` is what they share, the functions turn one into the next. Requests are spread evenly, as Sentinel
Hub asks for. A configured limit is kept from the start. Without one, the limit is measured:

1. *Opening.* Requests start a little apart, closer with every answer, and soon freely: most accounts are at no limit.
2. *Measuring.* A 429 says that the service's bucket is empty. After a short pause, in which it fills by an amount that
   the limit alone decides, what gets through until the next 429 tells the limit.
3. *Keeping.* The pace quickens from slot to slot, ever so slightly, until a 429 says where the limit is now; so each
   round measures it anew, and the more got through in a round, the better it is known. A limit that was lifted is
   noticed within a minute or two.

A 429 takes back every slot that was given before it, so that all who share the pace slow down at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SAFETY = 1.01
"""A configured limit is kept with one per cent to spare: neither the service's clock nor the network is ours."""

FIRST_INTERVAL = 0.007
"""
Seconds between the first requests. Those on their way when the first 429 comes are refused as well, so a longer one
spares 429s; but twenty threads that start over 0.2 s instead of 0.14 s lose a tenth of a short run without any limit.
"""

OPENING_GROWTH = 0.15
"""By which part the pace quickens with an answer while opening: a dozen answers set it free."""

LEAST_INTERVAL = 0.001
"""Seconds; an interval below this is no limit any more."""

LONGEST_INTERVAL = 60.0
"""Seconds; no learnt interval grows beyond one request a minute."""

MEASURING_PAUSE = 0.8
"""Seconds for which the bucket fills before it is measured: less than the second's worth that most buckets hold."""

MEASURING_INTERVAL = 0.02
"""Seconds between requests while measuring: quick against limits of tens a second, and few on their way at a time."""

MEASURING_GROWTH = 0.02
"""By which part the pace quickens from slot to slot while measuring, where the limit is above 50 a second."""

COUNTED_PAUSE = 2.0
"""Seconds of a pause asked for by the service that count as measured; in a longer one the bucket may have run over."""

CAUTION = 0.5
"""Requests of a round that are not believed: the bucket was not quite empty at its start or at its end."""

EAGERNESS = 0.5
"""
A round of ``n`` requests knows the limit to about one part in ``n``. The next one quickens by so many ``n``-ths of that
part with each slot, and is past the limit after about twice as many requests.
"""

LEAST_GROWTH = 0.001
MOST_GROWTH = 0.1
"""Bounds of that growth: rounds of some fifty requests, thus 2 % of 429s; and half the pace regained in seven slots."""

GROWTH_OF_GROWTH = 1.015
LIFTED_GROWTH = 0.02
"""
By which the growth grows with each slot, and up to where. A limit of 5 requests a second that was lifted is forgotten
after some 300 of them, within a minute.
"""

FORGETTING = 600.0
"""Seconds without any request after which what was learnt is dropped."""

CLOCK_STEP = 1.0
"""Seconds; a clock that is further behind the last use was set back, and the pace is by a time that is yet to come."""

TYPICAL_SHARE = 0.2
"""Weight of the newest answer in the estimate of what a request costs."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What a connection says about its account.

    :param requests_per_minute: ``None`` where it does not say.
    :param processing_units_per_minute: PU, ``None`` where it does not say.
    """

    requests_per_minute: float | None = None
    processing_units_per_minute: float | None = None

    @property
    def interval(self) -> float:
        """Seconds between requests; 0 where nothing is said."""
        return 60.0 * SAFETY / self.requests_per_minute if self.requests_per_minute else 0.0

    @property
    def seconds_per_unit(self) -> float:
        """Seconds that a processing unit takes; 0 where nothing is said."""
        return 60.0 * SAFETY / self.processing_units_per_minute if self.processing_units_per_minute else 0.0


@dataclass(frozen=True, slots=True)
class Pace:
    """
    What all who share a connection know. Times are seconds since the epoch, by the clock of the place it is kept in.

    :param next_request: before when no further request may start.
    :param next_units: before when no further processing unit may be spent.
    :param interval: learnt seconds between requests; 0 for none.
    :param growth: by which part the pace quickens next.
    :param round: 429s so far, from 0; each starts a new round, and makes the slots of the one before void.
    :param given: slots that this round gave.
    :param counted_from: start of the round, moved on by the time in which nobody asked or was allowed to.
    :param typical_units: what a request costs, in PU.
    :param used_at: when it was last used.
    """

    next_request: float = 0.0
    next_units: float = 0.0
    interval: float = FIRST_INTERVAL
    growth: float = OPENING_GROWTH
    round: int = 0
    given: int = 0
    counted_from: float = 0.0
    typical_units: float = 0.0
    used_at: float = 0.0

    @property
    def is_free(self) -> bool:
        """Whether nothing that was learnt holds requests back."""
        return self.interval == 0.0

    @property
    def is_opening(self) -> bool:
        """Whether it quickens with each answer: there was no 429 yet."""
        return self.round == 0 and not self.is_free


@dataclass(frozen=True, slots=True)
class Slot:
    """
    Leave to start one request.

    :param starts: when, by the clock of the place where the pace is kept.
    :param made: when it was given, by the same clock.
    :param units: processing units that were set aside for it.
    :param round: that it belongs to.
    :param number: slots that the round gave before this one.
    :param span: seconds from the start of the round; 0 where there was none, so that a 429 measures nothing.
    :param is_opening: whether an answer quickens the pace.
    """

    starts: float
    made: float
    units: float = 0.0
    round: int = 0
    number: int = 0
    span: float = 0.0
    is_opening: bool = False

    @property
    def wait(self) -> float:
        """Seconds to wait before the request may start."""
        return self.starts - self.made


def first_pace(limits: Limits) -> Pace:
    """Return the pace to start with: a configured limit needs no learning."""
    return Pace(interval=0.0) if limits.interval else Pace()


def reserve(pace: Pace, limits: Limits, now: float) -> tuple[Pace, Slot]:
    """Give leave to start one request, after all that were given before."""
    if pace.used_at and not -CLOCK_STEP <= now - pace.used_at <= FORGETTING:
        pace = replace(first_pace(limits), typical_units=pace.typical_units)
    if pace.round and not pace.is_free:
        # By slots, not by answers: a queue is planned far ahead, and would not see what answers do to the pace.
        pace = _quickened(pace, limits)
    units = pace.typical_units if limits.seconds_per_unit else 0.0
    starts = max(now, pace.next_request, pace.next_units if units else 0.0)
    counted_from = pace.counted_from + starts - pace.next_request
    slot = Slot(
        starts,
        made=now,
        units=units,
        round=pace.round,
        number=pace.given,
        span=starts - counted_from if pace.round else 0.0,
        is_opening=pace.is_opening,
    )
    pace = replace(
        pace,
        next_request=starts + max(limits.interval, pace.interval),
        next_units=starts + units * limits.seconds_per_unit,
        given=pace.given + 1,
        counted_from=counted_from,
        used_at=now,
    )
    return pace, slot


def free_slot(pace: Pace, now: float) -> Slot:
    """Give leave to start at once where nothing holds requests back, which needs no change to the pace."""
    return Slot(now, made=now, round=pace.round)


def still_holds(pace: Pace, slot: Slot) -> bool:
    """Tell whether a slot may be used now that its time has come: a 429 since it was given takes it back."""
    return slot.round == pace.round


def answered(pace: Pace, limits: Limits, slot: Slot, now: float, *, spent: float | None) -> Pace:
    """
    Learn from an answer.

    :param spent: processing units that it cost, ``None`` where the service does not say.
    """
    if spent is not None and limits.seconds_per_unit:
        known = pace.typical_units or spent
        pace = replace(
            pace,
            next_units=max(now, pace.next_units) + (spent - slot.units) * limits.seconds_per_unit,
            typical_units=known + TYPICAL_SHARE * (spent - known),
        )
    return _quickened(pace, limits) if pace.is_opening else pace


def teaches(limits: Limits, slot: Slot, *, status: int) -> bool:
    """Tell whether an answer may change the pace; most do not, which saves its store the trouble."""
    return status == 429 or slot.is_opening or limits.seconds_per_unit > 0.0


def refused(pace: Pace, limits: Limits, slot: Slot, now: float, *, retry_after: float | None) -> Pace:
    """
    Learn from a 429: nobody starts before the service allows, and everybody goes slower from then on.

    :param retry_after: seconds that the service asked to wait, ``None`` where it did not say.
    """
    if not still_holds(pace, slot):
        later = max(0.0, now + (retry_after or 0.0) - pace.next_request)
        return replace(pace, next_request=pace.next_request + later, counted_from=pace.counted_from + later)
    if slot.span:
        believed = max(slot.number - CAUTION, 1.0 - CAUTION)
        interval = min(max(slot.span / believed, limits.interval), max(LONGEST_INTERVAL, limits.interval))
        growth = EAGERNESS / max(slot.number, 1) ** 2
        pause = interval
    elif limits.interval:
        interval, growth, pause = limits.interval, LEAST_GROWTH, limits.interval
    else:
        interval, growth, pause = MEASURING_INTERVAL, MEASURING_GROWTH, MEASURING_PAUSE
    asked = retry_after or 0.0
    # All slots that were given are void now, so the queue starts anew from here.
    return replace(
        pace,
        next_request=now + max(asked, pause),
        interval=interval,
        growth=min(max(growth, LEAST_GROWTH), MOST_GROWTH),
        round=pace.round + 1,
        given=0,
        counted_from=now + max(0.0, asked - max(pause, COUNTED_PAUSE)),
    )


def _quickened(pace: Pace, limits: Limits) -> Pace:
    """Bring the next slot closer, and the one after that closer still; at a configured limit nothing is learnt."""
    interval = pace.interval * (1.0 - pace.growth)
    growth = pace.growth
    if not pace.is_opening:
        growth = max(growth, min(LIFTED_GROWTH, growth * GROWTH_OF_GROWTH))
    return replace(pace, interval=interval if interval >= max(LEAST_INTERVAL, limits.interval) else 0.0, growth=growth)

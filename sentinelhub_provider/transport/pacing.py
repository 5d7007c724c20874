"""
When the next request may start, so that all who share a connection keep to its rate limits together.

Pure: :class:`Pace` is what they share, the functions turn one into the next. Requests are spread evenly, as Sentinel
Hub asks for. A configured limit is kept from the start. Without one, the pace is learnt: it quickens with every answer
and slows, for everybody, with every 429.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SAFETY = 1.01
"""A configured limit is kept with one per cent to spare: neither the service's clock nor the network is ours."""

FIRST_INTERVAL = 0.01
"""Seconds between requests before anything is learnt."""

LEAST_INTERVAL = 0.001
"""Seconds; a learnt interval below this is no limit any more."""

LONGEST_INTERVAL = 60.0
"""Seconds; no learnt interval grows beyond one request a minute."""

OPENING_GROWTH = 0.15
SEARCHING_GROWTH = 0.02
STEADY_GROWTH = 0.004
"""By which part the pace quickens with an answer: before the first 429, looking for the limit, having found it."""

GROWTH_OF_GROWTH = 1.015
"""By which the growth itself grows with each answer, so that a limit that was lifted is noticed in a minute or two."""

SEARCH_FACTOR = 2.0
STEADY_FACTOR = 1.08
"""By which the interval grows with a 429: when it follows on another within few answers, and when it does not."""

FEW_ANSWERS = 8

FORGETTING = 600.0
"""Seconds without any request after which what was learnt is dropped."""

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
    :param growth: by which part the pace quickens with the next answer.
    :param slowed_at: when it was last slowed; requests that were let go before say nothing new by a 429.
    :param answers: since then.
    :param typical_units: what a request costs, in PU.
    :param used_at: when it was last used.
    """

    next_request: float = 0.0
    next_units: float = 0.0
    interval: float = FIRST_INTERVAL
    growth: float = OPENING_GROWTH
    slowed_at: float = 0.0
    answers: int = 0
    typical_units: float = 0.0
    used_at: float = 0.0

    @property
    def is_free(self) -> bool:
        """Whether nothing holds requests back."""
        return self.interval == 0.0


@dataclass(frozen=True, slots=True)
class Slot:
    """
    Leave to start one request.

    :param starts: when, by the clock of the place where the pace is kept.
    :param made: when it was given, by the same clock.
    :param units: processing units that were set aside for it.
    :param wait: seconds from ``made`` until ``starts``.
    """

    starts: float
    made: float
    units: float = 0.0

    @property
    def wait(self) -> float:
        """Seconds to wait before the request may start."""
        return self.starts - self.made


def first_pace(limits: Limits) -> Pace:
    """Return the pace to start with: a configured limit needs no learning."""
    return Pace(interval=0.0) if limits.interval else Pace()


def reserve(pace: Pace, limits: Limits, now: float) -> tuple[Pace, Slot]:
    """Give leave to start one request, after all that were given before."""
    if pace.used_at and now - pace.used_at > FORGETTING:
        pace = replace(first_pace(limits), typical_units=pace.typical_units)
    units = pace.typical_units if limits.seconds_per_unit else 0.0
    starts = max(now, pace.next_request, pace.next_units if units else 0.0)
    pace = replace(
        pace,
        next_request=starts + max(limits.interval, pace.interval),
        next_units=starts + units * limits.seconds_per_unit,
        used_at=now,
    )
    return pace, Slot(starts, made=now, units=units)


def still_holds(pace: Pace, slot: Slot) -> bool:
    """Tell whether a slot may be used now that its time has come: a 429 since it was given takes it back."""
    return pace.slowed_at <= slot.made


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
    if pace.is_free:
        return pace
    interval = pace.interval * (1.0 - pace.growth)
    return replace(
        pace,
        interval=interval if interval >= max(LEAST_INTERVAL, limits.interval) else 0.0,
        growth=min(OPENING_GROWTH if pace.slowed_at == 0.0 else SEARCHING_GROWTH, pace.growth * GROWTH_OF_GROWTH),
        answers=pace.answers + 1,
    )


def refused(pace: Pace, limits: Limits, slot: Slot, now: float, *, retry_after: float | None) -> Pace:
    """
    Learn from a 429: nobody starts before the service allows, and everybody goes slower from then on.

    :param retry_after: seconds that the service asked to wait, ``None`` where it did not say.
    """
    if not still_holds(pace, slot):
        return replace(pace, next_request=max(pace.next_request, now + (retry_after or 0.0)))
    is_searching = pace.answers < FEW_ANSWERS
    factor = SEARCH_FACTOR if is_searching else STEADY_FACTOR
    interval = max(pace.interval, limits.interval, LEAST_INTERVAL) * factor
    interval = min(interval, max(LONGEST_INTERVAL, limits.interval))
    # All slots that were given are void now, so the queue starts anew from here.
    return replace(
        pace,
        next_request=now + max(retry_after or 0.0, interval),
        interval=interval,
        growth=SEARCHING_GROWTH if is_searching else STEADY_GROWTH,
        slowed_at=now,
        answers=0,
    )

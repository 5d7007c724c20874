"""How close a fleet comes to a rate limit, how often it hits it, and how evenly its processes share it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from benchmarks.fleet import FleetOutcome, Job, run_fleet
from benchmarks.harness import Loopback, loopback
from benchmarks.report import Row, Table, progress
from benchmarks.server import Seen

LEAST_SHARE = 0.97
MOST_REJECTED = 0.02
"""With ``requests_per_minute`` in the connection."""

LEAST_SHARE_LEARNT = 0.90
MOST_REJECTED_LEARNT = 0.10
"""Where the connection names no limit."""

MOST_UNFAIR = 1.3
"""Time of the slowest process over that of the fastest."""

THREADS = 10
"""Threads of each process."""

BODY_SIZE = 64 * 1024 + 1

_SECONDS = 15
"""What a perfect client needs at least for one case, the burst aside."""

_LEAST_CALLS = 4 * THREADS
"""Of each process: with a turn or two per thread, the order of the start alone would decide who is first."""

_GIVE_UP = 90.0
"""Seconds after which a case is ended, whatever is still to be done."""


@dataclass(frozen=True)
class Limit:
    """A server's limit, and who meets it.

    :param rate: requests per second.
    :param processes: processes that share it.
    :param retry_after: form of ``Retry-After``; see :class:`benchmarks.server.Behaviour`.
    :param burst_seconds: seconds' worth of requests that may come at once after a pause.
    :param judged: whether the targets hold for it.
    """

    rate: int
    processes: int
    retry_after: str = "milliseconds"
    burst_seconds: int = 1
    judged: bool = True

    @property
    def burst(self) -> int:
        """Requests that may come at once."""
        return self.rate * self.burst_seconds

    @property
    def calls(self) -> int:
        """Calls of each process: the burst, and :data:`_SECONDS` of the limit or more."""
        return max(_LEAST_CALLS, math.ceil((self.burst + self.rate * _SECONDS) / self.processes))

    def __str__(self) -> str:
        words = f"{self.rate}/s, {self.processes} proc"
        if self.burst_seconds != 1:
            words += f", {self.burst} at once"
        if self.retry_after != "milliseconds":
            words += f", Retry-After {self.retry_after}"
        return words


@dataclass(frozen=True)
class Way:
    """A client, and what it was told.

    :param words: for the table.
    :param client: see :class:`benchmarks.fleet.Job`.
    :param configured: whether the connection names the limit.
    :param share: least share of the ceiling, ``None`` where nothing is asked.
    :param rejected: most 429s as a share of all requests.
    """

    words: str
    client: str
    configured: bool = False
    share: float = 0.0
    rejected: float = 1.0


OFFICIAL = Way("official", "official")
CONFIGURED = Way("configured", "package", True, LEAST_SHARE, MOST_REJECTED)
LEARNT = Way("learnt", "package", False, LEAST_SHARE_LEARNT, MOST_REJECTED_LEARNT)

_LIMITS = (Limit(5, 1), Limit(5, 4), Limit(20, 1), Limit(20, 4), Limit(60, 1), Limit(60, 4))
_UNCONFIGURED = (
    *(Limit(5, 4, form) for form in ("seconds", "date", "absent")),
    # Sentinel Hub's own buckets may hold a minute's worth: the pace that is right at first is wrong later.
    Limit(5, 4, burst_seconds=24, judged=False),
)


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    with loopback() as server:
        limits = (Limit(20, 4),) if quick else _LIMITS
        unconfigured = () if quick else _UNCONFIGURED
        rows = [_row(server, limit, way) for limit in limits for way in (OFFICIAL, CONFIGURED, LEARNT)]
        rows += [_row(server, limit, way) for limit in unconfigured for way in (OFFICIAL, LEARNT)]
    columns = ("limit", "client", "share of ceiling", "share of 429s", "slowest / fastest", "failed", "s", "target")
    return [
        Table(
            f"A fleet under a rate limit, {THREADS} threads in each process",
            columns,
            tuple(rows),
            "Share of the ceiling: requests let through per second over the limit, from the end of the initial burst "
            "(a second's worth if not said) to the last request; a little over 1 where the bucket refilled meanwhile. "
            f"Configured: the connection names requests_per_minute. Cases are ended after {_GIVE_UP:.0f} s.",
        )
    ]


def _row(server: Loopback, limit: Limit, way: Way) -> Row:
    progress(f"{limit}, {way.words}")
    server.behave(rate=limit.rate, burst=limit.burst, retry_after=limit.retry_after, body_size=BODY_SIZE)
    connection: dict[str, Any] = {"auth_cache": "file"}
    if way.configured:
        connection["requests_per_minute"] = limit.rate * 60
    job = Job(way.client, processes=limit.processes, threads=THREADS, calls=limit.calls, give_up=_GIVE_UP)
    outcome = run_fleet(server, job, **connection)
    seen = server.seen()
    share = share_of_ceiling(seen, limit.rate, burst=limit.burst)
    rejected = seen.rate_limited / len(seen.arrivals)
    figures = (str(limit), way.words, share, rejected, outcome.unfairness, outcome.failed, outcome.seconds)
    if way is OFFICIAL or not limit.judged:
        return Row((*figures, None))
    target = f">= {way.share:.2f}, < {way.rejected:.2f}" + (f", <= {MOST_UNFAIR}" if limit.processes > 1 else "")
    return Row((*figures, target), _met(way, share, rejected, outcome))


def _met(way: Way, share: float, rejected: float, outcome: FleetOutcome) -> bool:
    fair = outcome.unfairness is None or outcome.unfairness <= MOST_UNFAIR
    return share >= way.share and rejected < way.rejected and fair and not outcome.failed


def share_of_ceiling(seen: Seen, rate: float, *, burst: int) -> float:
    """Return the rate at which requests were let through once the burst was used up, over the limit."""
    accepted = sorted(seen.accepted)
    if len(accepted) <= burst:
        return 0.0
    span = accepted[-1] - accepted[burst - 1]
    return (len(accepted) - burst) / span / rate

"""Services that never come to an end: whether calls do, when, and with which error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.fleet import FleetOutcome, Job, run_fleet
from benchmarks.harness import Loopback, loopback
from benchmarks.report import Row, Table, progress

DEADLINE = 5.0
"""Seconds that a call may take."""

GRACE = 1.0
"""Seconds by which an end at the deadline may be late."""

_GIVE_UP = 20.0
"""Seconds after which a process that has not ended is taken for one that never does."""


@dataclass(frozen=True)
class Case:
    """A fault.

    :param words: for the table.
    :param server: settings of the server.
    :param error: the error that tells it.
    :param early: whether the call may end before its deadline, because waiting on would be in vain.
    """

    words: str
    server: dict[str, Any]
    error: str
    early: bool = False


_CASES = (
    Case("silent token endpoint", {"token_fault": "silent"}, "SentinelHubTransportError"),
    Case("trickling token answer", {"token_fault": "trickle"}, "SentinelHubTransportError"),
    Case("silent API", {"fault": "silent"}, "SentinelHubTransportError"),
    Case("trickling body", {"fault": "trickle"}, "SentinelHubTransportError"),
    Case("endless 429", {"fault": "rate-limited"}, "SentinelHubRateLimitError", early=True),
)


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    with loopback() as server:
        rows = [_row(server, case, quick=quick) for case in _CASES]
    return [
        Table(
            f"Faults without end; the package's calls have a deadline of {DEADLINE:.0f} s",
            ("fault", "official: s", "outcome", "package: s", "outcome", "target"),
            tuple(rows),
            f"Processes are ended after {_GIVE_UP:.0f} s. The official client has no deadline; its timeout of 120 s is "
            "one of silence.",
        )
    ]


def _row(server: Loopback, case: Case, *, quick: bool) -> Row:
    progress(case.words)
    give_up = DEADLINE + 2 * GRACE if quick else _GIVE_UP
    official = _run(server, case, "official", give_up)
    package = _run(server, case, "package", give_up)
    earliest = 0.0 if case.early else DEADLINE - GRACE
    on_time = package.seconds is not None and earliest <= package.seconds <= DEADLINE + GRACE
    target = f"{case.error} at {DEADLINE:.0f} s" + (" or before" if case.early else "")
    figures = (official.seconds, official.said, package.seconds, package.said)
    return Row((case.words, *figures, target), on_time and package.errors == {case.error: 1})


def _run(server: Loopback, case: Case, client: str, give_up: float) -> FleetOutcome:
    server.behave(**case.server)
    return run_fleet(server, Job(client, deadline=DEADLINE, give_up=give_up))

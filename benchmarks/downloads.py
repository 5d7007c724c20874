"""A body of 500 MiB on its way to a file: how much memory it takes, and how fast it is."""

from __future__ import annotations

from statistics import median

from benchmarks.fleet import Job, Outcome, run_fleet
from benchmarks.harness import Loopback, loopback
from benchmarks.report import Row, Table, progress

SIZE = 500 * 1024 * 1024
MOST_GROWTH = 100
"""MiB."""
MOST_IN_ALL = 150
"""MB, the unit in which the official client was measured."""

_ROUNDS = 3
_SIDES = (
    ("bare", "requests, the usual loop"),
    ("package", "hook.download"),
    ("official", "the official client"),
)


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    found: dict[str, list[Outcome]] = {client: [] for client, _ in _SIDES}
    with loopback() as server:
        for _ in range(1 if quick else _ROUNDS):
            for client, _ in _SIDES:
                found[client].append(_download(server, client))
    return [
        Table(
            "500 MiB to a file, each time in a process of its own",
            ("by", "growth MiB", "in all MB", "MiB/s", "target"),
            tuple(_row(words, found[client], judged=client == "package") for client, words in _SIDES),
            "Growth: peak resident memory less what the process had after its imports; the worst of the runs. The "
            "package computes the body's SHA-256 on the way, which the others do not.",
        )
    ]


def _download(server: Loopback, client: str) -> Outcome:
    progress(f"500 MiB, {client}")
    server.behave(body_size=SIZE)
    outcome = run_fleet(server, Job(client, downloads=1)).processes[0]
    if not outcome.ok:
        raise RuntimeError(f"The download by {client} failed: {outcome.messages or outcome.errors}")
    return outcome


def _row(words: str, outcomes: list[Outcome], *, judged: bool) -> Row:
    growth = max(outcome.resident_peak - outcome.resident_before for outcome in outcomes) / 1024**2
    in_all = max(outcome.resident_peak for outcome in outcomes) / 1e6
    speed = median(SIZE / 1024**2 / outcome.seconds for outcome in outcomes)
    target = f"< {MOST_GROWTH} MiB, < {MOST_IN_ALL} MB" if judged else None
    met = growth < MOST_GROWTH and in_all < MOST_IN_ALL if judged else None
    return Row((words, growth, in_all, speed, target), met)

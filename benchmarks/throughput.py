"""Many bodies of a picture's size over a few threads, against the floor of ``requests`` with keep-alive."""

from __future__ import annotations

from statistics import median

from benchmarks.fleet import Job, Outcome, run_fleet
from benchmarks.harness import loopback
from benchmarks.report import Row, Table, progress

LEAST_SHARE = 0.9
BODIES = 200
THREADS = 20
LATENCY = 0.05
SIZE = 1024 * 1024

_ROUNDS = 3
_SIDES = ("bare", "package", "official")


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    found: dict[str, list[Outcome]] = {client: [] for client in _SIDES}
    connections: dict[str, int] = {}
    with loopback() as server:
        for _ in range(1 if quick else _ROUNDS):
            for client in _SIDES:
                progress(f"{BODIES} bodies, {client}")
                server.behave(latency=LATENCY, body_size=SIZE)
                fleet = run_fleet(server, Job(client, threads=THREADS, calls=BODIES, warm_up=1))
                if fleet.failed:
                    raise RuntimeError(f"{client}: {fleet.said}: {fleet.message}")
                found[client] += fleet.processes
                connections[client] = server.seen().connections
    floor = median(outcome.seconds for outcome in found["bare"])
    rows = []
    for client, outcomes in found.items():
        seconds = median(outcome.seconds for outcome in outcomes)
        peak = max(outcome.resident_peak for outcome in outcomes) / 1e6
        share = floor / seconds
        judged = client == "package"
        figures = (client, BODIES / seconds, share, connections[client], peak)
        rows.append(Row((*figures, f">= {LEAST_SHARE}" if judged else None), share >= LEAST_SHARE if judged else None))
    return [
        Table(
            f"{BODIES} x 1 MiB, {THREADS} threads, {LATENCY * 1000:.0f} ms latency",
            ("client", "MiB/s", "share of floor", "connections", "memory MB", "target"),
            tuple(rows),
            "Connections count the token's. Bodies are dropped as they come, but for the official client, which "
            "returns them all as a list.",
        )
    ]

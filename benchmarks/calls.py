"""What authorizing costs per call, against a keep-alive session that was given a fixed token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from benchmarks.clients import PATH
from benchmarks.harness import Loopback, airflow_environment, in_environment, loopback, taking_turns
from benchmarks.report import Row, Table, progress

MOST_OVERHEAD = 0.05
"""Share of a bare call's time."""

MIB = 1024 * 1024

_BARE = "bare"


@dataclass(frozen=True)
class Case:
    """A call.

    :param words: for the table.
    :param latency: seconds that the server takes.
    :param size: bytes of the body.
    :param rounds: how often each side makes it.
    :param judged: whether it has a target.
    """

    words: str
    latency: float
    size: int
    rounds: int
    judged: bool = True


_CASES = (
    Case("256 B at 50 ms", 0.05, 256, 60),
    Case("1 MiB at 50 ms", 0.05, MIB, 60),
    Case("1 MiB at once", 0.0, MIB, 300),
    Case("256 B at once", 0.0, 256, 600, judged=False),
)

Sides: TypeAlias = dict[str, Callable[[], object]]


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    with loopback() as server, airflow_environment(server.connection()) as environment, in_environment(environment):
        blocking = _rows(server, _blocking_sides, quick=quick)
        with asyncio.Runner() as runner:
            concurrent = _rows(server, partial(_event_loop_sides, runner), quick=quick, judged=False)
    columns = ("call", "by", "bare ms", "ms", "ratio", "added ms", "target")
    note = (
        "Medians of calls that take turns. Where the server answers at once, over loopback, nothing but the clients' "
        "own work is left."
    )
    return [
        Table("One authorized call, against a requests.Session with a fixed token", columns, blocking, note),
        Table("The same on an event loop, against an httpx.AsyncClient with a fixed token", columns, concurrent),
    ]


def _blocking_sides(server: Loopback, size: int) -> Sides:
    import requests

    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

    bare = requests.Session()
    bare.headers["Authorization"] = f"Bearer {server.fetch_token()}"
    hook = SentinelHubHook()
    session = hook.get_conn()
    url = f"{server.url}{PATH}"
    return {
        _BARE: lambda: _checked(bare.get(url, timeout=30), size),
        "hook.request": lambda: _checked(hook.request("GET", PATH), size),
        "get_conn().get": lambda: _checked(session.get(PATH), size),
    }


def _event_loop_sides(runner: asyncio.Runner, server: Loopback, size: int) -> Sides:
    import httpx

    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

    bare = httpx.AsyncClient(headers={"Authorization": f"Bearer {server.fetch_token()}"}, timeout=30)
    hook = SentinelHubHook()
    url = f"{server.url}{PATH}"
    return {
        _BARE: lambda: _checked(runner.run(bare.get(url)), size),
        "hook.arequest": lambda: _checked(runner.run(hook.arequest("GET", PATH)), size),
    }


def _checked(response: Any, size: int) -> None:
    """A comparison is one only where all sides got the same."""
    assert response.status_code == 200, response.status_code
    assert len(response.content) == size, len(response.content)


def _rows(
    server: Loopback, sides_for: Callable[[Loopback, int], Sides], *, quick: bool, judged: bool = True
) -> tuple[Row, ...]:
    rows = []
    for case in _CASES:
        progress(case.words)
        server.behave(latency=case.latency, body_size=case.size)
        sides = sides_for(server, case.size)
        for call in sides.values():
            call()  # connect, and get the token
        seconds = taking_turns(sides, case.rounds // 4 if quick else case.rounds)
        bare = seconds.pop(_BARE)
        rows += [_row(case, name, bare, took, judged=judged and case.judged) for name, took in seconds.items()]
    return tuple(rows)


def _row(case: Case, name: str, bare: float, took: float, *, judged: bool) -> Row:
    ratio = took / bare
    target = f"<= {1 + MOST_OVERHEAD:.2f}" if judged else None
    figures = (case.words, name, bare * 1000, took * 1000, ratio, (took - bare) * 1000, target)
    return Row(figures, ratio <= 1 + MOST_OVERHEAD if judged else None)

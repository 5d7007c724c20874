"""How often a fleet asks for a token, and what a process pays for one that the fleet already has."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from benchmarks.fleet import FleetOutcome, Job, run_fleet
from benchmarks.harness import CONN_ID, ROOT, Loopback, airflow_environment, loopback
from benchmarks.report import Row, Table, progress
from benchmarks.server import Seen
from tests.support.redis_server import RedisServer

TOKEN_ENDPOINT_RATE = 10.0
"""Token requests per second that the endpoint takes while a fleet starts."""

MOST_MILLISECONDS = 3.0
MOST_SHARE = 0.05
TOKEN_LATENCY = 0.1
"""Seconds that a token request takes in the comparison with the file store."""

_FRESH_PROCESSES = 9


@dataclass(frozen=True)
class Case:
    """A fleet and what is asked of it.

    :param words: the case, for the table.
    :param job: what each process does, the client's name aside.
    :param count: what is counted of what the server has seen.
    :param most: the most that the count may be.
    :param lost: calls that may fail, ``None`` where all do by intent.
    :param hosts: hosts of the fleet.
    :param server: settings of the server.
    :param connection: fields of the connection.
    """

    words: str
    job: Job
    count: Callable[[Seen], int]
    most: int = 1
    lost: int | None = 0
    hosts: int = 1
    server: dict[str, Any] | None = None
    connection: dict[str, Any] | None = None


def _asked(seen: Seen) -> int:
    return seen.token_requests


def _failed_logins(seen: Seen) -> int:
    return seen.failed_logins


def _cases(redis_url: str) -> tuple[Case, ...]:
    limited = {"token_rate": TOKEN_ENDPOINT_RATE, "token_latency": 0.05}
    wrong = {"auth_cache": "file", "password": "not-the-secret"}
    file = {"auth_cache": "file"}
    shared = {"auth_cache": redis_url}
    return (
        Case("50 processes at once", Job("", processes=50), _asked, server=limited, connection=file),
        Case("8 processes x 20 calls", Job("", processes=8, calls=20), _asked, connection=file),
        Case(
            "3 hosts x 20 processes, Redis", Job("", processes=20), _asked, hosts=3, server=limited, connection=shared
        ),
        Case("token lives 100 s, 20 calls", Job("", calls=20), _asked, server={"token_lifetime": 100}),
        Case("wrong secret, 10 threads", Job("", calls=50, threads=10), _failed_logins, lost=None, connection=wrong),
        Case("wrong secret, 50 processes", Job("", processes=50), _failed_logins, lost=None, connection=wrong),
        Case("revoked in mid-run of 30", Job("", calls=30), _asked, 2, server={"revoke_after": 6}, connection=file),
    )


def tables(*, quick: bool) -> list[Table]:
    """Measure and tell."""
    with ExitStack() as stack:
        server = stack.enter_context(loopback())
        redis = stack.enter_context(RedisServer())
        return [
            Table(
                "Requests to the token endpoint (with a wrong secret: failed logins)",
                ("case", "official", "failed", "package", "failed", "target"),
                tuple(_row(case, server) for case in _cases(redis.url)),
                f"While a fleet starts, the endpoint takes {TOKEN_ENDPOINT_RATE:.0f} token requests a second. "
                "Failed: calls without an answer.",
            ),
            _from_the_file_store(server, quick=quick),
        ]


def _row(case: Case, server: Loopback) -> Row:
    progress(case.words)
    official, official_seen = _run(case, server, "official")
    package, seen = _run(case, server, "package")
    figures = (case.count(official_seen), official.failed, case.count(seen), package.failed)
    met = 0 < case.count(seen) <= case.most and (case.lost is None or package.failed <= case.lost)
    target = f"{case.most}" if case.lost is None else f"{case.most}, {case.lost} failed"
    return Row((case.words, *figures, target), met)


def _run(case: Case, server: Loopback, client: str) -> tuple[FleetOutcome, Seen]:
    server.behave(**(case.server or {}))
    outcome = run_fleet(server, replace(case.job, client=client), hosts=case.hosts, **(case.connection or {}))
    if client == "package" and case.lost is not None and outcome.failed:
        print(f"{case.words}: {outcome.said}: {outcome.message}", file=sys.stderr)
    return outcome, server.seen()


_MEASURE = f"""
import json, time
from benchmarks.clients import load
load("package")
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
hook = SentinelHubHook({CONN_ID!r})
hook.settings
start = time.perf_counter()
hook.get_token()
print(json.dumps(time.perf_counter() - start))
"""


def _from_the_file_store(server: Loopback, *, quick: bool) -> Table:
    """Time ``get_token`` in new interpreters: the first one fetches, the others find the token."""
    server.behave(token_latency=TOKEN_LATENCY)
    with airflow_environment(server.connection(auth_cache="file")) as environment:
        first, *later = (_seconds_for_a_token(environment) for _ in range(4 if quick else 1 + _FRESH_PROCESSES))
    found = server.seen().token_requests == 1
    milliseconds = median(later) * 1000
    share = median(later) / TOKEN_LATENCY
    target = f"< {MOST_MILLISECONDS:.0f} ms, < {MOST_SHARE:.0%}"
    met = found and milliseconds < MOST_MILLISECONDS and share < MOST_SHARE
    words = "from the file store" if found else "fetched again: the file store gave none"
    return Table(
        f"get_token() in a new process, after its imports; the endpoint takes {TOKEN_LATENCY * 1000:.0f} ms",
        ("token", "ms (median)", "ms (worst)", "share of a request", "target"),
        (
            Row(("fetched", first * 1000, first * 1000, first / TOKEN_LATENCY, None)),
            Row((words, milliseconds, max(later) * 1000, share, target), met),
        ),
        "Airflow's own look-up of the connection is not in it.",
    )


def _seconds_for_a_token(environment: dict[str, str]) -> float:
    command = [sys.executable, "-c", _MEASURE]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"get_token() failed in a new process:\n{run.stderr}")
    seconds: float = json.loads(run.stdout.splitlines()[-1])
    return seconds

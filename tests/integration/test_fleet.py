"""A fleet of real processes against a real sandbox: one token for all, whatever dies on the way."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from fleet import Fleet, nursery
from redis_server import RedisServer

from sentinelhub_provider.sandbox.server import SandboxServer

SETTLED = 60.0


@pytest.fixture(autouse=True, scope="module")
def fixture_nursery() -> Iterator[None]:
    """Have one process for all fleets to be forked from."""
    with nursery():
        yield


@pytest.fixture(name="server")
def fixture_server() -> Iterator[SandboxServer]:
    """A sandbox of the test's own."""
    with SandboxServer() as server:
        yield server


@pytest.fixture(name="auth_cache", params=["file", "redis"])
def fixture_auth_cache(request: pytest.FixtureRequest, tmp_path) -> str:
    """Where the fleet shares its tokens."""
    if request.param == "file":
        return (tmp_path / "sentinelhub").as_uri()
    return request.getfixturevalue("redis_server").url


def until(condition) -> None:
    """Wait for the processes to get somewhere."""
    ends = time.monotonic() + SETTLED
    while not condition():
        assert time.monotonic() < ends, "the fleet did not get there"
        time.sleep(0.01)


def test_fleet_that_starts_at_once_asks_for_one_token(server: SandboxServer, auth_cache: str):
    """Thirty processes, one token request, no call lost, although the endpoint would answer ten a minute only."""
    server.control.set_limits(token_requests_per_minute=10)
    with Fleet(server, auth_cache, 30, calls=2) as fleet:
        outcome = fleet.go().outcome()
    assert (outcome.done, outcome.errors, outcome.warnings) == (60, [], 0)
    assert server.control.counters().token_requests == 1


def test_hosts_share_through_redis(server: SandboxServer, tmp_path, redis_server: RedisServer):
    """Three fleets that share nothing but Redis ask once."""
    fleets = [Fleet(server, redis_server.url, 8) for _ in range(3)]
    with fleets[0], fleets[1], fleets[2]:
        for fleet in fleets:
            fleet.go()
        outcomes = [fleet.outcome() for fleet in fleets]
    assert [outcome.done for outcome in outcomes] == [8, 8, 8]
    assert server.control.counters().token_requests == 1


def test_wrong_secret_makes_one_failed_login(server: SandboxServer, auth_cache: str):
    """Twenty processes learn from the first that the client is refused; none takes a token of the right secret."""
    with Fleet(server, auth_cache, 1) as right:
        assert right.go().outcome().done == 1
    with Fleet(server, auth_cache, 20, secret="a-wrong-secret") as fleet:
        outcome = fleet.go().outcome()
    assert outcome.done == 0
    assert outcome.workers == 20
    assert len(outcome.errors) == 20
    assert all(error.startswith("SentinelHubAuthenticationError") for error in outcome.errors)
    assert server.control.counters().failed_logins == 1


def test_rotated_secret_takes_effect_at_once(server: SandboxServer, auth_cache: str):
    """The next process with the new secret logs in, although the old one was refused a moment ago."""
    server.control.update_client(server.client_id, client_secret="the-new-secret")
    with Fleet(server, auth_cache, 3) as old:
        assert old.go().outcome().done == 0
    with Fleet(server, auth_cache, 3, secret="the-new-secret") as new:
        assert new.go().outcome().done == 3
    counters = server.control.counters()
    assert (counters.failed_logins, counters.tokens_issued) == (1, 1)


def test_tokens_revoked_in_mid_run_lose_nothing(server: SandboxServer, auth_cache: str):
    """All processes are refused; one asks for a new token, the others take it."""
    with Fleet(server, auth_cache, 10, calls=40, pause=0.03) as fleet:
        fleet.go()
        until(lambda: server.control.counters().total_requests > 80)
        assert server.control.revoke_tokens() == 1
        outcome = fleet.outcome()
    assert (outcome.done, outcome.errors) == (400, [])
    counters = server.control.counters()
    assert counters.token_requests == 2
    assert 1 <= counters.unauthorized <= 10


def test_fleet_does_not_wait_for_a_killed_holder(server: SandboxServer, auth_cache: str):
    """A process is killed while it fetches and holds the lock; of those that wait, one takes over."""
    with Fleet(server, auth_cache, 1, hang=True, lock_lifetime=1.0) as victim, Fleet(server, auth_cache, 10) as fleet:
        victim.go()
        assert victim.wait_for_line() == "fetching"
        fleet.go()
        victim.kill(victim.pids[0])
        outcome = fleet.outcome()
    assert (outcome.done, outcome.errors) == (10, [])
    assert server.control.counters().token_requests == 1


def test_kills_at_random_moments_harm_nobody_else(server: SandboxServer, auth_cache: str):
    """Thirty processes fetch and renew short-lived tokens while others among them are killed, again and again."""
    lifetime, calls, pause = 4.0, 10, 0.3
    server.control.set_token_lifetime(lifetime)
    server.control.add_fault(path="*/token", probability=1.0, action={"kind": "delay", "seconds": 0.1})
    chance = random.Random(auth_cache[:4])
    running = {"pause": pause, "lock_lifetime": 1.0}
    with (
        Fleet(server, auth_cache, 30, calls=calls, **running) as survivors,
        Fleet(server, auth_cache, 12, calls=10_000, **running) as victims,
    ):
        started = time.monotonic()
        victims.go()
        survivors.go()
        for pid in chance.sample(victims.pids, len(victims.pids)):
            time.sleep(chance.uniform(0, 2 * calls * pause / len(victims.pids)) * 0.8)
            victims.kill(pid)
        outcome = survivors.outcome()
        elapsed = time.monotonic() - started
    assert (outcome.done, outcome.errors) == (30 * calls, [])
    # A token is renewed after half its lifetime, which the calls outlast however fast they are.
    asked = server.control.counters().token_requests
    assert 2 <= asked <= elapsed / (lifetime / 2) + 1 + len(victims.pids)
    # What is left behind serves the next, or is replaced.
    with Fleet(server, auth_cache, 3) as later:
        assert later.go().outcome().done == 3


def test_redis_that_comes_and_goes_fails_no_call(server: SandboxServer):
    """Redis starts, is killed, starts again empty, all in mid-run: each process asks for a token of its own at most."""
    redis = RedisServer()
    processes = 8
    with Fleet(server, redis.url, processes, calls=60, pause=0.03) as fleet:
        redis.start()
        fleet.go()
        until(lambda: server.control.counters().total_requests > 100)
        assert server.control.counters().token_requests == 1
        redis.stop()
        until(lambda: server.control.counters().total_requests > 200)
        server.control.revoke_tokens()
        until(lambda: server.control.counters().total_requests > 300)
        redis.start()
        outcome = fleet.outcome()
    redis.stop()
    assert (outcome.done, outcome.errors) == (processes * 60, [])
    assert outcome.warnings <= 2 * processes, "a warning for the tokens and one for the pace, by process"
    assert 2 <= server.control.counters().token_requests <= 1 + processes


def test_redis_that_is_not_there_costs_a_token_request_each(server: SandboxServer):
    """Without their store, processes work as if they shared nothing."""
    with Fleet(server, RedisServer().url, 5, calls=3) as fleet:
        outcome = fleet.go().outcome()
    assert (outcome.done, outcome.errors) == (15, [])
    assert server.control.counters().token_requests == 5

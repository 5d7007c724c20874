"""One fetch for all: threads, coroutines, failures, cancellation and forks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from clocks import FakeClock

from sentinelhub_provider.exceptions import SentinelHubAuthenticationError, SentinelHubServerError
from sentinelhub_provider.oauth.broker import (
    REFUSAL_MEMORY,
    RENEWAL_PAUSE,
    Fetch,
    Follow,
    Known,
    Refuse,
    TokenBroker,
    Use,
    broker_for,
    decide,
    forget_tokens,
)
from sentinelhub_provider.oauth.shared import Refusal
from sentinelhub_provider.oauth.token import AccessToken

LIFETIME = 3600.0
STALE_AGE = LIFETIME - 60
WAIT = 10.0


class Endpoint:
    """A token endpoint that counts; ``gate`` holds its answers back, ``error`` is raised instead of one."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked = 0
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self._lock = threading.Lock()

    def fetch(self) -> AccessToken:
        """Answer a thread."""
        number = self._count()
        assert self.gate.wait(WAIT)
        return self._answer(number)

    async def afetch(self) -> AccessToken:
        """Answer a coroutine; the others get their turn meanwhile."""
        number = self._count()
        while not self.gate.is_set():  # noqa: ASYNC110 - threads set it, too
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self._answer(number)

    def _count(self) -> int:
        with self._lock:
            self.asked += 1
            self.entered.set()
            return self.asked

    def _answer(self, number: int) -> AccessToken:
        if self.error is not None:
            raise self.error
        return AccessToken(f"token-{number}", self.clock() + LIFETIME, LIFETIME)


@pytest.fixture(name="clock")
def fixture_clock() -> FakeClock:
    """The time, for broker and endpoint."""
    return FakeClock()


@pytest.fixture(name="endpoint")
def fixture_endpoint(clock: FakeClock) -> Endpoint:
    """A token endpoint that works."""
    return Endpoint(clock)


@pytest.fixture(name="broker")
def fixture_broker(clock: FakeClock) -> TokenBroker:
    """A broker that shares nothing with other processes."""
    return TokenBroker(clock=clock)


def refusal() -> SentinelHubAuthenticationError:
    """What the endpoint says to a wrong secret."""
    return SentinelHubAuthenticationError("refused", status=401, code="invalid_client", endpoint="POST /token")


def until(condition: Callable[[], bool]) -> None:
    """Yield to the other threads until ``condition`` holds."""
    deadline = threading.Event()
    timer = threading.Timer(WAIT, deadline.set)
    timer.start()
    try:
        while not condition():
            assert not deadline.is_set(), "the other threads did not get there"
            os.sched_yield()
    finally:
        timer.cancel()


# --- the decision ----------------------------------------------------------------------------------------------------

NOW = 1_000.0
FRESH = AccessToken("fresh", NOW + LIFETIME, LIFETIME)
STALE = AccessToken("stale", NOW + 60, LIFETIME)
INVALID = AccessToken("invalid", NOW + 1, LIFETIME)
RENEWAL: Future[AccessToken] = Future()
REFUSED = Refusal(refusal(), until=NOW + 1)


@pytest.mark.parametrize(
    ("known", "decision"),
    [
        pytest.param(Known(), Fetch(None), id="nothing-known"),
        pytest.param(Known(token=FRESH), Use(FRESH), id="fresh"),
        pytest.param(Known(token=FRESH, renewal=RENEWAL), Use(FRESH), id="fresh-while-another-fetches"),
        pytest.param(Known(token=FRESH, refusal=REFUSED), Use(FRESH), id="fresh-whatever-was-refused"),
        pytest.param(Known(token=STALE), Fetch(STALE), id="stale"),
        pytest.param(Known(token=STALE, renewal=RENEWAL), Use(STALE), id="stale-while-another-renews"),
        pytest.param(Known(token=STALE, renew_after=NOW + 1), Use(STALE), id="stale-after-a-failed-renewal"),
        pytest.param(Known(token=STALE, renew_after=NOW), Fetch(STALE), id="stale-after-the-pause"),
        pytest.param(Known(token=INVALID), Fetch(None), id="invalid"),
        pytest.param(Known(token=INVALID, renewal=RENEWAL), Follow(RENEWAL), id="invalid-while-another-fetches"),
        pytest.param(Known(renewal=RENEWAL), Follow(RENEWAL), id="another-fetches"),
        pytest.param(Known(renewal=RENEWAL, refusal=REFUSED), Follow(RENEWAL), id="another-asks-again"),
        pytest.param(Known(refusal=REFUSED), Refuse(REFUSED.error), id="refused-lately"),
        pytest.param(Known(token=INVALID, refusal=REFUSED), Refuse(REFUSED.error), id="expired-and-refused"),
        pytest.param(Known(refusal=Refusal(REFUSED.error, until=NOW)), Fetch(None), id="refused-long-ago"),
        pytest.param(Known(renew_after=NOW + 1), Fetch(None), id="no-token-no-pause"),
    ],
)
def test_decision(known: Known, decision: object):
    """What a caller does depends on what is known, and on nothing else."""
    assert decide(known, NOW) == decision


# --- single flight ---------------------------------------------------------------------------------------------------


def test_fifty_threads_make_one_fetch(broker: TokenBroker, endpoint: Endpoint):
    """Who comes while another fetches gets what that one gets."""
    start = threading.Barrier(50)

    def call(_: int) -> str:
        start.wait(WAIT)
        return broker.get(endpoint.fetch).value

    with ThreadPoolExecutor(50) as pool:
        values = set(pool.map(call, range(50)))

    assert values == {"token-1"}
    assert endpoint.asked == 1


def test_fifty_coroutines_make_one_fetch(broker: TokenBroker, endpoint: Endpoint):
    """Check, await, set would fetch fifty times."""

    async def all_at_once() -> list[AccessToken]:
        return await asyncio.gather(*(broker.aget(endpoint.afetch) for _ in range(50)))

    assert {token.value for token in asyncio.run(all_at_once())} == {"token-1"}
    assert endpoint.asked == 1


@pytest.mark.parametrize("leader", ["thread", "coroutine"])
def test_threads_and_coroutines_share_one_fetch(broker: TokenBroker, endpoint: Endpoint, leader: str):
    """A triggerer has both: whichever fetches, the others wait for it."""
    endpoint.gate.clear()

    async def coroutines() -> set[str]:
        tokens = [asyncio.ensure_future(broker.aget(endpoint.afetch)) for _ in range(10)]
        await asyncio.sleep(0)
        if leader == "coroutine":
            threads.extend(pool.submit(broker.get, endpoint.fetch) for _ in range(10))
        endpoint.gate.set()
        return {(await token).value for token in tokens}

    threads: list[Future[AccessToken]] = []
    with ThreadPoolExecutor(10) as pool:
        if leader == "thread":
            threads.extend(pool.submit(broker.get, endpoint.fetch) for _ in range(10))
            assert endpoint.entered.wait(WAIT)
        values = asyncio.run(coroutines())
        values |= {thread.result(WAIT).value for thread in threads}

    assert values == {"token-1"}
    assert endpoint.asked == 1


def test_error_of_the_fetch_reaches_all_who_wait(broker: TokenBroker, endpoint: Endpoint):
    """Nobody is left waiting, nobody asks a second time for the same answer."""
    endpoint.gate.clear()
    endpoint.error = SentinelHubServerError("down", status=503)

    async def all_at_once() -> list[AccessToken | BaseException]:
        calls = [asyncio.ensure_future(broker.aget(endpoint.afetch)) for _ in range(20)]
        await asyncio.sleep(0)
        endpoint.gate.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(all_at_once())

    assert {str(outcome) for outcome in outcomes} == {"down"}
    assert endpoint.asked == 1


def test_error_is_not_remembered_when_it_may_pass(broker: TokenBroker, endpoint: Endpoint):
    """A server error is asked about again with the next call."""
    endpoint.error = SentinelHubServerError("down", status=503)
    with pytest.raises(SentinelHubServerError):
        broker.get(endpoint.fetch)
    endpoint.error = None

    assert broker.get(endpoint.fetch).value == "token-2"


def test_waiting_for_another_has_an_end(broker: TokenBroker, endpoint: Endpoint):
    """A fetch that hangs elsewhere does not hang this caller."""
    from sentinelhub_provider.exceptions import SentinelHubTransportError

    endpoint.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(broker.get, endpoint.fetch)
        assert endpoint.entered.wait(WAIT)

        with pytest.raises(SentinelHubTransportError, match="Check that the token endpoint is reachable"):
            broker.get(endpoint.fetch, patience=0.01)
        with pytest.raises(SentinelHubTransportError, match="too long"):
            asyncio.run(broker.aget(endpoint.afetch, patience=0.01))

        endpoint.gate.set()
        assert leader.result(WAIT).value == "token-1"


# --- renewal ---------------------------------------------------------------------------------------------------------


def test_fresh_token_is_used_without_asking(broker: TokenBroker, endpoint: Endpoint, clock: FakeClock):
    """Until two minutes before its end."""
    broker.get(endpoint.fetch)
    clock.now += LIFETIME - 121

    assert broker.get(endpoint.fetch).value == "token-1"
    assert endpoint.asked == 1


def test_stale_token_is_renewed_by_exactly_one(broker: TokenBroker, endpoint: Endpoint, clock: FakeClock):
    """The others go on with the old one and do not wait."""
    broker.get(endpoint.fetch)
    clock.now += STALE_AGE
    endpoint.gate.clear()
    endpoint.entered.clear()

    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(broker.get, endpoint.fetch)
        assert endpoint.entered.wait(WAIT)
        others = {broker.get(endpoint.fetch).value for _ in range(20)}
        others |= {asyncio.run(broker.aget(endpoint.afetch)).value}
        endpoint.gate.set()

        assert renewing.result(WAIT).value == "token-2"

    assert others == {"token-1"}
    assert endpoint.asked == 2
    assert broker.get(endpoint.fetch).value == "token-2"


@pytest.mark.parametrize("error", [SentinelHubServerError("down", status=503), refusal()], ids=["server", "refused"])
def test_failed_renewal_is_a_warning_while_the_token_works(
    broker: TokenBroker, endpoint: Endpoint, clock: FakeClock, caplog: pytest.LogCaptureFixture, error: Exception
):
    """It costs no task, says how long the token lasts, and is not tried again with every call."""
    broker.get(endpoint.fetch)
    clock.now += STALE_AGE
    endpoint.error = error

    with caplog.at_level(logging.WARNING):
        values = {broker.get(endpoint.fetch).value for _ in range(5)}

    assert values == {"token-1"}
    assert endpoint.asked == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "good for another 60 s" in caplog.text


def test_renewal_is_tried_again_after_a_pause(broker: TokenBroker, endpoint: Endpoint, clock: FakeClock):
    """The endpoint may be back."""
    broker.get(endpoint.fetch)
    clock.now += STALE_AGE
    endpoint.error = SentinelHubServerError("down", status=503)
    broker.get(endpoint.fetch)
    endpoint.error = None
    clock.now += RENEWAL_PAUSE

    assert broker.get(endpoint.fetch).value == "token-3"


def test_failed_renewal_is_an_error_once_the_token_ended(broker: TokenBroker, endpoint: Endpoint, clock: FakeClock):
    """There is nothing to go on with."""
    broker.get(endpoint.fetch)
    clock.now += LIFETIME
    endpoint.error = SentinelHubServerError("down", status=503)

    with pytest.raises(SentinelHubServerError, match="down"):
        broker.get(endpoint.fetch)


def test_token_that_ends_while_it_is_renewed_is_not_used(broker: TokenBroker, endpoint: Endpoint, clock: FakeClock):
    """A renewal that takes too long and fails leaves nothing to fall back on."""
    broker.get(endpoint.fetch)
    clock.now += STALE_AGE

    def slow_failure() -> AccessToken:
        clock.now += 60
        raise SentinelHubServerError("down", status=503)

    with pytest.raises(SentinelHubServerError, match="down"):
        broker.get(slow_failure)


# --- refusals --------------------------------------------------------------------------------------------------------


def test_refused_client_is_asked_about_once_a_minute(broker: TokenBroker, endpoint: Endpoint, clock: FakeClock):
    """500 mapped tasks with a wrong secret make one failed login."""
    endpoint.error = refusal()
    errors = []
    for _ in range(500):
        with pytest.raises(SentinelHubAuthenticationError) as error:
            broker.get(endpoint.fetch)
        errors.append(error.value)

    assert endpoint.asked == 1
    assert {(str(error), error.status, error.code, error.endpoint) for error in errors} == {
        ("refused", 401, "invalid_client", "POST /token")
    }
    assert len({id(error) for error in errors}) == 500, "each caller gets a traceback of its own"

    clock.now += REFUSAL_MEMORY
    endpoint.error = None
    assert broker.get(endpoint.fetch).value == "token-2"


def test_refusal_is_forgotten_with_a_success(broker: TokenBroker, endpoint: Endpoint, clock: FakeClock):
    """A client that is accepted again is not refused from memory later."""
    broker.get(endpoint.fetch)
    clock.now += STALE_AGE
    endpoint.error = refusal()
    broker.get(endpoint.fetch)
    endpoint.error = None
    clock.now += RENEWAL_PAUSE
    token = broker.get(endpoint.fetch)

    assert broker.get(endpoint.fetch, rejected=token).value == "token-4"


# --- rejected tokens -------------------------------------------------------------------------------------------------


def test_rejected_token_is_dropped_and_fetched_anew(broker: TokenBroker, endpoint: Endpoint):
    """What the service refuses is of no use to anyone."""
    first = broker.get(endpoint.fetch)

    assert broker.get(endpoint.fetch, rejected=first).value == "token-2"
    assert broker.get(endpoint.fetch).value == "token-2"


def test_only_the_rejected_token_is_dropped(broker: TokenBroker, endpoint: Endpoint):
    """50 calls that were refused with the same old token cause one fetch, not 50."""
    first = broker.get(endpoint.fetch)
    values = {broker.get(endpoint.fetch, rejected=first).value for _ in range(50)}

    assert values == {"token-2"}
    assert endpoint.asked == 2


def test_rejected_token_is_dropped_in_the_event_loop_as_well(broker: TokenBroker, endpoint: Endpoint):
    """Both kinds of callers follow one rule."""
    first = asyncio.run(broker.aget(endpoint.afetch))

    assert asyncio.run(broker.aget(endpoint.afetch, rejected=first)).value == "token-2"


# --- announcing ------------------------------------------------------------------------------------------------------


def test_new_token_is_announced_once_before_it_is_used(broker: TokenBroker, endpoint: Endpoint):
    """It must be masked before anyone can log it."""
    announced: list[str] = []
    for _ in range(3):
        broker.get(endpoint.fetch, announce=lambda token: announced.append(token.value))

    assert announced == ["token-1"]


# --- cancellation ----------------------------------------------------------------------------------------------------


def test_follower_takes_over_from_a_cancelled_leader(broker: TokenBroker, endpoint: Endpoint):
    """A task that is killed while it fetches does not take those who wait with it."""
    endpoint.gate.clear()

    async def cancel_the_leader() -> str:
        leader = asyncio.ensure_future(broker.aget(endpoint.afetch))
        await asyncio.sleep(0)
        follower = asyncio.ensure_future(broker.aget(endpoint.afetch))
        await asyncio.sleep(0)
        leader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leader
        assert leader.cancelled()
        endpoint.gate.set()
        return (await follower).value

    assert asyncio.run(cancel_the_leader()) == "token-2"


def test_thread_takes_over_from_a_cancelled_coroutine(broker: TokenBroker, endpoint: Endpoint):
    """The same across kinds of callers."""
    endpoint.gate.clear()

    async def cancel_the_leader() -> str:
        leader = asyncio.ensure_future(broker.aget(endpoint.afetch))
        await asyncio.sleep(0)
        follower = pool.submit(broker.get, endpoint.fetch)
        leader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leader
        endpoint.gate.set()
        return (await asyncio.wrap_future(follower)).value

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(cancel_the_leader()) == "token-2"


def test_cancelled_follower_leaves_the_leader_alone(broker: TokenBroker, endpoint: Endpoint):
    """Its fetch serves others."""
    endpoint.gate.clear()

    async def cancel_a_follower() -> tuple[str, bool]:
        leader = asyncio.ensure_future(broker.aget(endpoint.afetch))
        await asyncio.sleep(0)
        follower = asyncio.ensure_future(broker.aget(endpoint.afetch))
        await asyncio.sleep(0)
        follower.cancel()
        endpoint.gate.set()
        with contextlib.suppress(asyncio.CancelledError):
            await follower
        return (await leader).value, follower.cancelled()

    assert asyncio.run(cancel_a_follower()) == ("token-1", True)


def test_interrupted_thread_hands_over(broker: TokenBroker, endpoint: Endpoint):
    """A task that is killed by a signal leaves no lock and no promise behind."""

    def interrupted() -> AccessToken:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broker.get(interrupted)

    assert broker.get(endpoint.fetch, patience=0.01).value == "token-1"


# --- processes -------------------------------------------------------------------------------------------------------


def in_child(act: Callable[[], bool]) -> bool:
    """Fork, let the child act, and return what it said."""
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child's coverage is lost
        succeeded = False
        with contextlib.suppress(BaseException):
            succeeded = act()
        os._exit(0 if succeeded else 1)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


def test_child_does_not_wait_for_a_fetch_of_its_parent(broker: TokenBroker, endpoint: Endpoint):
    """The thread that fetches does not exist in the child, and would never finish there."""
    endpoint.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(broker.get, endpoint.fetch)
        assert endpoint.entered.wait(WAIT)

        assert in_child(lambda: broker.get(lambda: FRESH, patience=5) == FRESH)

        endpoint.gate.set()
        assert leader.result(WAIT).value == "token-1"


def test_child_is_not_stopped_by_a_lock_of_its_parent(broker: TokenBroker):
    """A lock that another thread held while the process forked is never released in the child."""
    with broker._lock:
        assert in_child(lambda: broker.get(lambda: FRESH) == FRESH)


def test_child_starts_with_its_parents_token(broker: TokenBroker, endpoint: Endpoint):
    """What is known stays known: a forked task makes no login of its own."""
    token = broker.get(endpoint.fetch)

    assert in_child(lambda: broker.get(endpoint.fetch) == token and endpoint.asked == 1)


def test_one_broker_per_client():
    """All hooks of a process that use the same client share its token."""
    first = broker_for("key")

    assert broker_for("key") is first
    assert broker_for("other") is not first
    forget_tokens()
    assert broker_for("key") is not first


def test_repr_shows_no_token(broker: TokenBroker, endpoint: Endpoint):
    """A broker ends up in debuggers and error messages."""
    broker.get(endpoint.fetch)

    assert "token-1" not in f"{broker!r} {vars(broker)!r}"

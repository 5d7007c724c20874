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
from token_endpoint import LIFETIME, WAIT, Endpoint

from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubServerError,
    SentinelHubTransportError,
)
from sentinelhub_provider.oauth.broker import (
    REFUSAL_MEMORY,
    RENEWAL_PAUSE,
    Decision,
    Known,
    Renewal,
    TokenBroker,
    broker_for,
    decide,
    forget_tokens,
)
from sentinelhub_provider.oauth.shared import Refusal
from sentinelhub_provider.oauth.token import AccessToken

STALE_AGE = LIFETIME - 60


@pytest.fixture(name="broker")
def fixture_broker(clock: FakeClock) -> TokenBroker:
    """A broker that shares nothing with other processes."""
    return TokenBroker(clock=clock, timer=clock)


@pytest.fixture(name="direct")
def fixture_direct(clock: FakeClock) -> TokenBroker:
    """A broker whose fetches have ended when they are started: no test depends on how fast a thread is."""
    return TokenBroker(clock=clock, timer=clock, run=lambda job: job())


def refusal() -> SentinelHubAuthenticationError:
    """What the endpoint says to a wrong secret."""
    return SentinelHubAuthenticationError("refused", status=401, code="invalid_client", endpoint="POST /token")


# --- the decision ----------------------------------------------------------------------------------------------------

NOW = 1_000.0
FRESH = AccessToken("fresh", NOW + LIFETIME, LIFETIME)
STALE = AccessToken("stale", NOW + 60, LIFETIME)
INVALID = AccessToken("invalid", NOW + 1, LIFETIME)
RENEWAL = Renewal(Endpoint(FakeClock()).fetch, NOW)
REFUSED = Refusal(refusal(), until=NOW + 1)


@pytest.mark.parametrize(
    ("known", "decision"),
    [
        pytest.param(Known(), Decision.FETCH, id="nothing-known"),
        pytest.param(Known(token=FRESH), Decision.USE, id="fresh"),
        pytest.param(Known(token=FRESH, renewal=RENEWAL), Decision.USE, id="fresh-while-another-fetches"),
        pytest.param(Known(token=FRESH, refusal=REFUSED), Decision.USE, id="fresh-whatever-was-refused"),
        pytest.param(Known(token=STALE), Decision.RENEW, id="stale"),
        pytest.param(Known(token=STALE, renewal=RENEWAL), Decision.USE, id="stale-while-another-renews"),
        pytest.param(Known(token=STALE, renew_after=NOW + 1), Decision.USE, id="stale-after-a-failed-renewal"),
        pytest.param(Known(token=STALE, renew_after=NOW), Decision.RENEW, id="stale-after-the-pause"),
        pytest.param(Known(token=STALE, refusal=REFUSED), Decision.RENEW, id="stale-whatever-was-refused"),
        pytest.param(Known(token=INVALID), Decision.FETCH, id="invalid"),
        pytest.param(Known(token=INVALID, renewal=RENEWAL), Decision.FOLLOW, id="invalid-while-another-fetches"),
        pytest.param(Known(renewal=RENEWAL), Decision.FOLLOW, id="another-fetches"),
        pytest.param(Known(renewal=RENEWAL, refusal=REFUSED), Decision.FOLLOW, id="another-asks-again"),
        pytest.param(Known(refusal=REFUSED), Decision.REFUSE, id="refused-lately"),
        pytest.param(Known(token=INVALID, refusal=REFUSED), Decision.REFUSE, id="expired-and-refused"),
        pytest.param(Known(refusal=Refusal(REFUSED.error, until=NOW)), Decision.FETCH, id="refused-long-ago"),
        pytest.param(
            Known(refusal=Refusal(REFUSED.error, until=NOW + REFUSAL_MEMORY + 1)), Decision.FETCH, id="clock-set-back"
        ),
        pytest.param(Known(renew_after=NOW + 1), Decision.FETCH, id="no-token-no-pause"),
    ],
)
def test_decision(known: Known, decision: Decision):
    """What a caller does depends on what is known, and on nothing else."""
    assert decide(known, NOW, NOW) is decision


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
        return await asyncio.gather(*(broker.aget(endpoint.fetch) for _ in range(50)))

    assert {token.value for token in asyncio.run(all_at_once())} == {"token-1"}
    assert endpoint.asked == 1


@pytest.mark.parametrize("leader", ["thread", "coroutine"])
def test_threads_and_coroutines_share_one_fetch(broker: TokenBroker, endpoint: Endpoint, leader: str):
    """A triggerer has both: whichever fetches, the others wait for it."""
    endpoint.gate.clear()

    async def coroutines() -> set[str]:
        tokens = [asyncio.ensure_future(broker.aget(endpoint.fetch)) for _ in range(10)]
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
        calls = [asyncio.ensure_future(broker.aget(endpoint.fetch)) for _ in range(20)]
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


def test_waiting_for_another_has_an_end(broker: TokenBroker, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    """A fetch that hangs elsewhere does not hang this caller."""
    monkeypatch.setattr("sentinelhub_provider.oauth.broker.GRACE", 0.0)
    endpoint.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(broker.get, endpoint.fetch)
        assert endpoint.entered.wait(WAIT)

        with pytest.raises(SentinelHubTransportError, match="Check that the token endpoint is reachable"):
            broker.get(endpoint.fetch, patience=0.01)
        with pytest.raises(SentinelHubTransportError, match="No token came within"):
            asyncio.run(broker.aget(endpoint.fetch, patience=0.01))

        endpoint.gate.set()
        assert leader.result(WAIT).value == "token-1"


# --- renewal ---------------------------------------------------------------------------------------------------------


def test_fresh_token_is_used_without_asking(broker: TokenBroker, endpoint: Endpoint, clock: FakeClock):
    """Until two minutes before its end."""
    broker.get(endpoint.fetch)
    clock.now += LIFETIME - 121

    assert broker.get(endpoint.fetch).value == "token-1"
    assert endpoint.asked == 1


def test_stale_token_is_renewed_by_exactly_one_and_nobody_waits(
    broker: TokenBroker, endpoint: Endpoint, clock: FakeClock
):
    """All go on with the old one, also the caller who starts the renewal: it costs no call's deadline."""
    broker.get(endpoint.fetch)
    clock.now += STALE_AGE
    endpoint.gate.clear()
    endpoint.entered.clear()

    values = {broker.get(endpoint.fetch, patience=0.0).value for _ in range(20)}
    assert endpoint.entered.wait(WAIT)
    values |= {asyncio.run(broker.aget(endpoint.fetch, patience=0.0)).value}
    renewal = broker._known.renewal
    endpoint.gate.set()

    assert renewal.result(WAIT).value == "token-2"
    assert values == {"token-1"}
    assert endpoint.asked == 2


@pytest.mark.parametrize("error", [SentinelHubServerError("down", status=503), refusal()], ids=["server", "refused"])
def test_failed_renewal_is_a_warning_while_the_token_works(
    direct: TokenBroker, endpoint: Endpoint, clock: FakeClock, caplog: pytest.LogCaptureFixture, error: Exception
):
    """It costs no task, says how long the token lasts, and is not tried again with every call."""
    direct.get(endpoint.fetch)
    clock.now += STALE_AGE
    endpoint.error = error

    with caplog.at_level(logging.WARNING):
        values = {direct.get(endpoint.fetch).value for _ in range(5)}

    assert values == {"token-1"}
    assert endpoint.asked == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "stays in use for another 60 s" in caplog.text


def test_renewal_is_tried_again_after_a_pause(direct: TokenBroker, endpoint: Endpoint, clock: FakeClock):
    """The endpoint may be back."""
    direct.get(endpoint.fetch)
    clock.now += STALE_AGE
    endpoint.error = SentinelHubServerError("down", status=503)
    direct.get(endpoint.fetch)
    endpoint.error = None
    clock.now += RENEWAL_PAUSE

    assert direct.get(endpoint.fetch).value == "token-1"
    assert direct.get(endpoint.fetch).value == "token-3"


def test_failed_renewal_is_an_error_once_the_token_ended(direct: TokenBroker, endpoint: Endpoint, clock: FakeClock):
    """There is nothing to go on with."""
    direct.get(endpoint.fetch)
    clock.now += LIFETIME
    endpoint.error = SentinelHubServerError("down", status=503)

    with pytest.raises(SentinelHubServerError, match="down"):
        direct.get(endpoint.fetch)


def test_callers_own_thread_fetches_only_when_it_must(endpoint: Endpoint, clock: FakeClock):
    """Where no other thread may fetch, a token that works is used to its end."""
    broker = TokenBroker(clock=clock, timer=clock, run=None)
    broker.get(endpoint.fetch)
    clock.now += STALE_AGE
    assert broker.get(endpoint.fetch).value == "token-1"
    clock.now += 60

    assert broker.get(endpoint.fetch).value == "token-2"


def test_a_thread_that_cannot_start_leaves_nobody_waiting(endpoint: Endpoint):
    """The error reaches its caller, and the next one tries again."""

    def refuse(_: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    broker = TokenBroker(run=refuse)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="new thread"):
            broker.get(endpoint.fetch)


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


def refuse_a_renewal(broker: TokenBroker, endpoint: Endpoint, clock: FakeClock) -> None:
    """Let the endpoint refuse to renew a token that still works."""
    broker.get(endpoint.fetch)
    clock.now += STALE_AGE
    endpoint.error = refusal()
    broker.get(endpoint.fetch)
    endpoint.error = None


def test_refusal_is_forgotten_with_a_success(direct: TokenBroker, endpoint: Endpoint, clock: FakeClock):
    """A client that is accepted again is not refused from memory later."""
    refuse_a_renewal(direct, endpoint, clock)
    clock.now += RENEWAL_PAUSE
    direct.get(endpoint.fetch)
    token = direct.get(endpoint.fetch)

    assert direct.get(endpoint.fetch, rejected=token).value == "token-4"


def test_refusal_is_not_remembered_over_a_token_that_works(direct: TokenBroker, endpoint: Endpoint, clock: FakeClock):
    """The endpoint is asked again as soon as the token has ended, not a minute later."""
    refuse_a_renewal(direct, endpoint, clock)
    clock.now += 59

    assert direct.get(endpoint.fetch).value == "token-3"


@pytest.mark.parametrize("passed", [0.0, 30.0, REFUSAL_MEMORY - 1])
def test_clock_set_back_does_not_lengthen_a_refusal(endpoint: Endpoint, passed: float):
    """It ends after a minute of the process's own timer, whatever the clock says."""
    clock, timer = FakeClock(1e9), FakeClock(5.0)
    broker = TokenBroker(clock=clock, timer=timer)
    endpoint.error = refusal()
    with pytest.raises(SentinelHubAuthenticationError):
        broker.get(endpoint.fetch)
    endpoint.error = None
    timer.now += passed
    clock.now -= 3600
    with pytest.raises(SentinelHubAuthenticationError):
        broker.get(endpoint.fetch)
    timer.now += REFUSAL_MEMORY - passed

    assert broker.get(endpoint.fetch).value == "token-2"


# --- an API that refuses every token ---------------------------------------------------------------------------------


def test_api_that_refuses_every_token_is_remembered_for_a_minute(broker: TokenBroker, clock: FakeClock):
    """By its place: the same client may be welcome at another deployment."""
    broker.distrust("https://here.example.org", refusal())

    with pytest.raises(SentinelHubAuthenticationError, match="refused"):
        broker.check_trust("https://here.example.org")
    broker.check_trust("https://elsewhere.example.org")
    clock.now += REFUSAL_MEMORY
    broker.check_trust("https://here.example.org")


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
    first = asyncio.run(broker.aget(endpoint.fetch))

    assert asyncio.run(broker.aget(endpoint.fetch, rejected=first)).value == "token-2"


@pytest.mark.parametrize("callers", [1, 8])
def test_endpoint_that_repeats_the_rejected_token_is_not_asked_on_and_on(
    broker: TokenBroker, endpoint: Endpoint, clock: FakeClock, callers: int
):
    """One that caches its answers, say. The caller gets what there is, and the API's word on it."""

    def answer(number: int) -> AccessToken:
        assert number <= 1 + 2 * callers, "it is asked without an end"
        return AccessToken("the only one", clock() + LIFETIME, LIFETIME)

    endpoint._answer = answer  # type: ignore[method-assign]
    first = broker.get(endpoint.fetch)
    with ThreadPoolExecutor(callers) as pool:
        again = [pool.submit(broker.get, endpoint.fetch, rejected=first) for _ in range(callers)]

    assert {token.result(WAIT).value for token in again} == {"the only one"}


# --- masking ---------------------------------------------------------------------------------------------------------


def test_new_token_needs_masking_once(broker: TokenBroker, endpoint: Endpoint):
    """It must be masked before anyone can log it; a forked child has a log of its own."""
    token = broker.get(endpoint.fetch)
    assert broker.needs_masking(token)
    broker.masked(token)

    assert not broker.needs_masking(token)
    assert broker.needs_masking(broker.get(endpoint.fetch, rejected=token))
    assert in_child(lambda: broker.needs_masking(token))


# --- callers that give up --------------------------------------------------------------------------------------------


def test_fetch_goes_on_for_others_when_its_first_caller_is_cancelled(broker: TokenBroker, endpoint: Endpoint):
    """A task that is killed does not take those who wait with it."""
    endpoint.gate.clear()

    async def give_up() -> set[str]:
        first = asyncio.ensure_future(broker.aget(endpoint.fetch))
        assert await asyncio.to_thread(endpoint.entered.wait, WAIT)
        follower = asyncio.ensure_future(broker.aget(endpoint.fetch))
        thread = pool.submit(broker.get, endpoint.fetch)
        await asyncio.sleep(0)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        endpoint.gate.set()
        return {(await follower).value, (await asyncio.wrap_future(thread)).value}

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(give_up()) == {"token-1"}
    assert endpoint.asked == 1


@pytest.mark.parametrize("follower", ["thread", "coroutine"])
def test_follower_tries_itself_when_the_leaders_deadline_ends(broker: TokenBroker, endpoint: Endpoint, follower: str):
    """The leader had little time left and was told so; a caller who has more of it fetches again."""
    endpoint.gate.clear()
    endpoint.error = SentinelHubTransportError("the deadline passed")

    def follow() -> AccessToken:
        following.set()
        if follower == "thread":
            return broker.get(recovered)
        return asyncio.run(broker.aget(recovered))

    def recovered(seconds: float) -> AccessToken:
        assert seconds > 30
        endpoint.error = None
        return endpoint.fetch()

    following = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(broker.get, endpoint.fetch, patience=WAIT)
        assert endpoint.entered.wait(WAIT)
        second = pool.submit(follow)
        assert following.wait(WAIT)
        endpoint.gate.set()

        assert second.result(WAIT).value == "token-2"
        with pytest.raises(SentinelHubTransportError, match="the deadline passed"):
            leader.result(WAIT)


def test_fetch_is_told_how_long_it_may_take(broker: TokenBroker, clock: FakeClock):
    """A minute, or what the call has left; a renewal in the background is no call's, and has a minute."""
    told: list[float] = []

    def fetch(seconds: float) -> AccessToken:
        told.append(seconds)
        return AccessToken(f"token-{len(told)}", clock() + LIFETIME, LIFETIME)

    token = broker.get(fetch, patience=5.0)
    broker.get(fetch, rejected=token, patience=500.0)
    clock.now += STALE_AGE
    direct = TokenBroker(clock=clock, timer=clock, run=lambda job: job())
    direct._known = broker._known
    direct.get(fetch, patience=0.5)

    assert told == [5.0, 60.0, 60.0]


def test_cancelled_follower_leaves_the_leader_alone(broker: TokenBroker, endpoint: Endpoint):
    """Its fetch serves others."""
    endpoint.gate.clear()

    async def cancel_a_follower() -> tuple[str, bool]:
        leader = asyncio.ensure_future(broker.aget(endpoint.fetch))
        await asyncio.sleep(0)
        follower = asyncio.ensure_future(broker.aget(endpoint.fetch))
        await asyncio.sleep(0)
        follower.cancel()
        endpoint.gate.set()
        with contextlib.suppress(asyncio.CancelledError):
            await follower
        return (await leader).value, follower.cancelled()

    assert asyncio.run(cancel_a_follower()) == ("token-1", True)


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

        assert in_child(lambda: broker.get(lambda _: FRESH, patience=5) == FRESH)

        endpoint.gate.set()
        assert leader.result(WAIT).value == "token-1"


def test_child_is_not_stopped_by_a_lock_of_its_parent(broker: TokenBroker):
    """A lock that another thread held while the process forked is never released in the child."""
    with broker._lock:
        assert in_child(lambda: broker.get(lambda _: FRESH) == FRESH)


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

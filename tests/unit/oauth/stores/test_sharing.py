"""Brokers that share a store, as two processes do: one fetch for both, and no store that fails a task."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from clocks import FakeClock
from token_endpoint import LIFETIME, WAIT, Endpoint
from token_stores import MemoryLock, MemoryTokenStore

from sentinelhub_provider.exceptions import SentinelHubAuthenticationError, SentinelHubError, SentinelHubServerError
from sentinelhub_provider.oauth.broker import RENEWAL_PAUSE, Decision, TokenBroker, decide
from sentinelhub_provider.oauth.shared import REFUSAL_MEMORY, STORE_PAUSE, SharedEntry
from sentinelhub_provider.oauth.stores import Blob
from sentinelhub_provider.oauth.token import AccessToken

KEY = "0123456789abcdef" * 4
SECRET = "the-client-secret"
TO_STALE = LIFETIME - 60.0


def get_blocking(broker: TokenBroker, endpoint: Endpoint, **kwargs) -> str:
    """Get a token as a task does."""
    return broker.get(endpoint.fetch, **kwargs).value


def get_async(broker: TokenBroker, endpoint: Endpoint, **kwargs) -> str:
    """Get a token as a trigger does."""
    return asyncio.run(broker.aget(endpoint.fetch, **kwargs)).value


@pytest.fixture(name="get", params=[get_blocking, get_async], ids=["blocking", "async"])
def fixture_get(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Either way to get a token."""
    return request.param


@pytest.fixture(name="store")
def fixture_store(clock: FakeClock) -> MemoryTokenStore:
    """A store that keeps its promises."""
    return MemoryTokenStore(clock)


@pytest.fixture(name="start")
def fixture_start(store, clock: FakeClock) -> Callable[..., TokenBroker]:
    """Start a process: a broker that knows nothing yet but the store."""

    def start(store=store, secret: str = SECRET, **how) -> TokenBroker:
        return TokenBroker(SharedEntry(store, key=KEY, secret=secret, clock=clock), clock=clock, timer=clock, **how)

    return start


def settled(broker: TokenBroker) -> None:
    """Wait until the fetch that is under way has ended."""
    while (renewal := broker._known.renewal) is not None:
        with contextlib.suppress(SentinelHubError):
            renewal.result(WAIT)
        os.sched_yield()


def at_once(job: Callable[[], None]) -> None:
    """Run a fetch to its end where it is started."""
    job()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what a person would be warned of."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- one fetch for all -----------------------------------------------------------------------------------------------


def test_second_process_takes_the_first_ones_token(start, get, endpoint: Endpoint):
    """One fetch, one token."""
    assert [get(start(), endpoint) for _ in range(3)] == ["token-1"] * 3
    assert endpoint.asked == 1


def test_processes_that_start_at_once_make_one_fetch(start, get, endpoint: Endpoint):
    """Who finds nothing waits for who is fetching already."""
    brokers = [start() for _ in range(6)]
    endpoint.gate.clear()
    with ThreadPoolExecutor(6) as pool:
        tokens = [pool.submit(get, broker, endpoint) for broker in brokers]
        assert endpoint.entered.wait(WAIT)
        endpoint.gate.set()
        assert {token.result(WAIT) for token in tokens} == {"token-1"}
    assert endpoint.asked == 1


def test_stale_token_is_renewed_by_one_while_others_use_it(start, get, endpoint: Endpoint, clock: FakeClock):
    """Nobody waits for a renewal as long as the token works; afterwards all have the new one."""
    brokers = [start() for _ in range(4)]
    for broker in brokers:
        get(broker, endpoint)
    clock.now += TO_STALE
    endpoint.gate.clear()
    endpoint.entered.clear()
    assert get(brokers[0], endpoint) == "token-1"
    assert endpoint.entered.wait(WAIT)
    others = [*brokers[1:], start()]
    assert [get(broker, endpoint) for broker in others] == ["token-1"] * 4
    for broker in others:
        settled(broker)
    endpoint.gate.set()
    settled(brokers[0])
    clock.now += RENEWAL_PAUSE
    for broker in brokers:
        get(broker, endpoint)
        settled(broker)
    assert [get(broker, endpoint) for broker in brokers] == ["token-2"] * 4
    assert endpoint.asked == 2


def test_shared_token_that_is_refused_while_it_is_renewed_waits_for_the_renewal(
    start, endpoint: Endpoint, clock: FakeClock, monkeypatch
):
    """It lies there until the new one comes; to look again and again would only keep a processor busy."""
    start().get(endpoint.fetch)
    clock.now += TO_STALE
    endpoint.gate.clear()
    endpoint.entered.clear()
    broker = start()
    stale = broker.get(endpoint.fetch)
    assert endpoint.entered.wait(WAIT)
    decisions = []

    def counted(*known) -> object:
        decisions.append(decide(*known))
        endpoint.gate.set()
        return decisions[-1]

    monkeypatch.setattr("sentinelhub_provider.oauth.broker.decide", counted)

    assert broker.get(endpoint.fetch, rejected=stale).value == "token-2"
    assert decisions == [Decision.FOLLOW]


def test_store_is_left_alone_while_another_renews(start, get, endpoint: Endpoint, clock: FakeClock, store):
    """A renewal by another process is looked for after a pause, not with every call."""
    broker = start()
    get(broker, endpoint)
    clock.now += TO_STALE + 0.1234567
    lock = store.lock(KEY)
    assert lock.acquire(0.0)
    get(broker, endpoint)
    settled(broker)
    before = store.reads
    for _ in range(20):
        assert get(broker, endpoint) == "token-1"
    assert store.reads == before
    lock.release()


def test_new_process_masks_the_shared_token(start, endpoint: Endpoint):
    """A token that comes from the store is new to the process and must be masked in its logs too."""
    first = start()
    first.masked(first.get(endpoint.fetch))
    second = start()
    assert second.needs_masking(second.get(endpoint.fetch))


def test_new_process_lives_on_a_stale_token_when_it_cannot_be_renewed(
    start, get, endpoint: Endpoint, clock: FakeClock, caplog
):
    """A token endpoint that is down costs who comes upon a token that still works a warning, not its task."""
    get(start(), endpoint)
    clock.now += TO_STALE
    endpoint.error = SentinelHubServerError("down", status=503, endpoint="POST /token")
    broker = start(run=at_once)
    assert [get(broker, endpoint) for _ in range(3)] == ["token-1"] * 3
    assert endpoint.asked == 2
    assert len(warnings_of(caplog)) == 1


def test_refusal_is_not_written_over_a_token_that_works(start, get, endpoint: Endpoint, clock: FakeClock):
    """Of two processes whose token is near its end, one is refused: the other, and those that start, go on with it."""
    get(start(), endpoint)
    clock.now += TO_STALE
    endpoint.error = refused()
    assert get(start(run=at_once), endpoint) == "token-1"
    assert endpoint.asked == 2
    assert get(start(run=at_once), endpoint) == "token-1"
    clock.now += 60
    endpoint.error = None
    assert get(start(), endpoint) == "token-4"


def test_who_is_refused_takes_the_newer_token_of_another(start, get, endpoint: Endpoint, clock: FakeClock, store):
    """Another process was accepted while this one was refused: its token works."""
    shared = SharedEntry(store, key=KEY, secret=SECRET, clock=clock)

    def refused_late(_: float) -> AccessToken:
        shared.save(AccessToken("the-others", clock() + LIFETIME, LIFETIME))
        raise refused()

    assert start().get(refused_late).value == "the-others"
    assert get(start(), endpoint) == "the-others"
    assert endpoint.asked == 0


@pytest.mark.parametrize("back", [REFUSAL_MEMORY + 1, 3600.0])
def test_clock_set_back_does_not_lengthen_a_shared_refusal(start, get, endpoint: Endpoint, clock: FakeClock, back):
    """A process that starts after the clock was set back asks again."""
    endpoint.error = refused()
    with pytest.raises(SentinelHubAuthenticationError):
        get(start(), endpoint)
    endpoint.error = None
    clock.now -= back
    assert get(start(), endpoint) == "token-2"


def test_who_waits_does_not_queue_for_the_lock(start, get, endpoint: Endpoint, clock: FakeClock):
    """Who waits for another process takes its token as soon as it is shared, though the lock is still held."""

    class SharingStore(HangingStore):
        def lock(self, key: str) -> MemoryLock:
            if self.kept == {}:
                SharedEntry(self, key=KEY, secret=SECRET, clock=clock).save(endpoint.fetch())
            return super().lock(key)

    store = SharingStore(clock)
    assert get(start(store), endpoint, patience=600.0) == "token-1"
    assert store.waited == 1.0
    assert endpoint.asked == 1


def test_expired_token_in_the_store_is_a_miss(start, get, endpoint: Endpoint, clock: FakeClock, caplog):
    """Yesterday's token costs a fetch and no warning."""
    get(start(), endpoint)
    clock.now += LIFETIME * 24
    assert get(start(), endpoint) == "token-2"
    assert warnings_of(caplog) == []


# --- a token that the service refuses --------------------------------------------------------------------------------


def test_refused_token_is_replaced_by_the_newer_one_of_the_store(start, get, endpoint: Endpoint):
    """Of two processes whose token was revoked, one fetches; the other takes what it got."""
    one, two = start(), start()
    revoked = one.get(endpoint.fetch)
    assert two.get(endpoint.fetch).value == revoked.value
    assert get(one, endpoint, rejected=revoked) == "token-2"
    assert get(two, endpoint, rejected=revoked) == "token-2"
    assert endpoint.asked == 2


def test_refused_token_is_not_taken_back_from_the_store(start, get, endpoint: Endpoint, clock: FakeClock):
    """The very token that was refused is a miss, also where the store gives it another expiry in the last digits."""
    get(start(), endpoint)
    clock.now += 0.1234567
    broker = start()
    refused = broker.get(endpoint.fetch)
    assert get(broker, endpoint, rejected=refused) == "token-2"


def test_newer_token_survives_the_refusal_of_an_older(start, get, endpoint: Endpoint):
    """A late 401 for the token before does not drop what has replaced it."""
    broker = start()
    old = broker.get(endpoint.fetch)
    get(broker, endpoint, rejected=old)
    assert get(broker, endpoint, rejected=old) == "token-2"
    assert get(start(), endpoint, rejected=old) == "token-2"
    assert endpoint.asked == 2


# --- a client that the endpoint refuses ------------------------------------------------------------------------------


def refused() -> SentinelHubAuthenticationError:
    """Return what the endpoint says to a wrong secret."""
    return SentinelHubAuthenticationError(
        "refused", status=401, code="unauthorized_client", service_message="Invalid", endpoint="POST /token"
    )


def test_one_failed_login_for_all_processes(start, get, endpoint: Endpoint, clock: FakeClock):
    """Every process raises what the first was told, for a minute; then one asks again."""
    endpoint.error = refused()
    for _ in range(20):
        with pytest.raises(SentinelHubAuthenticationError, match="refused") as raised:
            get(start(), endpoint)
        assert (raised.value.status, raised.value.code) == (401, "unauthorized_client")
    assert endpoint.asked == 1
    clock.now += REFUSAL_MEMORY
    endpoint.error = None
    assert get(start(), endpoint) == "token-2"


def test_changed_secret_is_tried_at_once(start, get, endpoint: Endpoint, caplog):
    """Even under the same key, what another secret sealed is a miss: it neither refuses nor serves."""
    endpoint.error = refused()
    with pytest.raises(SentinelHubAuthenticationError):
        get(start(), endpoint)
    endpoint.error = None
    assert get(start(secret="the-new-secret"), endpoint) == "token-2"


def test_failure_that_may_pass_is_not_shared(start, get, endpoint: Endpoint):
    """A token endpoint that is down for one process may be up for the next."""
    endpoint.error = SentinelHubServerError("down", status=503, endpoint="POST /token")
    with pytest.raises(SentinelHubServerError):
        get(start(), endpoint)
    endpoint.error = None
    assert get(start(), endpoint) == "token-2"


# --- stores that fail ------------------------------------------------------------------------------------------------


class BrokenStore(MemoryTokenStore):
    """Raises in one method, with words that must not be logged."""

    def __init__(self, broken: str, clock: FakeClock) -> None:
        super().__init__(clock)
        self._broken = broken

    def _touch(self, method: str) -> None:
        if self._broken in (method, "everything"):
            raise ConnectionError("redis://:the-password@host is gone")

    def read(self, key: str) -> Blob | None:
        """Return what is kept, unless that is broken."""
        self._touch("read")
        return super().read(key)

    def write(self, key: str, data: bytes, lifetime: float) -> None:
        """Keep it, unless that is broken."""
        self._touch("write")
        super().write(key, data, lifetime)

    def lock(self, key: str) -> MemoryLock:
        """Return the key's lock, which may be broken as well."""
        self._touch("lock")
        touch = self._touch

        class BrokenLock(MemoryLock):
            def acquire(self, patience: float) -> bool:
                touch("acquire")
                return super().acquire(patience)

            def release(self) -> None:
                super().release()
                touch("release")

        return BrokenLock(self._locks.setdefault(key, threading.Lock()))


@pytest.mark.parametrize("broken", ["read", "write", "lock", "acquire", "release", "everything"])
def test_broken_store_costs_one_warning_and_one_fetch(start, get, endpoint: Endpoint, clock, caplog, broken: str):
    """Whatever raises, the process has its token; the warning names the error's kind, not its words."""
    broker = start(BrokenStore(broken, clock))
    assert [get(broker, endpoint) for _ in range(5)] == ["token-1"] * 5
    assert endpoint.asked == 1
    (warning,) = warnings_of(caplog)
    assert "ConnectionError" in warning
    assert "the-password" not in caplog.text


def test_full_store_is_warned_of_once(start, endpoint: Endpoint, clock: FakeClock, caplog):
    """A store that can be read but not written does not count as working again with every read."""
    broker = start(BrokenStore("write", clock))
    for _ in range(5):
        broker.get(endpoint.fetch)
        clock.now += LIFETIME
    assert endpoint.asked == 5
    assert len(warnings_of(caplog)) == 1


def test_store_that_comes_back_is_used_again(start, endpoint: Endpoint, clock: FakeClock, store):
    """A failed store is left alone for half a minute; then what it holds counts again."""
    flaky = BrokenStore("everything", clock)
    broker = start(flaky)
    first = broker.get(endpoint.fetch)
    flaky._broken = "nothing"
    start(flaky).get(endpoint.fetch)
    clock.now += STORE_PAUSE
    assert broker.get(endpoint.fetch, rejected=first).value == "token-2"
    assert endpoint.asked == 2


def test_corrupt_store_costs_one_warning_and_one_fetch(start, get, endpoint: Endpoint, store, caplog):
    """What cannot be opened is warned of once, replaced, and then shared as ever."""
    store.write(KEY, b"not what was sealed", 1e6)
    assert get(start(), endpoint) == "token-1"
    assert get(start(), endpoint) == "token-1"
    assert len(warnings_of(caplog)) == 1


# --- locks that hang -------------------------------------------------------------------------------------------------


class HangingStore(MemoryTokenStore):
    """Its lock is always somebody else's; waiting for it passes at once, by the clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.waited = 0.0

    def lock(self, key: str) -> MemoryLock:
        """Return a lock that is never free."""
        store = self

        class HangingLock(MemoryLock):
            def acquire(self, patience: float) -> bool:
                store.waited += patience
                return False

        return HangingLock(threading.Lock())


@pytest.mark.parametrize(("patience", "longest"), [(600.0, 30.0), (60.0, 30.0), (4.0, 2.0)])
def test_lock_that_is_never_free_is_waited_for_in_bounds(
    start, get, endpoint: Endpoint, clock, caplog, patience: float, longest: float
):
    """A holder that hangs costs a bounded wait which leaves time for a fetch, one warning and one fetch."""
    store = HangingStore(clock)
    assert get(start(store), endpoint, patience=patience) == "token-1"
    assert store.waited == pytest.approx(longest)
    assert len(warnings_of(caplog)) == 1
    assert get(start(store), endpoint) == "token-1"
    assert endpoint.asked == 1


def test_working_token_does_not_wait_for_a_lock(start, get, endpoint: Endpoint, clock):
    """With a stale token in hand there is no reason to wait."""
    store = HangingStore(clock)
    get(start(store), endpoint)
    store.waited = 0.0
    clock.now += TO_STALE
    assert get(start(store, run=at_once), endpoint) == "token-1"
    assert store.waited == 0.0


# --- fetches that fail -----------------------------------------------------------------------------------------------


def test_failed_fetch_gives_the_lock_back(start, get, endpoint: Endpoint, store):
    """Others may try as soon as one has failed."""
    endpoint.error = SentinelHubServerError("down", status=503, endpoint="POST /token")
    with pytest.raises(SentinelHubServerError):
        get(start(), endpoint)
    assert store.lock(KEY).acquire(0.0)

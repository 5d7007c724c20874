"""Letting requests go in time: with a store that works, with one that fails, and with none."""

from __future__ import annotations

import logging

import pytest
from clocks import FakeClock

from sentinelhub_provider.transport.rate_limit import PAUSE, SAFETY, Limits, RateState
from sentinelhub_provider.transport.rate_limiter import RATE_STATE, STORE_PAUSE, RateLimiter
from sentinelhub_provider.transport.state_stores import Change, MemoryStateStore

PER_MINUTE = Limits(requests_per_minute=60)


class CountingStore(MemoryStateStore):
    """A store that counts what it is asked, and fails where it is told to."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(RATE_STATE, clock)
        self.reads = self.updates = 0
        self.is_down = False

    def read(self) -> tuple[RateState, float]:
        """Count, and read."""
        self.reads += 1
        if self.is_down:
            raise ConnectionError("secret-host:6379 is gone")
        return super().read()

    def update(self, change: Change) -> None:
        """Count, and update."""
        self.updates += 1
        if self.is_down:
            raise ConnectionError("secret-host:6379 is gone")
        super().update(change)


@pytest.fixture(name="clock")
def fixture_clock() -> FakeClock:
    """A clock that moves when it is told to."""
    return FakeClock()


def shared_by_two(limits: Limits, clock: FakeClock) -> tuple[CountingStore, RateLimiter, RateLimiter]:
    """Return a store and two processes' rate limiters on it."""
    store = CountingStore(clock)
    return store, RateLimiter(store, limits, clock), RateLimiter(store, limits, clock)


def test_two_processes_take_turns(clock: FakeClock):
    """Whoever asks gets the next slot, whichever process it lives in."""
    _, one, other = shared_by_two(PER_MINUTE, clock)
    waits = [limiter.reserve().wait for limiter in (one, other, one, other)]
    assert waits == pytest.approx([0, SAFETY, 2 * SAFETY, 3 * SAFETY])


def test_slot_whose_time_has_come_is_good_to_go(clock: FakeClock):
    """It is asked for once more after the wait, and costs no second one."""
    store, limiter, _ = shared_by_two(PER_MINUTE, clock)
    limiter.reserve()
    slot = limiter.reserve()
    clock.sleep(slot.wait)
    updates = store.updates
    again = limiter.reserve(slot)
    assert again.wait == 0.0
    assert store.updates == updates


def test_slot_that_one_process_gives_back_is_the_others(clock: FakeClock):
    """A task that ends before its turn holds up nobody."""
    _, one, other = shared_by_two(PER_MINUTE, clock)
    _, second, third = one.reserve(), one.reserve(), other.reserve()
    one.give_back(second)
    assert other.reserve().starts == second.starts < third.starts


def test_look_that_is_in_vain_takes_nothing(clock: FakeClock):
    """Neither a slot nor units, whichever process looks."""
    _, one, other = shared_by_two(PER_MINUTE, clock)
    one.reserve()
    assert not any(other.reserve(patience=0.5).taken for _ in range(10))
    assert one.reserve().wait == pytest.approx(SAFETY)


def test_slot_that_a_429_took_back_holds_no_units(clock: FakeClock):
    """Who asks again after a 429 sets aside what the request costs once, not twice."""
    store, limiter, _ = shared_by_two(Limits(processing_units_per_minute=60), clock)
    store.update(lambda *_: RateState(units=2.0))
    hit, waiting = limiter.reserve(), limiter.reserve()
    limiter.settle(hit, status=429, retry_after=None, spent=None)
    clock.sleep(waiting.wait)
    assert limiter.reserve(waiting).taken
    assert store.read()[0].next_units <= clock.now + 2.0 * SAFETY


def test_429_of_one_process_holds_back_the_other(clock: FakeClock):
    """The other's slot was given before: its time comes, and it is told to wait longer."""
    _, one, other = shared_by_two(Limits(), clock)
    hit, waiting = one.reserve(), other.reserve()
    assert waiting.wait > 0
    clock.sleep(0.005)
    one.settle(hit, status=429, retry_after=2.0, spent=None)
    clock.sleep(waiting.wait)
    assert other.reserve(waiting).starts == pytest.approx(1_002.005)


def test_429_of_a_slot_that_was_waited_for_counts(clock: FakeClock):
    """It is newer than the last 429, and so says something new."""
    store, limiter, _ = shared_by_two(Limits(), clock)
    limiter.settle(limiter.reserve(), status=429, retry_after=None, spent=None)
    slot = limiter.reserve()
    assert slot.wait == pytest.approx(PAUSE)
    clock.sleep(slot.wait)
    limiter.settle(limiter.reserve(slot), status=429, retry_after=None, spent=None)
    state, _ = store.read()
    assert (state.round, state.refusals) == (2, 1)


def test_no_limit_costs_one_read_and_no_write(clock: FakeClock):
    """A store is a file: without any limit a request must not wait for its lock."""
    store, limiter, _ = shared_by_two(Limits(), clock)
    store.update(lambda state, _: RateState(interval=0.0, used_at=state.used_at))
    store.reads = store.updates = 0
    slot = limiter.reserve()
    limiter.settle(slot, status=200, retry_after=None, spent=1.0)
    assert slot.wait == 0.0
    assert (store.reads, store.updates) == (1, 0)


def test_no_limit_keeps_a_pause_the_service_asked_for(clock: FakeClock):
    """Free means that nothing was learnt; a queue is a queue all the same."""
    store, limiter, _ = shared_by_two(Limits(), clock)
    store.update(lambda *_: RateState(interval=0.0, next_request=clock.now + 5))
    assert limiter.reserve().wait == pytest.approx(5)


def test_configured_limit_is_written_once_for_each_request(clock: FakeClock):
    """Answers teach it nothing where no PU are counted."""
    store, limiter, _ = shared_by_two(PER_MINUTE, clock)
    limiter.settle(limiter.reserve(), status=200, retry_after=None, spent=1.0)
    assert store.updates == 1


def test_units_spent_by_one_process_hold_back_the_other(clock: FakeClock):
    """Two PU at sixty a minute take two seconds, whoever spent them."""
    _, one, other = shared_by_two(Limits(processing_units_per_minute=60), clock)
    slot = one.reserve()
    assert not other.reserve().taken
    one.settle(slot, status=200, retry_after=None, spent=2.0)
    assert other.reserve().wait == pytest.approx(2 * SAFETY)


def test_failing_store_costs_one_warning_and_no_request(clock: FakeClock, caplog: pytest.LogCaptureFixture):
    """The process keeps the limit by itself, and says so once, without the store's address."""
    store, limiter, _ = shared_by_two(PER_MINUTE, clock)
    store.is_down = True
    with caplog.at_level(logging.WARNING):
        waits = []
        for _ in range(3):
            slot = limiter.reserve()
            limiter.settle(slot, status=429, retry_after=None, spent=None) if len(waits) == 2 else None
            waits.append(slot.wait)
            clock.sleep(STORE_PAUSE + 1) if len(waits) == 1 else None
    (warning,) = caplog.records
    assert "ConnectionError" in warning.getMessage()
    assert "secret-host" not in caplog.text
    assert waits == pytest.approx([0, 0, SAFETY])


def test_store_that_fails_is_left_alone_for_a_while_then_used_again(clock: FakeClock):
    """Each try may cost a time-out; but a Redis that was restarted is shared again."""
    store, limiter, _ = shared_by_two(PER_MINUTE, clock)
    store.is_down = True
    limiter.reserve()
    asked = store.reads
    limiter.reserve()
    assert store.reads == asked
    store.is_down = False
    clock.sleep(STORE_PAUSE + 1)
    limiter.reserve()
    assert store.read()[0].given == 1


def test_clock_set_back_does_not_keep_a_process_alone(clock: FakeClock):
    """Its requests would come on top of those of all others until the clock has caught up."""
    store, limiter, _ = shared_by_two(PER_MINUTE, clock)
    store.is_down = True
    limiter.reserve()
    store.is_down = False
    clock.now -= 500
    limiter.reserve()
    assert store.read()[0].given == 1


def test_without_a_store_the_limit_holds_for_the_process(clock: FakeClock):
    """``auth_cache`` is ``memory``: the limit holds for the process."""
    limiter = RateLimiter(None, PER_MINUTE, clock)
    assert [limiter.reserve().wait for _ in range(3)] == pytest.approx([0, SAFETY, 2 * SAFETY])

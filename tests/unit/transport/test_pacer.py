"""Letting requests go in time: with a store that works, with one that fails, and with none."""

from __future__ import annotations

import logging

import pytest
from clocks import FakeClock

from sentinelhub_provider.transport.pace_stores import Change, MemoryPaceStore
from sentinelhub_provider.transport.pacer import PAUSE, Pacer
from sentinelhub_provider.transport.pacing import MEASURING_PAUSE, SAFETY, Limits, Pace, first_pace

PER_MINUTE = Limits(requests_per_minute=60)


class CountingStore(MemoryPaceStore):
    """A store that counts what it is asked, and fails where it is told to."""

    def __init__(self, first: Pace, clock: FakeClock) -> None:
        super().__init__(first, clock)
        self.reads = self.updates = 0
        self.is_down = False

    def read(self) -> tuple[Pace | None, float]:
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


def shared_by_two(limits: Limits, clock: FakeClock) -> tuple[CountingStore, Pacer, Pacer]:
    """Return a store and two processes' pacers on it."""
    store = CountingStore(first_pace(limits), clock)
    return store, Pacer(store, limits, clock), Pacer(store, limits, clock)


def test_two_processes_take_turns(clock: FakeClock):
    """Whoever asks gets the next slot, whichever process it lives in."""
    _, one, other = shared_by_two(PER_MINUTE, clock)
    waits = [pacer.reserve().wait for pacer in (one, other, one, other)]
    assert waits == pytest.approx([0, SAFETY, 2 * SAFETY, 3 * SAFETY])


def test_slot_whose_time_has_come_is_good_to_go(clock: FakeClock):
    """It is asked for once more after the wait, and costs no second one."""
    store, pacer, _ = shared_by_two(PER_MINUTE, clock)
    pacer.reserve()
    slot = pacer.reserve()
    clock.sleep(slot.wait)
    updates = store.updates
    again = pacer.reserve(slot)
    assert again.wait == 0.0
    assert store.updates == updates


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
    store, pacer, _ = shared_by_two(Limits(), clock)
    pacer.settle(pacer.reserve(), status=429, retry_after=None, spent=None)
    slot = pacer.reserve()
    assert slot.wait == pytest.approx(MEASURING_PAUSE)
    clock.sleep(slot.wait)
    pacer.settle(pacer.reserve(slot), status=429, retry_after=None, spent=None)
    pace, _ = store.read()
    assert pace is not None
    assert pace.round == 2
    assert pace.interval == pytest.approx(MEASURING_PAUSE / 0.5)


def test_free_pace_costs_one_read_and_no_write(clock: FakeClock):
    """A store is a file: without any limit a request must not wait for its lock."""
    store, pacer, _ = shared_by_two(Limits(), clock)
    store.update(lambda pace, _: Pace(interval=0.0, used_at=pace.used_at))
    store.reads = store.updates = 0
    slot = pacer.reserve()
    pacer.settle(slot, status=200, retry_after=None, spent=1.0)
    assert slot.wait == 0.0
    assert (store.reads, store.updates) == (1, 0)


def test_free_pace_keeps_a_pause_the_service_asked_for(clock: FakeClock):
    """Free means that nothing was learnt; a queue is a queue all the same."""
    store, pacer, _ = shared_by_two(Limits(), clock)
    store.update(lambda *_: Pace(interval=0.0, next_request=clock.now + 5))
    assert pacer.reserve().wait == pytest.approx(5)


def test_configured_pace_is_written_once_for_each_request(clock: FakeClock):
    """Answers teach it nothing where no PU are counted."""
    store, pacer, _ = shared_by_two(PER_MINUTE, clock)
    pacer.settle(pacer.reserve(), status=200, retry_after=None, spent=1.0)
    assert store.updates == 1


def test_units_spent_by_one_process_hold_back_the_other(clock: FakeClock):
    """Two PU at sixty a minute take two seconds, whoever spent them."""
    _, one, other = shared_by_two(Limits(processing_units_per_minute=60), clock)
    one.settle(one.reserve(), status=200, retry_after=None, spent=2.0)
    assert other.reserve().wait == pytest.approx(2 * SAFETY)


def test_failing_store_costs_one_warning_and_no_request(clock: FakeClock, caplog: pytest.LogCaptureFixture):
    """The process keeps the limit by itself, and says so once, without the store's address."""
    store, pacer, _ = shared_by_two(PER_MINUTE, clock)
    store.is_down = True
    with caplog.at_level(logging.WARNING):
        waits = []
        for _ in range(3):
            slot = pacer.reserve()
            pacer.settle(slot, status=429, retry_after=None, spent=None) if len(waits) == 2 else None
            waits.append(slot.wait)
            clock.sleep(PAUSE + 1) if len(waits) == 1 else None
    (warning,) = caplog.records
    assert "ConnectionError" in warning.getMessage()
    assert "secret-host" not in caplog.text
    assert waits == pytest.approx([0, 0, SAFETY])


def test_store_that_fails_is_left_alone_for_a_while_then_used_again(clock: FakeClock):
    """Each try may cost a time-out; but a Redis that was restarted is shared again."""
    store, pacer, _ = shared_by_two(PER_MINUTE, clock)
    store.is_down = True
    pacer.reserve()
    asked = store.reads
    pacer.reserve()
    assert store.reads == asked
    store.is_down = False
    clock.sleep(PAUSE + 1)
    pacer.reserve()
    pace, _ = store.read()
    assert pace is not None
    assert pace.given == 1


def test_without_a_store_the_process_paces_itself(clock: FakeClock):
    """``auth_cache`` is ``memory``: the limit holds for the process."""
    pacer = Pacer(None, PER_MINUTE, clock)
    assert [pacer.reserve().wait for _ in range(3)] == pytest.approx([0, SAFETY, 2 * SAFETY])

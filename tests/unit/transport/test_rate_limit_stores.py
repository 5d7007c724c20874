"""What every store of a rate limit's state promises, and what each does with damage."""

from __future__ import annotations

import json
import multiprocessing
import stat
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import filelock
import pytest
import redis.exceptions
from clocks import FakeClock
from redis_server import RedisServer

from sentinelhub_provider.oauth.stores.redis import redis_client
from sentinelhub_provider.transport import state_stores as rate_limit_stores
from sentinelhub_provider.transport.rate_limit import Limits, RateState, reserve
from sentinelhub_provider.transport.rate_limiter import RATE_STATE
from sentinelhub_provider.transport.state_stores import FileStateStore, MemoryStateStore, RedisStateStore, StateStore

FIRST = RateState()
OpenStore = Callable[[], StateStore]


@pytest.fixture(name="path")
def fixture_path(tmp_path: Path) -> Path:
    """Where a file store keeps its pace."""
    return tmp_path / "client.rate-limit"


@pytest.fixture(name="open_store", params=["memory", "file", "redis"])
def fixture_open_store(request: pytest.FixtureRequest, path: Path) -> OpenStore:
    """Return what opens the same store once more, as another process would."""
    if request.param == "memory":
        only = MemoryStateStore(RATE_STATE)
        return lambda: only
    if request.param == "file":
        return lambda: FileStateStore(path, RATE_STATE)
    server = request.getfixturevalue("redis_server")
    return lambda: RedisStateStore(server.client(), "rate-limit:client", RATE_STATE)


def test_what_one_writes_another_reads(open_store: OpenStore):
    """All fields come back as they were."""
    kept = RateState(1.5, 2.5, 0.125, (3.5, 4.5), 0.02, 5.0, 3, 7, 4.5, 0.3, 2, 1.5, 6.5, 5.5)
    open_store().update(lambda *_: kept)
    assert open_store().read()[0] == kept


def test_first_change_starts_from_the_first_pace(open_store: OpenStore):
    """Nobody has to set a store up."""
    seen = []
    open_store().update(lambda state, _: seen.append(state) or state)
    assert seen == [FIRST]


def test_time_goes_on(open_store: OpenStore):
    """The time that a change is told is the one that a reader is told."""
    store, times = open_store(), []
    times.append(store.read()[1])
    store.update(lambda state, now: times.append(now) or state)
    times.append(store.read()[1])
    assert times == sorted(times)
    assert times[0] > 1_600_000_000


def test_no_change_is_lost_among_threads(open_store: OpenStore):
    """Eight threads add one each, ten times."""

    def add() -> None:
        store = open_store()
        for _ in range(10):
            store.update(lambda state, _: replace(state, given=state.given + 1))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert open_store().read()[0].given == 80


def test_change_that_fails_changes_nothing(open_store: OpenStore):
    """And the next one is not locked out."""
    store = open_store()
    store.update(lambda state, _: replace(state, given=1))

    def fail(*_: object) -> RateState:
        raise RuntimeError("in mid-change")

    with pytest.raises(RuntimeError, match="in mid-change"):
        store.update(fail)
    store.update(lambda state, _: replace(state, given=state.given + 1))
    assert store.read()[0].given == 2


DAMAGED = {
    "empty": b"",
    "cut": b'{"next_request": 1.',
    "binary": b"\xff\xfe\x00",
    "list": b"[]",
    "null": b"null",
    "another version's": b'{"unknown": 1}',
    "no number among the returned": b'{"returned": [NaN]}',
    "a number for a list": b'{"returned": 3}',
    "text for a number": b'{"interval": "0.2"}',
    "nothing for a number": b'{"interval": null}',
    "not a number": b'{"interval": NaN}',
    "never": b'{"next_request": Infinity}',
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damaged_file_is_forgotten(path: Path, data: bytes):
    """The pace starts anew; nobody has to clear anything."""
    path.write_bytes(data)
    store = FileStateStore(path, RATE_STATE)
    assert store.read()[0] == FIRST
    store.update(lambda state, _: replace(state, given=3))
    assert store.read()[0] == replace(FIRST, given=3)


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damaged_redis_value_is_forgotten(redis_server: RedisServer, data: bytes):
    """As with a file."""
    redis_server.client().set("rate-limit:damaged", data)
    store = RedisStateStore(redis_server.client(), "rate-limit:damaged", RATE_STATE)
    assert store.read()[0] == FIRST
    store.update(lambda state, _: state)
    assert store.read()[0] == FIRST


def test_folder_that_was_cleared_away_is_made_anew(tmp_path: Path):
    """For its owner alone, as before."""
    store = FileStateStore(tmp_path / "cleared" / "client.rate-limit", RATE_STATE)
    assert store.read()[0] == FIRST
    store.update(lambda state, _: state)
    assert store.read()[0] == FIRST
    assert stat.S_IMODE((tmp_path / "cleared").stat().st_mode) == 0o700


def test_file_that_has_no_place_says_so(tmp_path: Path):
    """The rate limiter turns this into a warning and a state of its own."""
    store = FileStateStore(tmp_path / "gone" / "folder" / "client.rate-limit", RATE_STATE)
    with pytest.raises(FileNotFoundError, match="gone"):
        store.update(lambda state, _: state)


def test_file_that_somebody_holds_is_given_up_in_time(path: Path, monkeypatch: pytest.MonkeyPatch):
    """A process that was stopped in mid-change must not stop all others for good."""
    monkeypatch.setattr(rate_limit_stores, "LOCK_PATIENCE", 0.05)
    with filelock.FileLock(path, thread_local=False), pytest.raises(TimeoutError):
        FileStateStore(path, RATE_STATE).update(lambda state, _: state)


def test_file_is_for_its_owner_alone_and_leaves_nothing_behind(path: Path):
    """What an account may do, and when it does it, is nobody else's."""
    store = FileStateStore(path, RATE_STATE)
    for _ in range(3):
        store.update(lambda state, _: state)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_file_goes_by_the_clock_it_was_given(path: Path):
    """So that tests can decide what time it is."""
    clock = FakeClock(2_000.0)
    store = FileStateStore(path, RATE_STATE, clock)
    limits = Limits(requests_per_minute=60)
    slots = []

    def give(state: RateState, now: float) -> RateState:
        state, slot = reserve(state, limits, now)
        slots.append(slot)
        return state

    store.update(give)
    store.update(give)
    assert slots[0].starts == 2_000.0
    assert json.loads(path.read_bytes())["next_request"] == pytest.approx(slots[1].starts + limits.interval)


def test_redis_value_does_not_stay_for_good(redis_server: RedisServer):
    """An account that is used no more leaves nothing in Redis."""
    store = RedisStateStore(redis_server.client(), "rate-limit:short", RATE_STATE)
    store.update(lambda state, _: replace(state))
    assert 0 < redis_server.client().ttl("rate-limit:short") <= 3600
    assert json.loads(redis_server.client().get("rate-limit:short")) == {**asdict(FIRST), "returned": []}


def test_redis_that_is_gone_says_so():
    """The rate limiter turns this into a warning and a state of its own."""
    store = RedisStateStore(redis_client(RedisServer().url), "rate-limit:client", RATE_STATE)
    with pytest.raises(redis.exceptions.ConnectionError, match="refused"):
        store.read()


def test_child_forked_in_mid_change_is_not_locked_out():
    """Airflow forks its tasks: a lock that a thread of the parent held must not hold up the child for good."""
    store = MemoryStateStore(RATE_STATE)
    inside, leave = threading.Event(), threading.Event()

    def dawdle(state: RateState, _: float) -> RateState:
        inside.set()
        leave.wait(30)
        return state

    thread = threading.Thread(target=store.update, args=(dawdle,))
    thread.start()
    inside.wait(30)
    child = multiprocessing.get_context("fork").Process(target=store.update, args=(lambda state, _: state,))
    try:
        child.start()
        child.join(30)
        assert child.exitcode == 0
    finally:
        leave.set()
        thread.join(30)
        child.kill()
        child.join()

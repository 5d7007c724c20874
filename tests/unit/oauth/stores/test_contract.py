"""What every token store promises, asked of each: memory, files, Redis."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from token_stores import MemoryTokenStore

from sentinelhub_provider.oauth.stores import StoreLock, TokenStore
from sentinelhub_provider.oauth.stores import redis as redis_store
from sentinelhub_provider.oauth.stores.file import FileStore
from sentinelhub_provider.oauth.stores.redis import RedisStore

KEY = "0123456789abcdef" * 4
OTHER_KEY = "fedcba9876543210" * 4
HOUR = 3600.0

OpenStore = Callable[[], TokenStore]


@pytest.fixture(name="open_store", params=["memory", "file", "redis"])
def fixture_open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Open the store as another process would; all that are opened share what they keep."""
    if request.param == "memory":
        memory = MemoryTokenStore()
        yield lambda: memory
    elif request.param == "file":
        yield lambda: FileStore(tmp_path)
    else:
        url = request.getfixturevalue("redis_server").url
        opened: list[RedisStore] = []

        def open_redis() -> RedisStore:
            opened.append(RedisStore(url))
            return opened[-1]

        yield open_redis
        for store in opened:
            store._client.close()


def test_nothing_is_kept_at_first(open_store: OpenStore):
    """A key that was never written is a miss, not an error."""
    assert open_store().read(KEY) is None


def test_what_is_written_is_read_by_others(open_store: OpenStore):
    """Bytes written through one store object are read through another."""
    open_store().write(KEY, b"encrypted", HOUR)
    blob = open_store().read(KEY)
    assert blob is not None
    assert blob.data == b"encrypted"


def test_remaining_life_is_known_or_said_to_be_unknown(open_store: OpenStore):
    """A store with a clock of its own says how long it keeps the value; one without says that it does not know."""
    store = open_store()
    store.write(KEY, b"encrypted", HOUR)
    left = store.read(KEY).seconds_left
    assert left is None or HOUR - 10 < left <= HOUR


def test_later_value_replaces_the_earlier(open_store: OpenStore):
    """There is one value by key."""
    store = open_store()
    store.write(KEY, b"first and longer", HOUR)
    store.write(KEY, b"second", HOUR)
    assert open_store().read(KEY).data == b"second"


def test_keys_are_apart(open_store: OpenStore):
    """Another client's value is another value."""
    store = open_store()
    store.write(KEY, b"mine", HOUR)
    store.write(OTHER_KEY, b"theirs", HOUR)
    assert store.read(KEY).data == b"mine"
    assert store.read(OTHER_KEY).data == b"theirs"


def test_lock_excludes_others(open_store: OpenStore):
    """Without patience the answer is no, at once; after the release it is yes."""
    holder, other = open_store().lock(KEY), open_store().lock(KEY)
    assert holder.acquire(0.0)
    assert not other.acquire(0.0)
    holder.release()
    assert other.acquire(0.0)
    other.release()


def test_lock_is_waited_for_no_longer_than_patience(open_store: OpenStore):
    """With patience the answer is no as well, once that has run out."""
    holder, other = open_store().lock(KEY), open_store().lock(KEY)
    assert holder.acquire(1.0)
    assert not other.acquire(0.2)
    holder.release()


def test_lock_is_had_as_soon_as_it_is_free(open_store: OpenStore):
    """Who waits gets it when its holder gives it back."""
    holder, other = open_store().lock(KEY), open_store().lock(KEY)
    assert holder.acquire(0.0)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(other.acquire, 60.0)
        holder.release()
        assert waiting.result(10)
    other.release()


def test_locks_of_two_keys_are_apart(open_store: OpenStore):
    """Two clients do not wait for each other."""
    store = open_store()
    mine, theirs = store.lock(KEY), store.lock(OTHER_KEY)
    assert mine.acquire(0.0)
    assert theirs.acquire(0.0)
    mine.release()
    theirs.release()


def test_another_thread_may_release(open_store: OpenStore):
    """An event loop takes and gives back a lock in whatever thread of its pool is idle."""
    lock = open_store().lock(KEY)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        assert one.submit(lock.acquire, 1.0).result(10)
        two.submit(lock.release).result(10)
    again = open_store().lock(KEY)
    assert again.acquire(0.0)
    again.release()


def test_releasing_what_is_not_held_does_nothing(open_store: OpenStore):
    """It frees neither itself again nor another's lock."""
    holder, other = open_store().lock(KEY), open_store().lock(KEY)
    other.release()
    assert holder.acquire(0.0)
    other.release()
    assert not open_store().lock(KEY).acquire(0.0)
    holder.release()
    holder.release()


def test_one_of_many_has_the_lock(open_store: OpenStore):
    """Of eight threads that try without patience at once, one succeeds."""
    locks = [open_store().lock(KEY) for _ in range(8)]
    start = threading.Barrier(8)

    def attempt(lock: StoreLock) -> bool:
        start.wait(60)
        return lock.acquire(0.0)

    with ThreadPoolExecutor(8) as pool:
        won = sum(pool.map(attempt, locks))
    assert won == 1
    for lock in locks:
        lock.release()


# --- holders that die ------------------------------------------------------------------------------------------------

HOLD_A_FILE = """
import sys
from pathlib import Path
from sentinelhub_provider.oauth.stores.file import FileStore
lock = FileStore(Path(sys.argv[1])).lock(sys.argv[2])
print(lock.acquire(0.0), flush=True)
sys.stdin.read()
"""


def test_file_lock_of_a_killed_process_is_free(tmp_path: Path):
    """The kernel gives back what a process held that got SIGKILL."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_A_FILE, str(tmp_path), KEY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "True\n"
    lock = FileStore(tmp_path).lock(KEY)
    assert not lock.acquire(0.0)
    holder.kill()
    holder.communicate()
    assert lock.acquire(0.0)
    lock.release()


def test_redis_lock_of_a_dead_holder_expires(redis_server, monkeypatch: pytest.MonkeyPatch):
    """A lock that nobody gives back frees itself, and late giving back does not take it from the next."""
    monkeypatch.setattr(redis_store, "LOCK_LIFETIME", 0.2)
    store = RedisStore(redis_server.url)
    dead, next_one = store.lock(KEY), store.lock(KEY)
    assert dead.acquire(0.0)
    monkeypatch.setattr(redis_store, "LOCK_LIFETIME", 20.0)
    next_one = store.lock(KEY)
    assert next_one.acquire(5.0)
    dead.release()
    assert not store.lock(KEY).acquire(0.0)
    next_one.release()
    store._client.close()


def test_redis_forgets_what_has_expired(redis_server):
    """The time to live is the token's lifetime."""
    store = RedisStore(redis_server.url)
    store.write(KEY, b"encrypted", HOUR)
    (name,) = redis_server.client().keys("*")
    assert HOUR - 10 < redis_server.client().ttl(name) <= HOUR
    store._client.close()

"""Hosts whose clocks are minutes apart share a store: no call is lost, and the token endpoint is not stormed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from clocks import FakeClock
from token_stores import MemoryVariables

from sentinelhub_provider.exceptions import SentinelHubAuthenticationError
from sentinelhub_provider.hooks.airflow_variables import VariableStore
from sentinelhub_provider.oauth.broker import TokenBroker
from sentinelhub_provider.oauth.shared import REFUSAL_MEMORY, SharedEntry
from sentinelhub_provider.oauth.stores import Blob, TokenStore
from sentinelhub_provider.oauth.stores.file import FileStore
from sentinelhub_provider.oauth.stores.redis import RedisStore
from sentinelhub_provider.oauth.token import AccessToken

KEY = "0123456789abcdef" * 4
OFFSETS = (-600.0, 0.0, 600.0)


@dataclass
class World:
    """Real time, and a service that judges by it."""

    time: FakeClock = field(default_factory=lambda: FakeClock(1e9))
    lifetime: float = 3600.0
    expiries: dict[str, float] = field(default_factory=dict)
    asked: int = 0
    refused: int = 0
    error: Exception | None = None

    def fetch(self, clock: Callable[[], float]) -> AccessToken:
        """Give a token to a host with this clock."""
        self.asked += 1
        if self.error is not None:
            raise self.error
        value = f"token-{self.asked}"
        self.expiries[value] = self.time() + self.lifetime
        return AccessToken(value, clock() + self.lifetime, self.lifetime)

    def accepts(self, token: AccessToken) -> bool:
        """Judge a call."""
        good = self.time() < self.expiries[token.value]
        self.refused += not good
        return good


class Host:
    """A host: a clock that is off, and processes that come and go."""

    def __init__(self, world: World, offset: float, open_store: Callable[[Callable[[], float]], TokenStore]) -> None:
        self._world = world
        self.clock = lambda: world.time() + offset
        self._store = open_store(self.clock)
        self.restart()

    def restart(self) -> None:
        """Let a new process take over."""
        shared = SharedEntry(self._store, key=KEY, secret="secret", clock=self.clock)
        self._broker = TokenBroker(shared, clock=self.clock, timer=self._world.time, run=lambda job: job())

    def call(self) -> None:
        """Make a call: one 401 is repaired, a second would lose it."""
        token = self._get()
        if not self._world.accepts(token):
            assert self._world.accepts(self._get(rejected=token)), "a call was lost"

    def _get(self, rejected: AccessToken | None = None) -> AccessToken:
        return self._broker.get(lambda _: self._world.fetch(self.clock), rejected=rejected, patience=4.0)


class AgingRedis(RedisStore):
    """Redis whose keys grow older with the world's time instead of the machine's."""

    def __init__(self, url: str, world: World) -> None:
        super().__init__(url)
        self._world = world
        self._seen = world.time()

    def read(self, key: str) -> Blob | None:
        """Let all keys grow older first."""
        passed, self._seen = self._world.time() - self._seen, self._world.time()
        for name in self._client.keys("*"):
            self._client.pexpire(name, self._client.pttl(name) - int(passed * 1000))
        return super().read(key)


@pytest.fixture(name="world")
def fixture_world() -> World:
    """A world whose time stands still."""
    return World()


@pytest.fixture(name="hosts", params=["file", "redis", "variable"])
def fixture_hosts(request: pytest.FixtureRequest, world: World, tmp_path):
    """Three hosts: ten minutes behind, right, ten minutes ahead."""
    if request.param == "redis":
        store = AgingRedis(request.getfixturevalue("redis_server").url, world)
        yield [Host(world, offset, lambda clock: store) for offset in OFFSETS]
        store._client.close()
    elif request.param == "file":
        yield [Host(world, offset, lambda clock: FileStore(tmp_path)) for offset in OFFSETS]
    else:
        variables = MemoryVariables()
        chance = random.Random(7).random
        yield [Host(world, offset, lambda clock: VariableStore(variables, chance=chance)) for offset in OFFSETS]


@pytest.mark.parametrize("lifetime", [3600.0, 300.0], ids=["longer-than-the-skew", "shorter-than-the-skew"])
@pytest.mark.parametrize("seed", range(3))
def test_no_call_is_lost_and_fetches_are_few(world: World, hosts: list[Host], lifetime: float, seed: int):
    """Over ten lifetimes of calls and restarts: at most a fetch per host and lifetime, and hardly a 401."""
    world.lifetime = lifetime
    chance = random.Random(seed)
    ends = world.time() + 10 * lifetime
    calls = 0
    while world.time() < ends:
        host = chance.choice(hosts)
        if chance.random() < 0.3:
            host.restart()
        host.call()
        calls += 1
        world.time.now += chance.uniform(0, lifetime / 20)
    assert calls > 200
    assert 10 <= world.asked <= 10 * len(hosts)
    assert world.refused <= world.asked


def test_redis_is_right_whatever_the_clocks_say(world: World, redis_server):
    """Its own clock measures what is left, so that hosts agree: no 401 at all, and no fetch too many."""
    store = AgingRedis(redis_server.url, world)
    hosts = [Host(world, offset, lambda clock: store) for offset in OFFSETS]
    for step in range(1000):
        hosts[step % 3].restart()
        hosts[step % 3].call()
        world.time.now += 36.0
    assert world.refused == 0
    assert world.asked <= 11
    store._client.close()


def test_refusal_is_believed_for_a_minute_at_most(world: World, hosts: list[Host]):
    """Who was refused by the wrong clock keeps nobody out for longer than the right one would."""
    world.error = SentinelHubAuthenticationError("refused", status=401, code="invalid_client", endpoint="POST /token")
    for host in hosts:
        with pytest.raises(SentinelHubAuthenticationError):
            host.call()
    assert world.asked <= len(hosts)
    world.error = None
    world.time.now += REFUSAL_MEMORY + 1
    for host in hosts:
        host.restart()
        host.call()


def test_token_from_the_far_future_is_replaced(world: World, tmp_path):
    """A clock that was a year ahead and is set right costs a 401 once the token has ended, no more."""
    wrong = Host(world, 365 * 86400.0, lambda clock: FileStore(tmp_path))
    wrong.call()
    world.time.now += world.lifetime
    right = Host(world, 0.0, lambda clock: FileStore(tmp_path))
    for _ in range(5):
        right.restart()
        right.call()
    assert (world.asked, world.refused) == (2, 1)

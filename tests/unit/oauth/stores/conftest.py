"""A Redis server for the tests of token stores: one for all, emptied before each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis_server import RedisServer


@pytest.fixture(name="redis_for_all", scope="package")
def fixture_redis_for_all() -> Iterator[RedisServer]:
    """A server on a free port."""
    with RedisServer() as server:
        yield server


@pytest.fixture(name="redis_server")
def fixture_redis_server(redis_for_all: RedisServer) -> RedisServer:
    """The server, empty."""
    with redis_for_all.client() as client:
        client.flushall()
    return redis_for_all

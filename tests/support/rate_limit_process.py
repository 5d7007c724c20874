"""Processes that reserve slots of a shared rate limit as fast as they can, and print them, each on a line.

``python rate_limit_process.py STORE COUNT PER_MINUTE PROCESSES``: STORE is a file or a Redis URL, PER_MINUTE the
configured limit, 0 for none. They wait for a line on the standard input before they start, all at once.
"""

from __future__ import annotations

import sys
from pathlib import Path

import redis
from forked import at_once

from sentinelhub_provider.transport.rate_limit import Limits
from sentinelhub_provider.transport.rate_limiter import RATE_STATE, RateLimiter
from sentinelhub_provider.transport.state_stores import FileStateStore, RedisStateStore, StateStore


def open_store(where: str) -> StateStore:
    """Open a store by what it is called."""
    if where.startswith("redis:"):
        return RedisStateStore(redis.Redis.from_url(where), "rate-limit:processes", RATE_STATE)
    return FileStateStore(Path(where), RATE_STATE)


def work(where: str, count: int, limits: Limits) -> list[float]:
    """Reserve, and tell when each slot starts."""
    limiter = RateLimiter(open_store(where), limits)
    return [limiter.reserve().starts for _ in range(count)]


def main() -> None:
    """Reserve in processes that begin at once."""
    where, count, per_minute, processes = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    at_once(processes, lambda: work(where, count, Limits(requests_per_minute=per_minute or None)))


if __name__ == "__main__":
    main()

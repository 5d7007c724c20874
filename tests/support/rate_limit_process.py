"""Processes that reserve slots of a shared rate limit as fast as they can, and print them, each on a line.

``python rate_limit_process.py STORE COUNT PER_MINUTE PROCESSES``: STORE is a file or a Redis URL, PER_MINUTE the
configured limit, 0 for none. They wait for a line on the standard input before they start, all at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import redis

from sentinelhub_provider.transport.rate_limit import Limits
from sentinelhub_provider.transport.rate_limiter import RATE_STATE, RateLimiter
from sentinelhub_provider.transport.state_stores import FileStateStore, RedisStateStore, StateStore


def open_store(where: str) -> StateStore:
    """Open a store by what it is called."""
    if where.startswith("redis:"):
        return RedisStateStore(redis.Redis.from_url(where), "rate-limit:processes", RATE_STATE)
    return FileStateStore(Path(where), RATE_STATE)


def work(where: str, count: int, limits: Limits) -> None:
    """Reserve, and tell when each slot starts."""
    limiter = RateLimiter(open_store(where), limits)
    line = json.dumps([limiter.reserve().starts for _ in range(count)])
    os.write(1, f"{line}\n".encode())  # in one piece, also among others'


def main() -> None:
    """Fork, let them go, wait for them."""
    where, count, per_minute, processes = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    gate, opener = os.pipe()
    children = []
    for _ in range(processes):
        children.append(os.fork())
        if children[-1] == 0:
            os.close(opener)
            os.read(gate, 1)  # until the other end is closed
            work(where, count, Limits(requests_per_minute=per_minute or None))
            os._exit(0)
    os.write(1, f"{json.dumps(children)}\n".encode())
    sys.stdin.readline()
    os.close(opener)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()

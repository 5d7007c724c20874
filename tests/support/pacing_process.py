"""
A process that reserves slots by a shared pace as fast as it can, and prints them.

``python pacing_process.py STORE COUNT PER_MINUTE``: STORE is a file or a Redis URL, PER_MINUTE the configured limit, 0
for none. It waits for a line on its standard input before it starts, so that several start at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import redis

from sentinelhub_provider.transport.pace_stores import FilePaceStore, PaceStore, RedisPaceStore
from sentinelhub_provider.transport.pacer import Pacer
from sentinelhub_provider.transport.pacing import Limits, Pace, first_pace


def open_store(where: str, first: Pace) -> PaceStore:
    """Open a store by what it is called."""
    if where.startswith("redis:"):
        return RedisPaceStore(redis.Redis.from_url(where), "pace:processes", first)
    return FilePaceStore(Path(where), first)


def tell(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Reserve, and tell when each slot starts."""
    where, count, per_minute = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    limits = Limits(requests_per_minute=per_minute or None)
    pacer = Pacer(open_store(where, first_pace(limits)), limits)
    tell("ready")
    sys.stdin.readline()
    tell(json.dumps([pacer.reserve().starts for _ in range(count)]))


if __name__ == "__main__":
    main()

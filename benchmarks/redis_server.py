"""A Redis server for as long as a measurement lasts."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from tempfile import TemporaryDirectory

_PROGRAMS = ("redis-server", "valkey-server")
_START_SECONDS = 10.0


def missing() -> str | None:
    """Say what stands in the way of running one, ``None`` where nothing does."""
    if not any(map(shutil.which, _PROGRAMS)):
        return "redis-server is not installed"
    if find_spec("redis") is None:
        return "the extra 'redis' is not installed"
    return None


@contextmanager
def redis_server() -> Iterator[str]:
    """Yield the URL of an empty server that keeps nothing on disk."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)))
    port = _free_port()
    with TemporaryDirectory(prefix="benchmark-redis-") as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                _wait_for(port)
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    ends = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)
        else:
            return

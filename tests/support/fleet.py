"""Many real processes that make calls with one connection, none of them with Airflow in it.

A test uses :class:`Fleet` inside :func:`nursery`. Run as a script this is the nursery: it has everything imported and
forks a process for each fleet, which forks the workers, as Airflow does with tasks, so that thirty of them start at
once on a small machine.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

WAIT = 180.0
CATALOG = "/catalog/v1/collections"


@dataclass
class Plan:
    """What a fleet does. ``stop_after`` ends each worker after seconds, whatever calls are left."""

    url: str
    auth_url: str
    client_id: str
    client_secret: str
    auth_cache: str
    processes: int
    calls: int = 1
    pause: float = 0.0
    stop_after: float = WAIT
    lock_lifetime: float | None = None
    """Seconds after which a Redis lock frees itself; ``None`` leaves it as it is."""
    hang: bool = False
    """Whether the token request is never answered: the worker says so and keeps the lock."""


@dataclass
class Outcome:
    """What became of the calls of all workers that lived to tell."""

    done: int = 0
    errors: list[str] = field(default_factory=list)
    workers: int = 0
    warnings: int = 0


_nurseries: list[socket.socket] = []


@contextmanager
def nursery() -> Iterator[None]:
    """Run the process that all fleets inside the block are forked from."""
    here, there = socket.socketpair()
    with here:
        with there:
            process = subprocess.Popen([sys.executable, __file__, str(there.fileno())], pass_fds=[there.fileno()])
        _nurseries.append(here)
        try:
            yield
        finally:
            _nurseries.remove(here)
            here.shutdown(socket.SHUT_RDWR)
            process.wait(WAIT)


class Fleet:
    """Processes of one host; they start with :meth:`go` and are ended with the block."""

    def __init__(self, server: Any, auth_cache: str, processes: int, *, secret: str | None = None, **plan: Any) -> None:
        self._plan = Plan(
            server.url,
            server.token_url() if callable(server.token_url) else server.token_url,
            server.client_id,
            secret or server.client_secret,
            auth_cache,
            processes,
            **plan,
        )

    def __enter__(self) -> Self:
        orders, to_write = os.pipe()
        to_read, answers = os.pipe()
        socket.send_fds(_nurseries[-1], [b"fleet"], [orders, answers])
        os.close(orders)
        os.close(answers)
        self._stdin, self._stdout = os.fdopen(to_write, "w"), os.fdopen(to_read)
        self._watchdog = threading.Timer(WAIT, self._end)
        self._watchdog.start()
        self._say(json.dumps(asdict(self._plan)))
        self._group: int = json.loads(self._stdout.readline())
        self.pids: list[int] = json.loads(self._stdout.readline())
        return self

    def go(self) -> Self:
        """Let all workers begin in the same moment."""
        self._say("go")
        return self

    def wait_for_line(self) -> str:
        """Return the next line that a worker prints."""
        return self._stdout.readline().strip()

    def outcome(self) -> Outcome:
        """Wait until all workers have ended and return what they achieved."""
        total = Outcome()
        for line in self._stdout:
            report = json.loads(line)
            total.workers += 1
            total.done += report["done"]
            total.warnings += report["warnings"]
            total.errors += report["errors"]
        return total

    def kill(self, pid: int) -> None:
        """Kill a worker on the spot."""
        os.kill(pid, signal.SIGKILL)

    def _say(self, line: str) -> None:
        self._stdin.write(f"{line}\n")
        self._stdin.flush()

    def _end(self) -> None:
        with suppress(ProcessLookupError):  # all have ended
            os.killpg(self._group, signal.SIGKILL)

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self._end()
        self._stdout.read()  # ends when all of them are gone
        self._stdin.close()
        self._stdout.close()


# --- the nursery -----------------------------------------------------------------------------------------------------


def main(orders: socket.socket) -> None:
    """Fork a process for each fleet that a test asks for, until it asks no more."""
    import logging

    for module in ("hooks.sharing", "oauth.stores.file", "oauth.stores.redis", "transport.session"):
        importlib.import_module(f"sentinelhub_provider.{module}")
    logging.disable(logging.INFO)
    gc.freeze()  # no fork looks for garbage in what all of them share, which would copy it
    fleets = []
    while True:
        _, pipes, _, _ = socket.recv_fds(orders, len(b"fleet"), 2)
        if not pipes:
            break
        fleets.append(os.fork())
        if fleets[-1] == 0:
            orders.close()
            os.setsid()
            for stream, pipe in enumerate(pipes):
                os.dup2(pipe, stream)
                os.close(pipe)
            _be_fleet()
            os._exit(0)
        for pipe in pipes:
            os.close(pipe)
    for fleet in fleets:
        os.waitpid(fleet, 0)


def _be_fleet() -> None:
    """Fork the workers, let them go, wait for them."""
    print(os.getpid(), flush=True)  # noqa: T201
    plan = Plan(**json.loads(sys.stdin.readline()))
    if plan.lock_lifetime is not None:
        import sentinelhub_provider.oauth.stores.redis

        sentinelhub_provider.oauth.stores.redis.LOCK_LIFETIME = plan.lock_lifetime
    gate, opener = os.pipe()
    pids = []
    for _ in range(plan.processes):
        pid = os.fork()
        if pid == 0:
            os.close(opener)
            os.read(gate, 1)  # until all ends of the pipe for writing are closed
            work(plan)
            os._exit(0)
        pids.append(pid)
    print(json.dumps(pids), flush=True)  # noqa: T201
    sys.stdin.readline()
    os.close(opener)
    for pid in pids:
        os.waitpid(pid, 0)


def work(plan: Plan) -> None:
    """Make the calls of one worker, as a hook would."""
    import logging

    from sentinelhub_provider.connection import ConnectionSettings
    from sentinelhub_provider.deployments import DEPLOYMENTS
    from sentinelhub_provider.hooks.sharing import rate_limiter, token_broker
    from sentinelhub_provider.transport.download import MemoryReceiver
    from sentinelhub_provider.transport.policy import Call
    from sentinelhub_provider.transport.session import SentinelHubSession

    warnings: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("sentinelhub_provider")
    logger.addHandler(handler)
    logger.propagate = False  # Airflow's own handler writes to the standard output, which is for reports
    settings = ConnectionSettings(
        conn_id="fleet",
        client_id=plan.client_id,
        client_secret=plan.client_secret,
        deployment=DEPLOYMENTS["custom"],
        base_url=plan.url,
        auth_url=plan.auth_url,
        auth_cache=plan.auth_cache,
    )
    session = SentinelHubSession(
        settings,
        token_broker(settings),
        rate_limiter(settings),
        resolve=lambda path: path,
        on_token=lambda _: None,
        on_wait=lambda _: None,
    )
    if plan.hang:

        def hang(*_: object) -> None:
            os.write(1, b"fetching\n")
            time.sleep(WAIT)

        session.fetch_new_token = hang  # type: ignore[method-assign,assignment]
    done, errors = 0, []
    ends = time.monotonic() + plan.stop_after
    while done + len(errors) < plan.calls and time.monotonic() < ends:
        try:
            session.call(Call("GET", plan.url + CATALOG, settings.trusted_origins), MemoryReceiver())
            done += 1
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}"[:300])
        time.sleep(plan.pause)
    report = {"done": done, "errors": errors[:3], "warnings": len(warnings)}
    os.write(1, json.dumps(report).encode() + b"\n")  # in one piece, also among others'


if __name__ == "__main__":
    # Run as a script, only this folder is on the path; the package is found where the test found it.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main(socket.socket(fileno=int(sys.argv[1])))

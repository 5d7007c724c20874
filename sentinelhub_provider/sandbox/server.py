"""Runs a sandbox on a real socket, in a background thread or in the main thread of a process.

>>> with SandboxServer() as server:                                   # doctest: +SKIP
...     requests.get(f"{server.url}/catalog/v1")
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import uvicorn

from sentinelhub_provider.sandbox.app import create_app
from sentinelhub_provider.sandbox.control.handlers import Control
from sentinelhub_provider.sandbox.gateway.limits import Clock
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.gateway.transport import TransportProtocol
from sentinelhub_provider.sandbox.settings import SandboxSettings

log = logging.getLogger(__name__)

START_TIMEOUT = 10.0
"""Seconds to wait for the thread to accept connections. Usually it takes a few hundredths of a second."""
GRACE = 1
"""Seconds that open answers have to end when the server stops. Then the server cuts their connections."""


class SandboxStartError(Exception):
    """The sandbox cannot listen on its address. The text says why and what to do."""


class SandboxServer:
    """A sandbox that listens. Start and stop it, or use it as a context manager.

    Give the settings as a ``SandboxSettings``, or as its fields, as in ``SandboxServer(token_lifetime=5)``. ``port`` is
    0 by default, so that several servers can run at the same time. ``clock`` returns seconds since 1970.
    """

    def __init__(self, settings: SandboxSettings | None = None, *, clock: Clock = time.time, **fields: Any) -> None:
        if settings is not None and fields:
            raise TypeError("give either settings or their fields, not both")
        self.settings = settings if settings is not None else SandboxSettings(**fields)
        self.sandbox = Sandbox(self.settings, clock=clock)
        self.control = Control(self.sandbox)
        self._thread: threading.Thread | None = None
        self._server: _Server | None = None
        self._port: int | None = None

    @property
    def url(self) -> str:
        """The address, without a slash at the end. Raises ``RuntimeError`` before the start."""
        if self._port is None:
            raise RuntimeError("the sandbox has not been started")
        return _url(self.settings.host, self._port)

    @property
    def client_id(self) -> str:
        """Id of the main client."""
        return self.settings.client_id

    @property
    def client_secret(self) -> str:
        """Secret of the main client."""
        return self.settings.client_secret

    @property
    def started(self) -> bool:
        """Whether connections are accepted."""
        return self._server is not None and self._server.started

    def token_url(self, realm: str = "main") -> str:
        """Return the token endpoint of a realm, ``main`` (Sentinel Hub) or ``CDSE`` (Copernicus Data Space)."""
        return f"{self.url}/auth/realms/{realm}/protocol/openid-connect/token"

    def start(self) -> Self:
        """Start in a background thread. Return when it accepts connections. Raises ``SandboxStartError``."""
        if self._thread is not None:
            raise RuntimeError("the sandbox runs already")
        ready = threading.Event()
        listener = self._listen()
        server = self._make_server(on_ready=ready.set)
        self._server = server
        self._thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listener])), name="sentinelhub-sandbox", daemon=True
        )
        self._thread.start()
        if not ready.wait(START_TIMEOUT):
            raise SandboxStartError(f"the sandbox did not start within {START_TIMEOUT:.0f} s")
        return self

    def run(self, *, on_ready: Callable[[], None]) -> None:
        """Run in this thread until ``request_stop``. Raises ``SandboxStartError``.

        :param on_ready: called when the server accepts connections.
        """
        listener = self._listen()
        self._server = self._make_server(on_ready=on_ready)
        asyncio.run(self._server.serve(sockets=[listener]))

    def request_stop(self) -> None:
        """Request the stop of the server, from any thread or a signal handler."""
        if self._server is not None:
            self._server.should_exit = True

    def stop(self) -> None:
        """Stop the background thread and wait until it has ended. You may call this more than once."""
        self.request_stop()
        if self._thread is not None:
            self._thread.join(timeout=GRACE + 5)
            self._thread = None
            self._server = None
        self.sandbox.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _listen(self) -> socket.socket:
        """Bind here, because uvicorn ends the whole process if the port is taken."""
        settings = self.settings
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, kind, protocol)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(address)
                listener.listen(2048)
            except OSError:
                listener.close()
                raise
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            advice = "choose another port, or 0 for a free one"
            raise SandboxStartError(f"cannot listen on {where}: {error.strerror or error}; {advice}") from error
        self._port = listener.getsockname()[1]
        return listener

    def _make_server(self, *, on_ready: Callable[[], None]) -> _Server:
        config = uvicorn.Config(
            create_app(sandbox=self.sandbox),
            http=TransportProtocol,
            loop="asyncio",  # its transports expose the socket, which the fault of a reset connection needs
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.CRITICAL,  # the application logs its own failures, see app.py
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE + 1,
        )
        return _Server(config, on_ready=on_ready)


class _Server(uvicorn.Server):
    """uvicorn's server, which reports when it is ready and does not handle signals."""

    def __init__(self, config: uvicorn.Config, *, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Without this, uvicorn answers 500 to requests that a fault keeps waiting.
        asyncio.get_running_loop().call_later(GRACE, self._cut_connections)
        await super().shutdown(sockets=sockets)

    def _cut_connections(self) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, TransportProtocol):
                connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _url(host: str, port: int) -> str:
    # On this machine, the loopback address reaches a server that listens on all addresses.
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

"""Hand the TCP transport to the application, so that a fault can end a connection as a broken network would.

ASGI has no word for "reset the connection". The protocol below adds the transport to the scope's ``extensions``, the
place that ASGI keeps for what a server offers beyond the standard.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

EXTENSION = "sentinelhub.sandbox.transport"
#: Linger on, for zero seconds: closing then sends RST instead of FIN (``man 7 socket``).
_LINGER_ZERO = struct.pack("ii", 1, 0)
_POLL_SECONDS = 0.005


class TransportProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol, with the transport in ``scope["extensions"]``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        application: Any = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[EXTENSION] = self.transport
            await application(scope, receive, send)

        self.app = with_transport


def transport_of(scope: Scope) -> asyncio.Transport:
    """Return the connection's transport. Raises ``RuntimeError`` where the application runs without a socket."""
    transport = scope.get("extensions", {}).get(EXTENSION)
    if not isinstance(transport, asyncio.Transport):
        raise RuntimeError("this fault needs a real connection: run the sandbox with SandboxServer, not in process")
    return transport


async def close_connection(scope: Scope) -> None:
    """Send what is buffered, then close the connection in order (FIN)."""
    transport_of(scope).close()


async def reset_connection(scope: Scope) -> None:
    """Send what is buffered, then reset the connection (RST)."""
    transport = transport_of(scope)
    # A transport tells nobody when its buffer is empty but the protocol, which is uvicorn's.
    while transport.get_write_buffer_size() and not transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()

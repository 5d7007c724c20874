"""Connections of ``requests`` whose reads end at a call's deadline.

A read timeout starts again with every byte, so a server that sends a byte now and then could hold a client forever.
"""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from queue import LifoQueue
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError, ReadTimeoutError

from sentinelhub_provider.transport.network import ssl_context

_FIRST_CONNECTIONS = 8  # places of a new pool, which grows with the threads that call at the same time
_PIECE = 64 * 1024  # bytes that are sent between two looks at the deadline
_remaining: ContextVar[Callable[[], float] | None] = ContextVar("remaining", default=None)


@contextmanager
def bounded_reads(remaining: Callable[[], float]) -> Iterator[None]:
    """Bound the reads of every answer that begins within the block by the seconds that are left."""
    # A read that takes too long raises ``TimeoutError``. The HTTP library raises it as its read timeout.
    token = _remaining.set(remaining)
    try:
        yield
    finally:
        _remaining.reset(token)


class BoundedAdapter(HTTPAdapter):
    """The adapter of ``requests`` for bounded reads. ``verify`` also holds for a proxy with TLS."""

    def __init__(self, *, verify: bool | str = True) -> None:
        self._verify = verify
        super().__init__(pool_connections=4, pool_maxsize=_FIRST_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the pools of connections through a proxy."""
        if proxy.lower().startswith("https"):
            kwargs.setdefault("proxy_ssl_context", ssl_context(self._verify))
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Choose a connection by the TLS settings, which are loaded once in a process."""
        host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https" and not cert:  # a client's certificate would go into the shared settings
            for name in ("ca_certs", "ca_cert_dir", "cert_reqs"):
                tls.pop(name, None)  # type: ignore[misc]
            tls["ssl_context"] = ssl_context(verify)
        return host, tls

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Do nothing if the TLS settings already hold the certificates."""
        if cert:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]


class _BoundedReader(io.RawIOBase):
    """Reads from a socket's file. Each read takes at most the time that is left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, remaining: Callable[[], float]) -> None:
        self._raw, self._sock, self._remaining = raw, sock, remaining

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        seconds = self._remaining()
        if seconds <= 0:
            raise TimeoutError("the deadline passed")
        timeout = self._sock.gettimeout()
        if timeout is None or timeout > seconds:
            self._sock.settimeout(seconds)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        remaining = _remaining.get()
        if remaining is not None:
            self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock, remaining))


class _BoundedConnection(HTTPConnection):
    """Sends a request until the deadline. urllib3 would bound the sending by the connect time-out."""

    response_class = _BoundedResponse

    def send(self, data: Any) -> None:
        """Send bytes in pieces. Over TLS, a time-out holds for each piece alone."""
        remaining = _remaining.get()
        if remaining is None or not isinstance(data, bytes):
            super().send(data)
            return
        if self.sock is None:
            self.connect()
        for start in range(0, len(data), _PIECE):
            seconds = remaining()
            try:
                if seconds <= 0:
                    raise TimeoutError
                self.sock.settimeout(seconds)
                super().send(data[start : start + _PIECE])
            except TimeoutError as error:
                raise ReadTimeoutError(None, None, "the deadline passed") from error  # type: ignore[arg-type]


class _SecureConnection(_BoundedConnection, HTTPSConnection):
    def connect(self) -> None:
        """Connect. A broken handshake counts as a failed connection, unless the certificate is refused."""
        try:
            super().connect()
        except ssl.SSLCertVerificationError:
            raise
        except (ssl.SSLError, ConnectionError) as error:
            raise NewConnectionError(self, f"the TLS handshake broke: {error}") from error


class _Pool(HTTPConnectionPool):
    ConnectionCls = _BoundedConnection
    # As many idle connections as were in use at once. urllib3 warns of each one above a bound.
    QueueCls: Any = staticmethod(lambda _: LifoQueue())


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
    QueueCls: Any = staticmethod(_Pool.QueueCls)


_POOLS = {"http": _Pool, "https": _SecurePool}

"""
Reads from a socket that end at a call's deadline, whatever is being read.

A read timeout begins anew with every byte: a server that sends one now and then holds a client for as long as it likes,
in the middle of a status line, a header field, a chunk's size or a body. Here every single read may take no longer than
the call has left.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_remaining: ContextVar[Callable[[], float] | None] = ContextVar("remaining", default=None)


@contextmanager
def bounded_reads(remaining: Callable[[], float]) -> Iterator[None]:
    """
    Bound the reads of every answer that begins within the block, also those that come after it.

    Works for requests through :class:`BoundedAdapter`. A read that takes too long raises ``TimeoutError``, which
    reaches the caller as the HTTP library's read timeout.

    :param remaining: tells how many seconds are left.
    """
    token = _remaining.set(remaining)
    try:
        yield
    finally:
        _remaining.reset(token)


class BoundedAdapter(HTTPAdapter):
    """The adapter of ``requests``, for answers whose reads are bounded."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _BoundedReader(io.RawIOBase):
    """Reads from a socket's file, each time no longer than there is time left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, remaining: Callable[[], float]) -> None:
        self._raw = raw
        self._sock = sock
        self._remaining = remaining

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


class _Connection(HTTPConnection):
    response_class = _BoundedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _BoundedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}

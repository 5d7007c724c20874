"""The outermost layer. Every request is counted, delayed, answered with an injected fault, and marked here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.faults.injection import inject
from sentinelhub_provider.sandbox.gateway.ledger import Exchange, Ledger, RequestRecord
from sentinelhub_provider.sandbox.gateway.responses import SANDBOX_HEADER
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.gateway.transport import AsgiApp, Message, Receive, Scope, Send
from sentinelhub_provider.sandbox.world.delivery.locations import hide_credentials

CONTROL_PREFIX = "/sandbox/control"

access_log = logging.getLogger("sentinelhub_provider.sandbox.access")


class Gateway:
    """ASGI middleware around the whole application."""

    def __init__(self, app: AsgiApp, sandbox: Sandbox) -> None:
        self._app = app
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(f"{CONTROL_PREFIX}/"):
            await self._app(scope, receive, _Answer(send))
            return
        if scope["path"].endswith("/"):
            # The documentation writes some paths with a slash at the end.
            scope["path"] = scope["path"].rstrip("/") or "/"
        ledger = self._sandbox.ledger
        fault = self._sandbox.faults.draw(scope["method"], scope["path"])
        keep = ledger.recording and not scope["path"].endswith("/token")
        request = _Request(receive, limit=self._sandbox.settings.max_body_bytes, keep=keep)
        note = _Note(ledger, scope, request, fault=fault.action.kind if fault else None, keep=keep)
        answer = _Answer(send, keep_body=keep, before_end=note.take)
        ledger.count_request(scope["path"])
        try:
            if self._sandbox.latency:
                await asyncio.sleep(self._sandbox.latency)
            if fault is None:
                await self._app(scope, request, answer)
            else:
                await inject(fault.action, self._app, scope, request, answer, issuer=self._sandbox.issuer)
        finally:
            note.take(answer)


class _Note:
    """Notes a request once, just before its answer ends, or when its connection has ended.

    So a client with a complete answer finds it noted, and a test need not wait.
    """

    def __init__(self, ledger: Ledger, scope: Scope, request: _Request, *, fault: str | None, keep: bool) -> None:
        self._ledger = ledger
        self._scope = scope
        self._request = request
        self._fault = fault
        self._keep = keep
        self._started = time.perf_counter()
        self._taken = False

    def take(self, answer: _Answer) -> None:
        """Note the request and its answer, the first time only."""
        if self._taken:
            return
        self._taken = True
        scope, headers = self._scope, _decoded(self._scope["headers"])
        query = scope["query_string"].decode("latin-1")
        self._ledger.remember(
            RequestRecord(
                method=scope["method"],
                path=scope["path"],
                query=query,
                status=answer.status,
                authorized="authorization" in headers,
                user_agent=headers.get("user-agent", ""),
                fault=self._fault,
            )
        )
        if self._keep and answer.status is not None:
            if "authorization" in headers:
                headers["authorization"] = "Bearer (hidden)"
            self._ledger.remember_exchange(
                Exchange(
                    method=scope["method"],
                    path=scope["path"],
                    query=query,
                    request_headers=headers,
                    request_body=hide_credentials(bytes(self._request.body)),
                    status=answer.status,
                    response_headers=_decoded(answer.headers),
                    response_body=bytes(answer.body),
                )
            )
        milliseconds = (time.perf_counter() - self._started) * 1000
        access_log.debug("%s %s %s %.0f ms", scope["method"], scope["path"], answer.status, milliseconds)


class _Request:
    """The receiving side. It refuses a body that is too large, and keeps it on request."""

    def __init__(self, receive: Receive, *, limit: int, keep: bool) -> None:
        self._receive = receive
        self._limit = limit
        self._keep = keep
        self._size = 0
        self.body = bytearray()

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            chunk = message.get("body", b"")
            self._size += len(chunk)
            if self._size > self._limit:
                raise ApiError(413, "COMMON_BAD_PAYLOAD", f"The request body is larger than {self._limit} bytes")
            if self._keep:
                self.body += chunk
        return message


class _Answer:
    """The sending side. It marks the answer, notes its status, and keeps its body on request."""

    def __init__(
        self, send: Send, *, keep_body: bool = False, before_end: Callable[[_Answer], None] | None = None
    ) -> None:
        self._send = send
        self._keep_body = keep_body
        self._before_end = before_end
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [*message.get("headers", []), SANDBOX_HEADER]
            message = {**message, "headers": self.headers}
        elif message["type"] == "http.response.body":
            if self._keep_body:
                self.body += message.get("body", b"")
            if self._before_end is not None and not message.get("more_body", False):
                self._before_end(self)
        await self._send(message)


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}

"""Carries out a fault, which answers in the API's place, waits, or damages the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from sentinelhub_provider.sandbox.errors import RATE_LIMIT_MESSAGE, ApiError, reason_phrase, rest_body
from sentinelhub_provider.sandbox.gateway.auth.tokens import TokenIssuer
from sentinelhub_provider.sandbox.gateway.faults import model as faults
from sentinelhub_provider.sandbox.gateway.responses import SANDBOX_HEADER, error_body
from sentinelhub_provider.sandbox.gateway.transport import (
    AsgiApp,
    Message,
    Receive,
    Scope,
    Send,
    close_connection,
    reset_connection,
    transport_of,
)

HTML_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in to continue</h1></body></html>"
_CODES = {
    400: "COMMON_BAD_PAYLOAD",
    401: "COMMON_UNAUTHORIZED",
    403: "COMMON_INSUFFICIENT_PERMISSIONS",
    404: "COMMON_NOT_FOUND",
    405: "COMMON_METHOD_NOT_ALLOWED",
    415: "COMMON_UNSUPPORTED_MEDIA_TYPE",
    429: "RATE_LIMIT_EXCEEDED",
}


async def inject(
    action: faults.Action, app: AsgiApp, scope: Scope, receive: Receive, send: Send, *, issuer: TokenIssuer
) -> None:
    """Carry out ``action`` for one request. ``app`` is the application behind it, ``issuer`` signs the tokens."""
    match action:
        case faults.Delay():
            await asyncio.sleep(action.seconds)
            await app(scope, receive, send)
        case faults.Silence():
            await _client_left(action.seconds, receive)
            await close_connection(scope)
        case faults.Reset():
            await reset_connection(scope)
        case faults.LoseAnswer():
            await _answer_of(app, scope, receive)
            await reset_connection(scope)
        case faults.Truncate() | faults.ResetMidBody():
            await app(scope, receive, _CutAnswer(scope, send, action))
        case faults.RevokeTokens():
            issuer.revoke()
            await app(scope, receive, send)
        case faults.RotateKey():
            issuer.rotate_key()
            await app(scope, receive, send)
        case faults.Trickle(part="head"):
            await _trickle_head(action, app, scope, receive)
        case faults.Trickle():
            await app(scope, receive, _trickling(receive, send, action))
        case faults.TokenAnswer():
            await _spoil_token_answer(action, app, scope, receive, send)
        case _:
            status, headers, body = instead(action, scope["path"])
            await _answer(send, status, headers, body)


def instead(action: faults.Action, path: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a fault that answers in the API's stead."""
    match action:
        case faults.Status(body=None, text=None):
            status = action.status
            code = _CODES.get(status, "COMMON_EXCEPTION")
            error = ApiError(status, code, f"Fault on demand: {reason_phrase(status)}")
            body = _json(error_body(path, error)) if status >= 400 else b""
            return status, {"content-type": action.content_type or "application/json", **action.headers}, body
        case faults.Status():
            body = action.text.encode() if action.text is not None else _json(action.body)
            media_type = "application/json" if action.text is None else "text/plain; charset=utf-8"
            return action.status, {"content-type": action.content_type or media_type, **action.headers}, body
        case faults.RateLimit():
            boom = rest_body(ApiError(429, "RATE_LIMIT_EXCEEDED", RATE_LIMIT_MESSAGE))
            headers = {"content-type": "application/json"}
            if action.retry_after is not None:
                headers["retry-after"] = action.retry_after
            return 429, headers, _json({"error": boom} if action.wrapped else boom)
        case faults.Redirect():
            return action.status, {"location": action.location}, b""
        case faults.Html():
            return action.status, {"content-type": "text/html; charset=utf-8"}, HTML_PAGE.encode()
        case faults.Empty():
            return action.status, {}, b""
        case faults.ErrorJson():
            error = ApiError(500, "COMMON_EXCEPTION", "Fault on demand: an error under a status of success")
            return action.status, {"content-type": "application/json"}, _json(rest_body(error))
        case _:
            raise AssertionError(f"{action.kind} does not answer by itself")


class _CutAnswer:
    """Passes an answer on up to so many bytes of the body, then ends the connection and swallows the rest."""

    def __init__(self, scope: Scope, send: Send, action: faults.Truncate | faults.ResetMidBody) -> None:
        self._scope = scope
        self._send = send
        self._reset = isinstance(action, faults.ResetMidBody)
        self._left = action.after_bytes
        self._chunked = action.chunked
        self._cut = False

    async def __call__(self, message: Message) -> None:
        if self._cut:
            return
        if message["type"] == "http.response.start":
            if self._left is None:
                length = _header(message, b"content-length")
                self._left = int(length) // 2 if length else 0
            if self._chunked:  # without a length, the server sends chunks
                message = {**message, "headers": _without(message, b"content-length")}
            await self._send(message)
            return
        body = bytes(message.get("body", b""))
        left = self._left or 0
        piece, self._left = body[:left], left - len(body)
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        if self._left <= 0 or not message.get("more_body", False):
            self._cut = True
            await (reset_connection(self._scope) if self._reset else close_connection(self._scope))


def _trickling(receive: Receive, send: Send, action: faults.Trickle) -> Send:
    async def trickle(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        body, more = bytes(message.get("body", b"")), message.get("more_body", False)
        for start in range(0, len(body), action.chunk_bytes):
            end = start + action.chunk_bytes
            if await _client_left(action.interval, receive):
                return
            await send({"type": "http.response.body", "body": body[start:end], "more_body": more or end < len(body)})
        if not body:
            await send(message)

    return trickle


async def _trickle_head(action: faults.Trickle, app: AsgiApp, scope: Scope, receive: Receive) -> None:
    """Write the answer past the server, which would send its head in one piece. The connection ends with it."""
    start, body = await _answer_of(app, scope, receive)
    status = start["status"]
    fields = [*start["headers"], SANDBOX_HEADER, (b"connection", b"close")]
    head = b"".join(
        [f"HTTP/1.1 {status} {reason_phrase(status)}\r\n".encode()]
        + [name + b": " + value + b"\r\n" for name, value in fields]
        + [b"\r\n"]
    )
    transport = transport_of(scope)
    for begin in range(0, len(head), action.chunk_bytes):
        if transport.is_closing():
            return
        transport.write(head[begin : begin + action.chunk_bytes])
        await asyncio.sleep(action.interval)
    transport.write(body)
    await close_connection(scope)


async def _client_left(seconds: float | None, receive: Receive) -> bool:
    """Wait until the client is gone, at most ``seconds``. Return whether it is gone."""

    async def until_disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(until_disconnected(), timeout=seconds)
    except TimeoutError:
        return False
    return True


async def _spoil_token_answer(
    action: faults.TokenAnswer, app: AsgiApp, scope: Scope, receive: Receive, send: Send
) -> None:
    start, body = await _answer_of(app, scope, receive)
    if start["status"] == 200:
        body = _json(faults.spoil_token_answer(json.loads(body), action.variant))
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    await _answer(send, start["status"], headers, body)


async def _answer_of(app: AsgiApp, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    """Let ``app`` answer and keep the start and the whole body of the answer."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    return messages[0], b"".join(bytes(message.get("body", b"")) for message in messages[1:])


async def _answer(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    full = {**headers, "content-length": str(len(body))}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in full.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _header(message: Message, name: bytes) -> bytes | None:
    return next((value for key, value in message["headers"] if key.lower() == name), None)


def _without(message: Message, name: bytes) -> list[tuple[bytes, bytes]]:
    return [(key, value) for key, value in message["headers"] if key.lower() != name]


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()

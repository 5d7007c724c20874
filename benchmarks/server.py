"""A small, fast and obedient HTTP server: a token endpoint, an API with bodies of any size, and a strict rate limit.

It runs in a process of its own, so that it shares no interpreter lock with what is measured. Not the sandbox: that one
imitates the service and computes pictures; this one costs next to nothing per request, and does exactly what a
measurement sets by ``PUT /control``. ``GET /control`` tells what it has seen since.

    POST /token      client credentials grant (RFC 6749 section 4.4)
    any  /api/...    needs the token; answers after the set latency with the set number of bytes
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

CLIENT_ID = "benchmark-client"
CLIENT_SECRET = "benchmark-secret"

_BLOCK = random.Random(0).randbytes(1024 * 1024)
"""What large bodies are made of: nothing that compresses, the same in each run."""

_TOKEN_SIZE = 1200
"""Characters of a token: about what Sentinel Hub's JWTs have, since every request carries one."""

_SMALL = 64 * 1024
"""Bytes up to which an answer is JSON, as a catalog's is; larger ones are binary, as pictures are."""


@dataclass
class Behaviour:
    """What the server does. Times are seconds.

    :param token_lifetime: ``expires_in`` of the tokens.
    :param token_latency: time that the token endpoint takes.
    :param token_rate: token requests per second, and at once; more are answered 429. ``None`` for no limit.
    :param token_fault: ``silent`` (never answers) or ``trickle`` (a byte each second).
    :param latency: time that the API takes before the first byte.
    :param body_size: bytes of the API's answers.
    :param document: JSON that the API answers instead.
    :param file: TIFF that the API answers instead: its path.
    :param rate: requests per second to the API; more are answered 429. ``None`` for no limit.
    :param burst: requests that the API takes at once after a pause.
    :param retry_after: how a 429 words its ``Retry-After``: ``milliseconds``, ``seconds``, ``date``, or ``absent``.
    :param fault: ``silent``, ``trickle``, or ``rate-limited`` (each request is answered 429).
    :param revoke_after: number of answers after which all tokens become invalid, once. ``None`` for never.
    """

    token_lifetime: float = 3600.0
    token_latency: float = 0.0
    token_rate: float | None = None
    token_fault: str | None = None
    latency: float = 0.0
    body_size: int = 256
    document: str | None = None
    file: str | None = None
    rate: float | None = None
    burst: float = 5.0
    retry_after: str = "milliseconds"
    fault: str | None = None
    revoke_after: int | None = None


@dataclass
class Seen:
    """What has arrived since the last ``PUT /control``. Moments are this machine's monotonic clock, in seconds.

    :param connections: TCP connections, the one for ``/control`` not counted.
    :param token_requests: requests to the token endpoint, whatever came of them.
    :param token_rate_limited: those of them that were answered 429.
    :param failed_logins: those of them with a wrong id or secret.
    :param served: answers of the API with status 200.
    :param unauthorized: answers of the API with status 401.
    :param rate_limited: answers of the API with status 429.
    :param arrivals: when each request to the API came.
    :param accepted: when each request came that was let through.
    """

    connections: int = 0
    token_requests: int = 0
    token_rate_limited: int = 0
    failed_logins: int = 0
    served: int = 0
    unauthorized: int = 0
    rate_limited: int = 0
    arrivals: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)


class TokenBucket:
    """A strict limit: ``burst`` requests at once, ``rate`` per second in the long run."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = time.monotonic()

    def take(self) -> float:
        """Take one, or return the seconds until one is there."""
        now = time.monotonic()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        # Refills are sums of small floats: what is short of one by a rounding error is one.
        if self._level < 1 - 1e-9:
            return (1 - self._level) / self._rate
        self._level -= 1
        return 0.0


@dataclass(frozen=True)
class Request:
    """One request, read whole. Names of header fields are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Server:
    """The server's state and its three routes."""

    def __init__(self) -> None:
        self._configure({})

    def _configure(self, settings: Mapping[str, Any]) -> None:
        """Start from scratch: new behaviour, nothing seen, no token valid."""
        self._behaviour = Behaviour(**settings)
        self._file = Path(self._behaviour.file).read_bytes() if self._behaviour.file else None
        self._seen = Seen()
        self._tokens: dict[str, float] = {}
        rate, token_rate = self._behaviour.rate, self._behaviour.token_rate
        self._bucket = TokenBucket(rate, self._behaviour.burst) if rate else None
        self._token_bucket = TokenBucket(token_rate, token_rate) if token_rate else None

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until the client closes it."""
        is_new = True
        try:
            while request := await _read_request(reader):
                if request.path == "/control":
                    self._control(request, writer)
                else:
                    self._seen.connections += is_new
                    is_new = False
                    await (self._token_endpoint if request.path == "/token" else self._api)(request, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    def _control(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method == "PUT":
            self._configure(json.loads(request.body))
        _write(writer, 200, json.dumps(asdict(self._seen)).encode())

    async def _token_endpoint(self, request: Request, writer: asyncio.StreamWriter) -> None:
        behaviour, seen = self._behaviour, self._seen
        seen.token_requests += 1
        await asyncio.sleep(behaviour.token_latency)
        if behaviour.token_fault:
            await _misbehave(behaviour.token_fault, writer)
            return
        wait = self._token_bucket.take() if self._token_bucket else 0.0
        if wait:
            seen.token_rate_limited += 1
            _write(writer, 429, b"{}", {"Retry-After": _retry_after(behaviour.retry_after, wait)})
            return
        if _credentials(request) != (CLIENT_ID, CLIENT_SECRET):
            seen.failed_logins += 1
            _write(writer, 401, b'{"error": "invalid_client", "error_description": "Invalid client credentials"}')
            return
        token = secrets.token_hex(_TOKEN_SIZE // 2)
        self._tokens[token] = time.monotonic() + behaviour.token_lifetime
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": behaviour.token_lifetime}
        _write(writer, 200, json.dumps(answer).encode())

    async def _api(self, request: Request, writer: asyncio.StreamWriter) -> None:
        behaviour, seen = self._behaviour, self._seen
        now = time.monotonic()
        seen.arrivals.append(now)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._tokens.get(token, 0.0) < now:
            seen.unauthorized += 1
            _write(writer, 401, b'{"error": {"status": 401, "reason": "Unauthorized", "message": "Unauthorized"}}')
            return
        wait = self._bucket.take() if self._bucket else 0.0
        if wait or behaviour.fault == "rate-limited":
            seen.rate_limited += 1
            document = b'{"error": {"status": 429, "reason": "Too Many Requests", "code": "RATE_LIMIT_EXCEEDED"}}'
            _write(writer, 429, document, {"Retry-After": _retry_after(behaviour.retry_after, wait)})
            return
        seen.accepted.append(now)
        await asyncio.sleep(behaviour.latency)
        if behaviour.fault:
            await _misbehave(behaviour.fault, writer)
            return
        seen.served += 1
        if seen.served == behaviour.revoke_after:
            self._tokens.clear()
        if behaviour.document is not None:
            _write(writer, 200, behaviour.document.encode())
            return
        if self._file is not None:
            await _write_file(writer, self._file)
            return
        await _write_body(writer, behaviour.body_size)


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read the next request, ``None`` where the client closed the connection instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target.partition("?")[0], headers, body)


def _credentials(request: Request) -> tuple[str, str]:
    """Read the client's id and secret from the form or from the Basic header (RFC 6749 section 2.3.1)."""
    authorization = request.headers.get("authorization", "")
    if authorization.startswith("Basic "):
        client_id, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return unquote_plus(client_id), unquote_plus(secret)
    form = parse_qs(request.body.decode())
    return form.get("client_id", [""])[0], form.get("client_secret", [""])[0]


def _retry_after(form: str, seconds: float) -> str | None:
    """Word a wait as Sentinel Hub does (milliseconds), or as its proxies might."""
    whole = max(1, int(seconds + 0.999))
    match form:
        case "milliseconds":
            return str(max(1, int(seconds * 1000 + 0.999)))
        case "seconds":
            return str(whole)
        case "date":
            return formatdate(time.time() + whole, usegmt=True)
        case "absent":
            return None
        case _:
            raise ValueError(f"retry_after {form!r}: expected milliseconds, seconds, date or absent.")


async def _misbehave(fault: str, writer: asyncio.StreamWriter) -> None:
    """Never answer, or answer so slowly that no read ever times out."""
    if fault == "trickle":
        _write_head(writer, 200, 1_000_000, {"Content-Type": "application/octet-stream"})
    elif fault != "silent":
        raise ValueError(f"fault {fault!r}: expected silent, trickle or rate-limited.")
    while not writer.is_closing():
        if fault == "trickle":
            writer.write(b"x")
            await writer.drain()
        await asyncio.sleep(1.0)


async def _write_body(writer: asyncio.StreamWriter, size: int) -> None:
    if size <= _SMALL:
        _write(writer, 200, b'{"features": "%b"}' % (b"x" * max(0, size - len('{"features": ""}'))))
        return
    _write_head(writer, 200, size, {"Content-Type": "application/octet-stream"})
    for sent in range(0, size, len(_BLOCK)):
        writer.write(_BLOCK[: size - sent] if size - sent < len(_BLOCK) else _BLOCK)
        await writer.drain()


async def _write_file(writer: asyncio.StreamWriter, content: bytes) -> None:
    _write_head(writer, 200, len(content), {"Content-Type": "image/tiff"})
    view = memoryview(content)
    for sent in range(0, len(content), len(_BLOCK)):
        writer.write(view[sent : sent + len(_BLOCK)])
        await writer.drain()


def _write(
    writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str | None] | None = None
) -> None:
    _write_head(writer, status, len(body), {"Content-Type": "application/json", **(headers or {})}, body)


def _write_head(
    writer: asyncio.StreamWriter, status: int, size: int, headers: Mapping[str, str | None], body: bytes = b""
) -> None:
    lines = [f"HTTP/1.1 {status} -", f"Content-Length: {size}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


async def _main(port: int) -> None:
    server = await asyncio.start_server(Server().serve_connection, "127.0.0.1", port, backlog=1024, limit=1024 * 1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this server holds its standard input; when that closes, nobody needs it any more.
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The benchmarks' server; prints its port; settings by PUT /control.")
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    asyncio.run(_main(parser.parse_args().port))

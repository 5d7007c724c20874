"""A gate in front of a sandbox: it holds a chosen request, before or after the sandbox has seen it, until told."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import uvicorn

When = Literal["before", "after"]
_NOT_FORWARDED = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-encoding"})


@dataclass
class Hold:
    """A request to hold.

    :param method: its HTTP method.
    :param path: regular expression for its path.
    :param when: whether it is held before the sandbox gets it, or after, with the answer in hand.
    :param number: which of the matching requests; 1 is the first.
    :param since: regular expression for a path; matching requests count only after one of these has come by.
    """

    method: str
    path: str
    when: When
    number: int = 1
    since: str | None = None
    is_counting: bool = field(init=False)
    seen: int = 0
    is_held: bool = False
    is_cut: bool = False
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.is_counting = self.since is None

    def takes(self, method: str, path: str) -> bool:
        """Count a request; tell whether it is the one."""
        if not self.is_counting:
            self.is_counting = bool(re.search(self.since or "", path))
            return False
        if method != self.method or not re.search(self.path, path):
            return False
        self.seen += 1
        return self.seen == self.number


@dataclass
class Gate:
    """The gate; each lane is a path prefix of its own, so that many clients can be held at different points.

    :param upstream: base URL of the sandbox.
    :param url: base URL of the gate; a lane's is ``{url}/{lane}``.
    :param holds: what is held, by lane.
    """

    upstream: str
    url: str = ""
    holds: dict[str, Hold] = field(default_factory=dict)
    calls: list[tuple[str, str, str]] = field(default_factory=list)

    def hold(self, lane: str, hold: Hold) -> None:
        """Hold a request of a lane, the next that matches."""
        self.holds[lane] = hold

    def wait_until_held(self, lanes: list[str], *, seconds: float = 900.0) -> None:
        """Return once each lane's request is held."""
        deadline = time.monotonic() + seconds
        while missing := [lane for lane in lanes if not self.holds[lane].is_held]:
            if time.monotonic() > deadline:
                calls = [call for call in self.calls if call[0] in missing]
                raise AssertionError(f"{missing} did not come to their hold within {seconds:.0f} s; calls: {calls}")
            time.sleep(0.05)

    def open(self, lane: str) -> None:
        """Let the held request of a lane go on, whether or not its client still lives."""
        self.holds[lane].released.set()

    def cut(self, lane: str) -> None:
        """Break the connection of the held request of a lane; held before, the sandbox never gets it."""
        self.holds[lane].is_cut = True
        self.holds[lane].released.set()

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            return
        lane, _, path = scope["path"].lstrip("/").partition("/")
        path = f"/{path}"
        self.calls.append((lane, scope["method"], path))
        body = await _body_of(receive)
        hold = self.holds.get(lane)
        is_held = hold is not None and hold.takes(scope["method"], path)
        if is_held and hold.when == "before" and not await _passes(hold):
            await _break_off(send)
            return
        answer = await self._forward(scope, path, body)
        if is_held and hold.when == "after" and not await _passes(hold):
            await _break_off(send)
            return
        headers = [(name, value) for name, value in answer.headers.raw if name.lower().decode() not in _NOT_FORWARDED]
        headers.append((b"content-length", str(len(answer.content)).encode()))
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})

    async def _forward(self, scope: Mapping[str, Any], path: str, body: bytes) -> httpx.Response:
        query = scope["query_string"].decode()
        headers = [(name, value) for name, value in scope["headers"] if name.decode() not in _NOT_FORWARDED]
        # Nothing to verify on loopback, and reading the machine's certificates takes longer than the request.
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=60) as client:
            url = f"{self.upstream}{path}{'?' + query if query else ''}"
            return await client.request(scope["method"], url, headers=headers, content=body)


@contextmanager
def gate(upstream: str) -> Iterator[Gate]:
    """Run a gate in front of a sandbox until the block ends."""
    made = Gate(upstream)
    config = uvicorn.Config(made, host="127.0.0.1", port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    made.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        for lane in made.holds:
            made.cut(lane)
        server.should_exit = True
        thread.join(timeout=60)


async def _passes(hold: Hold) -> bool:
    """Hold the request until it may go on (true) or is cut off (false)."""
    hold.is_held = True
    await asyncio.to_thread(hold.released.wait)
    return not hold.is_cut


async def _body_of(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _break_off(send: Any) -> None:
    """Begin an answer that never comes to its end; the server then breaks the connection."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})
    raise ConnectionResetError

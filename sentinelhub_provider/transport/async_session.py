"""
The event loop's way to Sentinel Hub, over httpx.

Thin by intent: what to send, repeat, follow or refuse is decided in :mod:`~sentinelhub_provider.transport.policy`.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import httpx

from sentinelhub_provider.connection import ConnectionSettings
from sentinelhub_provider.oauth.broker import TokenBroker
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.transport.answers import EXCERPT_SIZE, Answer
from sentinelhub_provider.transport.metrics import TOKEN_CACHE_HITS, Count, worth_counting
from sentinelhub_provider.transport.pacer import Pacer
from sentinelhub_provider.transport.policy import (
    DEFAULT_DEADLINE,
    Authorize,
    Call,
    Failure,
    FailureKind,
    Flow,
    Reserve,
    Send,
    Settle,
    Wait,
    call_flow,
)
from sentinelhub_provider.transport.receive import Intake, MemoryReceiver, Receiver
from sentinelhub_provider.transport.request_body import RequestBody, header_fields, unsendable
from sentinelhub_provider.transport.token_endpoint import TokenCall, credentials_of

_Result = TypeVar("_Result")

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""The spellings of this machine that httpx can be told to reach directly."""

CONNECT_TIMEOUT = 10.0
"""Seconds until a connection must stand."""

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)
"""How many connections there are, callers decide by how much they ask at a time; httpx would close those above 20."""


class AsyncSentinelHubSession:
    """
    Makes authorized calls on one event loop; the counterpart of ``SentinelHubSession.call``.

    :param settings: the connection.
    :param broker: where tokens come from.
    :param pacer: says when requests may start.
    :param on_token: told every token that is new to this process, before it is used: masks it in the logs.
    :param on_wait: told of every wait.
    :param count: adds to a counter; see :mod:`~sentinelhub_provider.transport.metrics`.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        broker: TokenBroker,
        pacer: Pacer,
        *,
        on_token: Callable[[str], Awaitable[None]],
        on_wait: Callable[[Wait], None],
        count: Count = lambda _, __: None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._pacer = pacer
        self._on_token = on_token
        self._on_wait = on_wait
        self._count = count
        self._clock = clock
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._jitter = jitter
        verify = settings.verify
        # One for all: each reads the certificates of all authorities anew.
        context = (
            ssl.create_default_context(cafile=verify)
            if isinstance(verify, str)
            else httpx.create_ssl_context(verify=verify)
        )
        # Plain http is allowed to this machine because nobody listens on the way; a proxy would.
        direct = httpx.AsyncHTTPTransport(verify=context, limits=_LIMITS)
        self._client = httpx.AsyncClient(
            verify=context,
            limits=_LIMITS,
            follow_redirects=False,
            mounts={f"all://{host}": direct for host in LOOPBACK_HOSTS},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def call(self, call: Call, receiver: Receiver, **kwargs: Any) -> tuple[httpx.Response, Answer]:
        """
        Make one call, repeated where that is safe, until it has an answer that is one.

        :param call: what is asked for.
        :param receiver: takes the body of the good answer.
        :param kwargs: ``params``, ``data``, ``json``, ``files``, ``headers``, as for the blocking session.
        :returns: the response, its body consumed, and the answer as it was judged.
        :raises SentinelHubError: see :mod:`sentinelhub_provider.exceptions`.
        """
        body = RequestBody(
            data=kwargs.pop("data", None), document=kwargs.pop("json", None), files=kwargs.pop("files", None)
        )
        content = body.content()
        what = {"data": content} if isinstance(content, Mapping) else {"content": content}
        headers = kwargs.pop("headers", None)
        response = httpx.Response(200)

        async def send(step: Send) -> Answer | Failure:
            nonlocal response
            fields = header_fields(headers, content_type=body.content_type, token=step.token)
            timeout = httpx.Timeout(min(call.read_timeout, step.timeout), connect=min(CONNECT_TIMEOUT, step.timeout))
            try:
                async with (
                    asyncio.timeout(step.timeout),
                    self._client.stream(
                        step.method, step.url, headers=fields, timeout=timeout, files=body.files, **what, **kwargs
                    ) as response,
                ):
                    return await _receive(response, receiver)
            except TimeoutError as error:
                return Failure(FailureKind.DEADLINE, error)
            except (ValueError, httpx.InvalidURL, httpx.LocalProtocolError) as error:
                raise unsendable(error, call.url) from None
            except httpx.RequestError as error:
                return Failure(_failure_kind(error), error)

        answer = await self._drive(call_flow(call, clock=self._clock, random=self._jitter), send)
        return response, answer

    async def current_token(
        self, *, rejected: AccessToken | None = None, timeout: float = DEFAULT_DEADLINE
    ) -> AccessToken:
        """
        Return a token that works; see :meth:`TokenBroker.aget`.

        :param rejected: a token that the service refused.
        :param timeout: seconds that this may take.
        """
        fetched = False
        ends = self._clock() + timeout

        async def fetch() -> AccessToken:
            nonlocal fetched
            fetched = True
            return await self._fetch_token(ends - self._clock())

        token = await self._broker.aget(
            fetch, announce=lambda token: self._on_token(token.value), rejected=rejected, patience=timeout
        )
        if not fetched:
            self._count(TOKEN_CACHE_HITS, 1)
        return token

    async def _fetch_token(self, timeout: float) -> AccessToken:
        token_call = TokenCall(credentials_of(self._settings), self._wall_clock)
        request = token_call.request()
        receiver = MemoryReceiver()
        sent_at = self._wall_clock()
        with token_call.refusals_worded():
            await self.call(token_call.call(timeout), receiver, data=request.body, headers=dict(request.headers))
        return token_call.read(receiver.body, sent_at)

    async def _paced(self, act: Callable[[], _Result]) -> _Result:
        """Let the pacer act, in a thread if need be."""
        return await asyncio.to_thread(act) if self._pacer.may_block else act()

    async def _drive(self, flow: Flow, send: Callable[[Send], Awaitable[Answer | Failure]]) -> Answer:
        """Walk through a flow, doing what it says."""
        event: Any = None
        try:
            while True:
                step = flow.send(event)
                match step:
                    case Reserve(previous):
                        event = await self._paced(partial(self._pacer.reserve, previous))
                    case Settle(slot, status, retry_after, spent):
                        settle = partial(self._pacer.settle, slot, status=status, retry_after=retry_after, spent=spent)
                        await self._paced(settle)
                        event = None
                    case Authorize(rejected, timeout):
                        event = await self.current_token(rejected=rejected, timeout=timeout)
                    case Send():
                        event = await send(step)
                    case Wait(seconds):
                        self._on_wait(step)
                        await self._sleep(seconds)
                        event = None
                for name, value in worth_counting(step, event):
                    self._count(name, value)
        except StopIteration as done:
            answer: Answer = done.value
            return answer


async def _receive(response: httpx.Response, receiver: Receiver) -> Answer:
    is_good = response.status_code < 300
    intake = Intake(receiver if is_good else MemoryReceiver())
    async for chunk in response.aiter_bytes():
        intake.feed(chunk)
        if not is_good and intake.size >= EXCERPT_SIZE:
            break
    return Answer(response.status_code, response.headers, intake.excerpt, intake.size)


def _failure_kind(error: httpx.RequestError) -> FailureKind:
    """Sort httpx's exceptions by what they say of whether the service acted."""
    match error:
        case httpx.ConnectError() if _is_tls(error):
            return FailureKind.TLS
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout() | httpx.ProxyError():
            return FailureKind.UNREACHABLE
        case httpx.TimeoutException():
            return FailureKind.SILENT
        case _:
            return FailureKind.BROKEN


def _is_tls(error: BaseException | None) -> bool:
    """Look for the TLS error below, which httpx does not tell apart by type."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False

"""
The event loop's way to Sentinel Hub, over httpx.

What to send, repeat, follow or refuse is decided in :mod:`~sentinelhub_provider.transport.policy`.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import httpx

from sentinelhub_provider.connection import ConnectionSettings
from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.oauth.broker import TokenBroker
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.transport.answers import EXCERPT_SIZE, Answer
from sentinelhub_provider.transport.metrics import TOKEN_CACHE_HITS, Count, worth_counting
from sentinelhub_provider.transport.network import CONNECT_TIMEOUT, proxy_for, root_cause, ssl_context, with_query
from sentinelhub_provider.transport.policy import (
    DEFAULT_DEADLINE,
    Authorize,
    Call,
    Distrust,
    Failure,
    FailureKind,
    Flow,
    Reserve,
    Send,
    Settle,
    Wait,
    call_flow,
)
from sentinelhub_provider.transport.rate_limit import Slot
from sentinelhub_provider.transport.rate_limiter import RateLimiter
from sentinelhub_provider.transport.receive import Intake, MemoryReceiver, Receiver
from sentinelhub_provider.transport.request_body import RequestBody, header_fields, unsendable

_Result = TypeVar("_Result")

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)
"""How many connections there are, callers decide by how much they ask at a time; httpx would close those above 20."""

_HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": f"python-httpx/{httpx.__version__}"}


class AsyncSentinelHubSession:
    """
    Makes authorized calls on one event loop; the counterpart of ``SentinelHubSession.call``.

    It uses httpx's transports without httpx's client, which would log each URL with its query.

    :param settings: the connection.
    :param broker: where tokens come from.
    :param limiter: says when requests may start.
    :param fetch: asks the token endpoint, in a thread, for so many seconds at most, and notes the token in the list.
    :param on_token: told every token that is new to this process, before it is used: masks it in the logs.
    :param on_wait: told of every wait.
    :param count: adds to a counter; see :mod:`~sentinelhub_provider.transport.metrics`.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        broker: TokenBroker,
        limiter: RateLimiter,
        *,
        fetch: Callable[[list[AccessToken], float], AccessToken],
        on_token: Callable[[str], Awaitable[None]],
        on_wait: Callable[[Wait], None],
        count: Count = lambda _, __, ___: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._limiter = limiter
        self._fetch = fetch
        self._on_token = on_token
        self._on_wait = on_wait
        self._count = count
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._process = os.getpid()
        self._transports: dict[str | None, httpx.AsyncHTTPTransport] = {}

    def _transport(self, url: str) -> httpx.AsyncHTTPTransport:
        """Return the connections on the way to a URL: direct, or through a proxy."""
        if self._process != os.getpid():  # a child must not read the answers to its parent's requests
            self._process, self._transports = os.getpid(), {}
        way = proxy_for(url)
        if way not in self._transports:
            context = ssl_context(self._settings.verify)
            proxy = None if way is None else httpx.Proxy(way, ssl_context=context if way[:5] == "https" else None)
            self._transports[way] = httpx.AsyncHTTPTransport(
                verify=context, limits=_LIMITS, proxy=proxy, trust_env=False
            )
        return self._transports[way]

    async def aclose(self) -> None:
        """Close all connections."""
        while self._transports:
            await self._transports.popitem()[1].aclose()

    async def call(self, call: Call, receiver: Receiver, **kwargs: Any) -> tuple[httpx.Response, Answer]:
        """
        Make one call, repeated where that is safe, until it has a usable answer.

        :param call: what is asked for.
        :param receiver: takes the body of the good answer.
        :param kwargs: ``params``, ``data``, ``json``, ``files``, ``headers``, as for the blocking session.
        :returns: the response, its body consumed, and the answer as it was judged.
        :raises SentinelHubError: see :mod:`sentinelhub_provider.exceptions`.
        """
        call = replace(call, url=with_query(call.url, kwargs.pop("params", None)))
        headers = kwargs.pop("headers", None)
        body = RequestBody(data=kwargs.pop("data", None), document=kwargs.pop("json", None), **kwargs)
        content = body.content()
        carried: dict[str, Any] = {"data" if isinstance(content, Mapping) else "content": content, "files": body.files}
        response = httpx.Response(200)

        async def send(step: Send) -> Answer | Failure:
            nonlocal response
            timeout = httpx.Timeout(
                min(call.read_timeout, step.timeout),
                connect=min(CONNECT_TIMEOUT, step.timeout),
                write=step.timeout,
            )
            try:
                fields = httpx.Headers(_HEADERS)
                fields.update(
                    header_fields(headers, content_type=body.content_type, token=step.token, is_foreign=step.is_foreign)
                )
                request = httpx.Request(
                    step.method,
                    step.url,
                    headers=fields,
                    extensions={"timeout": timeout.as_dict()},
                    **({} if step.is_foreign else carried),
                )
                async with asyncio.timeout(step.timeout):
                    response = await self._transport(step.url).handle_async_request(request)
                    response.request = request
                    try:
                        return await _receive(response, receiver)
                    finally:
                        await response.aclose()
            except SentinelHubError:
                raise
            except TimeoutError as error:
                return Failure(FailureKind.DEADLINE, error)
            except (ValueError, httpx.InvalidURL, httpx.LocalProtocolError) as error:
                raise unsendable(error, call.url) from None
            except httpx.RequestError as error:
                return Failure(_failure_kind(error), root_cause(error))

        answer = await self._drive(call_flow(call, clock=self._clock, random=self._jitter), send, call.url)
        response.status_code = answer.status
        return response, answer

    async def current_token(
        self, *, rejected: AccessToken | None = None, timeout: float = DEFAULT_DEADLINE
    ) -> AccessToken:
        """
        Return a token that works; see :meth:`TokenBroker.aget`.

        :param rejected: a token that the service refused.
        :param timeout: seconds that this may take.
        """
        fetched: list[AccessToken] = []
        if rejected is not None:
            self._broker.check_trust(self._settings.base_url)
        token = await self._broker.aget(partial(self._fetch, fetched), rejected=rejected, patience=timeout)
        if self._broker.needs_masking(token):
            await self._on_token(token.value)
            self._broker.masked(token)
        if token not in fetched:
            self._count(TOKEN_CACHE_HITS, 1, "")
        return token

    async def _limit(self, act: Callable[[], _Result]) -> _Result:
        """Let the rate limiter act, in a thread if need be."""
        return await asyncio.to_thread(act) if self._limiter.may_block else act()

    async def _drive(self, flow: Flow, send: Callable[[Send], Awaitable[Answer | Failure]], url: str) -> Answer:
        """Walk through a flow, doing what it says."""
        event: Any = None
        held: Slot | None = None
        try:
            while True:
                step = flow.send(event)
                event = None
                match step:
                    case Reserve(previous, patience, spends):
                        take = partial(self._limiter.reserve, previous, patience=patience, spends=spends)
                        taking = asyncio.ensure_future(self._limit(take))
                        try:
                            event = held = await asyncio.shield(taking)
                        except asyncio.CancelledError:
                            held = await taking  # a thread goes on, whoever is cancelled
                            raise
                    case Settle(slot, status, retry_after, spent):
                        act = partial(self._limiter.settle, slot, status=status, retry_after=retry_after, spent=spent)
                        await self._limit(act)
                    case Authorize(rejected, timeout):
                        event = await self.current_token(rejected=rejected, timeout=timeout)
                    case Distrust(error):
                        self._broker.distrust(self._settings.base_url, error)
                    case Send():
                        held = None
                        event = await send(step)
                    case Wait(seconds):
                        self._on_wait(step)
                        await self._sleep(seconds)
                for name, value in worth_counting(step, event):
                    self._count(name, value, url)
        except StopIteration as done:
            answer: Answer = done.value
            return answer
        finally:
            if held is not None:  # whoever gave up
                await self._limit(partial(self._limiter.give_back, held))


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
        case httpx.ConnectError() if isinstance(root_cause(error), ssl.SSLCertVerificationError):
            return FailureKind.TLS
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout() | httpx.ProxyError():
            return FailureKind.UNREACHABLE
        case httpx.TimeoutException():
            return FailureKind.SILENT
        case _:
            return FailureKind.BROKEN

"""The event loop's calls to Sentinel Hub over httpx. The policy decides, this module sends."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx

from sentinelhub_provider.both_ways import awaited, in_thread
from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.oauth.broker import Fetch
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.transport.answers import Answer
from sentinelhub_provider.transport.download import Intake, MemoryReceiver, Receiver
from sentinelhub_provider.transport.driver import FlowDriver
from sentinelhub_provider.transport.network import CONNECT_TIMEOUT, proxy_for, root_cause, ssl_context
from sentinelhub_provider.transport.policy import DEFAULT_DEADLINE, Call, call_flow
from sentinelhub_provider.transport.request_body import RequestBody, header_fields, unsendable, with_query
from sentinelhub_provider.transport.steps import Failure, FailureKind, Send

# Callers decide how many connections there are by the number of their calls. httpx would close those above 20.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": f"python-httpx/{httpx.__version__}"}


class AsyncSentinelHubSession(FlowDriver):
    """Makes calls on one event loop over httpx's transports, because httpx's client logs URLs with their queries."""

    def __init__(self, *client: Any, **options: Any) -> None:
        super().__init__(*client, **{"sleep": asyncio.sleep, **options})
        self._transports: dict[str | None, httpx.AsyncHTTPTransport] = {}

    def _transport(self, url: str) -> httpx.AsyncHTTPTransport:
        """Return the connections to a URL, direct or through a proxy."""
        if self._process != os.getpid():  # a forked child must not read the answers to its parent's requests
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

    async def call(self, call: Call, receiver: Receiver | None = None, **kwargs: Any) -> tuple[httpx.Response, Answer]:
        """Make one call and repeat it if that is safe, as ``SentinelHubSession.call`` does."""
        call = replace(call, url=with_query(call.url, kwargs.pop("params", None)))
        headers = kwargs.pop("headers", None)
        body = RequestBody(**kwargs)
        carried: dict[str, Any] = {"data" if body.files else "content": body.content(), "files": body.files}
        response, memory = httpx.Response(200), MemoryReceiver()
        # A disk or an object storage may be slow, and the event loop must not wait for it.
        receiving = (lambda act, *given: act(*given)) if receiver is None else in_thread

        async def send(step: Send) -> Answer | Failure:
            nonlocal response
            timeout = httpx.Timeout(
                min(call.read_timeout, step.timeout), connect=min(CONNECT_TIMEOUT, step.timeout), write=step.timeout
            )
            try:
                given = header_fields(
                    headers, content_type=body.content_type, token=step.token, is_foreign=step.is_foreign
                )
                fields = httpx.Headers(_HEADERS)
                fields.update({name: value for name, value in given.items() if value is not None})
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
                        intake: Intake = await awaited(
                            receiving(Intake, receiver or memory, response.status_code, response.headers)
                        )
                        async for chunk in response.aiter_bytes():
                            if not await awaited(receiving(intake.feed, chunk)):
                                break
                        return intake.answer
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

        answer = await self._drive(call_flow(call, clock=self._clock, random=self._jitter), send, call)
        response.status_code = answer.status
        if receiver is None:
            response._content = memory.getvalue()
        return response, answer

    async def current_token(
        self, *, rejected: AccessToken | None = None, timeout: float = DEFAULT_DEADLINE
    ) -> AccessToken:
        """Return a usable token within ``timeout`` seconds. See :meth:`TokenBroker.aget`."""
        return await self._token(rejected, timeout)

    def _from_broker(self, fetch: Fetch, **limits: Any) -> Any:
        return self._broker.aget(fetch, **limits)

    async def _limit(self, act: Callable[[], Any]) -> Any:
        """Call the rate limiter or the budget, if need be in a thread that outlives a cancelled call."""
        if not self._limiter.may_block and self._budget is None:
            return act()
        return await in_thread(act)


def _failure_kind(error: httpx.RequestError) -> FailureKind:
    """Sort httpx's exceptions by whether the service may have acted."""
    match error:
        case httpx.ConnectError() if isinstance(root_cause(error), ssl.SSLCertVerificationError):
            return FailureKind.TLS
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout() | httpx.ProxyError():
            return FailureKind.UNREACHABLE
        case httpx.TimeoutException():
            return FailureKind.SILENT
        case _:
            return FailureKind.BROKEN

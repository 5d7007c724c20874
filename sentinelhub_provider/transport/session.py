"""
The blocking way to Sentinel Hub: a ``requests_oauthlib.OAuth2Session`` that authorizes every call by itself.

Thin by intent: what to send, repeat, follow or refuse is decided in :mod:`~sentinelhub_provider.transport.policy`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

from sentinelhub_provider.connection import ConnectionSettings
from sentinelhub_provider.oauth.broker import TokenBroker
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.origins import is_loopback
from sentinelhub_provider.transport.answers import EXCERPT_SIZE, Answer
from sentinelhub_provider.transport.bounded_reads import BoundedAdapter, bounded_reads
from sentinelhub_provider.transport.metrics import TOKEN_CACHE_HITS, Count, worth_counting
from sentinelhub_provider.transport.pacer import Pacer
from sentinelhub_provider.transport.policy import (
    DEFAULT_DEADLINE,
    Authorize,
    Call,
    Failure,
    FailureKind,
    Reserve,
    Send,
    Settle,
    Wait,
    authorized_flow,
    call_flow,
)
from sentinelhub_provider.transport.receive import Intake, MemoryReceiver, Receiver
from sentinelhub_provider.transport.request_body import RequestBody, header_fields, unsendable
from sentinelhub_provider.transport.token_endpoint import TokenCall, credentials_of

CONNECT_TIMEOUT = 10.0
"""Seconds until a connection must stand."""

READ_SIZE = 256 * 1024
"""Bytes taken from the socket at a time."""

POOL_SIZE = 32
"""Connections kept open to one host: as many threads can call at once without opening new ones."""


class SentinelHubSession(OAuth2Session):
    """
    An ``OAuth2Session`` that gets, adds and renews its token by itself.

    ``session.get(url)`` works as with any ``requests`` session and answers with whatever status the service gave;
    a path is taken relative to the connection's base URL. The token goes to the connection's own host and its
    ``allowed_hosts`` only. :meth:`call` is the careful way: it repeats what is safe to repeat and raises typed errors.

    :param settings: the connection.
    :param broker: where tokens come from.
    :param pacer: says when requests may start.
    :param resolve: turns a path into a URL.
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
        resolve: Callable[[str], str],
        on_token: Callable[[str], None],
        on_wait: Callable[[Wait], None],
        count: Count = lambda _, __: None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(client=BackendApplicationClient(client_id=settings.client_id))
        self._settings = settings
        self._trusted = settings.trusted_origins
        self._broker = broker
        self._pacer = pacer
        self._resolve = resolve
        self._on_token = on_token
        self._on_wait = on_wait
        self._count = count
        self._clock = clock
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._jitter = jitter
        self.verify = settings.verify
        adapter = BoundedAdapter(pool_connections=4, pool_maxsize=POOL_SIZE)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._settings.base_url} client_id={self._settings.client_id!r}>"

    def request(  # type: ignore[override]  # the looser signature that requests users know
        self,
        method: str,
        url: str,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        withhold_token: bool = False,
        client_id: str | None = None,  # noqa: ARG002 - for refreshing, which goes another way here
        client_secret: str | None = None,  # noqa: ARG002
        files: Any = None,
        allow_redirects: bool = True,
        timeout: Any = None,
        **kwargs: Any,
    ) -> requests.Response:
        """
        Send one authorized request, as ``requests.Session.request`` would.

        :raises SentinelHubRequestError: for a URL on a host that may not see the token.
        :raises SentinelHubResponseError: for a redirect to one, or one that would turn a POST into a GET.
        :raises SentinelHubAuthenticationError: if no token can be had, or two in a row are refused.
        :raises requests.RequestException: for connections that fail, as with any session.
        """
        url = self._resolve(url)
        body = RequestBody(data=data, files=files)
        response: requests.Response | None = None
        if withhold_token:
            return self._plain_request(method, url, headers, body, timeout, allow_redirects=allow_redirects, **kwargs)

        def send(step: Send) -> Answer:
            nonlocal response
            if response is not None:
                response.close()
            authorized = header_fields(headers, token=step.token)
            response = self._plain_request(step.method, step.url, authorized, body, timeout, **kwargs)
            if not allow_redirects and response.is_redirect:
                return Answer(200, {})  # the caller wants to see the redirect itself
            return Answer(response.status_code, response.headers)

        call = Call(method.upper(), url, self._trusted)
        flow = authorized_flow(call, ends=self._clock() + DEFAULT_DEADLINE, clock=self._clock)
        self._drive(flow, send)
        assert response is not None  # noqa: S101 - no flow ends well without having sent
        return response

    def call(self, call: Call, receiver: Receiver, **kwargs: Any) -> tuple[requests.Response, Answer]:
        """
        Make one call, repeated where that is safe, until it has an answer that is one.

        :param call: what is asked for.
        :param receiver: takes the body of the good answer.
        :param kwargs: ``params``, ``data``, ``json``, ``files``, ``headers`` as for ``requests``.
        :returns: the response, its body consumed, and the answer as it was judged.
        :raises SentinelHubError: see :mod:`sentinelhub_provider.exceptions`.
        """
        body = RequestBody(
            data=kwargs.pop("data", None), document=kwargs.pop("json", None), files=kwargs.pop("files", None)
        )
        headers = kwargs.pop("headers", None)
        response = requests.Response()

        def send(step: Send) -> Answer | Failure:
            nonlocal response
            ends = self._clock() + step.timeout
            # The total bounds connecting and waiting for the first byte together.
            timeout = urllib3.Timeout(total=step.timeout, connect=CONNECT_TIMEOUT, read=call.read_timeout)
            try:
                with bounded_reads(lambda: ends - self._clock()):
                    response = self._plain_request(
                        step.method,
                        step.url,
                        header_fields(headers, content_type=body.content_type, token=step.token),
                        body,
                        timeout,
                        stream=True,
                        **kwargs,
                    )
                with response:
                    return _receive(response, receiver)
            except ValueError as error:
                raise unsendable(error, call.url) from None
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                return Failure(_failure_kind(error), error)

        answer = self._drive(call_flow(call, clock=self._clock, random=self._jitter), send)
        return response, answer

    def current_token(self, *, rejected: AccessToken | None = None, timeout: float = DEFAULT_DEADLINE) -> AccessToken:
        """
        Return a token that works; see :meth:`TokenBroker.get`.

        :param rejected: a token that the service refused.
        :param timeout: seconds that this may take.
        """
        fetched = False
        ends = self._clock() + timeout

        def fetch() -> AccessToken:
            nonlocal fetched
            fetched = True
            return self._fetch_token(ends - self._clock())

        token = self._broker.get(
            fetch, announce=lambda token: self._on_token(token.value), rejected=rejected, patience=timeout
        )
        if not fetched:
            self._count(TOKEN_CACHE_HITS, 1)
        return token

    def fetch_token(self, *_: Any, **__: Any) -> dict[str, Any]:
        """
        Return the current token as a dict; arguments are ignored.

        Code written for a plain ``OAuth2Session`` calls this first. Here the connection knows where tokens come from.
        """
        token = self.current_token()
        return {
            "access_token": token.value,
            "token_type": "Bearer",
            "expires_in": token.seconds_left(self._wall_clock()),
            "expires_at": token.expires_at,
        }

    @property
    def authorized(self) -> bool:
        """Always true: the session gets its token when it needs one."""
        return True

    def _fetch_token(self, timeout: float) -> AccessToken:
        token_call = TokenCall(credentials_of(self._settings), self._wall_clock)
        request = token_call.request()
        receiver = MemoryReceiver()
        sent_at = self._wall_clock()
        with token_call.refusals_worded():
            self.call(token_call.call(timeout), receiver, data=request.body, headers=dict(request.headers))
        return token_call.read(receiver.body, sent_at)

    def _drive(self, flow: Any, send: Callable[[Send], Answer | Failure]) -> Answer:
        """Walk through a flow, doing what it says."""
        event: Any = None
        try:
            while True:
                step = flow.send(event)
                match step:
                    case Reserve(previous):
                        event = self._pacer.reserve(previous)
                    case Settle(slot, status, retry_after, spent):
                        self._pacer.settle(slot, status=status, retry_after=retry_after, spent=spent)
                        event = None
                    case Authorize(rejected, timeout):
                        event = self.current_token(rejected=rejected, timeout=timeout)
                    case Send():
                        event = send(step)
                    case Wait(seconds):
                        self._on_wait(step)
                        self._sleep(seconds)
                        event = None
                for name, value in worth_counting(step, event):
                    self._count(name, value)
        except StopIteration as done:
            answer: Answer = done.value
            return answer

    def _plain_request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: RequestBody,
        timeout: Any,
        *,
        allow_redirects: bool = False,
        **kwargs: Any,
    ) -> requests.Response:
        """Send once through ``requests`` itself, past OAuth2Session, which would refuse loopback and log the token."""
        if timeout is None:
            timeout = (CONNECT_TIMEOUT, self._settings.timeout)
        # Given with each request: else REQUESTS_CA_BUNDLE of the environment would overrule the connection.
        kwargs.setdefault("verify", self.verify)
        if is_loopback(urlsplit(url).hostname or ""):
            # Plain http is allowed there because nobody listens on the way; a proxy would.
            kwargs["proxies"] = {"http": None, "https": None, "all": None}
        response: requests.Response = super(OAuth2Session, self).request(
            method,
            url,
            headers=dict(headers or {}),
            data=body.data(),
            files=body.files,
            timeout=timeout,
            allow_redirects=allow_redirects,
            **kwargs,
        )
        return response


def _receive(response: requests.Response, receiver: Receiver) -> Answer:
    """Take the body as it comes: a larger piece would have to be complete before it is seen."""
    is_good = response.status_code < 300
    intake = Intake(receiver if is_good else MemoryReceiver())
    while chunk := response.raw.read1(READ_SIZE, decode_content=True):
        intake.feed(chunk)
        if not is_good and intake.size >= EXCERPT_SIZE:
            break
    return Answer(response.status_code, response.headers, intake.excerpt, intake.size)


def _failure_kind(error: BaseException) -> FailureKind:
    """Sort the exceptions of ``requests`` and ``urllib3`` by what they say of whether the service acted."""
    match error:
        case requests.exceptions.SSLError() | urllib3.exceptions.SSLError():
            return FailureKind.TLS
        case requests.exceptions.ConnectTimeout() | requests.exceptions.ProxyError():
            return FailureKind.UNREACHABLE
        case requests.exceptions.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
            return FailureKind.SILENT
        case requests.exceptions.ConnectionError(args=(urllib3.exceptions.MaxRetryError(reason=reason), *_)):
            unsent = urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError
            return FailureKind.UNREACHABLE if isinstance(reason, unsent) else FailureKind.BROKEN
        case _:
            return FailureKind.BROKEN

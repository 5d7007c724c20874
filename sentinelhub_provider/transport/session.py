"""The blocking calls to Sentinel Hub over requests. The policy decides, this module sends."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

from sentinelhub_provider.both_ways import at_once
from sentinelhub_provider.connection import ConnectionSettings
from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.oauth.broker import TokenBroker
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.origins import is_loopback
from sentinelhub_provider.transport.answers import Answer
from sentinelhub_provider.transport.bounded_reads import BoundedAdapter, bounded_reads
from sentinelhub_provider.transport.budget import Cost
from sentinelhub_provider.transport.download import Intake, MemoryReceiver, Receiver
from sentinelhub_provider.transport.driver import FlowDriver
from sentinelhub_provider.transport.network import CONNECT_TIMEOUT, proxy_for, root_cause, ssl_context
from sentinelhub_provider.transport.policy import DEFAULT_DEADLINE, Call, authorized_flow, call_flow
from sentinelhub_provider.transport.rate_limiter import RateLimiter
from sentinelhub_provider.transport.request_body import RequestBody, header_fields, unsendable, with_query
from sentinelhub_provider.transport.steps import Failure, FailureKind, Send
from sentinelhub_provider.transport.token_endpoint import fetch_token

READ_SIZE = 256 * 1024  # bytes taken from the socket at a time


class SentinelHubSession(FlowDriver, OAuth2Session):
    """An ``OAuth2Session`` that gets, adds and renews its token by itself.

    ``session.get(url)`` works as with any ``requests`` session and returns an answer with any status. A path is
    relative to the connection's base URL. The token goes only to the connection's own host and its ``allowed_hosts``.
    :meth:`call` also repeats safe calls and raises typed errors.

    :param resolve: turns a path into a URL.
    :param spends: tells whether a call to a URL may cost processing units.
    :param cost: returns the cost of a call for budgets, by method, URL and body. The driver describes other parameters.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        broker: TokenBroker,
        limiter: RateLimiter,
        *,
        resolve: Callable[[str], str],
        spends: Callable[[str], bool] = lambda _: True,
        cost: Callable[[str, str, Any], Cost | None] = lambda _, __, ___: None,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        **options: Any,
    ) -> None:
        OAuth2Session.__init__(self, client=BackendApplicationClient(client_id=settings.client_id))
        options["fetch"] = lambda *arguments: self.fetch_new_token(*arguments)  # a subclass may replace it
        FlowDriver.__init__(self, settings, broker, limiter, sleep=sleep, **options)
        self._resolve, self._spends, self._cost, self._wall_clock = resolve, spends, cost, wall_clock
        self.verify = settings.verify
        self.trust_env = False  # one place reads the environment, for the event loop as well
        self._open_connections()

    def _open_connections(self) -> None:
        self._process = os.getpid()
        adapter = BoundedAdapter(verify=self._settings.verify)
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
        **kwargs: Any,
    ) -> requests.Response:
        """Send one authorized request, as ``requests.Session.request`` does and with its connection errors.

        :raises SentinelHubError: if a URL or redirect must not be followed, or no token is accepted.
        """
        fields = {name: kwargs.pop(name, None) for name in ("params", "json", "files", "cookies", "auth", "hooks")}
        prepared = self._prepared(method, self._resolve(url), headers=headers, data=data, **fields)
        return (self._transmit if withhold_token else self.send)(prepared, **kwargs)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Authorize a prepared request and send it. See :meth:`request`."""
        allow_redirects = kwargs.pop("allow_redirects", True)
        response: requests.Response | None = None

        def send(step: Send) -> Answer:
            nonlocal response
            if response is not None:
                response.close()
            response = self._transmit(_for_step(request, step), allow_redirects=False, **kwargs)
            if not allow_redirects and response.is_redirect:
                return Answer(200, {})  # the caller wants the redirect itself
            return Answer(response.status_code, response.headers)

        method, url = str(request.method).upper(), str(request.url)
        cost = self._cost(method, url, request.body)
        call = Call(method, url, self._settings.trusted_origins, spends=self._spends(url), cost=cost)
        flow = authorized_flow(call, ends=self._clock() + DEFAULT_DEADLINE, clock=self._clock)
        at_once(self._drive(flow, send, call))  # type: ignore[arg-type]  # it never ends in a failure
        assert response is not None  # noqa: S101 - no flow ends well without having sent
        return response

    def call(self, call: Call, receiver: Receiver | None = None, **kwargs: Any) -> tuple[requests.Response, Answer]:
        """Make one call until it has a usable answer. Repeat it if that is safe.

        :param receiver: takes the body of the good answer, ``None`` for the response's own ``content``.
        :param kwargs: ``params``, ``data``, ``json``, ``files``, ``headers`` as for ``requests``.
        :returns: the response with its body consumed, and the answer.
        :raises SentinelHubError: see :mod:`sentinelhub_provider.exceptions`.
        """
        call = replace(call, url=with_query(call.url, kwargs.pop("params", None)))
        try:
            prepared = self._prepared(call.method, call.url, **kwargs)
        except (requests.RequestException, UnicodeError) as error:
            raise unsendable(error, call.url) from None
        response, memory = requests.Response(), MemoryReceiver()

        def send(step: Send) -> Answer | Failure:
            nonlocal response
            ends = self._clock() + step.timeout
            # The total bounds connecting and the wait for the first byte together.
            timeout = urllib3.Timeout(total=step.timeout, connect=CONNECT_TIMEOUT, read=call.read_timeout)
            try:
                with bounded_reads(lambda: ends - self._clock()):
                    response = self._transmit(
                        _for_step(prepared, step), timeout=timeout, stream=True, allow_redirects=False
                    )
                with response:
                    intake = Intake(receiver or memory, response.status_code, response.headers)
                    # The body is read as it comes. A larger piece would have to be complete first.
                    while (chunk := response.raw.read1(READ_SIZE, decode_content=True)) and intake.feed(chunk):
                        pass
                    return intake.answer
            except SentinelHubError:
                raise
            except (ValueError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
                is_answer = isinstance(next(iter(error.args), None), urllib3.exceptions.InvalidHeader)
                if isinstance(error, ValueError) and not is_answer:
                    raise unsendable(error, call.url) from None
                return Failure(_failure_kind(error), root_cause(error))

        answer = at_once(self._drive(call_flow(call, clock=self._clock, random=self._jitter), send, call))
        response.status_code = answer.status
        if receiver is None:
            response._content = memory.getvalue()
            response._content_consumed = True  # type: ignore[attr-defined]  # so that iterating also returns it
        return response, answer

    def current_token(self, *, rejected: AccessToken | None = None, timeout: float = DEFAULT_DEADLINE) -> AccessToken:
        """Return a usable token within ``timeout`` seconds. See :meth:`TokenBroker.get`."""
        return at_once(self._token(rejected, timeout))

    def fetch_new_token(self, fetched: list[AccessToken], timeout: float) -> AccessToken:
        """Ask the token endpoint. See :class:`~sentinelhub_provider.transport.driver.FlowDriver`."""
        fetched.append(fetch_token(self._settings, self.call, timeout=timeout, wall_clock=self._wall_clock))
        return fetched[-1]

    def fetch_token(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the current token as a dict, for code that calls this first. Arguments are ignored."""
        token = self.current_token()
        return {
            "access_token": token.value,
            "token_type": "Bearer",
            "expires_in": token.seconds_left(self._wall_clock()),
            "expires_at": token.expires_at,
        }

    @property
    def authorized(self) -> bool:
        """Always true, because the session gets its token when it needs one."""
        return True

    def resolve_redirects(self, *args: Any, **kwargs: Any) -> Any:
        """Follow redirects if ``requests`` has to. Otherwise ignore them, because the policy follows them."""
        # requests would read the whole body and blame the request for a malformed address.
        return iter(()) if kwargs.get("yield_requests") else super().resolve_redirects(*args, **kwargs)

    def _prepared(self, method: str, url: str, **given: Any) -> requests.PreparedRequest:
        body = RequestBody(**{name: given.pop(name, None) for name in ("data", "json", "files")})
        url = with_query(url, given.pop("params", None))
        headers = header_fields(given.pop("headers", None), content_type=body.content_type)
        request = requests.Request(method.upper(), url, headers=headers, data=body.data(), files=body.files, **given)
        return self.prepare_request(request)

    def _transmit(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send once through ``requests`` itself. OAuth2Session would refuse loopback and log the token."""
        if self._process != os.getpid():  # a forked child must not read the answers to its parent's requests
            self._open_connections()
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (CONNECT_TIMEOUT, self._settings.timeout)
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        if str(request.url).startswith("https:"):
            # requests would blame the URL for faults of the certificates
            ssl_context(kwargs.get("verify", self.verify) or False)
        proxy = proxy_for(str(request.url))
        kwargs["proxies"] = {**({"all": proxy} if proxy else {}), **self.proxies, **kwargs.get("proxies", {})}
        if is_loopback(urlsplit(str(request.url)).hostname or ""):
            kwargs["proxies"] = {}  # plain http is allowed there because nobody listens on the way; a proxy would
        response: requests.Response = super(OAuth2Session, self).send(request, **kwargs)
        return response


def _for_step(request: requests.PreparedRequest, step: Send) -> requests.PreparedRequest:
    """Return a copy for one attempt, with its address, its token, and the body from its start."""
    copy = request.copy()
    copy.method = step.method
    if step.url != request.url:
        copy.prepare_url(step.url, None)
    copy.headers = type(request.headers)(header_fields(request.headers, token=step.token, is_foreign=step.is_foreign))
    if step.is_foreign:
        copy.body = None
    elif isinstance(getattr(copy, "_body_position", None), int):
        requests.utils.rewind_body(copy)
    return copy


def _failure_kind(error: BaseException) -> FailureKind:
    """Sort the exceptions of ``requests`` and ``urllib3`` by whether the service may have acted."""
    match error:
        case requests.exceptions.SSLError():
            # urllib3 reports a broken handshake otherwise, so this one was refused or broke later.
            return (
                FailureKind.TLS if isinstance(root_cause(error), ssl.SSLCertVerificationError) else FailureKind.BROKEN
            )
        case requests.exceptions.ConnectTimeout() | requests.exceptions.ProxyError():
            return FailureKind.UNREACHABLE
        case requests.exceptions.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
            return FailureKind.SILENT
        case requests.exceptions.ConnectionError(args=(urllib3.exceptions.MaxRetryError(reason=reason), *_)):
            unsent = urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError
            return FailureKind.UNREACHABLE if isinstance(reason, unsent) else FailureKind.BROKEN
        case _:
            return FailureKind.BROKEN

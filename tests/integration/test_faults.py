"""Every fault that the sandbox can play, met by both sessions: what comes of it, at what cost, and what it leaves."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any, ClassVar

import pytest
from clocks import FakeClock
from loopback import Loopback, loopback_server

from sentinelhub_provider.api.endpoints import is_repeatable
from sentinelhub_provider.connection import ConnectionSettings
from sentinelhub_provider.deployments import DEPLOYMENTS
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubBadRequestError,
    SentinelHubConfigurationError,
    SentinelHubError,
    SentinelHubNotFoundError,
    SentinelHubPermissionError,
    SentinelHubRateLimitError,
    SentinelHubResponseError,
    SentinelHubServerError,
    SentinelHubTransportError,
)
from sentinelhub_provider.oauth.broker import TokenBroker
from sentinelhub_provider.sandbox.gateway.faults.model import TOKEN_PATHS
from sentinelhub_provider.sandbox.server import SandboxServer
from sentinelhub_provider.transport import token_endpoint
from sentinelhub_provider.transport.async_session import AsyncSentinelHubSession
from sentinelhub_provider.transport.download import LocalTarget, MemoryReceiver, Receiver
from sentinelhub_provider.transport.policy import Call
from sentinelhub_provider.transport.rate_limit import Limits
from sentinelhub_provider.transport.rate_limiter import RateLimiter
from sentinelhub_provider.transport.session import SentinelHubSession
from sentinelhub_provider.transport.steps import Wait

Action = dict[str, Any]

# --- what is called --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A way of calling. ``stored`` streams the body to a file."""

    name: str
    method: str
    path: str
    accept: str | None = None
    stored: bool = False


READ = Kind("read", "GET", "/catalog/v1/collections")
PICTURE = Kind("picture", "POST", "/process/v1", "image/png")
DOWNLOAD = Kind("download", "POST", "/process/v1", "image/png", stored=True)
STATISTICS = Kind("statistics", "POST", "/statistics/v1", "application/json")
JOB = Kind("job", "POST", "/batch/v2/process")
SAFE = (READ, PICTURE, DOWNLOAD)
ALL = (*SAFE, JOB)

JOB_MADE = {"id": "7f1c", "status": "CREATED"}


class BlockingShell:
    """A blocking session as a task has it. Waits pass at once on ``clock``, unless that is the real one."""

    name: ClassVar[str] = "blocking"

    def __init__(self, settings: ConnectionSettings, clock: FakeClock | None = None) -> None:
        self.settings = settings
        self.waits: list[Wait] = []
        self.arguments: dict[str, Any] = {"on_wait": self.waits.append, "jitter": lambda: 0.5}
        self.broker = TokenBroker(clock=clock or time.time, timer=clock or time.monotonic)
        self.limiter = RateLimiter(None, Limits(), clock=clock or time.time)
        if clock is not None:
            self.arguments |= {"clock": clock, "wall_clock": clock}
        self.open(clock)

    def open(self, clock: FakeClock | None) -> None:
        """Open the session."""
        if clock is not None:
            self.arguments["sleep"] = clock.sleep
        self.session = SentinelHubSession(
            self.settings, self.broker, self.limiter, resolve=lambda url: url, on_token=lambda _: None, **self.arguments
        )

    def call(self, call: Call, receiver: Receiver, **body: Any) -> None:
        """Make one call."""
        self.session.call(call, receiver, **body)

    def many(self, calls: list[Callable[[], Call]]) -> list[SentinelHubError | None]:
        """Make calls side by side, ten at a time; return each one's error."""

        def one(make: Callable[[], Call]) -> SentinelHubError | None:
            try:
                self.session.call(make(), MemoryReceiver())
            except SentinelHubError as error:
                return error
            return None

        with ThreadPoolExecutor(10) as pool:
            return list(pool.map(one, calls))

    def close(self) -> None:
        """Close the session."""
        self.session.close()


class AsyncShell(BlockingShell):
    """A session as a trigger has it, on one event loop from the first call to the last."""

    name = "async"

    def open(self, clock: FakeClock | None) -> None:
        """Open the session."""
        super().open(clock)  # which fetches tokens
        self.runner = asyncio.Runner()
        arguments = {name: value for name, value in self.arguments.items() if name != "wall_clock"}
        if clock is not None:
            arguments["sleep"] = clock.asleep

        async def masked(_: str) -> None:
            """Stand in for the masking of tokens."""

        async def make() -> AsyncSentinelHubSession:
            return AsyncSentinelHubSession(
                self.settings,
                self.broker,
                self.limiter,
                fetch=self.session.fetch_new_token,
                on_token=masked,
                **arguments,
            )

        self.asession = self.runner.run(make())

    def call(self, call: Call, receiver: Receiver, **body: Any) -> None:
        """Make one call."""
        self.runner.run(self.asession.call(call, receiver, **body))  # type: ignore[arg-type]  # it is a coroutine

    def many(self, calls: list[Callable[[], Call]]) -> list[SentinelHubError | None]:
        """Make calls side by side, ten at a time; return each one's error."""

        async def one(make: Callable[[], Call], gate: asyncio.Semaphore) -> SentinelHubError | None:
            async with gate:
                try:
                    await self.asession.call(make(), MemoryReceiver())
                except SentinelHubError as error:
                    return error
            return None

        async def every() -> list[SentinelHubError | None]:
            gate = asyncio.Semaphore(10)
            return await asyncio.gather(*(one(make, gate) for make in calls))

        return self.runner.run(every())

    def close(self) -> None:
        """Close the session and the loop."""
        closing: Awaitable[None] = self.asession.aclose()
        self.runner.run(closing)  # type: ignore[arg-type]  # it is a coroutine
        self.runner.close()
        super().close()


def settings_for(url: str, token_url: str, client_id: str, client_secret: str) -> ConnectionSettings:
    """Return the settings of a connection to a sandbox."""
    custom = DEPLOYMENTS["custom"]
    # Nothing to verify on loopback, and reading the machine's certificates takes longer than most tests here.
    return ConnectionSettings("sh", client_id, client_secret, custom, url, token_url, verify=False)


MakeShell = Callable[..., BlockingShell]


@pytest.fixture(name="make_shell", params=[BlockingShell, AsyncShell], ids=lambda kind: kind.name)
def fixture_make_shell(request: pytest.FixtureRequest) -> Iterator[MakeShell]:
    """Make a session of either kind and close it in the end."""
    made: list[BlockingShell] = []

    def make(settings: ConnectionSettings, clock: FakeClock | None = None) -> BlockingShell:
        made.append(request.param(settings, clock))
        return made[-1]

    yield make
    for shell in made:
        shell.close()


@pytest.fixture(name="own")
def fixture_own(sentinelhub_sandbox) -> ConnectionSettings:
    """The sandbox's own connection."""
    sandbox = sentinelhub_sandbox
    return settings_for(sandbox.url, sandbox.token_url, sandbox.client_id, sandbox.client_secret)


@pytest.fixture(name="elsewhere", scope="module")
def fixture_elsewhere() -> Iterator[Loopback]:
    """Another host, which nobody is to call."""
    with loopback_server() as server:
        yield server


# --- the table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A fault and what is to come of it.

    ``calls`` and ``logins`` are requests at the API and at the token endpoint, ``waits`` the seconds waited after each
    failure - or, for what the shared pace waits out, the least and the most in all.
    """

    name: str
    action: Action
    kind: Kind
    times: int | None = 1
    at_token: bool = False
    error: type[SentinelHubError] | None = None
    says: str = ""
    calls: int | range = 1
    logins: int = 1
    waits: tuple[float, ...] = ()
    limiter_wait: tuple[float, float] | None = None
    deadline: float = 600.0
    read_timeout: float = 20.0
    recovers_after: float = 0.0

    @property
    def sound(self) -> Kind:
        """The call that works once the fault is gone; the body of these tests is no request of Statistics."""
        return READ if self.kind is STATISTICS else self.kind

    def __str__(self) -> str:
        where = "token" if self.at_token else "api"
        often = {1: "once", None: "always"}.get(self.times, f"{self.times}-times")
        return f"{where}-{self.name}-{often}-{self.kind.name}"


BACKOFF = (0.75, 1.5, 3.0, 6.0, 12.0, 24.0, 45.0)
"""Waits of eight attempts with the jitter in the middle."""

UNCLEAR = "may have taken effect"
"""What a caller must know of a call that starts something and was not repeated."""


def status(code: int, **fields: Any) -> Action:
    """A status in the service's own shape."""
    return {"kind": "status", "status": code, **fields}


BROKEN: dict[str, Action] = {
    "reset": {"kind": "reset"},
    "reset-mid-body": {"kind": "reset_mid_body"},
    "reset-mid-chunks": {"kind": "reset_mid_body", "chunked": True},
    "truncated": {"kind": "truncate"},
    "truncated-at-start": {"kind": "truncate", "after_bytes": 0},
    "truncated-chunks": {"kind": "truncate", "chunked": True},
    "closed-without-answer": {"kind": "silence", "seconds": 0.01},
}
FAILED: dict[str, Action] = {str(code): status(code) for code in (500, 502, 503, 504)}


def transient() -> Iterator[Case]:
    """What may be gone with the next attempt: repeated where that is safe, and only there."""
    for faults, error, advice in (
        (BROKEN, SentinelHubTransportError, "the connection broke"),
        (FAILED, SentinelHubServerError, "look at its status page"),
    ):
        for name, action in faults.items():
            for kind in SAFE:
                yield Case(name, action, kind, calls=2, waits=BACKOFF[:1])
            yield Case(name, action, JOB, error=error, says=UNCLEAR)
            yield Case(name, action, READ, times=3, calls=4, waits=BACKOFF[:3])
            yield Case(name, action, DOWNLOAD, times=None, error=error, says=advice, calls=8, waits=BACKOFF)
    silence = {"kind": "silence"}
    yield Case("silence", silence, READ, calls=2, waits=BACKOFF[:1], read_timeout=2.0)
    yield Case("silence", silence, DOWNLOAD, calls=2, waits=BACKOFF[:1], read_timeout=2.0)
    yield Case("silence", silence, JOB, error=SentinelHubTransportError, says=UNCLEAR, read_timeout=0.2)
    yield Case(
        *("silence", silence, READ),
        times=None,
        error=SentinelHubTransportError,
        says="connection's timeout",
        calls=8,
        waits=BACKOFF,
        read_timeout=0.05,
    )
    stall = {"kind": "trickle", "chunk_bytes": 50, "interval": 30}
    yield Case("stalled-body", stall, DOWNLOAD, calls=2, waits=BACKOFF[:1], read_timeout=2.0)
    asked = status(503, headers={"Retry-After": "4000"})
    yield Case("503-with-retry-after", asked, READ, calls=2, waits=(4.0 * 1.05,))


NOT_RECEIVED: dict[str, Action] = {
    "408": status(408),
    "425": status(425),
    "body-lost": status(400, body={"error": {"status": 400, "message": "Request body should be non-empty."}}),
}


def not_received() -> Iterator[Case]:
    """The service did not take the request in: repeated for every kind of call, as nothing was done."""
    for name, action in NOT_RECEIVED.items():
        for kind in ALL:
            if (name, kind) != ("body-lost", READ):  # which has no body: there it is simply right
                yield Case(name, action, kind, calls=2, waits=BACKOFF[:1])
        yield Case(
            *(name, action, JOB),
            times=None,
            error=SentinelHubServerError,
            says="did not receive",
            calls=8,
            waits=BACKOFF,
        )


def rate_limits() -> Iterator[Case]:
    """A 429 with each form of ``Retry-After``: waited out for every kind of call, as nothing happened yet."""
    forms: dict[str, tuple[str | None, float, float]] = {
        "milliseconds": ("3398", 3.398, 4.0),
        "seconds-read-as-milliseconds": ("7", 0.1, 5.0),
        "decimal": ("2.5", 2.5, 3.5),
        "date": ("{date}", 28.0, 34.0),
        "nonsense": ("soon", 0.1, 5.0),
        "negative": ("-5", 0.1, 5.0),
        "none": (None, 0.1, 5.0),
    }
    for form, (value, least, most) in forms.items():
        action = {"kind": "rate_limit", "retry_after": value}
        for kind in ALL:
            yield Case(f"429-{form}", action, kind, calls=2, limiter_wait=(least, most))
    huge = {"kind": "rate_limit", "retry_after": "86400000"}
    yield Case("429-a-day", huge, READ, calls=2, limiter_wait=(120, 121))  # not believed for more than two minutes
    wrapped = {"kind": "rate_limit", "retry_after": "1000", "wrapped": True}
    yield Case("429-wrapped", wrapped, JOB, calls=2, limiter_wait=(1, 2.5))
    for kind in (READ, DOWNLOAD, JOB):
        yield Case(
            *("429-endless", {"kind": "rate_limit", "retry_after": "1000"}, kind),
            times=None,
            error=SentinelHubRateLimitError,
            says="Airflow pool",
            calls=range(3, 601),
            limiter_wait=(300, 600),
            recovers_after=700,
        )


def final() -> Iterator[Case]:
    """What stays as it is: one call, and an error that says what to do."""
    no_answer = SentinelHubResponseError
    wrong: dict[str, tuple[Action, type[SentinelHubError], str]] = {
        "html": ({"kind": "html"}, no_answer, "an HTML page"),
        "empty": ({"kind": "empty"}, no_answer, "an empty body"),
        "error-under-200": ({"kind": "error_json"}, no_answer, "an error under status 200"),
        "redirect-elsewhere": (
            {"kind": "redirect", "location": "{elsewhere}/steal", "status": 307},
            *(no_answer, "the token was not sent"),
        ),
        "304": (status(304), no_answer, "a redirect that leads nowhere"),
        "400": (status(400), SentinelHubBadRequestError, "Change the request"),
        "403": (status(403), SentinelHubPermissionError, "Check its plan"),
        "404": (status(404), SentinelHubNotFoundError, "Check the path"),
        "413-html": (
            status(413, text="<html><title>Too large</title></html>", content_type="text/html"),
            *(SentinelHubBadRequestError, "Too large"),
        ),
        "501": (status(501), SentinelHubServerError, "look at its status page"),
    }
    for name, (action, error, says) in wrong.items():
        for kind in ALL:
            # One may follow without the token; the other may have made its job without a word.
            if (name, kind) not in (("redirect-elsewhere", READ), ("empty", JOB)):
                yield Case(name, action, kind, times=None, error=error, says=says)
    for kind in (*ALL, STATISTICS):
        for name, code, words in (
            ("script", "RENDERER_EXCEPTION", "Failed to evaluate script! TypeError: samples.B11 is undefined"),
            ("payload", "COMMON_BAD_PAYLOAD", "aggregation.resx: must be positive"),
            ("data", "RENDERER_EXCEPTION", "Illegal request to s3://bucket/ew-vh.tiff. HTTP Status: 404."),
        ):
            hopeless = status(500, body={"error": {"status": 500, "code": code, "message": words}})
            yield Case(f"500-{name}", hopeless, kind, times=None, error=SentinelHubBadRequestError, says=words)
    not_a_picture = status(200, text="{}", content_type="image/png")
    yield Case("no-picture", not_a_picture, DOWNLOAD, error=no_answer, says="does not match its content type")
    for kind in (PICTURE, DOWNLOAD, JOB):
        moved = {"kind": "redirect", "location": "/catalog/v1/collections", "status": 302}
        yield Case("redirected-post", moved, kind, error=no_answer, says="would turn it into a GET")
    circle = {"kind": "redirect", "location": READ.path, "status": 302}
    yield Case("redirect-circle", circle, READ, times=None, error=no_answer, says="in a circle", calls=6)


def harmless() -> Iterator[Case]:
    """What is only slow, or not worth an error."""
    for kind in SAFE:
        yield Case("delay", {"kind": "delay", "seconds": 0.05}, kind)
    for part in ("body", "head"):
        slow = {"kind": "trickle", "chunk_bytes": 100, "interval": 0.002, "part": part}
        for kind in SAFE:
            yield Case(f"slow-{part}", slow, kind)
    yield Case("redirect-here", {"kind": "redirect", "location": READ.path, "status": 302}, READ, calls=2)
    yield Case("redirect-here", {"kind": "redirect", "location": PICTURE.path, "status": 307}, DOWNLOAD, calls=2)


def bad_tokens() -> Iterator[Case]:
    """A token that is refused: one more is fetched, for every kind of call."""
    for kind in ALL:
        yield Case("401", status(401), kind, calls=2, logins=2)
        yield Case(
            *("401", status(401), kind),
            times=None,
            error=SentinelHubAuthenticationError,
            says="same deployment",
            calls=2,
            logins=2,
        )
    for kind in SAFE:
        yield Case("revoked", {"kind": "revoke_tokens"}, kind, calls=2, logins=2)
        yield Case("key-rotated", {"kind": "rotate_key"}, kind, calls=2, logins=2)


def passing_at_the_token_endpoint(name: str, action: dict[str, Any], error: Any, says: str) -> Iterator[Case]:
    """A fault that one more token request survives; one that stays ends a call after seven."""
    yield Case(name, action, JOB, at_token=True, logins=2, waits=BACKOFF[:1])
    yield Case(
        *(name, action, READ),
        times=None,
        at_token=True,
        error=error,
        says=says,
        calls=0,
        logins=7,
        waits=BACKOFF[:6],
    )


def at_the_token_endpoint() -> Iterator[Case]:
    """What befalls the token request befalls every call: jobs as well, as none was started yet."""
    for faults, error, advice in (
        (BROKEN, SentinelHubTransportError, "the connection broke"),
        (FAILED, SentinelHubServerError, "look at its status page"),
    ):
        for name, action in faults.items():
            yield from passing_at_the_token_endpoint(name, action, error, advice)
    yield Case("silence", {"kind": "silence"}, JOB, at_token=True, logins=2, waits=BACKOFF[:1])
    yield Case("silence", {"kind": "silence"}, JOB, times=3, at_token=True, logins=4, waits=BACKOFF[:3])
    yield Case("delay", {"kind": "delay", "seconds": 0.05}, DOWNLOAD, at_token=True)
    for form, (value, seconds) in {
        "milliseconds": ("3398", 3.398 * 1.05),
        "seconds-read-as-milliseconds": ("7", 0.75),
        "decimal": ("2.5", 2.5 * 1.05),
        "nonsense": ("soon", 0.75),
        "none": (None, 0.75),
    }.items():
        action = {"kind": "rate_limit", "retry_after": value}
        yield Case(f"429-{form}", action, JOB, at_token=True, logins=2, waits=(seconds,))
    yield Case(
        *("429-endless", {"kind": "rate_limit", "retry_after": "1000"}, READ),
        times=None,
        at_token=True,
        error=SentinelHubRateLimitError,
        says="token endpoint",
        calls=0,
        logins=7,
        waits=(1.05, *BACKOFF[1:6]),
    )
    yield Case(
        *("429-two-minutes", {"kind": "rate_limit", "retry_after": "120000"}, READ),
        at_token=True,
        error=SentinelHubRateLimitError,
        says="token endpoint",
        calls=0,
    )
    no_token = SentinelHubResponseError
    for name, (action, says) in {
        "html": ({"kind": "html"}, "an HTML page"),
        "empty": ({"kind": "empty"}, "an empty body"),
        "error-under-200": ({"kind": "error_json"}, "an error under status 200"),
        "redirect": ({"kind": "redirect", "location": "{elsewhere}/steal", "status": 307}, "secret was not sent"),
        "no-access-token": ({"kind": "token_answer", "variant": "no_access_token"}, "without an access_token"),
        "empty-access-token": ({"kind": "token_answer", "variant": "empty_access_token"}, "without an access_token"),
        "list": ({"kind": "token_answer", "variant": "not_an_object"}, "without an access_token"),
        "other-type": ({"kind": "token_answer", "variant": "other_token_type"}, "instead of Bearer"),
    }.items():
        yield Case(name, action, READ, at_token=True, error=no_token, says=says, calls=0)
    for variant in ("no_expires_in", "zero_expires_in", "string_expires_in", "negative_expires_in"):
        yield Case(variant, {"kind": "token_answer", "variant": variant}, READ, at_token=True)
    for variant in ("nonsense_expires_in", "no_token_type"):
        yield Case(variant, {"kind": "token_answer", "variant": variant}, READ, at_token=True)
    gateway = status(403, text="<html><title>Blocked</title></html>", content_type="text/html")
    invalid_request = status(
        400, body={"error": "invalid_request", "error_description": "Missing grant_type parameter"}
    )
    for name, action, answered in (
        ("400", status(400), "answered 400"),
        ("401", status(401), "answered 401"),
        ("404", status(404), "answered 404"),
        ("403-html", gateway, "answered 403 (Blocked), which says nothing about the client. It may pass."),
        ("400-oauth", invalid_request, "answered 400"),
    ):
        yield from passing_at_the_token_endpoint(name, action, no_token, answered)
    for name, code, error, says in (
        ("refused", "unauthorized_client", SentinelHubAuthenticationError, "client ID and client secret"),
        ("refused-scope", "invalid_scope", SentinelHubConfigurationError, "field 'scope'"),
    ):
        refused = status(400, body={"error": code, "error_description": "x"})
        yield Case(name, refused, READ, at_token=True, error=error, says=says, calls=0, recovers_after=61)


CASES = [*transient(), *not_received(), *rate_limits(), *final(), *harmless(), *bad_tokens(), *at_the_token_endpoint()]


@dataclass
class Run:
    """What came of a case."""

    error: SentinelHubError | None
    body: bytes
    folder: list[Path] = field(default_factory=list)


def perform(shell: BlockingShell, case: Case, folder: Path, picture: dict[str, Any]) -> Run:
    """Make the case's call."""
    kind = case.kind
    url = shell.settings.base_url + kind.path
    call = Call(
        kind.method,
        url,
        shell.settings.trusted_origins,
        repeatable=is_repeatable(kind.method, url),
        accept=kind.accept,
        read_timeout=case.read_timeout,
        deadline=case.deadline,
        rate_limited=True,
        has_body=kind.method != "GET",
    )
    body = {} if kind.method == "GET" else {"json": picture}
    headers = {"headers": {"Accept": kind.accept}} if kind.accept else {}
    folder.mkdir()
    error: SentinelHubError | None = None
    content = b""
    try:
        if kind.stored:
            with LocalTarget(folder / "picture.png") as file:
                shell.call(call, file, **body, **headers)
                file.complete(content_type="", processing_units=None, url=url)
            content = (folder / "picture.png").read_bytes()
        else:
            memory = MemoryReceiver()
            shell.call(call, memory, **body, **headers)
            content = memory.getvalue()
    except SentinelHubError as caught:
        error = caught
    return Run(error, content, list(folder.iterdir()))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fault(
    make_shell: MakeShell,
    own: ConnectionSettings,
    sentinelhub_sandbox,
    elsewhere: Loopback,
    case: Case,
    process_request: dict[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    """Outcome, requests, waits, files, and where the token went are as the table says; the next call works."""
    if case.at_token and case.name == "silence":
        monkeypatch.setattr(token_endpoint, "TOKEN_READ_TIMEOUT", 2.0)
    control = sentinelhub_sandbox.control
    clock = FakeClock(1_700_000_000.0)
    shell = make_shell(own, clock)
    given = json.dumps(case.action).replace("{elsewhere}", elsewhere.url)
    action = json.loads(given.replace("{date}", formatdate(time.time() + 30, usegmt=True)))
    control.add_fault(path=TOKEN_PATHS if case.at_token else case.kind.path, times=case.times, action=action)
    # The sandbox makes no jobs: what would have answered is planted behind the fault.
    control.add_fault(path=JOB.path, times=None, action={"kind": "status", "status": 201, "body": JOB_MADE})

    run = perform(shell, case, tmp_path / "first", process_request)

    served = control.counters().requests
    calls = served.get(case.kind.path, 0)
    assert calls in case.calls if isinstance(case.calls, range) else calls == case.calls
    assert served.get(own.auth_url.removeprefix(own.base_url), 0) == case.logins
    assert_waited(case, shell, clock)
    if case.error is None:
        assert run.error is None
    else:
        assert type(run.error) is case.error
        assert case.says in str(run.error)
        endpoint = f"POST {own.auth_url}" if case.at_token else f"{case.kind.method} {own.base_url}{case.kind.path}"
        assert run.error.endpoint == endpoint
        assert endpoint.partition(" ")[2] in str(run.error)
        assert run.folder == []
    assert_kept_secret(control, own, elsewhere, f"{run.error!r} {vars(run.error) if run.error else ''} {caplog.text}")

    for planted in control.faults()[:1]:
        control.remove_fault(planted.id)
    clock.now += case.recovers_after
    again = perform(shell, replace(case, kind=case.sound), tmp_path / "second", process_request)
    assert again.error is None
    assert is_good(case.sound, again)
    assert case.error is not None or (is_good(case.kind, run) and run.body == again.body)


def assert_waited(case: Case, shell: BlockingShell, clock: FakeClock) -> None:
    """Assert that the waits are the table's, besides the moments that keep requests apart."""
    if case.limiter_wait is not None:
        least, most = case.limiter_wait
        assert least <= sum(clock.waits) <= most
    else:
        assert [wait.seconds for wait in shell.waits if not wait.is_turn] == pytest.approx(case.waits)
        assert sum(clock.waits) == pytest.approx(sum(case.waits), abs=0.2)
    assert sum(clock.waits) < case.deadline


def assert_kept_secret(control: Any, own: ConnectionSettings, elsewhere: Loopback, said: str) -> None:
    """Assert that the token went to the API alone, and that neither it nor the secret was written anywhere."""
    assert elsewhere.requests == []
    for record in control.requests():
        assert record.authorized is not record.path.endswith("/token")
    assert own.client_secret not in said
    assert not any(token in said for token in control.tokens())


def is_good(kind: Kind, run: Run) -> bool:
    """Tell whether a body is what the service would have sent, and a file the only one in its folder."""
    if kind is READ:
        return bool(json.loads(run.body)["collections"])
    if kind is JOB:
        return bool(json.loads(run.body) == JOB_MADE)
    whole = run.body.startswith(b"\x89PNG") and run.body.endswith(b"IEND\xaeB`\x82")
    return whole and [path.name for path in run.folder] == (["picture.png"] if kind.stored else [])


# --- nobody listens --------------------------------------------------------------------------------------------------


def free_port() -> int:
    """Return a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class RevivingClock(FakeClock):
    """A clock that starts a server with the third wait after a failure."""

    def __init__(self, server: SandboxServer) -> None:
        super().__init__(1_700_000_000.0)
        self._server = server

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        super().sleep(seconds)
        if sum(wait > 0.5 for wait in self.waits) == 3 and not self._server.started:
            self._server.start()


@pytest.mark.parametrize("kind", [READ, JOB], ids=lambda kind: kind.name)
@pytest.mark.parametrize("down", ["api", "token"])
def test_refused_connection_is_tried_until_somebody_listens(
    make_shell: MakeShell, down: str, kind: Kind, process_request: dict[str, Any], tmp_path: Path
):
    """Nothing was sent, so that every kind of call may be repeated: it succeeds once the service is back."""
    server = SandboxServer(port=free_port())
    clock = RevivingClock(server)
    with server:
        server.control.add_fault(path=JOB.path, times=None, action=status(201, body=JOB_MADE))
        own = settings_for(server.url, server.token_url(), server.client_id, server.client_secret)
        shell = make_shell(own, clock)
        if down == "api":  # else the first thing that is missed is the token
            assert perform(shell, Case("warm", {}, PICTURE), tmp_path / "warm", process_request).error is None
    run = perform(shell, Case("refused", {}, kind), tmp_path / "first", process_request)
    server.stop()

    assert run.error is None
    assert is_good(kind, run)
    assert [wait.seconds for wait in shell.waits if not wait.is_turn] == pytest.approx(BACKOFF[:3])
    assert server.control.counters().requests[kind.path] == 1


@pytest.mark.parametrize("down", ["api", "token"])
def test_refused_connection_names_who_refused(
    make_shell: MakeShell, own: ConnectionSettings, down: str, tmp_path: Path
):
    """It is given up after eight attempts, or at the token endpoint's deadline."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings = replace(own, **({"base_url": nowhere} if down == "api" else {"auth_url": f"{nowhere}/token"}))
    clock = FakeClock()
    shell = make_shell(settings, clock)

    run = perform(shell, Case("refused", {}, JOB), tmp_path / "first", {})

    assert isinstance(run.error, SentinelHubTransportError)
    endpoint = f"{nowhere}{JOB.path}" if down == "api" else f"{nowhere}/token"
    assert f"POST {endpoint}: the host cannot be reached" in str(run.error)
    assert "Check the host in the connection, the network, and the proxy settings" in str(run.error)
    assert UNCLEAR not in str(run.error)
    assert sum(clock.waits) == pytest.approx(sum(BACKOFF if down == "api" else BACKOFF[:6]), abs=0.2)


# --- the deadline ----------------------------------------------------------------------------------------------------

TRICKLE = {"kind": "trickle", "chunk_bytes": 1, "interval": 0.02}


@pytest.mark.parametrize(
    ("at_token", "action", "error", "says"),
    [
        pytest.param(False, {"kind": "silence"}, SentinelHubTransportError, "the deadline passed", id="silence"),
        pytest.param(False, TRICKLE, SentinelHubTransportError, "the deadline passed", id="trickling-body"),
        pytest.param(
            False, {**TRICKLE, "part": "head"}, SentinelHubTransportError, "the deadline passed", id="trickling-head"
        ),
        pytest.param(
            False, {"kind": "rate_limit", "retry_after": "50"}, SentinelHubRateLimitError, "pool", id="endless-429"
        ),
        pytest.param(False, {"kind": "reset"}, SentinelHubTransportError, "the connection broke", id="endless-resets"),
        pytest.param(
            False,
            {"kind": "redirect", "location": READ.path},
            SentinelHubResponseError,
            "in a circle",
            id="endless-redirects",
        ),
        pytest.param(True, {"kind": "silence"}, SentinelHubTransportError, "the deadline passed", id="silent-token"),
        pytest.param(True, TRICKLE, SentinelHubTransportError, "the deadline passed", id="trickling-token"),
        pytest.param(
            True,
            {**TRICKLE, "part": "head"},
            SentinelHubTransportError,
            "the deadline passed",
            id="trickling-token-head",
        ),
        pytest.param(
            True,
            {"kind": "rate_limit", "retry_after": "50"},
            SentinelHubRateLimitError,
            "token",
            id="endless-token-429",
        ),
    ],
)
def test_endless_fault_ends_at_the_deadline(
    make_shell: MakeShell,
    own: ConnectionSettings,
    sentinelhub_sandbox,
    tmp_path: Path,
    at_token: bool,
    action: Action,
    error: type[SentinelHubError],
    says: str,
):
    """With the error that says why; a call without the fault works again."""
    # What answers at once is repeated on a clock of the test's own, else a busy machine's attempts would be fewer.
    shell = make_shell(
        own, FakeClock(1_700_000_000.0) if action["kind"] in ("rate_limit", "reset", "redirect") else None
    )
    if not at_token:  # the deadline is for the call alone
        perform(shell, Case("warm", {}, READ), tmp_path / "warm", {})
    sentinelhub_sandbox.control.add_fault(path=TOKEN_PATHS if at_token else READ.path, times=None, action=action)
    run = perform(shell, Case("endless", action, READ, deadline=0.8), tmp_path / "endless", {})

    was_cut = isinstance(run.error, SentinelHubTransportError) and "the deadline passed" in str(run.error)
    assert was_cut or (type(run.error) is error and says in str(run.error))  # a slow machine's last attempt is cut
    sentinelhub_sandbox.control.clear_faults()
    assert perform(shell, Case("after", {}, READ), tmp_path / "after", {}).error is None


# --- one among many --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "error"),
    [
        pytest.param(status(400), SentinelHubBadRequestError, id="bad-request"),
        pytest.param({"kind": "html"}, SentinelHubResponseError, id="html"),
        pytest.param({"kind": "reset"}, None, id="reset"),
        pytest.param({"kind": "rate_limit", "retry_after": "50"}, None, id="429"),
        pytest.param({"kind": "revoke_tokens"}, None, id="token-revoked"),
    ],
)
def test_one_bad_request_among_a_hundred_costs_that_one(
    make_shell: MakeShell,
    own: ConnectionSettings,
    sentinelhub_sandbox,
    action: Action,
    error: type[SentinelHubError] | None,
):
    """Ten at a time, one of them with a fault: at most that one fails, and the token is fetched once, or once more."""
    shell = make_shell(own)
    url = own.base_url + READ.path
    sentinelhub_sandbox.control.add_fault(path=READ.path, after=40, action=action)

    errors = shell.many([lambda: Call("GET", url, own.trusted_origins, rate_limited=True)] * 100)

    assert [type(failed) for failed in errors if failed] == ([error] if error else [])
    counters = sentinelhub_sandbox.control.counters()
    assert counters.token_requests == (2 if action["kind"] == "revoke_tokens" else 1)

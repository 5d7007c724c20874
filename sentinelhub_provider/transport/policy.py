"""
What a call does next. Pure: no sockets, no sleeping, no clock of its own.

:func:`call_flow` is a generator that yields one step at a time - authorize, send, wait - and is sent what came of it.
The blocking and the asynchronous session drive the same flow; no decision stands in either of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit

from sentinelhub_provider.connection import DEFAULT_TIMEOUT
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubError,
    SentinelHubRateLimitError,
    SentinelHubRequestError,
    SentinelHubResponseError,
    SentinelHubTransportError,
)
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.origins import Origin, TrustedOrigins, without_query
from sentinelhub_provider.transport.answers import (
    Answer,
    bad_answer,
    error_from,
    problem_with_success,
    read_error_document,
    says_body_is_missing,
)
from sentinelhub_provider.transport.rate_limit import Slot
from sentinelhub_provider.transport.retry_after import parse_retry_after, wait_before_retry

MAX_ATTEMPTS = 8
"""Attempts of one call, unless the deadline ends it sooner."""

DEFAULT_DEADLINE = 600.0
"""Seconds that one call may take in all, waiting and repeating included."""

MAX_REDIRECTS = 5

UNCLEAR_OUTCOME = " It may have taken effect, so it was not repeated: look whether it did before you repeat it."
"""Behind the error of a call that must not be done twice, where nobody can tell whether the service acted on it."""

COSTLY_SILENCE = (
    " It was sent {}; the service may have charged processing units each time. To send it no more than once, set "
    "repeat_silent=False."
)
"""Behind the error of a call that costs processing units, where the service stayed silent."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEPING_METHOD = frozenset({307, 308})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_READING_METHODS = frozenset({"GET", "HEAD"})


class FailureKind(Enum):
    """Why no whole answer arrived."""

    UNREACHABLE = "the host cannot be reached"
    """Nothing was sent: the name does not resolve, or the connection was refused or took too long."""
    TLS = "the TLS connection failed"
    """Nothing was sent: the certificate was not accepted."""
    BROKEN = "the connection broke"
    """Sent, or partly; whether the service acted is unknown."""
    SILENT = "the service stayed silent for too long"
    """Sent; no byte came for as long as a read may take."""
    DEADLINE = "the deadline passed"
    """Sent; the answer was not complete when the time for the whole call was over."""
    TOO_LATE = "the deadline passed before it could be sent"
    """Nothing was sent: getting the token took all the time that there was."""


_SENT = frozenset({FailureKind.BROKEN, FailureKind.SILENT, FailureKind.DEADLINE})
"""After these nobody can tell whether the service acted."""

_FINAL = frozenset({FailureKind.TLS, FailureKind.DEADLINE, FailureKind.TOO_LATE})
"""After these another attempt is bound to end the same way."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt without a whole answer. ``cause`` is the library's exception, kept as the error's cause."""

    kind: FailureKind
    cause: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """
    What is asked for, as far as decisions need it.

    :param method: HTTP method.
    :param url: absolute URL.
    :param trusted: where the bearer token may go; ``None`` for a call without a token.
    :param repeatable: whether repeating after an unclear failure does no harm.
    :param accept: media type asked for, where one was.
    :param read_timeout: seconds of silence after which one attempt is given up.
    :param deadline: seconds for the whole call.
    :param max_attempts: attempts at most; a 429 that is waited out by the rate limiter is none.
    :param rate_limited: whether it keeps to the rate limit of all who share the account.
    :param spends: whether it may cost processing units.
    :param has_body: whether a body is sent with it.
    :param repeat_silent: whether a call that may cost processing units is sent once more where the service stayed
        silent, and may have charged for it.
    :param longest_wait: seconds; a single wait above this is not begun, but raised as a rate limit error that says how
        long to wait. ``None`` waits as long as the deadline allows.
    :param may_pass: tells of an error with a status of 4xx whether the same call may succeed later.
    """

    method: str
    url: str
    trusted: TrustedOrigins | None
    repeatable: bool = True
    accept: str | None = None
    read_timeout: float = DEFAULT_TIMEOUT
    deadline: float = DEFAULT_DEADLINE
    max_attempts: int = MAX_ATTEMPTS
    rate_limited: bool = False
    spends: bool = True
    has_body: bool = False
    repeat_silent: bool = True
    longest_wait: float | None = None
    may_pass: Callable[[SentinelHubError], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Reserve:
    """
    Ask for leave to start. Sent back: a :class:`Slot`.

    :param previous: a slot whose time has come.
    :param patience: seconds; a slot that is further off is not to be taken.
    :param spends: whether the request may cost processing units.
    """

    previous: Slot | None
    patience: float
    spends: bool


@dataclass(frozen=True, slots=True)
class Settle:
    """Tell all who share the account what came of a slot."""

    slot: Slot
    status: int
    retry_after: float | None
    spent: float | None


@dataclass(frozen=True, slots=True)
class Authorize:
    """Get a token; ``rejected`` is one that the service just refused. Sent back: the token."""

    rejected: AccessToken | None
    timeout: float


@dataclass(frozen=True, slots=True)
class Distrust:
    """Remember for a while that the API refuses every token, so that the next call does not fetch one in vain."""

    error: SentinelHubAuthenticationError


@dataclass(frozen=True, slots=True)
class Send:
    """
    Send the request once and receive its answer whole. Sent back: :class:`Answer` or :class:`Failure`.

    :param is_foreign: whether it goes to another host, which gets neither credentials nor a body.
    """

    method: str
    url: str
    token: AccessToken | None
    timeout: float
    is_foreign: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """
    Wait, then go on.

    :param seconds: for how long.
    :param reason: why, for a person.
    :param attempt: the attempt that failed, from 1.
    :param max_attempts: out of how many.
    :param remaining: seconds until the deadline, before the wait.
    :param is_turn: whether nothing went wrong: it is just not this request's turn yet.
    """

    seconds: float
    reason: str
    attempt: int
    max_attempts: int
    remaining: float
    is_turn: bool = False

    def __str__(self) -> str:
        return (
            f"{self.reason}, waiting {self.seconds:.1f} s, attempt {self.attempt} of {self.max_attempts}, "
            f"deadline in {_duration(self.remaining)}"
        )


Step: TypeAlias = Reserve | Settle | Authorize | Distrust | Send | Wait
Event: TypeAlias = Slot | AccessToken | Answer | Failure | None
Flow: TypeAlias = Generator[Step, Event, Answer]


def call_flow(call: Call, *, clock: Callable[[], float], random: Callable[[], float]) -> Flow:
    """
    Walk through one call until it has an answer that is one.

    :param clock: seconds, monotonic.
    :param random: a number in [0, 1), for jitter.
    :raises SentinelHubError: of the kind that says what to do; see the tree in :mod:`sentinelhub_provider.exceptions`.
    """
    _refuse_foreign_host(call)
    ends = clock() + call.deadline
    endpoint = f"{call.method} {without_query(call.url)}"
    attempt, silences, unclear = 1, 0, False
    limited: SentinelHubRateLimitError | None = None
    while True:
        slot = (yield from _turn(call, attempt, limited, ends=ends, clock=clock)) if call.rate_limited else None
        outcome = yield from authorized_flow(call, ends=ends, clock=clock)
        if slot is not None and isinstance(outcome, Answer):
            retry_after = parse_retry_after(outcome.header("retry-after"))
            yield Settle(slot, outcome.status, retry_after, outcome.processing_units)
        silences += isinstance(outcome, Failure) and outcome.kind is FailureKind.SILENT
        if unclear and call.method == "DELETE" and isinstance(outcome, Answer) and outcome.status == 404:
            return replace(outcome, status=204)  # an attempt whose answer was lost has deleted it
        problem = _judge(call, outcome, endpoint, silences)
        if problem is None:
            assert isinstance(outcome, Answer)  # noqa: S101 - a Failure is always a problem
            return outcome
        unclear = unclear or (outcome.kind in _SENT if isinstance(outcome, Failure) else outcome.status >= 500)
        if problem.reason is None:
            raise problem.error from _cause(outcome)
        if slot is not None and isinstance(problem.error, SentinelHubRateLimitError):
            limited = problem.error  # the rate limiter knows how far off the next turn is
            continue
        if attempt == call.max_attempts:
            raise problem.error from _cause(outcome)
        seconds = wait_before_retry(attempt, problem.retry_after, random)
        remaining = ends - clock()
        _refuse_long_wait(call, seconds, problem.error)
        if seconds >= remaining:
            raise problem.error from _cause(outcome)  # waiting in vain helps nobody
        yield Wait(seconds, problem.reason, attempt, call.max_attempts, remaining)
        attempt += 1


def _turn(
    call: Call,
    attempt: int,
    limited: SentinelHubRateLimitError | None,
    *,
    ends: float,
    clock: Callable[[], float],
) -> Generator[Step, Event, Slot]:
    """
    Wait until the rate limiter lets this call start.

    :param limited: the 429 that made it queue again, where there was one.
    """
    slot: Slot | None = None
    while True:
        remaining = ends - clock()
        patience = remaining if call.longest_wait is None else min(remaining, call.longest_wait)
        slot = _slot((yield Reserve(slot, max(0.0, patience), call.spends)))
        if slot.wait <= 0:
            return slot
        _refuse_long_wait(call, slot.wait, limited)
        if slot.wait >= remaining:
            raise limited or _queue_too_long(call, slot.wait)
        reason = "rate limited" if limited else "keeping to the rate limit"
        yield Wait(slot.wait, reason, attempt, call.max_attempts, remaining, is_turn=limited is None)


def authorized_flow(call: Call, *, ends: float, clock: Callable[[], float]) -> Generator[Step, Event, Answer | Failure]:
    """
    Send once with a token, renew it once if it is refused, follow redirects that are safe to follow.

    A redirect of a GET to another host (a presigned URL, say) is followed without the token, and without it from there.

    :param ends: when the whole call must be over, by ``clock``.
    :raises SentinelHubRequestError: for a URL on a host that may not see the token, before anything is sent.
    """
    _refuse_foreign_host(call)
    method, url = call.method, call.url
    rejected: AccessToken | None = None
    redirects = 0
    is_foreign = False
    token: AccessToken | None = None
    if call.trusted is not None:
        token = _token((yield Authorize(None, ends - clock())))
    while True:
        remaining = ends - clock()
        if remaining <= 0:
            return Failure(FailureKind.TOO_LATE)
        outcome = yield Send(method, url, token, remaining, is_foreign)
        if isinstance(outcome, Failure):
            # The last read may wait no longer than the deadline allows: then it was that which ended it.
            is_late = outcome.kind is FailureKind.SILENT and clock() >= ends
            return Failure(FailureKind.DEADLINE, outcome.cause) if is_late else outcome
        assert isinstance(outcome, Answer)  # noqa: S101 - the drivers answer Send with one or the other
        if outcome.status == 401 and token is not None:
            if rejected is not None:
                error = _twice_refused(outcome, method, url)
                yield Distrust(error)
                raise error
            rejected = token
            token = _token((yield Authorize(rejected, ends - clock())))
        elif outcome.status in _REDIRECTS and outcome.header("location"):
            redirects += 1
            url = _follow(call, outcome, method, url, redirects)
            if call.trusted is not None and url not in call.trusted:
                token, is_foreign = None, True
        else:
            return outcome


@dataclass(frozen=True, slots=True)
class _Problem:
    """
    Why an attempt failed.

    :param reason: why another attempt is worth it, for a person; ``None`` where it is not.
    :param retry_after: seconds that the service asked to wait.
    """

    error: SentinelHubError
    reason: str | None = None
    retry_after: float | None = None


def _judge(call: Call, outcome: Answer | Failure, endpoint: str, silences: int) -> _Problem | None:
    """
    Say whether and how an attempt failed.

    :param silences: attempts so far to which the service stayed silent.
    """
    if isinstance(outcome, Failure):
        unclear = outcome.kind in _SENT
        worth_it = outcome.kind not in _FINAL and (call.repeatable or not unclear)
        note = UNCLEAR_OUTCOME if unclear and not call.repeatable else ""
        if worth_it and outcome.kind is FailureKind.SILENT and call.method == "POST" and call.spends:
            worth_it = silences <= call.repeat_silent
            note = "" if worth_it else COSTLY_SILENCE.format("once" if silences == 1 else "twice")
        return _Problem(_transport_error(outcome, endpoint, note), outcome.kind.value if worth_it else None)
    if outcome.status < 300:
        # What computes an answer has one; what changes something may have done so without a word.
        reads = call.method in _SAFE_METHODS or (call.method == "POST" and call.repeatable)
        problem = problem_with_success(outcome, method=call.method, accept=call.accept, reads=reads)
        return None if problem is None else _Problem(bad_answer(outcome, problem, endpoint=endpoint))
    if outcome.status < 400:
        return _Problem(bad_answer(outcome, "a redirect that leads nowhere", endpoint=endpoint))
    retry_after = parse_retry_after(outcome.header("retry-after"))
    note = UNCLEAR_OUTCOME if outcome.status >= 500 and outcome.status != 501 and not call.repeatable else ""
    error = error_from(outcome, endpoint=endpoint, retry_after=retry_after, note=note)
    if isinstance(error, SentinelHubRateLimitError):
        return _Problem(error, "rate limited", retry_after)  # refused before anything happened: safe for every call
    if outcome.status in (408, 425) or (call.has_body and says_body_is_missing(error)):
        return _Problem(error, f"the service answered {outcome.status}", retry_after)  # it did not get the request
    passing = (outcome.status >= 500 and outcome.status != 501) or (outcome.status < 500 and call.may_pass(error))
    if passing and call.repeatable:
        return _Problem(error, f"the service answered {outcome.status}", retry_after)
    return _Problem(error)


def _refuse_long_wait(call: Call, seconds: float, error: SentinelHubError | None) -> None:
    """Raise instead of waiting where the caller has a better place to wait than here."""
    if call.longest_wait is None or seconds <= call.longest_wait:
        return
    raise SentinelHubRateLimitError(
        f"{call.method} {without_query(call.url)} has to wait for {_duration(seconds)}. {error or ''}".strip(),
        retry_after=seconds,
        status=None if error is None else error.status,
        endpoint=f"{call.method} {without_query(call.url)}",
    ) from error


def _queue_too_long(call: Call, seconds: float) -> SentinelHubRateLimitError:
    endpoint = f"{call.method} {without_query(call.url)}"
    return SentinelHubRateLimitError(
        f"{endpoint} would have to wait for {_duration(seconds)} to keep to the account's rate limit, "
        "which is past its deadline. Allow a later deadline, or run fewer tasks at once (an Airflow pool).",
        retry_after=seconds,
        endpoint=endpoint,
    )


def _follow(call: Call, answer: Answer, method: str, url: str, redirects: int) -> str:
    """Say where a redirect leads, or refuse it: no credentials to another host, no POST turned into a GET."""
    endpoint = f"{method} {without_query(url)}"
    try:
        target = urljoin(url, answer.header("location") or "")
        shown = without_query(target)
    except ValueError as error:
        raise _bad_redirect(answer, endpoint, "redirects to what is no URL. Check the base URL.") from error
    if redirects > MAX_REDIRECTS:
        raise _bad_redirect(answer, endpoint, f"redirects in a circle, last to {shown}. Check the base URL.")
    if call.trusted is None:
        raise _bad_redirect(
            answer,
            endpoint,
            f"redirects to {shown}, where the client secret was not sent. Check the connection's auth_url.",
        )
    if target not in call.trusted and not (method.upper() in _READING_METHODS and _may_go_anonymously(target)):
        raise _bad_redirect(
            answer,
            endpoint,
            f"redirects to {shown}, where the token was not sent. Check the connection's base URL; "
            "if you trust that host, add it to the connection's allowed_hosts.",
        )
    if answer.status in _KEEPING_METHOD or method.upper() in _SAFE_METHODS:
        return target
    raise _bad_redirect(
        answer,
        endpoint,
        f"redirects a {method} to {shown} with status {answer.status}, which would turn it into a GET. "
        "Check the connection's base URL (http instead of https? a missing or an extra path?).",
    )


def _may_go_anonymously(url: str) -> bool:
    """Tell whether a request may follow a redirect to another host, without credentials."""
    try:
        return Origin.of(url).is_protected and "@" not in urlsplit(url).netloc
    except ValueError:
        return False


def _refuse_foreign_host(call: Call) -> None:
    if call.trusted is None or call.url in call.trusted:
        return
    host = urlsplit(call.url).hostname
    raise SentinelHubRequestError(
        f"{without_query(call.url)} is not on {call.trusted.own}, the connection's own host: the token was not sent. "
        f"Give a path, or add {host!r} to the connection's allowed_hosts if you trust it with your token.",
        field="endpoint",
        endpoint=f"{call.method} {without_query(call.url)}",
    )


def _bad_redirect(answer: Answer, endpoint: str, what: str) -> SentinelHubResponseError:
    return SentinelHubResponseError(f"{endpoint} {what}", status=answer.status, endpoint=endpoint)


def _twice_refused(answer: Answer, method: str, url: str) -> SentinelHubAuthenticationError:
    said = read_error_document(answer.excerpt)
    endpoint = f"{method} {without_query(url)}"
    return SentinelHubAuthenticationError(
        f"{endpoint} refused two tokens in a row (401{f' {said.code}' if said.code else ''}). "
        "The client is accepted by the token endpoint but not here: check that the connection's base URL and auth_url "
        "belong to the same deployment.",
        status=401,
        code=said.code,
        service_message=said.message,
        endpoint=endpoint,
    )


def _transport_error(failure: Failure, endpoint: str, note: str) -> SentinelHubTransportError:
    advice = {
        FailureKind.UNREACHABLE: "Check the host in the connection, the network, and the proxy settings.",
        FailureKind.TLS: (
            "Check the host in the connection; behind a proxy with its own certificate, set the connection's verify "
            "to the path of its CA bundle."
        ),
        FailureKind.BROKEN: "No part of the answer was kept.",
        FailureKind.SILENT: "Allow more time with the connection's timeout, or ask for less at once.",
        FailureKind.DEADLINE: "Allow a later deadline, or ask for less at once.",
        FailureKind.TOO_LATE: "Allow a later deadline, and see whether the token endpoint is slow.",
    }[failure.kind]
    detail = f" ({type(failure.cause).__name__})" if failure.cause is not None else ""
    message = f"{endpoint}: {failure.kind.value}{detail}. {advice}{note}"
    return SentinelHubTransportError(message, endpoint=endpoint, was_sent=failure.kind in _SENT)


def _cause(outcome: Answer | Failure) -> BaseException | None:
    return outcome.cause if isinstance(outcome, Failure) else None


def _slot(event: Event) -> Slot:
    assert isinstance(event, Slot)  # noqa: S101 - the drivers answer Reserve with a slot
    return event


def _token(event: Event) -> AccessToken:
    assert isinstance(event, AccessToken)  # noqa: S101 - the drivers answer Authorize with a token or raise
    return event


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"

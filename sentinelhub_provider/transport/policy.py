"""Decides a call's next step. This module is pure: it has no sockets, no sleeping and no clock of its own.

:func:`call_flow` is a generator. It yields one step at a time (authorize, send, wait) and gets the outcome sent back.
    The blocking and the asynchronous session drive the same flow and decide nothing themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from urllib.parse import urljoin, urlsplit

from sentinelhub_provider.connection import DEFAULT_TIMEOUT
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubError,
    SentinelHubRateLimitError,
    SentinelHubRequestError,
    SentinelHubResponseError,
    SentinelHubServerError,
    SentinelHubTransportError,
)
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.origins import TrustedOrigins, protected_origin, without_query
from sentinelhub_provider.transport import steps
from sentinelhub_provider.transport.answers import (
    Answer,
    bad_answer,
    error_from,
    problem_with_success,
    read_error_document,
)
from sentinelhub_provider.transport.budget import Cost
from sentinelhub_provider.transport.rate_limit import Slot, parse_retry_after, wait_before_retry

MAX_ATTEMPTS = 8  # attempts of one call, unless the deadline ends it sooner
DEFAULT_DEADLINE = 600.0  # seconds for one call in all, with waits and repetitions
MAX_REDIRECTS = 5
# End of the error of a call that must not happen twice, if it is unknown whether the service acted on it.
UNCLEAR_OUTCOME = " It may have taken effect, so it was not repeated. Check whether it did before you repeat it."

# End of the error of a call that costs processing units, if the service stayed silent.
COSTLY_SILENCE = (
    " It was sent {}, and the service may have charged processing units each time. To send it no more than once, set "
    "repeat_silent=False."
)

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEPING_METHOD = frozenset({307, 308})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_READING_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Call:
    """The facts about a request that decisions need. The hook's ``RequestOptions`` describes the other fields.

    :param trusted: hosts that may get the bearer token, ``None`` for a call without a token.
    :param repeatable: whether a repetition after an unclear failure does no harm.
    :param read_timeout: seconds of silence after which one attempt is given up.
    :param max_attempts: most attempts. A 429 that the rate limiter waits out does not count.
    :param rate_limited: whether it keeps to the rate limit of all that share the account.
    :param spends: whether it may cost processing units.
    :param cost: its cost for budgets, ``None`` for no cost.
    :param has_body: whether it is sent with a body.
    :param may_pass: tells whether an error that is usually final may pass for this call.
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
    cost: Cost | None = None
    has_body: bool = False
    repeat_silent: bool = True
    longest_wait: float | None = None
    may_pass: Callable[[SentinelHubError], bool] = lambda _: False

    @property
    def endpoint(self) -> str:
        """Method and URL without query, for messages."""
        return f"{self.method} {without_query(self.url)}"


Flow: TypeAlias = Generator[steps.Step, Any, Answer]


def call_flow(call: Call, *, clock: Callable[[], float], random: Callable[[], float]) -> Flow:
    """Walk through one call until it has a usable answer. Otherwise raise a :class:`SentinelHubError`.

    :param clock: returns monotonic seconds.
    :param random: returns a number in [0, 1) for jitter.
    """
    _refuse_foreign_host(call)
    ends = clock() + call.deadline
    attempt, silences, unclear = 1, 0, False
    limited: SentinelHubRateLimitError | None = None
    while True:
        slot = (yield from _turn(call, attempt, limited, ends=ends, clock=clock)) if call.rate_limited else None
        outcome = yield from authorized_flow(call, ends=ends, clock=clock)
        if isinstance(outcome, Answer):
            if slot is not None:
                retry_after = parse_retry_after(outcome.header("retry-after"))
                yield steps.Settle(slot, outcome.status, retry_after, outcome.processing_units)
            if unclear and call.method == "DELETE" and outcome.status == 404:
                return replace(outcome, status=204)  # an earlier attempt, whose answer was lost, has deleted it
            problem, cause = _problem_with(call, outcome), None
            if problem is None:
                return outcome
            unclear = unclear or outcome.status >= 500
        else:
            silences += outcome.kind is steps.FailureKind.SILENT
            unclear = unclear or outcome.kind.was_sent
            problem, cause = _problem_of(call, outcome, silences), outcome.cause
        if problem.reason is None:
            raise problem.error from cause
        if slot is not None and isinstance(problem.error, SentinelHubRateLimitError):
            limited = problem.error  # the rate limiter knows when the next turn is
            continue
        seconds, remaining = wait_before_retry(attempt, problem.retry_after, random), ends - clock()
        if attempt < call.max_attempts:
            _refuse_long_wait(call, seconds, problem.error)
        if attempt == call.max_attempts or seconds >= remaining:
            raise problem.error from cause  # no attempt or no time is left
        yield steps.Wait(seconds, problem.reason, attempt, call.max_attempts, remaining)
        attempt += 1


def _turn(
    call: Call, attempt: int, limited: SentinelHubRateLimitError | None, *, ends: float, clock: Callable[[], float]
) -> Generator[steps.Step, Any, Slot]:
    """Wait until the rate limiter lets this call start. ``limited`` is the 429 that made it queue again, if any."""
    slot: Slot | None = None
    while True:
        remaining = ends - clock()
        patience = remaining if call.longest_wait is None else min(remaining, call.longest_wait)
        slot = yield steps.Reserve(slot, max(0.0, patience), call.spends)
        if slot.wait <= 0:
            return slot
        _refuse_long_wait(call, slot.wait, limited)
        if slot.wait >= remaining:
            raise limited or SentinelHubRateLimitError(
                f"{call.endpoint} would have to wait for {steps.duration(slot.wait)} to keep to the account's rate "
                "limit, which is past its deadline. Allow a later deadline, or run fewer tasks at once (an Airflow "
                "pool).",
                retry_after=slot.wait,
                endpoint=call.endpoint,
            )
        reason = "rate limited" if limited else "keeping to the rate limit"
        yield steps.Wait(slot.wait, reason, attempt, call.max_attempts, remaining, is_turn=limited is None)


def authorized_flow(
    call: Call, *, ends: float, clock: Callable[[], float]
) -> Generator[steps.Step, Any, Answer | steps.Failure]:
    """Send once with a token, renew the token once if it is refused, and follow safe redirects.

    A redirect of a GET to another host, such as a presigned URL, is followed without the token. The token stays off for
    later redirects, too.

    :param ends: end of the whole call by ``clock``.
    """
    _refuse_foreign_host(call)
    url, redirects, is_foreign = call.url, 0, False
    token: AccessToken | None = None
    rejected: AccessToken | None = None
    if call.trusted is not None:
        token = yield steps.Authorize(None, ends - clock())
    while True:
        remaining = ends - clock()
        if remaining <= 0:
            return steps.Failure(steps.FailureKind.TOO_LATE)
        outcome: Answer | steps.Failure = yield steps.Send(call.method, url, token, remaining, is_foreign)
        if isinstance(outcome, steps.Failure):
            # The last read ends at the deadline, so a silence then counts as a missed deadline.
            is_late = outcome.kind is steps.FailureKind.SILENT and clock() >= ends
            return steps.Failure(steps.FailureKind.DEADLINE, outcome.cause) if is_late else outcome
        if outcome.status == 401 and token is not None:
            if rejected is not None:
                error = _twice_refused(replace(call, url=url), outcome)
                yield steps.Distrust(error)
                raise error
            rejected = token
            token = yield steps.Authorize(rejected, ends - clock())
        elif outcome.status in _REDIRECTS and outcome.header("location"):
            redirects += 1
            url = _follow(replace(call, url=url), outcome, redirects)
            if call.trusted is not None and url not in call.trusted:
                token, is_foreign = None, True
        else:
            return outcome


@dataclass(frozen=True, slots=True)
class _Problem:
    """The error of an attempt and the reason to try again, in words. The reason is ``None`` if there is none."""

    error: SentinelHubError
    reason: str | None = None
    retry_after: float | None = None


def _problem_of(call: Call, failure: steps.Failure, silences: int) -> _Problem:
    """Judge an attempt without a complete answer. ``silences`` counts the attempts without any answer so far."""
    kind = failure.kind
    worth_it = not kind.is_final and (call.repeatable or not kind.was_sent)
    note = UNCLEAR_OUTCOME if kind.was_sent and not call.repeatable else ""
    if worth_it and kind is steps.FailureKind.SILENT and call.method == "POST" and call.spends:
        worth_it = silences <= call.repeat_silent
        note = "" if worth_it else COSTLY_SILENCE.format("once" if silences == 1 else "twice")
    detail = f" ({type(failure.cause).__name__})" if failure.cause is not None else ""
    message = f"{call.endpoint}: {kind.value}{detail}. {kind.advice}{note}"
    error = SentinelHubTransportError(message, endpoint=call.endpoint, was_sent=kind.was_sent)
    return _Problem(error, kind.value if worth_it else None)


def _problem_with(call: Call, answer: Answer) -> _Problem | None:
    """Return the fault of an answer, ``None`` if it is usable."""
    if answer.status < 300:
        # A computed answer has a content. A call that changes something may succeed with an empty answer.
        reads = call.method in _SAFE_METHODS or (call.method == "POST" and call.repeatable)
        problem = problem_with_success(answer, method=call.method, accept=call.accept, reads=reads)
        return None if problem is None else _Problem(bad_answer(answer, problem, endpoint=call.endpoint))
    if answer.status < 400:
        return _Problem(bad_answer(answer, "a redirect that leads nowhere", endpoint=call.endpoint))
    retry_after = parse_retry_after(answer.header("retry-after"))
    is_unclear = answer.status >= 500 and answer.status != 501
    note = UNCLEAR_OUTCOME if is_unclear and not call.repeatable else ""
    error = error_from(answer, endpoint=call.endpoint, has_body=call.has_body, retry_after=retry_after, note=note)
    if isinstance(error, SentinelHubRateLimitError):
        return _Problem(error, "rate limited", retry_after)  # refused before anything happened, so safe for every call
    was_lost = answer.status < 500 and isinstance(error, SentinelHubServerError)
    may_pass = (is_unclear and not error.final) or (answer.status != 501 and call.may_pass(error))
    if was_lost or (may_pass and call.repeatable):
        return _Problem(error, f"the service answered {answer.status}", retry_after)
    return _Problem(error)


def _refuse_long_wait(call: Call, seconds: float, error: SentinelHubError | None) -> None:
    """Raise instead of waiting if the caller has a better way to wait."""
    if call.longest_wait is not None and seconds > call.longest_wait:
        raise SentinelHubRateLimitError(
            f"{call.endpoint} has to wait for {steps.duration(seconds)}. {error or ''}".strip(),
            retry_after=seconds,
            status=None if error is None else error.status,
            endpoint=call.endpoint,
        ) from error


def _follow(call: Call, answer: Answer, redirects: int) -> str:
    """Return the target of a redirect, or refuse it. Credentials stay on their host, and a POST stays a POST."""
    target = ""
    try:
        target = urljoin(call.url, answer.header("location") or "")
        problem = _problem_with_redirect(call, answer.status, target, redirects)
    except ValueError:
        problem = "redirects to an invalid URL. Check the base URL."
    if problem is None:
        return target
    raise SentinelHubResponseError(f"{call.endpoint} {problem}", status=answer.status, endpoint=call.endpoint)


def _problem_with_redirect(call: Call, status: int, target: str, redirects: int) -> str | None:
    shown = without_query(target)
    if redirects > MAX_REDIRECTS:
        return f"redirects in a circle, last to {shown}. Check the base URL."
    if call.trusted is None:
        return f"redirects to {shown}, where the client secret was not sent. Check the connection's auth_url."
    if target not in call.trusted and not (call.method in _READING_METHODS and protected_origin(target)):
        return (
            f"redirects to {shown}, where the token was not sent. Check the connection's base URL. "
            "If you trust that host, add it to the connection's allowed_hosts."
        )
    if status in _KEEPING_METHOD or call.method in _SAFE_METHODS:
        return None
    return (
        f"redirects a {call.method} to {shown} with status {status}, which would turn it into a GET. "
        "Check the connection's base URL (http instead of https? a missing or an extra path?)."
    )


def _refuse_foreign_host(call: Call) -> None:
    if call.trusted is not None and call.url not in call.trusted:
        host = urlsplit(call.url).hostname
        raise SentinelHubRequestError(
            f"{without_query(call.url)} is not on {call.trusted.own}, the connection's own host, so the token was not "
            f"sent. Give a path, or add {host!r} to the connection's allowed_hosts if you trust it with your token.",
            field="endpoint",
            endpoint=call.endpoint,
        )


def _twice_refused(call: Call, answer: Answer) -> SentinelHubAuthenticationError:
    said = read_error_document(answer.excerpt)
    return SentinelHubAuthenticationError(
        f"{call.endpoint} refused two tokens in a row (401{f' {said.code}' if said.code else ''}). The token endpoint "
        "accepts the client, but this host does not. Check that the connection's base URL and auth_url belong to the "
        "same deployment.",
        status=401,
        code=said.code,
        service_message=said.message,
        endpoint=call.endpoint,
    )

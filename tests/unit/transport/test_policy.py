"""What a call does next, played by hand: each step that the policy yields is answered by the test."""

from __future__ import annotations

import json
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any

import pytest
from clocks import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider import exceptions as errors
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.origins import TrustedOrigins
from sentinelhub_provider.transport.answers import Answer
from sentinelhub_provider.transport.policy import MAX_ATTEMPTS, MAX_REDIRECTS, Call, Flow, call_flow
from sentinelhub_provider.transport.rate_limit import Slot
from sentinelhub_provider.transport.steps import Authorize, Distrust, Failure, FailureKind, Send, Step, Wait

BASE = "https://sh.example.org"
URL = f"{BASE}/catalog/v1/search?secretish=1"
OWN = TrustedOrigins.for_urls(BASE, ["data.example.org"])
FIRST = AccessToken("first", 9e9, 3600)
SECOND = AccessToken("second", 9e9, 3600)
GOOD = Answer(200, {"content-type": "application/json"}, b"{}", 2)


def call(method: str = "GET", **fields: Any) -> Call:
    """A call to the connection's own host."""
    return Call(method, fields.pop("url", URL), fields.pop("trusted", OWN), **fields)


def answer(status: int, **headers: str) -> Answer:
    """An answer without a body."""
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()})


def play(flow: Flow, *events: Any) -> tuple[list[Step], Answer | None]:
    """Send ``events`` into a flow; return what it yielded, and what it returned if it ended."""
    steps = [next(flow)]
    for event in events:
        try:
            steps.append(flow.send(event))
        except StopIteration as done:
            return steps, done.value
    return steps, None


def start(what: Call, clock: FakeClock | None = None) -> Flow:
    """Begin a call; jitter is always in the middle."""
    return call_flow(what, clock=clock or FakeClock(), random=lambda: 0.5)


def fail(what: Call, *events: Any) -> errors.SentinelHubError:
    """Play until the call fails and return the error."""
    with pytest.raises(errors.SentinelHubError) as error:
        play(start(what), *events)
    return error.value


# --- the good way ----------------------------------------------------------------------------------------------------


def test_call_is_authorized_then_sent():
    """One token, one request, one answer."""
    steps, result = play(start(call(deadline=60)), FIRST, GOOD)

    assert steps == [Authorize(None, 60), Send("GET", URL, FIRST, 60)]
    assert result is GOOD


def test_call_without_trust_carries_no_token():
    """The token request itself has none."""
    steps, result = play(start(call("POST", trusted=None, deadline=60)), GOOD)

    assert steps == [Send("POST", URL, None, 60)]
    assert result is GOOD


# --- where the token may go ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "http://sh.example.org/x",
        "https://sh.example.org:8443/x",
        "https://sh.example.org.evil.example/x",
        "https://evil.example\\@sh.example.org/x",
        "https://user:pw@sh.example.org/x",
        "https://sh.example.org@evil.example/x",
        "https://data.example.org:444/x",
        "http://localhost/x",
    ],
)
def test_foreign_host_is_refused_before_anything_happens(url: str):
    """Not even a token is fetched; the message names both hosts and the way to allow it."""
    error = fail(call(url=url))

    assert isinstance(error, errors.SentinelHubRequestError)
    assert error.field == "endpoint"
    assert "allowed_hosts" in str(error)
    assert "https://sh.example.org" in str(error)


@pytest.mark.parametrize("url", [f"{BASE}/x", "https://SH.example.org:443/x", "https://data.example.org/x"])
def test_own_and_allowed_hosts_are_trusted(url: str):
    """The same origin in another spelling is the same origin."""
    steps, _ = play(start(call(url=url)), FIRST)

    assert steps[-1].token is FIRST


# --- redirects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/elsewhere", f"{BASE}/elsewhere", "https://data.example.org/elsewhere"])
def test_reading_follows_redirects_to_trusted_hosts(status: int, location: str):
    """With the token, as it stays among those who may see it."""
    steps, result = play(start(call()), FIRST, answer(status, location=location), GOOD)

    assert steps[-1].method == "GET"
    assert steps[-1].url.endswith("/elsewhere")
    assert steps[-1].token is FIRST
    assert result is GOOD


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("location", ["https://bucket.example/x?signature=1", "//bucket.example/x?signature=1"])
def test_read_follows_a_redirect_to_another_host_without_the_token(status: int, method: str, location: str):
    """A presigned URL authorizes by itself; the way back to the own host has no token either."""
    steps, result = play(
        start(call(method)), FIRST, answer(status, location=location), answer(status, location=f"{BASE}/y"), GOOD
    )
    sends = [step for step in steps if isinstance(step, Send)]

    assert [(step.token, step.is_foreign) for step in sends] == [(FIRST, False), (None, True), (None, True)]
    assert sends[1].url == "https://bucket.example/x?signature=1"
    assert result is GOOD


def test_refusal_of_another_host_renews_no_token():
    """A signature that has expired says nothing about the token."""
    error = fail(call(), FIRST, answer(302, location="https://bucket.example/x?signature=1"), answer(403))

    assert isinstance(error, errors.SentinelHubPermissionError)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("method", "location"),
    [
        ("POST", "https://evil.example/?steal=1"),
        ("DELETE", "https://evil.example/?steal=1"),
        ("POST", "//evil.example/"),
        ("GET", "http://evil.example/?steal=1"),
        ("GET", "http://sh.example.org/"),
        ("GET", "https://evil.example\\@sh.example.org/"),
        ("GET", "https://x@sh.example.org/"),
        ("GET", "https://x@evil.example/"),
    ],
)
def test_redirect_elsewhere_is_refused(status: int, method: str, location: str):
    """The token stays here, and the message says where it was meant to go."""
    error = fail(call(method), FIRST, answer(status, location=location))

    assert isinstance(error, errors.SentinelHubResponseError)
    assert "the token was not sent" in str(error)
    assert "steal" not in str(error)


@pytest.mark.parametrize("status", [301, 302, 303])
def test_redirect_never_turns_a_post_into_a_get(status: int):
    """The service would answer something else than was asked for."""
    error = fail(call("POST"), FIRST, answer(status, location="/elsewhere"))

    assert "would turn it into a GET" in str(error)
    assert "Check the connection's base URL" in str(error)


@pytest.mark.parametrize("status", [307, 308])
def test_redirect_that_keeps_the_method_is_followed(status: int):
    """307 and 308 promise to."""
    steps, _ = play(start(call("POST")), FIRST, answer(status, location="/elsewhere"))

    assert steps[-1] == Send("POST", f"{BASE}/elsewhere", FIRST, 600)


def test_token_request_follows_no_redirect():
    """Its body is the secret."""
    error = fail(call("POST", trusted=None), answer(307, location="/token2"))

    assert "the client secret was not sent" in str(error)
    assert "auth_url" in str(error)


def test_circle_of_redirects_ends():
    """After a handful."""
    error = fail(call(), FIRST, *[answer(302, location="/round")] * (MAX_REDIRECTS + 1))

    assert "in a circle" in str(error)


@pytest.mark.parametrize("location", ["https://[broken/", "http://x:99999999/"])
def test_redirect_to_no_url_is_a_bad_answer(location: str):
    """Whatever stands in Location, the error is one of ours."""
    assert isinstance(fail(call(), FIRST, answer(302, location=location)), errors.SentinelHubResponseError)


@pytest.mark.parametrize("redirect", [answer(302), answer(304), answer(300, location="/x")])
def test_redirect_without_a_target_is_a_bad_answer(redirect: Answer):
    """Nothing was asked for that it could answer."""
    assert "a redirect that leads nowhere" in str(fail(call(), FIRST, redirect))


# --- 401 -------------------------------------------------------------------------------------------------------------


def test_refused_token_is_renewed_and_the_request_repeated_once():
    """Exactly that token is reported as rejected."""
    steps, result = play(start(call("POST", repeatable=False)), FIRST, answer(401), SECOND, GOOD)

    assert steps[2] == Authorize(FIRST, 600)
    assert steps[3] == Send("POST", URL, SECOND, 600)
    assert result is GOOD


def test_two_refused_tokens_are_an_authentication_error():
    """A third would be refused as well."""
    refused = Answer(401, {}, json.dumps({"error": {"code": "COMMON_UNAUTHORIZED"}}).encode(), 40)
    error = fail(call(), FIRST, refused, SECOND, refused, None)

    assert isinstance(error, errors.SentinelHubAuthenticationError)
    assert (error.status, error.code) == (401, "COMMON_UNAUTHORIZED")
    assert "refused two tokens in a row" in str(error)
    assert "same deployment" in str(error)
    assert "secretish" not in str(error)


def test_api_that_refuses_two_tokens_is_distrusted():
    """All who share the client learn of it, so that the next call does not fetch a third."""
    steps, _ = play(start(call()), FIRST, answer(401), SECOND, answer(401))

    assert isinstance(steps[-1], Distrust)


def test_401_without_a_token_is_an_answer():
    """At the token endpoint there is nothing to renew."""
    assert isinstance(fail(call("POST", trusted=None), answer(401)), errors.SentinelHubPermissionError)


# --- waiting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        pytest.param("3398", 3.398 * 1.05, id="milliseconds"),
        pytest.param("2.5", 2.5 * 1.05, id="decimal-seconds"),
        pytest.param("5", 0.75, id="five-milliseconds-undercut-by-backoff"),
        pytest.param("0", 0.75, id="zero"),
        pytest.param("soon", 0.75, id="nonsense"),
        pytest.param("-3", 0.75, id="negative"),
        pytest.param(formatdate(0, usegmt=True), 0.75, id="date-in-the-past"),
        pytest.param(None, 0.75, id="absent"),
    ],
)
def test_rate_limit_waits_for_the_larger_of_asked_and_backoff(retry_after: str | None, seconds: float):
    """Every form is read and none is trusted blindly."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    steps, result = play(start(call("POST", repeatable=False)), FIRST, Answer(429, headers), None, FIRST, GOOD)

    assert steps[2] == Wait(pytest.approx(seconds), "rate limited", 1, MAX_ATTEMPTS, 600)
    assert steps[3] == Authorize(None, 600)
    assert result is GOOD


def test_wait_is_told_in_words():
    """A user reads it in the task's log."""
    assert str(Wait(3.57, "rate limited", 2, 8, 480)) == (
        "rate limited, waiting 3.6 s, attempt 2 of 8, deadline in 8 min"
    )


def test_rate_limit_beyond_the_deadline_fails_at_once():
    """Waiting in vain helps nobody; the error carries what was asked for, in seconds."""
    error = fail(call(deadline=30), FIRST, Answer(429, {"Retry-After": "31000"}))

    assert isinstance(error, errors.SentinelHubRateLimitError)
    assert error.retry_after == 31.0
    assert not error.final


def test_request_over_capacity_is_not_repeated():
    """No waiting cures a request that costs more than an account may ever spend at once."""
    body = json.dumps({"code": "RATE_LIMIT_TOKEN_COUNT_EXCEEDS_CAPACITY", "message": "too many"}).encode()

    error = fail(call(), FIRST, Answer(429, {"Retry-After": "1"}, body, len(body)))

    assert isinstance(error, errors.SentinelHubBadRequestError)
    assert "Make it smaller" in str(error)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_error_is_repeated_where_that_is_safe(status: int):
    """Now and then a 503 is to be expected."""
    steps, _ = play(start(call()), FIRST, answer(status))

    assert isinstance(steps[-1], Wait)
    assert steps[-1].reason == f"the service answered {status}"


def test_server_error_is_not_repeated_where_it_may_start_something_twice():
    """Whether the job was made is unknown."""
    assert isinstance(fail(call("POST", repeatable=False), FIRST, answer(503)), errors.SentinelHubServerError)


def test_attempts_end():
    """Also where the deadline is far."""
    clock = FakeClock()
    flow = start(call(deadline=1e6), clock)
    steps: list[Step] = [next(flow)]

    def go_on_failing() -> None:
        while True:
            match steps[-1]:
                case Authorize():
                    steps.append(flow.send(FIRST))
                case Send():
                    steps.append(flow.send(answer(500)))
                case Wait(seconds):
                    clock.sleep(seconds)
                    steps.append(flow.send(None))

    with pytest.raises(errors.SentinelHubServerError):
        go_on_failing()

    assert sum(isinstance(step, Send) for step in steps) == MAX_ATTEMPTS
    waits = [step.seconds for step in steps if isinstance(step, Wait)]
    assert waits == [0.75 * 2**exponent for exponent in range(6)] + [45.0]


# --- no whole answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "repeated_if_safe", "repeated_if_not"),
    [
        (FailureKind.UNREACHABLE, True, True),
        (FailureKind.BROKEN, True, False),
        (FailureKind.SILENT, True, False),
        (FailureKind.TLS, False, False),
        (FailureKind.DEADLINE, False, False),
    ],
)
@pytest.mark.parametrize("repeatable", [True, False], ids=["repeatable", "not-repeatable"])
def test_failure_is_repeated_unless_it_is_unclear_what_happened(
    kind: FailureKind, repeated_if_safe: bool, repeated_if_not: bool, repeatable: bool
):
    """A call that starts or pays for something is repeated only where nothing was sent."""
    expected = repeated_if_safe if repeatable else repeated_if_not
    what = call("POST", repeatable=repeatable)
    if expected:
        assert isinstance(play(start(what), FIRST, Failure(kind))[0][-1], Wait)
    else:
        cause = OSError("cause")
        error = fail(what, FIRST, Failure(kind, cause))
        assert isinstance(error, errors.SentinelHubTransportError)
        assert error.__cause__ is cause
        assert kind.value in str(error)
        assert str(error).startswith(f"POST {BASE}/catalog/v1/search: ")


@pytest.mark.parametrize(
    ("kind", "advice", "was_sent"),
    [
        (FailureKind.UNREACHABLE, "proxy settings", False),
        (FailureKind.TLS, "verify", False),
        (FailureKind.BROKEN, "part of the answer", True),
        (FailureKind.SILENT, "timeout", True),
        (FailureKind.DEADLINE, "deadline", True),
    ],
)
def test_failure_says_what_to_do(kind: FailureKind, advice: str, was_sent: bool):
    """Each in its own words; and whether the service had the request."""
    error = fail(call(max_attempts=1), FIRST, Failure(kind))

    assert advice in str(error)
    assert error.was_sent == was_sent


def test_silence_until_the_deadline_is_the_deadline():
    """The last read is cut short by it: advice about the read timeout would mislead."""
    clock = FakeClock()
    flow = start(call(deadline=60), clock)
    play(flow, FIRST)
    clock.now += 60

    with pytest.raises(errors.SentinelHubTransportError, match="the deadline passed"):
        flow.send(Failure(FailureKind.SILENT))


def test_nothing_is_sent_after_the_deadline():
    """Getting the token may have taken all the time there was."""
    clock = FakeClock()
    flow = start(call(deadline=60), clock)
    next(flow)
    clock.now += 60

    with pytest.raises(errors.SentinelHubTransportError, match="the deadline passed"):
        flow.send(FIRST)


# --- final answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "COMMON_BAD_PAYLOAD", errors.SentinelHubBadRequestError),
        (403, "COMMON_INSUFFICIENT_PERMISSIONS", errors.SentinelHubPermissionError),
        (403, "ACCESS_INSUFFICIENT_PROCESSING_UNITS", errors.SentinelHubQuotaExceededError),
        (404, "COMMON_NOT_FOUND", errors.SentinelHubNotFoundError),
        (415, "COMMON_UNSUPPORTED_MEDIA_TYPE", errors.SentinelHubBadRequestError),
        (501, None, errors.SentinelHubServerError),
    ],
)
def test_final_answer_is_not_repeated(status: int, code: str | None, kind: type[errors.SentinelHubError]):
    """The same request would get the same answer."""
    body = json.dumps({"error": {"code": code}}).encode()

    assert type(fail(call(), FIRST, Answer(status, {}, body, len(body)))) is kind


def test_success_that_is_none_is_not_repeated():
    """A login page stays a login page."""
    page = Answer(200, {"content-type": "text/html"}, b"<html>", 6)

    assert isinstance(fail(call(), FIRST, page), errors.SentinelHubResponseError)


# --- whatever happens ------------------------------------------------------------------------------------------------

ANSWERS = st.one_of(
    st.builds(
        Answer,
        st.integers(200, 599),
        st.dictionaries(
            st.sampled_from(["Location", "Retry-After", "Content-Type"]),
            st.sampled_from(["/x", "https://evil.example", "https://[", "1000", "9e9", "text/html", ""]) | st.text(),
        ),
        st.binary(max_size=20),
        st.integers(0, 20),
    ),
    st.builds(Failure, st.sampled_from(FailureKind)),
)


@given(
    outcomes=st.lists(st.tuples(ANSWERS, st.floats(0, 300)), min_size=1, max_size=60),
    deadline=st.floats(0.1, 2000),
    repeatable=st.booleans(),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_any_call_ends_in_time_and_repeats_nothing_unclear(
    outcomes: list[tuple[Answer | Failure, float]], deadline: float, repeatable: bool, jitter: float
):
    """Random answers, each after a random time: within the deadline, to trusted hosts, never twice by mistake."""
    clock = FakeClock()
    flow = call_flow(call("POST", repeatable=repeatable, deadline=deadline), clock=clock, random=lambda: jitter)
    ends = clock.now + deadline
    supply: Iterable[tuple[Answer | Failure, float]] = iter(outcomes * 100)
    event: Any = None
    last: Answer | Failure | None = None
    while True:
        try:
            step = flow.send(event)
        except StopIteration as done:
            last = done.value
            break
        except errors.SentinelHubError:
            return
        match step:
            case Authorize():
                event = SECOND if step.rejected else FIRST
            case Send():
                assert clock.now < ends
                assert step.timeout <= ends - clock.now + 1e-6
                assert step.method == "POST"
                assert step.url in OWN
                if not repeatable and last is not None:
                    assert last == Failure(FailureKind.UNREACHABLE) or (
                        isinstance(last, Answer) and (last.status in (401, 429) or 300 <= last.status < 400)
                    )
                last, seconds = next(supply)
                clock.now += min(seconds, step.timeout)
                event = last
            case Wait():
                assert clock.now + step.seconds < ends
                clock.sleep(step.seconds)
                event = None
    assert isinstance(last, Answer)
    assert last.status < 300


# --- refusals that pass, and answers that were lost ------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 425])
@pytest.mark.parametrize("repeatable", [True, False])
def test_service_that_did_not_get_the_request_gets_it_again(status: int, repeatable: bool):
    """Nothing was done, so that every call may be repeated."""
    _, result = play(start(call("POST", repeatable=repeatable)), FIRST, answer(status), None, FIRST, GOOD)
    assert result is GOOD


MISSING_BODY = Answer(400, {}, b'{"error": {"status": 400, "message": "Request body should be non-empty."}}', 74)


def test_body_that_was_lost_on_the_way_is_sent_again():
    """The refusal contradicts what was sent; without a body it is simply right."""
    _, result = play(start(call("POST", repeatable=False, has_body=True)), FIRST, MISSING_BODY, None, FIRST, GOOD)
    assert result is GOOD
    assert isinstance(fail(call("POST", has_body=False), FIRST, MISSING_BODY), errors.SentinelHubBadRequestError)


@pytest.mark.parametrize("lost", [Failure(FailureKind.BROKEN), Failure(FailureKind.SILENT), answer(502)])
def test_delete_whose_answer_was_lost_has_worked(lost: Any):
    """What it then does not find is what it has deleted; a 404 at once is one."""
    _, result = play(start(call("DELETE")), FIRST, lost, None, FIRST, answer(404))
    assert result is not None
    assert result.status == 204
    assert isinstance(fail(call("DELETE"), FIRST, answer(404)), errors.SentinelHubNotFoundError)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_change_that_is_answered_without_a_word_has_worked(method: str):
    """An empty 200 is no answer to a question, but it is one to an order."""
    empty = answer(200)
    assert play(start(call(method, repeatable=method == "PUT")), FIRST, empty)[1] is empty
    assert isinstance(fail(call("POST", repeatable=True), FIRST, empty), errors.SentinelHubResponseError)
    assert isinstance(fail(call("GET"), FIRST, empty), errors.SentinelHubResponseError)


@pytest.mark.parametrize(("repeat_silent", "times", "word"), [(True, 2, "twice"), (False, 1, "once")])
def test_silence_that_may_cost_is_repeated_once_at_most(repeat_silent: bool, times: int, word: str):
    """The service may have charged for each; the error says how often it was sent."""
    now = Slot(0.0, made=0.0)
    attempt = [now, FIRST, Failure(FailureKind.SILENT), None]
    error = fail(call("POST", rate_limited=True, repeat_silent=repeat_silent), *(attempt * times))
    assert f"sent {word}" in str(error)
    free = call("POST", rate_limited=True, spends=False)
    assert play(start(free), *(attempt * 4), now, FIRST, GOOD, None)[1] is GOOD


@pytest.mark.parametrize("words", ["Too bad.", "Too bad", "Too bad.. "])
def test_message_ends_in_one_full_stop(words: str):
    """Whatever the service ends its own with."""
    document = json.dumps({"error": {"status": 400, "message": words}}).encode()
    error = fail(call(), FIRST, Answer(400, {}, document, len(document)))
    assert "Too bad. Change" in str(error)


def test_silence_that_costs_nothing_is_repeated_until_the_deadline():
    """As that of the token endpoint; nothing is said of processing units."""
    error = fail(call("POST", trusted=None, spends=False), *([Failure(FailureKind.SILENT), None] * MAX_ATTEMPTS))
    assert "processing units" not in str(error)

"""The policy under thousands of random days: whatever happens, it ends in time, and does nothing that it must not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any

import pytest
from clocks import FakeClock
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubRateLimitError, SentinelHubRequestError
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.origins import Origin, TrustedOrigins
from sentinelhub_provider.transport.answers import Answer
from sentinelhub_provider.transport.policy import MAX_REDIRECTS, Call, call_flow
from sentinelhub_provider.transport.rate_limit import LONGEST_ASKED, Slot
from sentinelhub_provider.transport.steps import Authorize, Distrust, Failure, FailureKind, Reserve, Send, Settle, Wait

BASE = "https://sh.example.org"
OWN = TrustedOrigins.for_urls(BASE, ["data.example.org"])
FOREIGN = (
    "https://evil.example/x",
    "//evil.example/x",
    "https://evil.example\\@sh.example.org/x",
    "http://sh.example.org/",
)
LOCATIONS = ("/elsewhere", f"{BASE}/x", "https://data.example.org/y", "https://[", "", *FOREIGN)
RETRY_AFTER = (
    "0",
    "250",
    "3398",
    "86400000",
    "2.5",
    "9e9",
    "inf",
    "nan",
    "-1",
    "soon",
    "",
    formatdate(4e9, usegmt=True),
)
BODIES = (
    b"",
    b"{}",
    b"<html><title>Sign in</title></html>",
    b'{"error": {"status": 500, "code": "COMMON_EXCEPTION", "message": "m"}}',
    b'{"code": "RATE_LIMIT_TOKEN_COUNT_EXCEEDS_CAPACITY"}',
    b'{"error": "invalid_client"}',
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xfe\x00[[[",
)
TYPES = ("application/json", "text/html", "image/png", "application/json; charset=utf-8", "???", "")
USUAL = (200, 200, 200, 201, 202, 204, 301, 302, 307, 308, 400, 401, 401, 403, 404, 429, 429, 429, 500, 501, 502, 503)

HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Retry-After": st.sampled_from(RETRY_AFTER) | st.text(max_size=8),
        "Location": st.sampled_from(LOCATIONS) | st.text(max_size=8),
        "Content-Type": st.sampled_from(TYPES),
        "x-processingunits-spent": st.sampled_from(["0.01", "nan", "many"]),
        "x-request-id": st.just("r1"),
    },
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """An answer of any status, sensible or not."""
    body = draw(st.sampled_from(BODIES) | st.binary(max_size=20))
    return Answer(draw(st.sampled_from(USUAL) | st.integers(200, 599)), draw(HEADERS), body, len(body))


OUTCOMES = answers() | st.builds(Failure, st.sampled_from(FailureKind))
SECONDS = st.sampled_from([0.0, 0.01, 1.0, 30.0]) | st.floats(0, 200)

CALLS = st.builds(
    Call,
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"]),
    url=st.just(f"{BASE}/process/v1?secretish=1"),
    trusted=st.sampled_from([OWN, OWN, OWN, None]),
    repeatable=st.booleans(),
    accept=st.sampled_from([None, "image/png", "application/json"]),
    deadline=st.sampled_from([0.1, 5.0, 60.0, 600.0, 4000.0]) | st.floats(0.01, 3000),
    max_attempts=st.integers(1, 8),
    rate_limited=st.booleans(),
    longest_wait=st.none() | st.floats(0, 100),
)


@dataclass
class Life:
    """What a call did and what befell it, in order."""

    sends: list[Send] = field(default_factory=list)
    outcomes: list[Answer | Failure] = field(default_factory=list)
    authorizations: list[Authorize] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    settled: list[Settle] = field(default_factory=list)
    reserved: list[Slot] = field(default_factory=list)
    last_sent_at: float = 0.0
    result: Answer | None = None
    error: SentinelHubError | None = None

    @property
    def rate_limited(self) -> int:
        """How many answers were 429."""
        return sum(isinstance(outcome, Answer) and outcome.status == 429 for outcome in self.outcomes)


@dataclass
class World:
    """Answers a call's steps by chance and holds it to the rules that hold for every single step."""

    call: Call
    draw: Any
    clock: FakeClock = field(default_factory=FakeClock)
    life: Life = field(default_factory=Life)

    def run(self, jitter: float, most_steps: int = 20_000) -> Life:
        """Live through the call."""
        self.ends = self.clock.now + self.call.deadline
        flow = call_flow(self.call, clock=self.clock, random=lambda: jitter)
        happened: Any = None
        for _ in range(most_steps):
            try:
                happened = self.answer(flow.send(happened))
            except StopIteration as done:
                self.life.result = done.value
                return self.life
            except SentinelHubError as error:
                self.life.error = error
                return self.life
        raise AssertionError(f"no end after {most_steps} steps")

    def answer(self, step: Any) -> Any:
        """Check one step, and say what comes of it."""
        life = self.life
        match step:
            case Reserve(previous, patience):
                assert previous is None or previous is life.reserved[-1]
                most = self.call.deadline if self.call.longest_wait is None else self.call.longest_wait
                assert 0.0 <= patience <= most + 1e-6
                return self.slot(previous, patience)
            case Settle():
                assert step.slot is life.reserved[-1]
                assert isinstance(life.outcomes[-1], Answer)
                assert step.status == life.outcomes[-1].status
                life.settled.append(step)
                return None
            case Authorize():
                life.authorizations.append(step)
                assert self.call.trusted is not None
                self.pass_time(min(self.draw(SECONDS), max(0.0, step.timeout)))
                return AccessToken(f"token-{len(life.authorizations)}", 9e9, 3600)
            case Distrust():
                return None
            case Send():
                return self.send(step)
            case Wait():
                return self.wait(step)
        raise AssertionError(f"an unknown step: {step}")

    def slot(self, previous: Slot | None, patience: float) -> Slot:
        """Give leave now, later, or take back what was given; nothing that the caller cannot wait for."""
        now = self.clock.now
        keep = previous is not None and self.draw(st.booleans())
        wait = 0.0 if keep else self.draw(st.sampled_from([0.0, 0.0, 0.5, 20.0]) | st.floats(0, 700))
        taken = wait <= patience and (wait == 0.0 or self.draw(st.booleans()))
        self.life.reserved.append(Slot(now + wait, made=now, taken=taken))
        return self.life.reserved[-1]

    def send(self, step: Send) -> Answer | Failure:
        """Take a request, and answer it or not."""
        life = self.life
        assert self.clock.now < self.ends, "sent after the deadline"
        assert 0 < step.timeout <= self.ends - self.clock.now + 1e-6
        assert step.method == self.call.method
        if self.call.trusted is None:
            assert step.token is None
            assert step.url == self.call.url
        elif step.is_foreign:
            assert step.token is None, "the token left the house"
            assert step.method in ("GET", "HEAD")
            assert Origin.of(step.url).is_protected
        else:
            assert step.token is not None
            assert step.url in OWN, "the token left the house"
        if life.outcomes and not self.call.repeatable:
            assert surely_without_effect(life.outcomes[-1]), "repeated what must not be"
        life.sends.append(step)
        life.last_sent_at = self.clock.now
        outcome = self.draw(OUTCOMES)
        late = isinstance(outcome, Failure) and outcome.kind is FailureKind.DEADLINE
        self.pass_time(step.timeout if late else min(self.draw(SECONDS), step.timeout))
        life.outcomes.append(outcome)
        return outcome

    def wait(self, step: Wait) -> None:
        """Let the call wait."""
        assert step.seconds > 0
        assert step.seconds < self.ends - self.clock.now, "waits in vain"
        assert self.call.longest_wait is None or step.seconds <= self.call.longest_wait
        assert 1 <= step.attempt <= step.max_attempts == self.call.max_attempts
        assert step.remaining == pytest.approx(self.ends - self.clock.now)
        assert "secretish" not in str(step)
        self.life.waits.append(step)
        self.pass_time(step.seconds)

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds


def surely_without_effect(outcome: Answer | Failure) -> bool:
    """Tell whether the service did nothing: it refused, or was not reached, or sent the caller on."""
    if isinstance(outcome, Failure):
        return outcome.kind is FailureKind.UNREACHABLE
    return outcome.status in (401, 408, 425, 429) or 300 <= outcome.status < 400


def live(call: Call, data: st.DataObject, jitter: float = 0.5) -> tuple[World, Life]:
    """Live through a call with random events."""
    world = World(call, data.draw)
    return world, world.run(jitter)


@settings(max_examples=400, deadline=None)
@given(call=CALLS, jitter=st.floats(0, 1, exclude_max=True), data=st.data())
def test_call_ends_in_time_with_an_answer_or_a_typed_error(call: Call, jitter: float, data: st.DataObject):
    """Within its deadline, with a status below 300 or a ``SentinelHubError`` that names the endpoint and no secret."""
    world, life = live(call, data, jitter)

    assert world.clock.now <= world.ends + 1e-6
    assert (life.result is None) is (life.error is not None)
    if life.result is not None:
        event("answered")
        # A DELETE that does not find what it has deleted counts as done.
        last = life.outcomes[-1]
        assert isinstance(last, Answer)
        assert life.result is last or (last.status, life.result.status) == (404, 204)
        assert life.result.status < 300
    else:
        event(type(life.error).__name__)
        assert str(life.error).strip()
        assert "secretish" not in f"{life.error} {life.error.endpoint}"
        assert life.error.endpoint is not None
        assert life.error.endpoint.startswith(f"{call.method} https://")


@settings(max_examples=150, deadline=None)
@given(call=CALLS, data=st.data())
def test_attempts_tokens_and_redirects_are_bounded(call: Call, data: st.DataObject):
    """Attempts besides 429s that are waited out; two tokens, and a handful of redirects, for each of them."""
    _, life = live(call, data)

    attempts = sum(step.rejected is None for step in life.authorizations) if call.trusted else len(life.sends)
    waited_out = life.rate_limited if call.rate_limited else 0
    assert attempts <= call.max_attempts + waited_out
    assert len(life.sends) <= attempts * (MAX_REDIRECTS + 2)
    assert sum(not wait.is_turn and wait.reason != "rate limited" for wait in life.waits) < call.max_attempts
    for first, second in zip(life.authorizations, life.authorizations[1:], strict=False):
        assert first.rejected is None or second.rejected is None, "a third token for one attempt"


@settings(max_examples=150, deadline=None)
@given(call=CALLS, data=st.data())
def test_renewed_token_is_the_one_that_was_refused(call: Call, data: st.DataObject):
    """Exactly the token that a 401 answered is handed back, and the new one is sent."""
    _, life = live(call, data)
    refused = [
        send.token
        for send, outcome in zip(life.sends, life.outcomes, strict=True)
        if isinstance(outcome, Answer) and outcome.status == 401
    ]

    for step in life.authorizations:
        assert step.rejected is None or step.rejected in refused


@settings(max_examples=150, deadline=None)
@given(call=CALLS, data=st.data())
def test_every_answer_of_a_rate_limited_call_is_settled_once(call: Call, data: st.DataObject):
    """All who share the account learn of each attempt's last answer; nobody learns of what is not rate limited."""
    _, life = live(call, data)
    if not call.rate_limited:
        assert life.settled == []
        assert life.reserved == []
        return

    told = [step.status for step in life.settled]
    limited = [status for status in told if status == 429]
    assert len(limited) == life.rate_limited
    # A DELETE that does not find what it has deleted is told as it was, and counts as done.
    assert life.result is None or told[-1] == life.result.status or (told[-1], life.result.status) == (404, 204)


@settings(max_examples=150, deadline=None)
@given(call=CALLS, data=st.data(), retry_after=st.integers(1, 4_000_000))
def test_wait_that_was_asked_for_is_never_undercut(call: Call, data: st.DataObject, retry_after: int):
    """``Retry-After`` in milliseconds is waited, two minutes at most, or the error says how long it would have been."""
    assume(not call.rate_limited)
    world = World(call, data.draw)
    world.send = lambda step: Answer(429, {"Retry-After": str(retry_after)})  # type: ignore[method-assign]
    life = world.run(0.0)

    asked = min(retry_after / 1000, LONGEST_ASKED)
    assert all(wait.seconds >= asked for wait in life.waits)
    if "before it could be sent" in str(life.error):  # tokens took all the time
        return
    assert isinstance(life.error, SentinelHubRateLimitError)
    assert life.error.retry_after is not None
    assert life.error.retry_after >= asked


@given(url=st.sampled_from([url for url in FOREIGN if "://" in url]), call=CALLS)
def test_foreign_url_is_refused_before_anything_is_asked_for(url: str, call: Call):
    """Neither a token nor a turn is taken for it."""
    foreign = replace(call, url=url, trusted=OWN)
    with pytest.raises(SentinelHubRequestError):
        next(call_flow(foreign, clock=FakeClock(), random=lambda: 0.0))

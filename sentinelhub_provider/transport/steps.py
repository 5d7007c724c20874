"""The steps of a call, which the policy yields and the sessions carry out, and their metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, Self, TypeAlias

from sentinelhub_provider.exceptions import SentinelHubAuthenticationError
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.transport.answers import Answer
from sentinelhub_provider.transport.rate_limit import Slot

PROCESSING_UNITS = "processing_units"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number for Airflow's metrics.

    :param kind: the method of ``Stats`` that takes it. A timer is in milliseconds.
    :param status: class of an answer's status, for a tag.
    :param window: window of a budget, for a tag: ``day`` or ``month``.
    """

    name: str
    value: float = 1
    kind: Literal["incr", "timing", "gauge"] = "incr"
    status: str | None = None
    window: str | None = None


TOKEN_CACHE_HIT = Measurement("token.cache_hits")
Measure: TypeAlias = Callable[[Measurement, str], None]  # takes a measurement of a call to a URL


class FailureKind(Enum):
    """The reason for an incomplete answer, with advice, whether the service may have acted, and whether it is final."""

    advice: str
    was_sent: bool
    is_final: bool

    UNREACHABLE = (
        "the host cannot be reached",
        "Check the host in the connection, the network, and the proxy settings.",
    )
    TLS = (
        "the TLS connection failed",
        "Check the host in the connection. Behind a proxy with its own CA, set verify to its CA bundle.",
        False,
        True,
    )
    BROKEN = ("the connection broke", "No part of the answer was kept.", True)
    SILENT = (
        "the service stayed silent for too long",
        "Allow more time with the connection's timeout, or ask for less at once.",
        True,
    )
    DEADLINE = ("the deadline passed", "Allow a later deadline, or ask for less at once.", True, True)
    TOO_LATE = (
        "the deadline passed before it could be sent",
        "Allow a later deadline, and see whether the token endpoint is slow.",
        False,
        True,
    )

    def __new__(cls, words: str, advice: str, was_sent: bool = False, is_final: bool = False) -> Self:
        """Make a member from its words, which are its value."""
        kind = object.__new__(cls)
        kind._value_ = words
        kind.advice, kind.was_sent, kind.is_final = advice, was_sent, is_final
        return kind


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt without a complete answer. ``cause`` is the library's exception, kept as the error's cause."""

    kind: FailureKind
    cause: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Reserve:
    """Ask for a start within ``patience`` seconds. ``previous`` is a slot whose time came. The reply is a slot."""

    previous: Slot | None
    patience: float
    spends: bool


@dataclass(frozen=True, slots=True)
class Settle:
    """Report the outcome of a slot to all that share the account."""

    slot: Slot
    status: int
    retry_after: float | None
    spent: float | None


@dataclass(frozen=True, slots=True)
class Authorize:
    """Get a token. ``rejected`` is one that the service just refused. The reply is the token."""

    rejected: AccessToken | None
    timeout: float


@dataclass(frozen=True, slots=True)
class Distrust:
    """Remember for a while that the API refuses every token, so that the next call fetches none."""

    error: SentinelHubAuthenticationError


@dataclass(frozen=True, slots=True)
class Send:
    """Send once. A foreign host gets neither credentials nor a body. The reply is an answer or a failure."""

    method: str
    url: str
    token: AccessToken | None
    timeout: float
    is_foreign: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for so many seconds, then go on. A turn is not a failure, because other requests go first."""

    seconds: float
    reason: str
    attempt: int
    max_attempts: int
    remaining: float
    is_turn: bool = False

    def __str__(self) -> str:
        return (
            f"{self.reason}, waiting {self.seconds:.1f} s, attempt {self.attempt} of {self.max_attempts}, "
            f"deadline in {duration(self.remaining)}"
        )


Step: TypeAlias = Reserve | Settle | Authorize | Distrust | Send | Wait


def measurements(step: Step, outcome: Any, seconds: float) -> Iterator[Measurement]:
    """Yield the metrics of a step and its outcome. The step took so many seconds."""
    match step:
        case Send():
            name = "token.requests" if step.token is None and not step.is_foreign else "requests"
            status = _status_class(outcome)
            yield Measurement(name, status=status)
            yield Measurement(f"{name}.duration", seconds * 1000, "timing", status)
        case Wait(is_turn=is_turn):
            if not is_turn:
                yield Measurement("retries")
            yield Measurement("waits.duration", seconds * 1000, "timing")
        case Settle() if outcome is not None:
            yield Measurement("rate_limit.requests_per_minute", outcome, "gauge")
    if isinstance(outcome, Answer):
        if outcome.status == 429:
            yield Measurement("rate_limited")
        if outcome.processing_units is not None:
            yield Measurement(PROCESSING_UNITS, outcome.processing_units)


def _status_class(outcome: Any) -> str:
    """Return ``2xx``, ``4xx`` and so on, ``429``, or ``none`` without an answer."""
    if not isinstance(outcome, Answer):
        return "none"
    return "429" if outcome.status == 429 else f"{outcome.status // 100}xx"


def duration(seconds: float) -> str:
    """Return a length of time as words, for messages."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"

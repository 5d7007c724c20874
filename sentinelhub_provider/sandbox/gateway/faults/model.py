"""Faults between a client and Sentinel Hub as data, and the rule that selects the fault of a request.

A fault has a path pattern, a number of requests, and an action. The control surface (``POST /sandbox/control/faults``)
and ``SandboxServer.control.add_fault`` take the same JSON.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Status(_Model):
    """Answer with a status instead of handling the request.

    ``body`` is sent as JSON, ``text`` as it is. Without both, the API's own error shape for that status is sent.
    """

    kind: Literal["status"] = "status"
    status: int = Field(ge=200, le=599)
    body: JsonValue = None
    text: str | None = None
    content_type: str | None = None
    headers: dict[str, str] = {}


class RateLimit(_Model):
    """Answer 429. ``retry_after`` is sent unchanged (``"3398"``, ``"2.5"``, a date, nonsense). ``None`` sends none.

    ``wrapped`` puts the body into an ``error`` object. The documentation shows it without.
    """

    kind: Literal["rate_limit"] = "rate_limit"
    retry_after: str | None = None
    wrapped: bool = False


class Redirect(_Model):
    """Answer with a redirect to ``location``, absolute or relative."""

    kind: Literal["redirect"] = "redirect"
    location: str
    status: Literal[301, 302, 303, 307, 308] = 302


class Html(_Model):
    """Answer with an HTML page, as a login page or a proxy would."""

    kind: Literal["html"] = "html"
    status: int = Field(200, ge=200, le=599)


class Empty(_Model):
    """Answer with no body at all."""

    kind: Literal["empty"] = "empty"
    status: int = Field(200, ge=200, le=599)


class ErrorJson(_Model):
    """Answer with an error object under a status that says success."""

    kind: Literal["error_json"] = "error_json"
    status: int = Field(200, ge=200, le=599)


class Delay(_Model):
    """Wait ``seconds``, then handle the request."""

    kind: Literal["delay"] = "delay"
    seconds: float = Field(ge=0)


class Silence(_Model):
    """Take the request and never answer. After ``seconds`` (``None`` for never) close the connection."""

    kind: Literal["silence"] = "silence"
    seconds: float | None = Field(None, ge=0)


class Reset(_Model):
    """Reset the connection (TCP RST) before any answer."""

    kind: Literal["reset"] = "reset"


class LoseAnswer(_Model):
    """Handle the request, then reset the connection (TCP RST) instead of answering. The request took effect."""

    kind: Literal["lose_answer"] = "lose_answer"


class Truncate(_Model):
    """Handle the request, but close the connection after ``after_bytes`` of the body (``None`` for half of it).

    ``Content-Length`` still announces the whole body. With ``chunked`` the body is sent in chunks, and the last one
    never comes.
    """

    kind: Literal["truncate"] = "truncate"
    after_bytes: int | None = Field(None, ge=0)
    chunked: bool = False


class ResetMidBody(_Model):
    """Handle the request, but reset the connection (TCP RST) after ``after_bytes`` of the body (``None`` for half).

    ``chunked`` as for ``truncate``.
    """

    kind: Literal["reset_mid_body"] = "reset_mid_body"
    after_bytes: int | None = Field(None, ge=0)
    chunked: bool = False


class Trickle(_Model):
    """Handle the request, but send the body in pieces of ``chunk_bytes`` with ``interval`` seconds between them.

    With ``part`` ``"head"``, status line and header fields are sent that way instead, then the body at once.
    """

    kind: Literal["trickle"] = "trickle"
    chunk_bytes: int = Field(1, ge=1)
    interval: float = Field(0.05, ge=0)
    part: Literal["body", "head"] = "body"


class RevokeTokens(_Model):
    """Revoke all tokens issued so far, then handle the request. Its own token is refused, too."""

    kind: Literal["revoke_tokens"] = "revoke_tokens"


class RotateKey(_Model):
    """Sign with a new key from now on, then handle the request. All earlier tokens are refused."""

    kind: Literal["rotate_key"] = "rotate_key"


TokenVariant = Literal[
    "no_access_token",
    "empty_access_token",
    "no_expires_in",
    "zero_expires_in",
    "string_expires_in",
    "negative_expires_in",
    "nonsense_expires_in",
    "no_token_type",
    "other_token_type",
    "not_an_object",
]


class TokenAnswer(_Model):
    """Let the token endpoint answer, and spoil its answer. Use on a path pattern of token endpoints."""

    kind: Literal["token_answer"] = "token_answer"
    variant: TokenVariant


Action = Annotated[
    Status
    | RateLimit
    | Redirect
    | Html
    | Empty
    | ErrorJson
    | Delay
    | Silence
    | Reset
    | LoseAnswer
    | Truncate
    | ResetMidBody
    | Trickle
    | RevokeTokens
    | RotateKey
    | TokenAnswer,
    Field(discriminator="kind"),
]

#: Path pattern of all token endpoints.
TOKEN_PATHS = "*/token"  # noqa: S105 - a pattern


class Fault(_Model):
    """A fault, with its path, its number of requests, and its action."""

    action: Action
    path: str = "*"
    """Pattern of the path, with ``*`` and ``?``, such as ``/process/v1``, ``*/token``, ``/catalog/*``."""
    method: str | None = None
    """HTTP method in capitals, ``None`` for any."""
    times: int | None = Field(1, ge=1)
    """Number of requests that it affects, ``None`` for all."""
    after: int = Field(0, ge=0)
    """Number of matching requests that pass first."""
    probability: float = Field(1.0, gt=0, le=1)
    """Chance that it affects a matching request."""


def concerns(fault: Fault, method: str, path: str) -> bool:
    """Tell whether a fault's pattern covers a request."""
    return fault.method in (None, method) and fnmatchcase(path, fault.path)


def applies(fault: Fault, *, seen: int, applied: int, draw: float) -> bool:
    """Decide whether a fault affects a request that it concerns.

    ``seen`` requests came before it, ``applied`` of them were affected, ``draw`` is a random number in [0, 1).
    """
    if seen < fault.after or (fault.times is not None and applied >= fault.times):
        return False
    return draw < fault.probability


def spoil_token_answer(body: Mapping[str, Any], variant: TokenVariant) -> Any:
    """Return a token answer as a faulty server would give it."""
    spoiled = dict(body)
    match variant:
        case "no_access_token":
            del spoiled["access_token"]
        case "empty_access_token":
            spoiled["access_token"] = ""
        case "no_expires_in":
            del spoiled["expires_in"]
        case "zero_expires_in":
            spoiled["expires_in"] = 0
        case "string_expires_in":
            spoiled["expires_in"] = str(spoiled["expires_in"])
        case "negative_expires_in":
            spoiled["expires_in"] = -1
        case "nonsense_expires_in":
            spoiled["expires_in"] = "soon"
        case "no_token_type":
            del spoiled["token_type"]
        case "other_token_type":
            spoiled["token_type"] = "mac"  # noqa: S105 - a name
        case "not_an_object":
            return [spoiled["access_token"]]
    return spoiled


@dataclass
class InjectedFault:
    """An injected fault with its count."""

    id: int
    fault: Fault
    seen: int = 0
    applied: int = field(default=0)


class FaultPlan:
    """The injected faults. The first one that affects a request wins, and the others do not count it."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._random = random.Random(seed)  # noqa: S311 - no secret depends on it
        self._injected: list[InjectedFault] = []

    def add(self, fault: Fault) -> int:
        """Inject a fault and return its ID."""
        with self._lock:
            injected = InjectedFault(next(self._ids), fault)
            self._injected.append(injected)
            return injected.id

    def remove(self, fault_id: int) -> bool:
        """Remove a fault. Return whether it existed."""
        with self._lock:
            before = len(self._injected)
            self._injected = [injected for injected in self._injected if injected.id != fault_id]
            return len(self._injected) < before

    def clear(self) -> None:
        """Remove all faults and restart the random numbers."""
        with self._lock:
            self._injected.clear()
            self._random = random.Random(self._seed)  # noqa: S311

    def injected(self) -> list[InjectedFault]:
        """Return the injected faults, used up or not."""
        with self._lock:
            return list(self._injected)

    def draw(self, method: str, path: str) -> Fault | None:
        """Return the fault that affects this request, or ``None``."""
        with self._lock:
            for injected in self._injected:
                if not concerns(injected.fault, method, path):
                    continue
                draw = self._random.random()
                due = applies(injected.fault, seen=injected.seen, applied=injected.applied, draw=draw)
                injected.seen += 1
                if due:
                    injected.applied += 1
                    return injected.fault
        return None

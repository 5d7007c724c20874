"""The sandbox's counters for tests, of its calls, their paths, and their results."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Requests that are remembered; older ones are dropped, the counters go on.
MAX_REQUESTS = 10_000


@dataclass(frozen=True)
class RequestRecord:
    """One answered request. It never holds a token or a secret, only whether there was an ``Authorization`` header."""

    method: str
    path: str
    query: str
    status: int | None
    """``None`` if the connection ended without an answer."""
    authorized: bool
    """Whether the request carried an ``Authorization`` header."""
    user_agent: str
    fault: str | None
    """Kind of the fault that affected it."""


@dataclass(frozen=True)
class Exchange:
    """A request and its answer in full, for checking both against a description of the API.

    ``Authorization`` is replaced in the headers, credentials of buckets in the request. Header names are in lower case.
    """

    method: str
    path: str
    query: str
    request_headers: Mapping[str, str]
    request_body: bytes = field(repr=False)
    status: int
    response_headers: Mapping[str, str]
    response_body: bytes = field(repr=False)


@dataclass(frozen=True)
class Counters:
    """Figures since the start or the last reset."""

    token_requests: int = 0
    """Requests at the token endpoints, whatever their answer."""
    tokens_issued: int = 0
    failed_logins: int = 0
    """Token requests refused for their client id or secret."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """Requests per path, token endpoints included, the control surface not."""
    unauthorized: int = 0
    """API requests answered 401."""
    rate_limited: int = 0
    """Requests answered 429 by a limit."""
    processing_units: float = 0.0
    """Processing units charged."""

    @property
    def total_requests(self) -> int:
        """All requests."""
        return sum(self.requests.values())


class Ledger:
    """Counts and remembers. Safe to read from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.recording = False
        self._clear()

    def _clear(self) -> None:
        self._counts: Counter[str] = Counter()
        self._requests_by_path: Counter[str] = Counter()
        self._processing_units = 0.0
        self._records: deque[RequestRecord] = deque(maxlen=MAX_REQUESTS)
        self._exchanges: list[Exchange] = []

    def reset(self) -> None:
        """Set all to zero and stop recording exchanges."""
        with self._lock:
            self._clear()
            self.recording = False

    def count(self, name: str) -> None:
        """Add one to a counter of ``Counters``."""
        with self._lock:
            self._counts[name] += 1

    def count_request(self, path: str) -> None:
        """Add one request of a path."""
        with self._lock:
            self._requests_by_path[path] += 1

    def charge(self, processing_units: float) -> None:
        """Add processing units."""
        with self._lock:
            self._processing_units += processing_units

    def remember(self, record: RequestRecord) -> None:
        """Keep one answered request."""
        with self._lock:
            self._records.append(record)

    def remember_exchange(self, exchange: Exchange) -> None:
        """Keep one exchange in full."""
        with self._lock:
            self._exchanges.append(exchange)

    def counters(self) -> Counters:
        """Return the figures of now."""
        with self._lock:
            counts: dict[str, Any] = dict(self._counts)
            return Counters(
                requests=dict(self._requests_by_path), processing_units=round(self._processing_units, 6), **counts
            )

    def requests(self) -> list[RequestRecord]:
        """Return the requests remembered, oldest first."""
        with self._lock:
            return list(self._records)

    def exchanges(self) -> list[Exchange]:
        """Return the exchanges recorded, oldest first."""
        with self._lock:
            return list(self._exchanges)

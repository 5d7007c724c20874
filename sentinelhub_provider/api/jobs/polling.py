"""How often jobs are polled, and whether by the pages of one listing or job by job."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubResponseError

DEFAULT_POLL_INTERVAL = 30.0  # Seconds between two status checks of a job that has been running for a while
SHORTEST_INTERVAL = 5.0  # Seconds before the first status check, and between those of a young job

AGE_SHARE = 0.1
"""A job is checked about seven times while its age doubles, so that short ones are not waited for too long."""

JITTER = 0.1  # Share by which an interval may be shorter, so that several processes do not ask in step
EARLY = 0.2  # Share of its interval that a job may be checked too early, to share a round with others
LONGEST_BACK_OFF = 300.0  # Seconds between two attempts at most, however long the service fails
PROGRESS = 5.0  # Per cent that a job goes on by before that is told
PAGE_SIZE = 100  # Jobs that a page is asked to hold
FEW = 3  # So many jobs are checked one by one, whatever a listing might cost
RELEARN = 20  # Rounds after which it is found out again how far down a listing the jobs are
MOST_SINGLES = 30  # Jobs that one round checks one by one; the others keep their place in the queue

REST_PER_REQUEST = 1.0
"""Seconds of rest for each request of a round beyond :data:`FEW`: 60 a minute, a fifth of the smallest plan's 300."""


def first_wait(poll_interval: float) -> float:
    """Return seconds until the first status check: others may join the round, and the task is away before the event."""
    return min(SHORTEST_INTERVAL, poll_interval)


def wait_between(age: float, poll_interval: float, jitter: float) -> float:
    """Return seconds until a job of that age is checked next; ``jitter``, in [0, 1), is the same for a round."""
    return min(poll_interval, max(SHORTEST_INTERVAL, age * AGE_SHARE)) * (1 - JITTER * jitter)


def wait_after_fault(faults: int, poll_interval: float, jitter: float, retry_after: float | None = None) -> float:
    """Return seconds until the next attempt after so many polls in a row that failed."""
    doubled = min(poll_interval, SHORTEST_INTERVAL) * 2.0 ** min(faults - 1, 16)
    longest = max(LONGEST_BACK_OFF, poll_interval)
    return max(retry_after or 0.0, min(doubled, longest) * (1 - JITTER * jitter))


def rest_after(requests: int) -> float:
    """Return seconds that a loop rests after a round of so many requests, to leave the account's rate to the work."""
    return max(0, requests - FEW) * REST_PER_REQUEST


def is_due(due: float, interval: float, now: float, *, is_first: bool) -> bool:
    """Tell whether a round that begins now checks a job; one that was never checked joins the first that comes."""
    return is_first or due <= now + EARLY * interval


def has_progressed(completion: float | None, told: float | None) -> bool:
    """Tell whether a job's completion, in per cent, has grown by so much that it is worth telling."""
    return completion is not None and completion - (told or 0.0) >= PROGRESS


def should_list(due: int, depth: int | None) -> bool:
    """Tell whether a listing, which took ``depth`` pages when last known, is cheaper than a request for each job."""
    return due > FEW and due > (math.ceil(due / PAGE_SIZE) if depth is None else depth)


def should_read_on(unseen: int, fruitless: int) -> bool:
    """Tell whether another page is worth it, at most twice the cost of the better choice."""
    return unseen > max(1, fruitless)


def is_past(oldest_on_page: datetime | None, oldest_unseen: datetime | None) -> bool:
    """Tell whether a listing, newest first, has gone past all that it was read for."""
    return oldest_on_page is not None and oldest_unseen is not None and oldest_on_page < oldest_unseen


def documents_by_id(page: Any) -> dict[str, Mapping[str, Any]]:
    """Return the jobs of one page of a listing by id. Raises :class:`SentinelHubResponseError` for anything else."""
    items = page.get("data") if isinstance(page, Mapping) else None
    if not isinstance(items, list):
        raise SentinelHubResponseError(
            "The listing of jobs has no list under 'data'. Nothing of it was used; it is asked for again."
        )
    found = (item for item in items if isinstance(item, Mapping))
    return {item["id"]: item for item in found if isinstance(item.get("id"), str)}

"""Decides how often jobs are polled, and whether by the pages of a listing or one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubResponseError

DEFAULT_POLL_INTERVAL = 30.0  # Seconds between two status checks of a job that has been running for a while
SHORTEST_INTERVAL = 5.0  # Seconds before the first status check, and between those of a young job

AGE_SHARE = 0.1
"""A job is checked about seven times while its age doubles, so that the end of a short job is seen early."""

JITTER = 0.1  # Share by which an interval may be shorter, so that several processes do not poll in step
EARLY = 0.2  # Share of its interval by which a job may be checked early, to share a round with others
LONGEST_BACK_OFF = 300.0  # Seconds between two attempts at most, however long the service fails
PROGRESS = 5.0  # Per cent by which a job's completion grows before it is logged again
PAGE_SIZE = 100  # Jobs on a page of a listing
FEW = 3  # Jobs that are checked one by one, whatever the cost of a listing
RELEARN = 20  # Rounds after which the number of pages that a listing needs is measured again
MOST_SINGLES = 30  # Jobs that one round checks one by one. The others keep their place in the queue

REST_PER_REQUEST = 1.0
"""Seconds of rest per request of a round beyond :data:`FEW`, for a fifth of the smallest plan's 300 per minute."""


def first_wait(poll_interval: float) -> float:
    """Return seconds until the first status check. Other jobs join its round, and the task defers before its event."""
    return min(SHORTEST_INTERVAL, poll_interval)


def wait_between(age: float, poll_interval: float, jitter: float) -> float:
    """Return seconds until a job of that age is checked next. ``jitter`` in [0, 1) is the same for a round."""
    return min(poll_interval, max(SHORTEST_INTERVAL, age * AGE_SHARE)) * (1 - JITTER * jitter)


def wait_after_fault(faults: int, poll_interval: float, jitter: float, retry_after: float | None = None) -> float:
    """Return seconds until the next attempt after ``faults`` polls in a row that failed."""
    doubled = min(poll_interval, SHORTEST_INTERVAL) * 2.0 ** min(faults - 1, 16)
    longest = max(LONGEST_BACK_OFF, poll_interval)
    return max(retry_after or 0.0, min(doubled, longest) * (1 - JITTER * jitter))


def rest_after(requests: int) -> float:
    """Return seconds of rest after a round of ``requests``, which leave the account's rate limit to other work."""
    return max(0, requests - FEW) * REST_PER_REQUEST


def is_due(due: float, interval: float, now: float, *, is_first: bool) -> bool:
    """Tell whether a round that begins now checks a job. One that was never checked joins any round."""
    return is_first or due <= now + EARLY * interval


def has_progressed(completion: float | None, told: float | None) -> bool:
    """Tell whether a job's completion, in per cent, has grown enough to be logged."""
    return completion is not None and completion - (told or 0.0) >= PROGRESS


def should_list(due: int, depth: int | None) -> bool:
    """Tell whether a listing is cheaper than a request for each job. ``depth`` is the number of pages it last took."""
    return due > FEW and due > (math.ceil(due / PAGE_SIZE) if depth is None else depth)


def should_read_on(unseen: int, fruitless: int) -> bool:
    """Tell whether to read another page, so that a round takes at most about twice the fewest possible requests."""
    return unseen > max(1, fruitless)


def is_past(oldest_on_page: datetime | None, oldest_unseen: datetime | None) -> bool:
    """Tell whether a listing, newest first, has gone past the oldest job that it was read for."""
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

"""What is worth counting of a call, by the names that it is counted under."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from sentinelhub_provider.transport.answers import Answer
from sentinelhub_provider.transport.policy import Event, Send, Step, Wait

Count: TypeAlias = Callable[[str, float, str], None]
"""Adds a number to a counter, for a call to a URL."""

TOKEN_REQUESTS = "token.requests"  # noqa: S105 - a counter's name
TOKEN_CACHE_HITS = "token.cache_hits"  # noqa: S105 - a counter's name
REQUESTS = "requests"
RETRIES = "retries"
RATE_LIMITED = "rate_limited"
PROCESSING_UNITS = "processing_units"


def worth_counting(step: Step, outcome: Event) -> Iterator[tuple[str, float]]:
    """
    Say what one step of a call adds to which counter.

    :param step: what was done.
    :param outcome: what came of it.
    """
    match step:
        case Send(token=None, is_foreign=False):
            yield TOKEN_REQUESTS, 1
        case Send():
            yield REQUESTS, 1
        case Wait(is_turn=False):
            yield RETRIES, 1
    if isinstance(outcome, Answer):
        if outcome.status == 429:
            yield RATE_LIMITED, 1
        if outcome.processing_units is not None:
            yield PROCESSING_UNITS, outcome.processing_units

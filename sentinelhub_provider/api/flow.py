"""Drives flows. A flow is a generator that decides. It yields the next step and is sent its result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from sentinelhub_provider.both_ways import at_once, awaited
from sentinelhub_provider.exceptions import SentinelHubError

T = TypeVar("T")


def drive(flow: Generator[Any, Any, T], take: Callable[[Any], Any]) -> T:
    """Take a flow's steps until it ends, and return its result. The flow gets a :class:`SentinelHubError` of a step."""
    return at_once(adrive(flow, take))


async def adrive(flow: Generator[Any, Any, T], take: Callable[[Any], Any]) -> T:
    """Do what :func:`drive` does, for the event loop, where taking a step may be a coroutine."""
    answer: Any = None
    error: SentinelHubError | None = None
    try:
        while True:
            step = flow.send(answer) if error is None else flow.throw(error)
            answer = error = None
            try:
                answer = await awaited(take(step))
            except SentinelHubError as raised:
                error = raised
    except StopIteration as end:
        result: T = end.value
        return result

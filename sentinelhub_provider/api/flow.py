"""
Drives flows: generators that yield what to do next and are sent what came of it.

A flow holds the decisions, its driver the calls and the waits, so that blocking and asynchronous code share a flow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from sentinelhub_provider.exceptions import SentinelHubError

T = TypeVar("T")


def drive(flow: Generator[Any, Any, T], take: Callable[[Any], Any]) -> T:
    """
    Take the steps of a flow until it ends.

    :param take: takes one step and returns its result. A :class:`SentinelHubError` of it is thrown into the flow.
    :returns: the flow's result.
    """
    answer: Any = None
    error: SentinelHubError | None = None
    try:
        while True:
            step = flow.send(answer) if error is None else flow.throw(error)
            try:
                answer, error = take(step), None
            except SentinelHubError as problem:
                answer, error = None, problem
    except StopIteration as end:
        result: T = end.value
        return result


async def adrive(flow: Generator[Any, Any, T], take: Callable[[Any], Awaitable[Any]]) -> T:
    """Do what :func:`drive` does, for the event loop."""
    answer: Any = None
    error: SentinelHubError | None = None
    try:
        while True:
            step = flow.send(answer) if error is None else flow.throw(error)
            try:
                answer, error = await take(step), None
            except SentinelHubError as problem:
                answer, error = None, problem
    except StopIteration as end:
        result: T = end.value
        return result

"""Drives flows, which decide: generators that yield what to do next and are sent what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

from sentinelhub_provider.exceptions import SentinelHubError

T = TypeVar("T")


class _Run(Generic[T]):
    """Iterates over a flow's steps. As a context, it takes what came of a step: ``answer``, or a service's error."""

    result: T

    def __init__(self, flow: Generator[Any, Any, T]) -> None:
        self._flow = flow
        self._error: SentinelHubError | None = None
        self.answer: Any = None

    def __iter__(self) -> _Run[T]:
        return self

    def __next__(self) -> Any:
        try:
            return self._flow.send(self.answer) if self._error is None else self._flow.throw(self._error)
        except StopIteration as end:
            self.result = end.value
            raise

    def __enter__(self) -> None:
        self.answer = self._error = None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        self._error = error if isinstance(error, SentinelHubError) else None
        return self._error is not None


def drive(flow: Generator[Any, Any, T], take: Callable[[Any], Any]) -> T:
    """Take a flow's steps until it ends, and return its result. The flow gets a :class:`SentinelHubError` of a step."""
    run = _Run(flow)
    for step in run:
        with run:
            run.answer = take(step)
    return run.result


async def adrive(flow: Generator[Any, Any, T], take: Callable[[Any], Awaitable[Any]]) -> T:
    """Do what :func:`drive` does, for the event loop."""
    run = _Run(flow)
    for step in run:
        with run:
            run.answer = await take(step)
    return run.result

"""Helpers for code that serves both blocking tasks and the event loop, and for locks across a fork."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


async def awaited(value: Any) -> Any:
    """Return the result of a call. Wait for it if the call returned a coroutine."""
    return await value if inspect.isawaitable(value) else value


def at_once(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine to its end without an event loop. It never waits, because everything that it calls blocks."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: _Result = done.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine that must not wait did so")


async def in_thread(act: Callable[..., _Result], *arguments: Any) -> _Result:
    """Run a blocking function in a thread. A caller that is cancelled meanwhile waits for its end."""
    acting = asyncio.ensure_future(asyncio.to_thread(act, *arguments))
    try:
        return await asyncio.shield(acting)
    except asyncio.CancelledError:
        await acting
        raise


class Turns:
    """A lock for the threads of one process. A forked child does not inherit it in its locked state."""

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _renew(self) -> None:
        self._lock = threading.Lock()

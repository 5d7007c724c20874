"""One piece of code for tasks, which block, and for the event loop; and locks for threads of processes that fork."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


async def awaited(value: Any) -> Any:
    """Return what a call returned: of a coroutine function, after waiting for it."""
    return await value if inspect.isawaitable(value) else value


def at_once(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Take a coroutine that never waits, as all that it calls blocks, to its end without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: _Result = done.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine that must not wait did so")


async def in_thread(act: Callable[..., _Result], *arguments: Any) -> _Result:
    """Let something that blocks act in a thread; a caller that is cancelled meanwhile waits for its end."""
    acting = asyncio.ensure_future(asyncio.to_thread(act, *arguments))
    try:
        return await asyncio.shield(acting)
    except asyncio.CancelledError:
        await acting
        raise


class Turns:
    """A lock for the threads of one process, which a forked child does not inherit in its locked state."""

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

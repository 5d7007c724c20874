"""One piece of code for tasks, which block, and for the event loop."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
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

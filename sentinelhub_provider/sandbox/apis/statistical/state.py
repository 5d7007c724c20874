"""Injected errors of intervals. The sandbox's own evalscripts and scenes do not fail by themselves."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from sentinelhub_provider.sandbox.gateway.state import Sandbox

ErrorType = Literal["BAD_REQUEST", "EXECUTION_ERROR", "TIMEOUT"]
"""The values of an interval's ``error.type`` in the API reference."""


@dataclass(frozen=True)
class IntervalError:
    """An error for intervals whose start, written as in the answer, begins with ``interval`` (``2024-06`` is a month).

    ``times`` is the number of intervals that it still affects, ``None`` for all. For ``type``, see :data:`ErrorType`.
    """

    id: int
    interval: str = ""
    type: ErrorType = "EXECUTION_ERROR"
    times: int | None = 1


class IntervalErrors:
    """The errors that are planned. Safe to change from another thread while the server runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._planned: dict[int, IntervalError] = {}

    @classmethod
    def of(cls, sandbox: Sandbox) -> IntervalErrors:
        """Return the planned errors of a sandbox."""
        return sandbox.part(cls, cls)

    def add(self, interval: str = "", *, kind: ErrorType = "EXECUTION_ERROR", times: int | None = 1) -> IntervalError:
        """Plan an error. Raises :class:`ValueError` for a kind or a number that cannot be."""
        if kind not in get_args(ErrorType):
            raise ValueError(f"kind must be one of {', '.join(get_args(ErrorType))}, not {kind!r}")
        if times is not None and times < 1:
            raise ValueError(f"times must be at least 1 (or None for always), not {times}")
        with self._lock:
            planned = IntervalError(next(self._numbers), interval, kind, times)
            self._planned[planned.id] = planned
        return planned

    def draw(self, start: str) -> ErrorType | None:
        """Return the error of the interval with this start, and use it up. Return ``None`` if there is none."""
        with self._lock:
            for planned in self._planned.values():
                if not start.startswith(planned.interval):
                    continue
                if planned.times is not None:
                    left = replace(planned, times=planned.times - 1)
                    if left.times:
                        self._planned[planned.id] = left
                    else:
                        del self._planned[planned.id]
                return planned.type
        return None

    def planned(self) -> list[IntervalError]:
        """List what is still to come."""
        with self._lock:
            return list(self._planned.values())

    def reset(self) -> None:
        """Forget all."""
        with self._lock:
            self._planned.clear()

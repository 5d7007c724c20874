"""Simulated work of jobs, for a sandbox without a store to deliver to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.sandbox.apis.jobs.model import JobError, Outcome, Part
from sentinelhub_provider.sandbox.apis.jobs.states import Status
from sentinelhub_provider.sandbox.errors import ApiError

if TYPE_CHECKING:
    from sentinelhub_provider.sandbox.gateway.state import Sandbox


@dataclass
class SimulatedWork:
    """Work that only takes time, without a bucket and without rendering. ``plan`` lists the parts."""

    plan: Callable[[], Sequence[Part]]
    live: bool = False

    def analyse(self) -> list[Part]:
        """List the parts. Raises :class:`JobError`."""
        try:
            return [Part(part.id, part.name, part.cost, part.what) for part in self.plan()]
        except ApiError as error:
            raise JobError(error.message) from error

    def process(self, part: Part) -> Outcome:
        """Report the part as done."""
        del part
        return Outcome(delivered=False)

    def fail_part(self, part: Part, cause: str) -> Outcome:
        """Let a feature fail."""
        del part
        return Outcome("FATAL", cause, delivered=False)

    def report(self, parts: Sequence[Part]) -> None:
        """Publish nothing."""

    def finish(self, status: Status, error: str | None, cost: float) -> None:
        """Publish nothing."""


class PlanCache:
    """The plans of requests, so that a thousand jobs with the same request are planned once."""

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._plans: dict[str, Sequence[Part]] = {}

    @classmethod
    def of(cls, sandbox: Sandbox) -> PlanCache:
        """Return the plans of a sandbox."""
        return sandbox.part(cls, cls)

    def get(self, request: Any, make: Callable[[], Sequence[Part]]) -> Sequence[Part]:
        """Return the plan of a request (plain JSON). If there is none, ``make`` makes it, and its errors pass."""
        key = json.dumps(request, sort_keys=True)
        with self._lock:
            plan = self._plans.get(key)
        if plan is None:
            plan = make()
            with self._lock:
                if len(self._plans) >= self._size:
                    self._plans.pop(next(iter(self._plans)))
                self._plans[key] = plan
        return plan

    def reset(self) -> None:
        """Forget all."""
        with self._lock:
            self._plans.clear()

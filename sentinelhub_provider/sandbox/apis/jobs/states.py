"""States of a job, and the user's actions that they allow (documentation, "Batch V2" and "Batch Statistical")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Status = Literal["CREATED", "ANALYSING", "ANALYSIS_DONE", "PROCESSING", "DONE", "FAILED", "STOPPED"]
Action = Literal["NONE", "ANALYSE", "START", "STOP"]
StopReason = Literal["OUT_OF_PU", "USER_ACTION", "UNHEALTHY"]

ACTIVE: Final[frozenset[Status]] = frozenset({"ANALYSING", "PROCESSING"})
"""States in which the service works. A job is idle in all others."""

ALLOWED: Final[dict[Action, frozenset[Status]]] = {
    "ANALYSE": frozenset({"CREATED"}),
    "START": frozenset({"CREATED", "ANALYSIS_DONE", "STOPPED"}),
    "STOP": frozenset({"ANALYSING", "ANALYSIS_DONE", "PROCESSING"}),
}

DAY: Final = 86_400.0
_STALE_AFTER: Final[dict[Status, float]] = {"CREATED": 7 * DAY, "FAILED": 15 * DAY}
_ALL_OTHERS_STALE_AFTER: Final = 30 * DAY


def stale_after(status: Status) -> float:
    """Return the seconds after which an idle job is deleted."""
    return _STALE_AFTER.get(status, _ALL_OTHERS_STALE_AFTER)


@dataclass(frozen=True)
class Kind:
    """One API that runs jobs.

    ``minimum`` is the least cost (PU) of a job once a part is done. With ``reserve``, the account must keep 1,000 PU
    while a job is processed. Otherwise it must not be empty.
    """

    name: Literal["async-process", "batch-process", "batch-statistics"]
    title: str
    minimum: float
    reserve: bool = False


ASYNC_PROCESS: Final = Kind("async-process", "Async request", minimum=10.0)
BATCH_PROCESS: Final = Kind("batch-process", "Batch request", minimum=100.0)
BATCH_STATISTICS: Final = Kind("batch-statistics", "Batch statistical request", minimum=100.0, reserve=True)

RESERVE: Final = 1000.0
"""PU that an account must have to create a batch job."""

"""The ingestion of a tile, as pure rules of states and time."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

WAITING: Final = "WAITING"
QUEUED: Final = "QUEUED"
INGESTING: Final = "INGESTING"
INGESTED: Final = "INGESTED"
FAILED: Final = "FAILED"
STATUSES: Final = (WAITING, QUEUED, INGESTING, INGESTED, FAILED)

_STEPS: Final = (WAITING, INGESTING, INGESTED)


@dataclass(frozen=True)
class Durations:
    """Seconds that a tile is WAITING, and then INGESTING. A state of ``None`` seconds ends only by a step."""

    waiting: float | None = 1.0
    ingesting: float | None = 2.0

    def __post_init__(self) -> None:
        for name in ("waiting", "ingesting"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, got {value} seconds")


@dataclass(frozen=True)
class Failure:
    """Tiles whose path matches ``pattern`` (``*`` and ``?``) fail for this ``cause``."""

    pattern: str
    cause: str = "Could not read the file; is it a cloud optimized GeoTIFF?"

    def applies(self, path: str) -> bool:
        """Say whether a path matches."""
        return fnmatchcase(path, self.pattern)


@dataclass(frozen=True)
class Remark:
    """Tiles whose path matches ``pattern`` (``*`` and ``?``) are ingested with this ``warning``."""

    pattern: str
    warning: str

    def concerns(self, path: str) -> bool:
        """Say whether a path matches."""
        return fnmatchcase(path, self.pattern)


@dataclass(frozen=True)
class Ingestion:
    """One ingestion of a tile, which began at ``started`` (seconds since 1970). It fails if it has a ``cause``."""

    started: float
    durations: Durations = field(default_factory=Durations)
    cause: str | None = None
    warning: str | None = None
    steps: int = 0
    """Number of the state that it has reached by steps, whatever the time."""

    def status(self, now: float) -> str:
        """Return the state at a time."""
        step = min(len(_STEPS) - 1, max(self.steps, self._by_time(now)))
        return FAILED if _STEPS[step] == INGESTED and self.cause is not None else _STEPS[step]

    def _by_time(self, now: float) -> int:
        elapsed = now - self.started
        for step, seconds in enumerate((self.durations.waiting, self.durations.ingesting)):
            if seconds is None or elapsed < seconds:
                return step
            elapsed -= seconds
        return len(_STEPS) - 1

"""The durations and failures of jobs, which a test or a demo may set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal, get_args

from sentinelhub_provider.sandbox.apis.jobs.states import StopReason

FailureKind = Literal["fail", "stop", "features"]
FEATURE_CAUSE: Final = "Failed to process the feature: the service could not read its data"
JOB_CAUSE: Final = "The request failed because of an internal error"


@dataclass(frozen=True)
class Durations:
    """Seconds of a job's phases. A phase of ``None`` ends only by a step.

    A start takes effect after ``starting`` and a stop after ``stopping``. A stopped job cannot be started again for
    ``restart_after_stop``, or for ``restart_after_out_of_pu`` if its account was short of PU.
    """

    analysing: float | None = 0.5
    processing: float | None = 2.0
    starting: float = 0.0
    stopping: float = 0.5
    restart_after_stop: float = 30 * 60.0
    restart_after_out_of_pu: float = 60 * 60.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"{name} must not be negative, got {value} seconds")


@dataclass(frozen=True)
class InjectedFailure:
    """A failure for jobs to come and running jobs.

    A ``"fail"`` ends a job in FAILED and a ``"stop"`` in STOPPED for ``reason``, when ``at`` per cent are done.
    A ``"features"`` lets a ``share`` (0..1) of the features fail whose name matches ``names`` (``*`` and ``?``).
    ``cause`` is the error text. ``job`` is the id of the only job to affect. ``times`` is the number of jobs to affect,
    or ``None`` for all. It does not limit failures of features.
    """

    id: int
    kind: FailureKind
    at: float = 0.0
    reason: StopReason = "OUT_OF_PU"
    names: str = "*"
    share: float = 1.0
    cause: str | None = None
    job: str | None = None
    times: int | None = 1

    def __post_init__(self) -> None:
        if self.kind not in get_args(FailureKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(FailureKind))}, not {self.kind!r}")
        if self.reason not in get_args(StopReason):
            raise ValueError(f"reason must be one of {', '.join(get_args(StopReason))}, not {self.reason!r}")
        if not 0 <= self.at <= 100:
            raise ValueError(f"at must be per cent from 0 to 100, not {self.at}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be more than 0 and at most 1, not {self.share}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times must be at least 1 (or None for always), not {self.times}")

    @property
    def text(self) -> str:
        """The error that a job or a feature shows."""
        return self.cause or (FEATURE_CAUSE if self.kind == "features" else JOB_CAUSE)

    def concerns(self, job_id: str) -> bool:
        """Tell whether it may affect a job."""
        return self.job in (None, job_id)

    def names_feature(self, name: str) -> bool:
        """Tell whether the name of a feature matches."""
        return fnmatchcase(name, self.names)

    def fails_feature(self, number: int) -> bool:
        """Tell whether a matching feature fails. ``number`` counts the matching features before it in its job."""
        return math.floor((number + 1) * self.share) > math.floor(number * self.share)

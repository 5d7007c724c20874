"""A job, its parts, and the protocol of its work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sentinelhub_provider.sandbox.apis.jobs.rules import Durations
from sentinelhub_provider.sandbox.apis.jobs.states import ACTIVE, Action, Kind, Status, StopReason

PartStatus = Literal["PENDING", "DONE", "FATAL"]


class JobError(Exception):
    """The cause of a failed job. Its text is shown as the job's error and never holds a credential."""


@dataclass
class Part:
    """One feature of a job, which is a tile, a polygon or a whole async request.

    ``cost`` (PU) is charged when it is done. ``what`` is the feature in the form that its API's work needs.
    """

    id: int
    name: str
    cost: float
    what: Any = field(default=None, repr=False)
    status: PartStatus = "PENDING"
    error: str | None = None
    delivered: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a part ended. ``cost`` (PU) replaces the planned cost of the part."""

    status: Literal["DONE", "FATAL"] = "DONE"
    error: str | None = None
    delivered: bool = True
    cost: float | None = None


class Work(Protocol):
    """The work of a job. Calls come one at a time.

    ``live`` tells whether it reads or writes object storage. The store's thread does such work, because it takes time.
    """

    live: bool

    def analyse(self) -> list[Part]:
        """Check the evalscript and the bucket, and divide the job. Raises :class:`JobError`."""

    def process(self, part: Part) -> Outcome:
        """Do one part. Raises :class:`JobError` if the whole job fails."""

    def fail_part(self, part: Part, cause: str) -> Outcome:
        """Let a part fail for an injected cause."""

    def report(self, parts: Sequence[Part]) -> None:
        """Publish the progress. Raises :class:`JobError`."""

    def finish(self, status: Status, error: str | None, cost: float) -> None:
        """Publish the outcome. Raises :class:`JobError`."""


@dataclass
class Tally:
    """How often a job accepted each action. An action counts even if its answer was lost."""

    analyses: int = 0
    starts: int = 0
    stops: int = 0


@dataclass
class Job:
    """A job. Change it only under the lock of its store. Times are seconds since 1970.

    ``request`` is shown in answers, without credentials. ``pending_at`` is when the user's action takes effect, or
    ``None`` after that. ``progress`` (0..1) is that at the start of the phase, and ``shown_progress`` is that of now.
    ``spent`` is the PU of its parts, and ``cost`` is the PU charged for them. ``failure`` is an error that is about to
    end it. ``ended_by`` has the ids of the injected failures that have ended it.
    """

    id: str
    kind: Kind
    owner: str
    request: dict[str, Any] = field(repr=False)
    work: Work = field(repr=False)
    created: float
    updated: float
    durations: Durations
    status: Status = "CREATED"
    action: Action = "NONE"
    action_at: float | None = None
    pending_at: float | None = None
    reason: StopReason | None = None
    error: str | None = None
    failure: str | None = None
    phase_started: float = 0.0
    progress: float = 0.0
    shown_progress: float = 0.0
    forced: bool = False
    parts: list[Part] | None = field(default=None, repr=False)
    next_part: int = 0
    reported: int = 0
    spent: float = 0.0
    cost: float = 0.0
    ended_by: set[int] = field(default_factory=set)
    matched: dict[int, int] = field(default_factory=dict)
    restart_at: float = 0.0
    deleted: bool = False
    tally: Tally = field(default_factory=Tally)

    @property
    def active(self) -> bool:
        """Whether it changes with time."""
        return not self.deleted and (self.status in ACTIVE or self.pending_at is not None)

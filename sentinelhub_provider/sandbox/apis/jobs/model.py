"""A job and its parts, and what a kind of job has to bring along to be worked on."""

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
    """One feature of a job: a tile, a polygon, or all of an async request.

    ``cost`` is in PU and charged when it is done. ``what``: what the kind of job knows it by.
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
    """How a part ended. ``cost``: PU, where it was not known before."""

    status: Literal["DONE", "FATAL"] = "DONE"
    error: str | None = None
    delivered: bool = True
    cost: float | None = None


class Work(Protocol):
    """The work of a job. Calls come one at a time.

    ``live``: whether it reads or writes object storage; such work is done by a thread of its own, as it takes time.
    """

    live: bool

    def analyse(self) -> list[Part]:
        """Check what can only be checked now, and divide the job. Raises :class:`JobError`."""

    def process(self, part: Part) -> Outcome:
        """Do one part. Raises :class:`JobError` for what makes the whole job fail."""

    def fail_part(self, part: Part, cause: str) -> Outcome:
        """Let a part fail that is told to."""

    def report(self, parts: Sequence[Part]) -> None:
        """Publish how far the job is. Raises :class:`JobError`."""

    def finish(self, status: Status, error: str | None, cost: float) -> None:
        """Publish how it ended. Raises :class:`JobError`."""


@dataclass
class Tally:
    """How often a job was told what, and took it; answers that were lost on their way count."""

    analyses: int = 0
    starts: int = 0
    stops: int = 0


@dataclass
class Job:
    """A job. Only to be changed under the lock of its store. Times are seconds since 1970.

    ``request`` is shown in answers, without credentials. ``pending_at``: when the user's action takes effect, ``None``
    once it has. ``progress`` (0..1): how far it was when the present phase began; ``shown_progress``: how far it is.
    ``spent``: PU of its parts; ``cost``: what was charged for them. ``failure``: an
    error that it is about to end with. ``ended_by``: injected failures that have ended it once.
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
        """Whether time alone can change it."""
        return not self.deleted and (self.status in ACTIVE or self.pending_at is not None)

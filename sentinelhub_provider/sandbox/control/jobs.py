"""The control of jobs, for the control routes and ``SandboxServer.control.jobs``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.sandbox.apis.jobs.answers import completion
from sentinelhub_provider.sandbox.apis.jobs.rules import Durations, InjectedFailure
from sentinelhub_provider.sandbox.apis.jobs.store import SETTLE_TIMEOUT, JobStore
from sentinelhub_provider.sandbox.world.delivery.stores import open_store

if TYPE_CHECKING:
    from sentinelhub_provider.sandbox.apis.jobs.model import Job
    from sentinelhub_provider.sandbox.gateway.state import Sandbox


@dataclass(frozen=True)
class JobRecord:
    """A job that was created since the start or the last reset. ``deleted`` tells whether it is gone.

    ``kind`` is ``"async-process"``, ``"batch-process"`` or ``"batch-statistics"``. ``analyses``, ``starts`` and
    ``stops`` are numbers of accepted actions, also those with a lost answer. The creation of an async request starts
    it. Times are seconds since 1970, ``cost`` is in PU. ``delivery`` is the URL of its results. ``features`` is the
    number of features in each state, once the job is analysed.
    """

    id: str
    kind: str
    owner: str
    status: str
    reason: str | None
    error: str | None
    description: str | None
    delivery: str | None
    user_action: str
    completion: int
    cost: float
    created: float
    updated: float
    analyses: int
    starts: int
    stops: int
    deleted: bool
    features: Mapping[str, int] = field(default_factory=dict)


class JobsControl:
    """Control over the jobs of a sandbox. All methods may be called from any thread."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._jobs = JobStore.of(sandbox)

    def all(self, kind: str | None = None) -> list[JobRecord]:
        """Return all jobs ever created, or those of a kind, oldest first."""
        return [_record(job) for job in self._jobs.everything() if kind in (None, job.kind.name)]

    def set_durations(self, durations: Durations | None = None, /, **fields: Any) -> Durations:
        """Set the durations of new phases, as ``Durations`` or its fields. Others return to their defaults.

        Raises ``ValueError`` for a negative time.
        """
        chosen = durations if durations is not None else Durations(**fields)
        self._jobs.set_durations(chosen)
        return chosen

    def step(self, job_id: str | None = None) -> int:
        """Move every unfinished job, or one job, on by one state. Return their number. It waits for their work."""
        return self._jobs.step(job_id)

    def settle(self, timeout: float = SETTLE_TIMEOUT) -> bool:
        """Wait until all due work is done. Return whether it is. ``timeout``: seconds."""
        return self._jobs.settle(timeout)

    def inject(self, **fields: Any) -> int:
        """Inject a failure, given as the fields of an ``InjectedFailure``. Return its ID. Raises ``ValueError``."""
        return self._jobs.inject(**fields).id

    def injected(self) -> list[InjectedFailure]:
        """Return the injected failures that are still to come."""
        return self._jobs.injected()

    def clear_injected(self) -> None:
        """Remove all injected failures."""
        self._jobs.clear_injected()

    def delete(self, job_id: str) -> bool:
        """Delete a job, as if it had grown stale. Return whether it existed."""
        return self._jobs.delete(job_id)

    def set_balance(self, client_id: str, processing_units: float | None) -> None:
        """Set the PU in a client's account, which pays for jobs. ``None``, the default, sets no limit."""
        self._jobs.set_balance(client_id, processing_units)

    def balance(self, client_id: str) -> float | None:
        """Return the PU left in a client's account, ``None`` for no limit."""
        return self._jobs.balance(client_id)

    def set_concurrency(self, limit: int | None) -> None:
        """Set the number of simultaneous async requests of a client. ``None``, the default, sets no limit."""
        if limit is not None and limit < 0:
            raise ValueError(f"limit must not be negative, got {limit}")
        self._jobs.concurrent = limit

    def set_delivery(self, where: str | Path | None) -> None:
        """Set the delivery of new jobs to a folder of buckets, an S3 endpoint (a URL), or ``None`` for nowhere.

        Raises ``ValueError`` for a missing folder.
        """
        self._sandbox.delivery = None if where is None else open_store(where)

    def set_rasters(self, on: bool) -> None:
        """Let batch jobs render and deliver pictures, or only report in their database that features are done."""
        self._jobs.rasters = on

    def set_simulated_features(self, count: int) -> None:
        """Set the number of features of a GeoPackage if there is no store to read it from."""
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        self._jobs.simulated_features = count


def _record(job: Job) -> JobRecord:
    description = job.request.get("description")
    return JobRecord(
        id=job.id,
        kind=job.kind.name,
        owner=job.owner,
        status=job.status,
        reason=job.reason,
        error=job.error,
        description=description if isinstance(description, str) else None,
        delivery=_delivery(job.request),
        user_action=job.action,
        completion=completion(job),
        cost=round(job.cost, 6),
        created=job.created,
        updated=job.updated,
        analyses=job.tally.analyses,
        starts=job.tally.starts,
        stops=job.tally.stops,
        deleted=job.deleted,
        features=dict(Counter(part.status for part in job.parts or [])),
    )


def _delivery(request: Mapping[str, Any]) -> str | None:
    output = request["output"]
    place = output.get("delivery", output)
    url = (place.get("s3") or place.get("gs") or {}).get("url")
    return url if isinstance(url, str) else None

"""From the body of a request to an Async Process job."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from sentinelhub_provider.sandbox.apis.async_process.bodies import parse_request
from sentinelhub_provider.sandbox.apis.async_process.work import AsyncWork
from sentinelhub_provider.sandbox.apis.jobs.model import Job, JobError, Part, Work
from sentinelhub_provider.sandbox.apis.jobs.simulated import SimulatedWork
from sentinelhub_provider.sandbox.apis.jobs.states import ASYNC_PROCESS
from sentinelhub_provider.sandbox.apis.jobs.store import JobStore
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.world.delivery.locations import without_credentials


def create(sandbox: Sandbox, owner: str, body: Mapping[str, Any]) -> Job:
    """Check a request and make a job of it, which runs at once. Raises ``ApiError`` (400, 429)."""
    request = parse_request(body, sandbox.scenes)
    limit = JobStore.of(sandbox).concurrent
    if limit is not None and JobStore.of(sandbox).running(ASYNC_PROCESS, owner) >= limit:
        message = f"Maximum number of concurrent async requests reached: {limit}"
        raise ApiError(429, "RATE_LIMIT_EXCEEDED", message)
    shown = without_credentials(body)

    def make_work(job_id: str) -> Work:
        if sandbox.delivery is None:
            return SimulatedWork(lambda: [Part(1, job_id, 0.0)])
        work = AsyncWork(job_id=job_id, request=request, shown=shown, source=sandbox.scenes, store=sandbox.delivery)
        # The delivery of the results reports faults of the bucket.
        with contextlib.suppress(JobError):
            work.accept()
        return work

    return JobStore.of(sandbox).create(ASYNC_PROCESS, owner, shown, make_work, runs_at_once=True)

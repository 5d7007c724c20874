"""From the body of a request to a Batch Process job."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from sentinelhub_provider.sandbox.apis.batch.bodies import BatchRequest, parse_request
from sentinelhub_provider.sandbox.apis.batch.plan import check_script, divide
from sentinelhub_provider.sandbox.apis.batch.work import BatchWork
from sentinelhub_provider.sandbox.apis.jobs.model import Job, JobError, Part, Work
from sentinelhub_provider.sandbox.apis.jobs.simulated import PlanCache, SimulatedWork
from sentinelhub_provider.sandbox.apis.jobs.states import BATCH_PROCESS
from sentinelhub_provider.sandbox.apis.jobs.store import JobStore
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.world.delivery.locations import without_credentials


def create(sandbox: Sandbox, owner: str, body: Mapping[str, Any]) -> Job:
    """Check a request and make a job of it. Raises ``ApiError`` (400, 403)."""
    request = parse_request(body, sandbox.scenes)
    JobStore.of(sandbox).require_reserve(owner)
    shown = without_credentials(body)

    def make_work(job_id: str) -> Work:
        if sandbox.delivery is None:
            plain = {name: shown[name] for name in ("processRequest", "input")}
            return SimulatedWork(lambda: PlanCache.of(sandbox).get(plain, lambda: _plan(request, sandbox)))
        work = BatchWork(
            job_id=job_id,
            request=request,
            shown=shown,
            source=sandbox.scenes,
            store=sandbox.delivery,
            rasters=lambda: JobStore.of(sandbox).rasters,
        )
        # What is wrong with the bucket is told by the analysis, which writes to it too.
        with contextlib.suppress(JobError):
            work.accept()
        return work

    return JobStore.of(sandbox).create(BATCH_PROCESS, owner, shown, make_work)


def _plan(request: BatchRequest, sandbox: Sandbox) -> list[Part]:
    return divide(request, check_script(request), JobStore.of(sandbox).simulated_features)

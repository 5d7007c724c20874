"""From the body of a request to a Batch Process job."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from sentinelhub_provider.sandbox.apis.jobs.handlers import create_job
from sentinelhub_provider.sandbox.apis.jobs.model import Job, JobError, Part, Work
from sentinelhub_provider.sandbox.apis.jobs.states import BATCH_PROCESS
from sentinelhub_provider.sandbox.apis.jobs.store import JobStore
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.world.delivery.stores import Store

from .bodies import parse_request
from .plan import check_script, divide
from .work import BatchWork


def create(sandbox: Sandbox, owner: str, body: Mapping[str, Any]) -> Job:
    """Check a request and make a job of it. Raises ``ApiError`` (400, 403)."""
    source = sandbox.scenes
    request = parse_request(body, source)

    def plan(features: int) -> Sequence[Part]:
        return divide(request, check_script(request), features)

    def deliver(job_id: str, store: Store, shown: Mapping[str, Any]) -> Work:
        jobs = JobStore.of(sandbox)
        work = BatchWork(
            job_id=job_id, request=request, shown=shown, source=source, store=store, rasters=lambda: jobs.rasters
        )
        # The analysis reports faults of the bucket, because it also writes to it.
        with contextlib.suppress(JobError):
            work.accept()
        return work

    fields = ("processRequest", "input")
    return create_job(sandbox, BATCH_PROCESS, owner, body, planned_by=fields, plan=plan, work=deliver)

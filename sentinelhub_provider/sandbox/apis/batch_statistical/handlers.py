"""From the body of a request to a Batch Statistical job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.batch_statistical.bodies import BatchStatisticalRequest, parse_request
from sentinelhub_provider.sandbox.apis.batch_statistical.work import BatchStatisticalWork, check_script
from sentinelhub_provider.sandbox.apis.jobs.model import Job, Part, Work
from sentinelhub_provider.sandbox.apis.jobs.simulated import PlanCache, SimulatedWork
from sentinelhub_provider.sandbox.apis.jobs.states import BATCH_STATISTICS
from sentinelhub_provider.sandbox.apis.jobs.store import JobStore
from sentinelhub_provider.sandbox.apis.process.processing_units import STATISTICAL_MINIMUM
from sentinelhub_provider.sandbox.apis.statistical.state import IntervalErrors
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.world.delivery.locations import without_credentials

SIMULATED_COST: Final = STATISTICAL_MINIMUM
"""PU of a polygon that nobody looks at."""


def create(sandbox: Sandbox, owner: str, body: Mapping[str, Any]) -> Job:
    """Check a request and make a job of it. Raises ``ApiError`` (400, 403)."""
    request = parse_request(body, sandbox.scenes)
    JobStore.of(sandbox).require_reserve(owner)
    shown = without_credentials(body)

    def make_work(job_id: str) -> Work:
        if sandbox.delivery is None:
            plain = [shown["input"]["data"], shown["aggregation"], shown.get("calculations")]
            return SimulatedWork(lambda: PlanCache.of(sandbox).get(plain, lambda: _plan(request, sandbox)))
        return BatchStatisticalWork(
            job_id=job_id,
            request=request,
            source=sandbox.scenes,
            store=sandbox.delivery,
            errors=IntervalErrors.of(sandbox),
        )

    return JobStore.of(sandbox).create(BATCH_STATISTICS, owner, shown, make_work)


def _plan(request: BatchStatisticalRequest, sandbox: Sandbox) -> list[Part]:
    if isinstance(request.evalscript, str):
        check_script(request.evalscript, request)
    return [
        Part(number, f"feature-{number}", SIMULATED_COST)
        for number in range(1, JobStore.of(sandbox).simulated_features + 1)
    ]

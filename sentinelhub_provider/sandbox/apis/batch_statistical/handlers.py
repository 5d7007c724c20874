"""From the body of a request to a Batch Statistical job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.jobs.handlers import create_job
from sentinelhub_provider.sandbox.apis.jobs.model import Job, Part, Work
from sentinelhub_provider.sandbox.apis.jobs.states import BATCH_STATISTICS
from sentinelhub_provider.sandbox.apis.process.processing_units import STATISTICAL_MINIMUM
from sentinelhub_provider.sandbox.apis.statistical.state import IntervalErrors
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.world.delivery.stores import Store

from .bodies import parse_request
from .work import BatchStatisticalWork, check_script

SIMULATED_COST: Final = STATISTICAL_MINIMUM
"""PU of a polygon in a simulated job."""


def create(sandbox: Sandbox, owner: str, body: Mapping[str, Any]) -> Job:
    """Check a request and make a job of it. Raises ``ApiError`` (400, 403)."""
    source, errors = sandbox.scenes, IntervalErrors.of(sandbox)
    request = parse_request(body, source)

    def plan(features: int) -> Sequence[Part]:
        if isinstance(request.evalscript, str):
            check_script(request.evalscript, request)
        return [Part(number, f"feature-{number}", SIMULATED_COST) for number in range(1, features + 1)]

    def deliver(job_id: str, store: Store, shown: Mapping[str, Any]) -> Work:
        del shown
        return BatchStatisticalWork(job_id=job_id, request=request, source=source, store=store, errors=errors)

    fields = ("input", "aggregation", "calculations")
    return create_job(sandbox, BATCH_STATISTICS, owner, body, planned_by=fields, plan=plan, work=deliver)

"""How Batch Process and Batch Statistical make a job from a checked request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.world.delivery.locations import without_credentials
from sentinelhub_provider.sandbox.world.delivery.stores import Store

from .model import Job, Part, Work
from .simulated import PlanCache, SimulatedWork
from .states import Kind
from .store import JobStore


def create_job(
    sandbox: Sandbox,
    kind: Kind,
    owner: str,
    body: Mapping[str, Any],
    *,
    planned_by: Sequence[str],
    plan: Callable[[int], Sequence[Part]],
    work: Callable[[str, Store, Mapping[str, Any]], Work],
) -> Job:
    """Make a job from a checked request. Raises ``ApiError`` (403) for an account without the reserve.

    :param planned_by: fields of the request that decide the plan.
    :param plan: lists the parts of a simulated job. Its argument is the assumed number of features in a file.
    :param work: makes the work of a job that delivers, from its id, the store and the request without credentials.
    """
    jobs = JobStore.of(sandbox)
    jobs.require_reserve(owner)
    shown = without_credentials(body)

    def make_work(job_id: str) -> Work:
        if sandbox.delivery is not None:
            return work(job_id, sandbox.delivery, shown)
        plain = [shown.get(name) for name in planned_by]
        return SimulatedWork(lambda: PlanCache.of(sandbox).get(plain, lambda: plan(jobs.simulated_features)))

    return jobs.create(kind, owner, shown, make_work)

"""From a checked request to a job, as Batch Process and Batch Statistical share it."""

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
    """Make a job of a request that is checked. Raises ``ApiError`` (403) for an account without the reserve.

    ``planned_by``: the fields of the request that its parts follow from. ``plan``: lists the parts where nothing is
    delivered, given how many features a file is taken to have. ``work``: makes the work of a job that delivers, given
    its id, the store and the request as it is shown.
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

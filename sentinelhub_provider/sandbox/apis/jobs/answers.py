"""The JSON of jobs and of pages of jobs, for Batch Process and Batch Statistical."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.jobs.model import Job
from sentinelhub_provider.sandbox.apis.jobs.states import Kind
from sentinelhub_provider.sandbox.apis.jobs.store import JobStore
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.auth.tokens import stable_uuid
from sentinelhub_provider.sandbox.gateway.paging import MAX_COUNT, page

SORTS: Final = ("created", "created:desc", "status", "status:desc")


def show_status(job: Job, cost_field: str) -> dict[str, Any]:
    """Write the status of a job. ``cost_field`` is ``costPU`` or ``costPu``, because the APIs differ."""
    shown: dict[str, Any] = {
        "id": job.id,
        "status": job.status,
        "completionPercentage": completion(job),
        "created": timestamp(job.created),
        "lastUpdated": timestamp(job.updated),
    }
    if job.parts is not None and job.status != "ANALYSIS_DONE":
        shown[cost_field] = round(job.cost, 6)
    if job.error is not None:
        shown["error"] = job.error
    if job.status == "STOPPED":
        shown["stoppedStatusReason"] = job.reason
    return shown


def show_task(job: Job, cost_field: str) -> dict[str, Any]:
    """Write a job with its request and the user's last action."""
    account = stable_uuid("account", job.owner)
    shown = {
        **show_status(job, cost_field),
        "request": job.request,
        "domainAccountId": account,
        "projectId": account,
        "workspaceId": stable_uuid("workspace", job.owner),
        "userAction": job.action,
    }
    if job.action_at is not None:
        shown["userActionUpdated"] = timestamp(job.action_at)
    return shown


def show_page(
    store: JobStore,
    kind: Kind,
    owner: str,
    params: Mapping[str, str],
    *,
    url: str,
    show: Callable[[Job], dict[str, Any]],
) -> dict[str, Any]:
    """Write a page of a client's jobs. Raises ``ApiError`` (400) for wrong parameters."""
    sort = params.get("sort", SORTS[0])
    if sort not in SORTS:
        raise ApiError(400, "COMMON_BAD_PAYLOAD", f"sort: must be one of {', '.join(SORTS)}, not {sort!r}")
    field, _, order = sort.partition(":")
    if field == "status":
        store.refresh_all()
    jobs = store.listed(kind, owner)
    if field == "status":
        jobs.sort(key=lambda job: job.status)
    if order:
        jobs.reverse()
    part, links = page(jobs, params, url=url, default_count=MAX_COUNT)
    present = (store.refresh(job) for job in part)
    return {"data": [show(job) for job in present if job is not None], "links": links}


def completion(job: Job) -> int:
    """Return the progress in per cent, rounded down. Only a job that is done has 100."""
    if job.status == "DONE":
        return 100
    return min(99, math.floor(job.shown_progress * 100 + 1e-9))


def timestamp(seconds: float) -> str:
    """Write seconds since 1970 in ISO 8601."""
    when = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return f"{when.isoformat(timespec='milliseconds')}Z"

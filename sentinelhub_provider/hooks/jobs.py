"""Checks the status of remote jobs: one at a time or page by page, for tasks (blocking) and triggers (event loop)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.job import Job, JobKind, JobState, gone, job_of
from sentinelhub_provider.api.jobs.polling import PAGE_SIZE
from sentinelhub_provider.api.paging import next_page
from sentinelhub_provider.api.values import decode_answer
from sentinelhub_provider.exceptions import SentinelHubNotFoundError, SentinelHubResponseError

if TYPE_CHECKING:
    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook


def get_job(hook: SentinelHubHook, kind: JobKind, job_id: str, **limits: Any) -> Job:
    """Check the status of a job; one that the service does not know is ``GONE``.

    :param limits: ``timeout``, ``deadline`` and ``longest_wait`` of :meth:`SentinelHubHook.request`.
    :raises SentinelHubResponseError: where the answer is not about that job, or names a state that is not known.
    """
    try:
        return named(kind, job_id, hook.request("GET", kind.job_path(job_id), **limits))
    except SentinelHubNotFoundError:
        return gone(kind, job_id)


async def aget_job(hook: SentinelHubHook, kind: JobKind, job_id: str, **limits: Any) -> Job:
    """Do what :func:`get_job` does, for the event loop, with the least to read where the kind has that."""
    try:
        job = named(kind, job_id, await hook.arequest("GET", kind.status_path(job_id), **limits))
        if kind.light_status and job.state is JobState.STOPPED:
            # Only the whole description tells whether it was started again, and when a user stopped it.
            job = named(kind, job_id, await hook.arequest("GET", kind.job_path(job_id), **limits))
    except SentinelHubNotFoundError:
        return gone(kind, job_id)
    return job


def get_page(hook: SentinelHubHook, kind: JobKind, token: str | None, **limits: Any) -> tuple[Any, str | None]:
    """Return one page of a kind's jobs, newest first, and the token of the page after it; the first has ``None``."""
    return _page_of(hook.request("GET", kind.path, params=_page_params(token), **limits))


async def aget_page(hook: SentinelHubHook, kind: JobKind, token: str | None, **limits: Any) -> tuple[Any, str | None]:
    """Do what :func:`get_page` does, for the event loop."""
    return _page_of(await hook.arequest("GET", kind.path, params=_page_params(token), **limits))


def _page_params(token: str | None) -> dict[str, Any]:
    params: dict[str, Any] = {"count": PAGE_SIZE, "sort": "created:desc"}
    return params if token is None else {**params, "viewtoken": token}


def _page_of(response: Any) -> tuple[Any, str | None]:
    page = decoded(response)
    following = next_page(page, method="GET")
    return page, None if following is None else str(following.params["viewtoken"])


def named(kind: JobKind, job_id: str, response: Any) -> Job:
    """Read the answer about one job. Raises :class:`SentinelHubResponseError` where it is about another one."""
    job = job_of(kind, decoded(response))
    if job.id != job_id:
        raise SentinelHubResponseError(f"Asked for {kind} job {job_id}, the service described job {job.id}.")
    return job


def decoded(response: Any) -> Any:
    """Decode a JSON answer of ``requests`` or ``httpx``. Raises :class:`SentinelHubResponseError`."""
    return decode_answer(response.content, "The service")

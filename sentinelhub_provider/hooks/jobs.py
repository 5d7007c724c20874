"""Calls about remote jobs, for tasks (blocking) and triggers (event loop)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs import polling, steps
from sentinelhub_provider.api.jobs.job import Job, JobKind, JobState, gone, job_of
from sentinelhub_provider.api.paging import next_page
from sentinelhub_provider.api.values import decode_answer
from sentinelhub_provider.both_ways import awaited
from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubNotFoundError, SentinelHubResponseError

if TYPE_CHECKING:
    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

SEND_WAIT = 5.0
"""Seconds, longest wait within the request of an Async Process job.

A 429 may mean that all slots of the account are taken, and the task waits for a slot elsewhere.
"""


class JobCalls:
    """Makes calls about jobs of one kind. Blocking calls are run by :func:`~sentinelhub_provider.both_ways.at_once`.

    :param request: ``request`` of a hook, or ``arequest``.
    :param seen: gets the jobs that an answer describes.
    :param limits: options of each call, as in a hook's requests, such as ``deadline``.
    :param limits: of each call, as a hook's requests take them: ``deadline`` and others.
    """

    def __init__(
        self,
        request: Callable[..., Any],
        kind: JobKind,
        *,
        seen: Callable[[Sequence[Job]], None] = lambda _: None,
        **limits: Any,
    ) -> None:
        self._request, self._kind, self._seen, self._limits = request, kind, seen, limits

    async def get(self, job_id: str, *, light: bool = False) -> Job:
        """Return a job. Its state is ``GONE`` if the service does not know it.

        :param light: whether the state is enough. Then the shortest answer that the kind offers is read.
        :raises SentinelHubResponseError: if the answer is about another job, or names an unknown state.
        """
        light = light and self._kind.light_status
        try:
            path = self._kind.status_path(job_id) if light else self._kind.job_path(job_id)
            job = job_of(self._kind, await self._ask("GET", path))
        except SentinelHubNotFoundError:
            return gone(self._kind, job_id)
        if job.id != job_id:
            raise SentinelHubResponseError(f"Asked for {self._kind} job {job_id}, the service described job {job.id}.")
        self._seen([job])
        # Only the full description tells whether the job was started again and when a user stopped it.
        return await self.get(job_id) if light and job.state is JobState.STOPPED else job

    async def request_of(self, job_id: str) -> Any:
        """Return the request of a job, as the service tells it; ``None`` where it does not."""
        return (await self._ask("GET", self._kind.job_path(job_id))).get("request")

    async def documents(self, token: str | None) -> tuple[dict[str, Mapping[str, Any]], str | None]:
        """Return one page of jobs by ID, newest first, and the next page's token.

        The first page's token is ``None``.
        """
        params = {"count": polling.PAGE_SIZE, "sort": "created:desc"} | ({} if token is None else {"viewtoken": token})
        page = await self._ask("GET", self._kind.path, params=params)
        following = next_page(page)
        return polling.documents_by_id(page), None if following is None else str(following["viewtoken"])

    async def page(self, token: str | None, tag: str = "") -> steps.Page:
        """Return a page of the listing, newest first. Unreadable jobs are left out.

        :raises SentinelHubResponseError: if the job with tag ``tag`` is unreadable, because it must not count as
            missing.
        """
        documents, following = await self.documents(token)
        jobs = []
        for document in documents.values():
            try:
                jobs.append(job_of(self._kind, document))
            except SentinelHubResponseError:
                if tag in json.dumps(document):
                    raise
        self._seen(jobs)
        return steps.Page(tuple(jobs), following)

    async def create(self, payload: dict[str, Any], units: float | None = None) -> Job | SentinelHubError:
        """Create a job, or send one that runs at once. Return the error if there is one.

        :param units: processing units to reserve in a budget for a job that runs at once.
        """
        sending = {} if self._kind.actions else {"longest_wait": SEND_WAIT, "units": units}
        try:
            document = await self._ask("POST", self._kind.path, json=payload, **sending)
            if not self._kind.actions and isinstance(document, dict):
                # The state does not matter. The job is paid for, and its ID must not be lost.
                document = {**document, "status": JobState.RUNNING}
            return job_of(self._kind, document)
        except SentinelHubError as error:
            return error

    async def act(self, action: steps.Action, job_id: str, units: float | None = None) -> SentinelHubError | None:
        """Send an action to a job. Return an error after which its status must be checked.

        :param units: processing units to reserve in a budget for its start.
        """
        path = self._kind.action_path(job_id, action)
        try:
            await awaited(self._request("POST", path, **{**self._limits, "units": units}))
        except (*steps.UNCLEAR, *steps.REFUSALS) as error:
            return error
        return None

    async def _ask(self, method: str, path: str, **content: Any) -> Any:
        response = await awaited(self._request(method, path, **{**self._limits, **content}))
        return decode_answer(response.content, "The service")


def worker_calls(hook: SentinelHubHook, kind: JobKind, **limits: Any) -> JobCalls:
    """Return a worker's calls, which block. Budgets learn the jobs' costs from the answers."""
    return JobCalls(hook.request, kind, seen=partial(settle, hook), **limits)


def settle(hook: SentinelHubHook, jobs: Sequence[Job]) -> None:
    """Replace the reserved cost of finished jobs by their real cost. Other jobs do not count.

    It does not matter which task reserved it, because a sensor does not know the budget of a DAG run.
    """
    from sentinelhub_provider.hooks.sharing import budget_of_jobs

    over = [job for job in jobs if job.is_terminal and job.state is not JobState.GONE]
    if over and (budget := hook.budget or budget_of_jobs(hook.settings)) is not None:
        stopped = [job.id for job in over if job.state is JobState.STOPPED]
        budget.settle_jobs({job.id: job.cost for job in over}, stopped)

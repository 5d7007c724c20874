"""The calls of a worker about its job: list, create, act, look, each with what may be left unclear."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.jobs.job import Job, JobKind, UnknownJobStateError, job_of
from sentinelhub_provider.api.jobs.polling import documents_by_id
from sentinelhub_provider.api.jobs.steps import REFUSALS, UNCLEAR, Action, Page
from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubRateLimitError, SentinelHubResponseError
from sentinelhub_provider.hooks.jobs import decoded, get_job, get_page

if TYPE_CHECKING:
    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
    from sentinelhub_provider.operators.base import CallArguments

SEND_WAIT = 5.0
"""Seconds: the longest wait within sending an Async Process job. 429 may mean a full house, waited for elsewhere."""


class JobCalls:
    """
    Makes the calls.

    :param tag: of the task's own job.
    :param arguments: how long each call may take.
    """

    def __init__(self, hook: SentinelHubHook, kind: JobKind, tag: str, arguments: CallArguments) -> None:
        self._hook = hook
        self._kind = kind
        self._tag = tag
        self._arguments = arguments

    def get(self, job_id: str) -> Job:
        """Return a job; ``GONE`` where the service does not know it."""
        return get_job(self._hook, self._kind, job_id, **self._arguments)

    def page(self, token: str | None) -> Page:
        """
        Return a page of the listing, newest first. Jobs of others that cannot be read are left out.

        :raises SentinelHubResponseError: where the task's own job cannot: it must not be taken for none.
        """
        page, following = get_page(self._hook, self._kind, token, **self._arguments)
        jobs = []
        for document in documents_by_id(page).values():
            try:
                jobs.append(job_of(self._kind, document))
            except SentinelHubResponseError:
                if self._tag in json.dumps(document):
                    raise
        return Page(tuple(jobs), following)

    def create(self, payload: dict[str, Any]) -> Job | SentinelHubError:
        """Create a job; return the error after which nobody can tell whether there is one."""
        try:
            response = self._hook.request("POST", self._kind.path, json=payload, **self._arguments)
            return job_of(self._kind, decoded(response))
        except UNCLEAR as error:
            return error

    def send(self, payload: dict[str, Any]) -> Job | SentinelHubError:
        """Send a job that runs at once; return the error whatever it is."""
        limits = self._arguments.copy()
        limits["longest_wait"] = SEND_WAIT
        try:
            response = self._hook.request("POST", self._kind.path, json=payload, **limits)
            return job_of(self._kind, decoded(response))
        except SentinelHubError as error:
            return error

    def act(self, action: Action, job_id: str, **arguments: Any) -> SentinelHubError | None:
        """Tell a job to do something; return the error after which the job has to be looked at."""
        try:
            self._hook.request("POST", self._kind.action_path(job_id, action), **{**self._arguments, **arguments})
        except (*UNCLEAR, *REFUSALS) as error:
            return error
        return None

    def stop(self, job_id: str, seconds: float) -> SentinelHubError | None:
        """Tell a job to stop, in so many seconds; return what went wrong, whatever it is."""
        try:
            return self.act("stop", job_id, deadline=seconds, timeout=seconds, longest_wait=None)
        except SentinelHubError as error:
            return error


def is_passing(error: SentinelHubError) -> bool:
    """Tell whether looking again later helps, for one who waits for a job that runs."""
    return not error.final and not isinstance(error, UnknownJobStateError)


def seconds_asked_for(error: SentinelHubError) -> float | None:
    """Return for how long the service asked to be left alone."""
    return error.retry_after if isinstance(error, SentinelHubRateLimitError) else None

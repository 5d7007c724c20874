"""Operators about jobs that are there already: list them, have one analysed, cancel one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.values import read_whole_number
from sentinelhub_provider.both_ways import at_once
from sentinelhub_provider.exceptions import SentinelHubJobError, SentinelHubRequestError
from sentinelhub_provider.operators.base import SentinelHubOperator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context

    from sentinelhub_provider.api.jobs.job import Job, JobKind, JobState
    from sentinelhub_provider.api.jobs.steps import Action
    from sentinelhub_provider.hooks.jobs import JobCalls


class _JobControlOperator(SentinelHubOperator):
    """An operator about jobs of one kind.

    :param kind: ``batch-process`` or ``batch-statistics``; jobs of Async Process are not listed and take no actions.
        (templated)
    """

    def __init__(self, *, kind: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind

    def _calls(self) -> tuple[JobKind, JobCalls]:
        """Return the kind, checked, and what makes calls about its jobs. Raises :class:`SentinelHubRequestError`."""
        from sentinelhub_provider.api.jobs.job import kind_of
        from sentinelhub_provider.hooks.jobs import worker_calls

        kind = kind_of(self.kind)
        if not kind.actions:
            raise SentinelHubRequestError(f"kind is {self.kind!r}, whose jobs are not listed and take no actions.")
        return kind, worker_calls(self.hook, kind, **self.call_arguments)


class SentinelHubListJobsOperator(_JobControlOperator):
    """List the jobs of an account, newest first.

    Returned is a list of dicts: ``kind``, ``id``, ``state``, and what else the service says of each, such as ``cost``
    (PU), ``created`` and ``description``.

    .. seealso:: :doc:`/explanation/jobs`

    :param states: only jobs in these states, such as ``["PROCESSING"]``; all by default. (templated)
    :param limit: jobs that are returned at most. (templated)
    :param kwargs: ``kind``: ``batch-process`` or ``batch-statistics``; and those of
        :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`.
    """

    def __init__(self, *, states: Sequence[str] | str | None = None, limit: int | str = 100, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.states, self.limit = states, limit

    template_fields_renderers = dict.fromkeys(("states",), "json")

    def _result(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002
        _, calls = self._calls()
        wanted, limit = self._states(), read_whole_number(self.limit, "limit")
        found = (job.to_dict() for job in _all(calls) if not wanted or job.state in wanted)
        listed = list(islice(found, limit))
        self.log.info("%d jobs are listed", len(listed))
        return listed

    def _states(self) -> set[JobState]:
        from sentinelhub_provider.api.jobs.job import JobState

        given = self.structured("states") or []
        names = given if isinstance(given, list | tuple | set) else [given]
        try:
            return {JobState(str(name).upper()) for name in names}
        except ValueError as error:
            raise SentinelHubRequestError(
                f"states: {error}. Give some of {', '.join(JobState)}.", field="states"
            ) from error


class _ActionOperator(_JobControlOperator):
    """An operator that tells a job to do something.

    :param job_id: id of the job. (templated)
    """

    action: Action

    def __init__(self, *, job_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id

    @abstractmethod
    def _is_done(self, job: Job) -> bool:
        """Tell whether the job has done, or will do, what it is told, so that it need not be told again."""

    def _result(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        from sentinelhub_provider.api.jobs.job import JobState, check_job_id, problem_of

        kind, calls = self._calls()
        job_id = check_job_id(self.job_id)
        job = at_once(calls.get(job_id))
        if job.state is JobState.GONE:
            raise problem_of(job) or SentinelHubJobError(f"{job} is unknown.", job_status=job.state.value)
        if not self._is_done(job):
            problem, job = at_once(calls.act(self.action, job_id)), at_once(calls.get(job_id))
            if problem is not None and not self._is_done(job):  # an answer that is lost may have taken effect
                raise problem
            self.log.info("%s was told to %s", kind, self.action)
        self.log.info("%s", job)
        return job.to_dict()


class SentinelHubCancelJobOperator(_ActionOperator):
    """Stop a job that runs. What it did so far is paid for; it can be started again from where it is.

    A job that is over, or was never started, is left alone. Returned is the job as a dict, see
    :class:`SentinelHubListJobsOperator`.

    .. seealso:: :doc:`/explanation/jobs`

    :param kwargs: ``kind``: ``batch-process`` or ``batch-statistics``; ``job_id``; and those of
        :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`.
    """

    action = "stop"

    def _is_done(self, job: Job) -> bool:
        from sentinelhub_provider.api.jobs.lifecycle import is_running

        return not is_running(job)


class SentinelHubAnalyseJobOperator(_ActionOperator):
    """Have a job that was created analysed, which costs nothing and tells what it is going to make.

    The analysis takes a while; the job is then ``ANALYSIS_DONE``. A job that was analysed or started before is left as
    it is. Returned is the job as a dict, see :class:`SentinelHubListJobsOperator`.

    .. seealso:: :doc:`/explanation/jobs`

    :param kwargs: ``kind``: ``batch-process`` or ``batch-statistics``; ``job_id``; and those of
        :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`.
    """

    action = "analyse"

    def _is_done(self, job: Job) -> bool:
        from sentinelhub_provider.api.jobs.job import JobState

        if job.state in (JobState.FAILED, JobState.STOPPED):
            raise SentinelHubJobError(f"{job} cannot be analysed any more.", job_status=job.state.value)
        return job.state is not JobState.CREATED


def _all(calls: JobCalls) -> Iterator[Job]:
    """Yield the jobs of a listing, newest first, page by page."""
    token: str | None = None
    while True:
        page = at_once(calls.page(token))
        yield from page.jobs
        if page.token is None or page.token == token:
            return
        token = page.token

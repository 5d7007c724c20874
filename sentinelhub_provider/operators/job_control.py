"""Operators for existing jobs. They list, analyse and cancel them."""

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

    :param kind: ``batch-process`` or ``batch-statistics``. Jobs of Async Process cannot be listed or changed.
        (templated)
    """

    def __init__(self, *, kind: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind

    def _calls(self) -> tuple[JobKind, JobCalls]:
        """Return the checked kind and the calls about its jobs. Raises :class:`SentinelHubRequestError`."""
        from sentinelhub_provider.api.jobs.job import kind_of
        from sentinelhub_provider.hooks.jobs import worker_calls

        kind = kind_of(self.kind)
        if not kind.actions:
            raise SentinelHubRequestError(f"kind is {self.kind!r}, whose jobs cannot be listed or changed.")
        return kind, worker_calls(self.hook, kind, **self.call_arguments)


class SentinelHubListJobsOperator(_JobControlOperator):
    """Lists the jobs of an account, newest first.

    It returns a list of dicts with ``kind``, ``id``, ``state`` and the service's other fields, such as ``cost`` (PU),
    ``created`` and ``description``.

    .. seealso:: :doc:`/explanation/jobs`

    :param states: only jobs in these states, such as ``["PROCESSING"]``. Default: all. (templated)
    :param limit: most jobs. (templated)
    :param kwargs: ``kind`` (``batch-process`` or ``batch-statistics``) and the arguments of
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
        self.log.info("%d jobs listed", len(listed))
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
    """An operator that sends an action to a job.

    :param job_id: ID of the job. (templated)
    """

    action: Action

    def __init__(self, *, job_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id

    @abstractmethod
    def _is_done(self, job: Job) -> bool:
        """Tell whether the job has done the action or will do it, so that it need not be sent again."""

    def _result(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        from sentinelhub_provider.api.jobs.job import JobState, check_job_id, problem_of

        kind, calls = self._calls()
        job_id = check_job_id(self.job_id)
        job = at_once(calls.get(job_id))
        if job.state is JobState.GONE:
            raise problem_of(job) or SentinelHubJobError(f"{job} is unknown.", job_status=job.state.value)
        if not self._is_done(job):
            problem, job = at_once(calls.act(self.action, job_id)), at_once(calls.get(job_id))
            if problem is not None and not self._is_done(job):  # a request with a lost answer may have taken effect
                raise problem
            self.log.info("%s was told to %s", kind, self.action)
        self.log.info("%s", job)
        return job.to_dict()


class SentinelHubCancelJobOperator(_ActionOperator):
    """Stops a running job. The part that is done is paid for. The job can be started again from where it is.

    A job that is over or was never started stays as it is. It returns the job as a dict, see
    :class:`SentinelHubListJobsOperator`.

    .. seealso:: :doc:`/explanation/jobs`

    :param kwargs: ``kind`` (``batch-process`` or ``batch-statistics``), ``job_id``, and the arguments of
        :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`.
    """

    action = "stop"

    def _is_done(self, job: Job) -> bool:
        from sentinelhub_provider.api.jobs.lifecycle import is_running

        return not is_running(job)


class SentinelHubAnalyseJobOperator(_ActionOperator):
    """Analyses a created job. That costs nothing and tells the size of the job.

    The analysis takes a while. The job is then ``ANALYSIS_DONE``. A job that was analysed or started before stays as it
    is. It returns the job as a dict, see :class:`SentinelHubListJobsOperator`.

    .. seealso:: :doc:`/explanation/jobs`

    :param kwargs: ``kind`` (``batch-process`` or ``batch-statistics``), ``job_id``, and the arguments of
        :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`.
    """

    action = "analyse"

    def _is_done(self, job: Job) -> bool:
        from sentinelhub_provider.api.jobs.job import JobState

        if job.state in (JobState.FAILED, JobState.STOPPED):
            raise SentinelHubJobError(f"{job} can no longer be analysed.", job_status=job.state.value)
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

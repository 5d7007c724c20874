"""The base of all operators: the connection, the time limits of calls, and long waits in the triggerer."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.configuration import conf
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout
from airflow.sdk import BaseOperator

from sentinelhub_provider.api.values import read_choice, read_flag, read_number, read_structure
from sentinelhub_provider.exceptions import (
    SentinelHubBudgetError,
    SentinelHubError,
    SentinelHubRateLimitError,
    SentinelHubRequestError,
)
from sentinelhub_provider.links.imagery import ImageryLink
from sentinelhub_provider.links.places import CopernicusBrowserLink, DocumentationLink, OutputLink
from sentinelhub_provider.operators.arguments import (
    ESTIMATED_UNITS_KEY,
    added_units,
    log_and_push_spent,
    push,
    task_identity,
    tell_outlets,
    utc_now,
)
from sentinelhub_provider.operators.templating import RequestTemplatingOperator

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.api.statistical.chart import Chart
    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

LONGEST_BLOCKING_WAIT = 60.0
"""Seconds. A deferrable operator spends longer waits in the triggerer. Shorter ones are not worth the move."""

log = logging.getLogger(__name__)

KEEPING_PAGES: dict[str, Any] = {"longest_wait": None}
"""For calls after the first page. A wait for the rate limit in the triggerer would lose the pages so far."""


@contextmanager
def without_vain_retries() -> Iterator[None]:
    """Fail the task at once for errors that would repeat. Other errors leave the task to its retries.

    Airflow prints every chained exception of a failed task in full. These errors already say what went wrong and what
    to do, so their causes are logged at level DEBUG only.

    :raises AirflowFailException: with the error's own message, and the error as its context.
    """
    try:
        yield
    except SentinelHubError as error:
        log.debug("cause of the error: %s", error, exc_info=error)
        if not error.final:
            raise error.with_traceback(None) from None
        raise AirflowFailException(str(error)) from None


def end_of_attempt(operator: BaseOperator, began: float) -> float | None:
    """Return the end of an attempt by ``execution_timeout``, in seconds since the epoch, ``None`` without one."""
    return None if operator.execution_timeout is None else began + operator.execution_timeout.total_seconds()


def check_attempt(operator: BaseOperator, ends: float | None, now: float) -> float | None:
    """Return the seconds that an attempt has left, ``None`` without a limit.

    Airflow counts ``execution_timeout`` again from zero after each wait in the triggerer, and does not stop threads at
    its end. ``ends`` is the end of the attempt, in seconds since the epoch. Raises :class:`AirflowTaskTimeout` if that
    time has come.
    """
    if ends is None or now < ends:
        return None if ends is None else ends - now
    raise AirflowTaskTimeout(
        f"execution_timeout={operator.execution_timeout} has passed, with all waits of the attempt"
    )


def wait_in_triggerer(
    operator: ConnectedOperator, error: SentinelHubRateLimitError, now: datetime, ends: float, kept: dict[str, Any]
) -> None:
    """Defer a deferrable task until the service takes requests again. Return if the wait is short or too long.

    ``ends``: end of the wait without success, in seconds since the epoch. ``kept``: see :func:`defer_until`.
    """
    seconds = error.retry_after
    if operator.deferrable and seconds is not None and seconds > LONGEST_BLOCKING_WAIT:
        moment = now + timedelta(seconds=seconds)
        if moment.timestamp() <= ends:
            when = moment.isoformat(timespec="seconds")
            operator.log.info("waiting in the triggerer until %s: %s", when, error)
            defer_until(operator, moment, kept)


def defer_until(operator: BaseOperator, moment: datetime, kept: dict[str, Any]) -> NoReturn:
    """Defer the task. It goes on with ``resume``, whose arguments are ``kept`` as JSON values.

    :raises TaskDeferred: for Airflow.
    """
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger

    operator.defer(trigger=DateTimeTrigger(moment=moment), method_name="resume", kwargs=kept)


class ConnectedOperator(RequestTemplatingOperator):
    """An operator or sensor that has a connection to Sentinel Hub.

    :param deferrable: whether to spend long waits in the triggerer, without a worker slot. Default: ``[operators]
        default_deferrable``.
    :param sentinelhub_conn_id: ID of the Airflow connection. (templated)
    :param kwargs: further arguments of any Airflow operator.
    """

    ui_color = "#d6e9f8"

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        sentinelhub_conn_id: str = "sentinelhub_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable, self.sentinelhub_conn_id = deferrable, sentinelhub_conn_id

    @cached_property
    def hook(self) -> SentinelHubHook:
        """The hook that makes the calls. It is kept, so that they share its connections to the service."""
        from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

        return SentinelHubHook(self.sentinelhub_conn_id)

    returned: Any = None
    """The task's result, once it is known."""

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return the data that the task read and wrote, and its cost. The OpenLineage provider calls this."""
        from sentinelhub_provider.operators.lineage import lineage_of

        return lineage_of(self, self.returned)

    get_openlineage_facets_on_failure = get_openlineage_facets_on_complete

    def structured(self, name: str) -> Any:
        """Return an argument. JSON text of an object or a list is decoded."""
        value = getattr(self, name)
        return read_structure(value, name) if self.template_fields_renderers.get(name) == "json" else value

    def check_texts(self, *names: str, optional: bool = True) -> None:
        """Refuse arguments that are not text. Raises :class:`SentinelHubRequestError`."""
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, str) and not (optional and value is None):
                raise SentinelHubRequestError(f"{name} is {value!r}. Give text.", field=name)


class SentinelHubOperator(ConnectedOperator):
    """An operator that calls Sentinel Hub. Its arguments are those of every operator of this package.

    :param timeout: seconds that the service may stay silent. Default: the connection's ``timeout``. (templated)
    :param deadline: seconds that one call may take in all, with waits and repetitions. Default: 600. (templated)
    :param max_wait: seconds that waits for the rate limit may take in all. (templated)
    :param repeat_silent: whether a call that may cost processing units is repeated once if the service stayed silent.
        The service may charge for both. (templated)
    :param kwargs: ``sentinelhub_conn_id``, ``deferrable``, and further arguments of any Airflow operator. A deferrable
        operator spends a wait of more than a minute for the rate limit in the triggerer. With ``do_xcom_push=False``
        nothing is pushed to XCom.
    """

    def __init__(
        self,
        *,
        timeout: float | str | None = None,
        deadline: float | str | None = None,
        max_wait: float | str = 24 * 3600.0,
        repeat_silent: bool | str = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.timeout, self.deadline, self.max_wait = timeout, deadline, max_wait
        self.repeat_silent = repeat_silent

    ends: float | None = None
    """End of the attempt by ``execution_timeout``, with its waits in the triggerer, in seconds since the epoch."""
    time_range_sent: dict[str, str] | None = None
    """Start and end of the requested data, for events of assets. ``None`` if they have no time."""
    request_sent: Mapping[str, Any] | None = None
    """The JSON of the request, or of the first of many, for *Satellite imagery*. ``None`` before it is made."""
    chart: Chart | None = None
    """The chart of a table of statistics on that page."""
    facts: Mapping[str, Any] = MappingProxyType({})
    """The task's facts on that page."""
    operator_extra_links = (ImageryLink(), CopernicusBrowserLink(), OutputLink(), DocumentationLink())
    spent_before: float | None = None
    """PU that the task spent in earlier attempts and before a wait, as far as known."""

    @property
    def call_arguments(self) -> dict[str, Any]:
        """Options of each call of the hook, so that no call takes longer than the task allows.

        :raises SentinelHubRequestError: names the wrong argument.
        :raises AirflowTaskTimeout: if ``execution_timeout`` has passed.
        """
        from sentinelhub_provider.transport.policy import DEFAULT_DEADLINE

        deadline = None if self.deadline is None else read_number(self.deadline, "deadline", least=0)
        left = check_attempt(self, self.ends, time.time())
        return {
            "timeout": None if self.timeout is None else read_number(self.timeout, "timeout", least=0),
            "deadline": deadline if left is None else min(left, DEFAULT_DEADLINE if deadline is None else deadline),
            "longest_wait": LONGEST_BLOCKING_WAIT if self.deferrable else None,
            "repeat_silent": read_flag(self.repeat_silent, "repeat_silent"),
        }

    def execute(self, context: Context) -> Any:
        """Do the work. See the class for the result."""
        with without_vain_retries():
            waits_until = time.time() + self.max_wait_seconds
        return self.resume(context, waits_until=waits_until)

    def resume(
        self,
        context: Context,
        event: Any = None,  # noqa: ARG002 - the wait is over
        *,
        waits_until: float | None = None,
        ends: float | None = None,
        spent: float | None = None,
    ) -> Any:
        """Do the work, for the first time or after a wait in the triggerer.

        :param waits_until: end of the wait without success, in seconds since the epoch. ``None`` if Airflow lost it, as
            ``dag.test()`` does. Then ``max_wait`` begins again.
        :param ends: see :attr:`ends`. ``None`` means the same.
        :param spent: PU that the task spent before the wait.
        :raises AirflowFailException: for errors that no repetition can help.
        :raises TaskDeferred: if a deferrable task has to wait for long.
        """
        self.spent_before = spent
        self.ends = end_of_attempt(self, time.time()) if ends is None else ends
        with without_vain_retries():
            try:
                result = self._result(context)
                self.returned = result
                tell_outlets(self, context, result, self.time_range_sent)
                self.leave_imagery(context, result)
                return result
            except SentinelHubError as error:
                self.leave_imagery(context, error=error)
                if isinstance(error, SentinelHubRateLimitError):
                    until = time.time() + self.max_wait_seconds if waits_until is None else waits_until
                    until = until if self.ends is None else min(until, self.ends)
                    wait_in_triggerer(self, error, utc_now(), until, {"waits_until": until, **self._kept()})
                raise
            finally:
                if "hook" in vars(self) and self.spent is not None:
                    log_and_push_spent(self, context, self.spent)

    def leave_imagery(self, context: Context, result: Any = None, **seen: Any) -> None:
        """Leave the task's facts for the page *Satellite imagery*. Never fails.

        ``result`` and ``seen``: see :func:`~sentinelhub_provider.operators.imagery.leave_imagery`.
        """
        from sentinelhub_provider.operators.imagery import leave_imagery

        leave_imagery(self, context, result, **seen)

    @property
    def max_wait_seconds(self) -> float:
        """Seconds that waits may take in all. Raises :class:`SentinelHubRequestError`."""
        return read_number(self.max_wait, "max_wait", least=0)

    def _kept(self) -> dict[str, Any]:
        """Return more arguments of :meth:`resume` after a wait in the triggerer, as JSON values."""
        return {"spent": self.spent, "ends": self.ends}

    @property
    def spent(self) -> float | None:
        """PU that the task spent so far, with failed calls, ``None`` if the service names no cost."""
        return added_units(self.spent_before, self.hook.meter.spent)

    @abstractmethod
    def _result(self, context: Context) -> Any:
        """Do the work and return the task's result. It is called again after each wait in the triggerer."""


class PaidOperator(SentinelHubOperator):
    """An operator whose cost is estimated before anything is sent.

    :param max_processing_units: PU that the task may cost by estimate. A task over it fails before anything is sent.
        (templated)
    :param dag_run_budget: PU that all tasks of the DAG run with this argument may spend together on one account.
        (templated)
    :param over_budget: what to do with a request over the connection's budget of a day or month. ``fail`` fails the
        task. ``wait`` waits for the end of the day or month as long as ``max_wait`` allows, in the triggerer if the
        task is deferrable. (templated)
    :param kwargs: see :class:`SentinelHubOperator`.
    """

    def __init__(
        self,
        *,
        max_processing_units: float | str | None = None,
        dag_run_budget: float | str | None = None,
        over_budget: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_processing_units = max_processing_units
        self.dag_run_budget, self.over_budget = dag_run_budget, over_budget

    def resume(self, context: Context, event: Any = None, **kept: Any) -> Any:
        """Do the work within the budgets. See :meth:`SentinelHubOperator.resume`."""
        with without_vain_retries():
            self.set_limits(context)
        return super().resume(context, event, **kept)

    def set_limits(self, context: Context) -> None:
        """Give the hook the DAG run's budget. Raises :class:`SentinelHubRequestError`."""
        from sentinelhub_provider.transport.budget import SpendingLimits

        waits = read_choice(self.over_budget, ("fail", "wait"), "over_budget") == "wait"
        budget = self.dag_run_budget
        per_run = None if budget is None else read_number(budget, "dag_run_budget", least=0)
        run = "" if per_run is None else " ".join(task_identity(self, context)[:2])
        self.hook.spending_limits = SpendingLimits(per_run=per_run, run=run, waits=waits)

    @property
    def budget(self) -> float | None:
        """PU that the task may cost, ``None`` for no limit. Raises :class:`SentinelHubRequestError`."""
        value = self.max_processing_units
        return None if value is None else read_number(value, "max_processing_units", least=0)

    def check_estimate(self, context: Context, estimate: Estimate | None, **words: str) -> None:
        """Log and push the estimated cost, and refuse a task that would cost too much.

        ``estimate`` is ``None`` if unknown. ``words`` are arguments of
        :func:`~sentinelhub_provider.api.processing_units.check_budget`. Raises :class:`SentinelHubBudgetError` before
        anything is sent, if the cost is over the limit or unknown while there is a limit.
        """
        from sentinelhub_provider.api.processing_units import check_budget

        budget = self.budget
        if estimate is not None:
            self.log.info("estimated cost: %s", estimate)
            push(self, context, ESTIMATED_UNITS_KEY, estimate.processing_units)
            check_budget(estimate, budget, **words)
        elif budget is not None:
            raise SentinelHubBudgetError(
                f"max_processing_units is {budget:g}, but the cost is unknown, because the evalscript's setup() "
                "does not plainly return one literal, or the search has no end. Make it plain, or leave "
                "max_processing_units out. Nothing was sent."
            )
        else:
            self.log.info("estimated cost: unknown")

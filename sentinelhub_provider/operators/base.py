"""What all operators have in common: the connection, how long calls may take, and where long waits are spent."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from airflow.configuration import conf

from sentinelhub_provider.api.values import read_number, read_structure
from sentinelhub_provider.exceptions import SentinelHubRateLimitError
from sentinelhub_provider.operators.arguments import added_units, log_and_push_spent
from sentinelhub_provider.operators.failing import without_vain_retries
from sentinelhub_provider.operators.templating import RequestTemplatingOperator, own_arguments
from sentinelhub_provider.operators.waiting import LONGEST_BLOCKING_WAIT, wait_in_triggerer

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook


KEEPING_PAGES: dict[str, Any] = {"longest_wait": None}
"""For calls after the first page: a wait for the rate limit in the triggerer would lose the pages that are there."""


class CallArguments(TypedDict):
    """
    How long one call of the hook may take, in seconds.

    ``timeout``: the service's silence; ``deadline``: all in all; ``longest_wait``: a single wait, beyond which the call
    raises :class:`SentinelHubRateLimitError` instead.
    """

    timeout: float | None
    deadline: float | None
    longest_wait: float | None


class ConnectedOperator(RequestTemplatingOperator):
    """
    An operator or sensor that has a connection to Sentinel Hub.

    :param deferrable: whether long waits are spent in the triggerer, without holding a worker slot; ``[operators]
        default_deferrable`` by default.
    :param sentinelhub_conn_id: the connection. (templated)
    :param kwargs: further arguments of any Airflow operator.
    """

    template_fields: Sequence[str] = ("sentinelhub_conn_id",)

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
        """The hook that makes the calls; kept, so that they share its connections to the service."""
        from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

        return SentinelHubHook(self.sentinelhub_conn_id)

    def structured(self, name: str) -> Any:
        """Return an argument; where it may be an object or a list, and is the JSON of one, decoded."""
        value = getattr(self, name)
        return read_structure(value, name) if self.template_fields_renderers.get(name) == "json" else value


class SentinelHubOperator(ConnectedOperator):
    """
    An operator that calls Sentinel Hub.

    :param timeout: seconds that the service may stay silent; the connection's ``timeout`` by default. (templated)
    :param deadline: seconds that one call may take in all, waiting and repeating included; 600 by default. (templated)
    :param max_wait: seconds that waits for the rate limit may take in all. (templated)
    :param kwargs: ``sentinelhub_conn_id``, ``deferrable``, and further arguments of any Airflow operator. A deferrable
        operator spends a wait of more than a minute for the rate limit in the triggerer.
    """

    def __init__(
        self,
        *,
        timeout: float | str | None = None,
        deadline: float | str | None = None,
        max_wait: float | str = 24 * 3600.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.timeout, self.deadline, self.max_wait = timeout, deadline, max_wait

    template_fields: Sequence[str] = (*own_arguments(__init__), *ConnectedOperator.template_fields)

    @property
    def call_arguments(self) -> CallArguments:
        """What each call of the hook gets, so that it takes no longer than the task allows."""
        return {
            "timeout": None if self.timeout is None else read_number(self.timeout, "timeout", least=0),
            "deadline": None if self.deadline is None else read_number(self.deadline, "deadline", least=0),
            "longest_wait": LONGEST_BLOCKING_WAIT if self.deferrable else None,
        }

    def execute(self, context: Context) -> Any:
        """Do the work; see the class for what is returned."""
        with without_vain_retries():
            waits_until = time.time() + self.max_wait_seconds
        return self.resume(context, waits_until=waits_until)

    def resume(
        self,
        context: Context,
        event: Any = None,  # noqa: ARG002 - the wait is over
        *,
        waits_until: float | None = None,
        spent: float | None = None,
    ) -> Any:
        """
        Do the work, for the first time or after a wait in the triggerer.

        :param waits_until: when waiting ends without success, in seconds since the epoch; ``None`` where Airflow did
            not bring it along, as ``dag.test()`` does not: ``max_wait`` then begins anew.
        :param spent: PU that the task did cost before the wait.
        :raises AirflowFailException: for errors that no repetition can cure.
        :raises TaskDeferred: where a deferrable task has to wait for long.
        """
        self.spent_before = spent
        with without_vain_retries():
            try:
                return self._result(context)
            except SentinelHubRateLimitError as error:
                if self.deferrable:
                    until = time.time() + self.max_wait_seconds if waits_until is None else waits_until
                    wait_in_triggerer(self, error, waits_until=until, method_name="resume", kept=self._kept())
                raise
            finally:
                if self.reports_spent and "hook" in vars(self) and self.spent is not None:
                    log_and_push_spent(self, context, self.spent)

    @property
    def max_wait_seconds(self) -> float:
        """Seconds that waits may take in all. Raises :class:`SentinelHubRequestError`."""
        return read_number(self.max_wait, "max_wait", least=0)

    def _kept(self) -> dict[str, Any]:
        """Return more arguments that :meth:`resume` takes after a wait in the triggerer, as JSON has them."""
        return {"spent": self.spent}

    reports_spent: ClassVar[bool] = True
    """Whether what the task did cost is logged and pushed to XCom here, also where it fails."""
    spent_before: float | None = None
    """PU that the task did cost in earlier attempts, and before a wait, as far as that is known."""

    @property
    def spent(self) -> float | None:
        """PU that the task did cost so far, failed calls included; ``None`` where the service names no cost."""
        return added_units(self.spent_before, self.hook.meter.spent)

    @abstractmethod
    def _result(self, context: Context) -> Any:
        """Do the work and return the task's result; called again after each wait in the triggerer."""


class PaidOperator(SentinelHubOperator):
    """
    An operator whose cost is estimated before anything is sent.

    :param max_processing_units: PU that the task may cost by estimate; over it, it fails before anything is sent.
        (templated)
    :param kwargs: see :class:`SentinelHubOperator`.
    """

    def __init__(self, *, max_processing_units: float | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_processing_units = max_processing_units

    own_template_fields: ClassVar[tuple[str, ...]] = (
        *own_arguments(__init__),
        *own_arguments(SentinelHubOperator.__init__),
    )
    template_fields: Sequence[str] = (*own_arguments(__init__), *SentinelHubOperator.template_fields)

    @property
    def budget(self) -> float | None:
        """PU that the task may cost, ``None`` for no limit. Raises :class:`SentinelHubRequestError`."""
        value = self.max_processing_units
        return None if value is None else read_number(value, "max_processing_units", least=0)

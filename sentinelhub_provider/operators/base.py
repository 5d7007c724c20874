"""What all operators have in common: the connection, how long calls may take, and where long waits are spent."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

from airflow.providers.common.compat.sdk import conf

from sentinelhub_provider.exceptions import SentinelHubRateLimitError
from sentinelhub_provider.operators.failing import without_vain_retries
from sentinelhub_provider.operators.templating import RequestTemplatingOperator
from sentinelhub_provider.operators.waiting import LONGEST_BLOCKING_WAIT, wait_in_triggerer

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook


class CallArguments(TypedDict):
    """
    How long one call of the hook may take, in seconds.

    ``timeout``: the service's silence; ``deadline``: all in all; ``longest_wait``: a single wait, beyond which the call
    raises :class:`SentinelHubRateLimitError` instead.
    """

    timeout: float | None
    deadline: float | None
    longest_wait: float | None


class SentinelHubOperator(RequestTemplatingOperator):
    """
    An operator that calls Sentinel Hub.

    :param timeout: seconds that the service may stay silent; the connection's ``timeout`` by default.
    :param deadline: seconds that one call may take in all, waiting and repeating included; 600 by default.
    :param deferrable: whether a wait of more than a minute for the rate limit is spent in the triggerer, without
        holding a worker slot; ``[operators] default_deferrable`` by default.
    :param max_wait: seconds that such waits may take in all.
    :param sentinelhub_conn_id: the connection. (templated)
    """

    template_fields: Sequence[str] = ("sentinelhub_conn_id",)

    def __init__(
        self,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        max_wait: float = 24 * 3600.0,
        sentinelhub_conn_id: str = "sentinelhub_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.timeout = timeout
        self.deadline = deadline
        self.deferrable = deferrable
        self.max_wait = max_wait
        self.sentinelhub_conn_id = sentinelhub_conn_id

    @cached_property
    def hook(self) -> SentinelHubHook:
        """The hook that makes the calls; kept, so that they share its connections to the service."""
        from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

        return SentinelHubHook(self.sentinelhub_conn_id)

    @property
    def call_arguments(self) -> CallArguments:
        """What each call of the hook gets, so that it takes no longer than the task allows."""
        return {
            "timeout": self.timeout,
            "deadline": self.deadline,
            "longest_wait": LONGEST_BLOCKING_WAIT if self.deferrable else None,
        }

    def execute(self, context: Context) -> Any:
        """Do the work; see the class for what is returned."""
        return self.resume(context, waits_until=time.time() + self.max_wait)

    def resume(self, context: Context, event: Any = None, *, waits_until: float | None = None) -> Any:  # noqa: ARG002 - the wait is over
        """
        Do the work, for the first time or after a wait in the triggerer.

        :param waits_until: when waiting ends in vain, in seconds since the epoch; ``None`` where Airflow did not bring
            it along, as ``dag.test()`` does not: ``max_wait`` then begins anew.
        :raises AirflowFailException: for errors that no repetition can cure.
        :raises TaskDeferred: where a deferrable task has to wait for long.
        """
        with without_vain_retries():
            try:
                return self._result(context)
            except SentinelHubRateLimitError as error:
                if self.deferrable:
                    until = time.time() + self.max_wait if waits_until is None else waits_until
                    wait_in_triggerer(self, error, waits_until=until, method_name="resume", kept=self._kept())
                raise

    def _kept(self) -> dict[str, Any]:
        """Return more arguments that :meth:`resume` takes after a wait in the triggerer, as JSON has them."""
        return {}

    @abstractmethod
    def _result(self, context: Context) -> Any:
        """Do the work and return the task's result; called again after each wait in the triggerer."""

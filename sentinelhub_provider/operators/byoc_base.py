"""The base of the BYOC operators: their calls, their cost, and a record for retries."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout

from sentinelhub_provider.operators.arguments import ESTIMATED_UNITS_KEY, SPENT_UNITS_KEY, added_units, is_last_try
from sentinelhub_provider.operators.base import PaidOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.operators.byoc_calls import ByocCalls
    from sentinelhub_provider.operators.jobs.attempt import JobStore


class ByocOperator(PaidOperator):
    """An operator of the BYOC API. Each request other than GET costs 1 PU.

    :param kwargs: see :class:`~sentinelhub_provider.operators.base.PaidOperator`.
    """

    strict: ClassVar[tuple[str, str] | None] = None
    """The argument, and its value, with which a retry has to tell its own work from that of others."""
    _clock = staticmethod(time.time)
    _sleep = staticmethod(time.sleep)

    @cached_property
    def _calls(self) -> ByocCalls:
        from sentinelhub_provider.operators.byoc_calls import ByocCalls

        return ByocCalls(self, sleep=self._sleep)

    @property
    def spent(self) -> float | None:
        """PU that the task spent so far. If the service does not name them, they come from its documentation."""
        return added_units(self.spent_before, self._calls.spent if "_calls" in vars(self) else None)

    def resume(self, context: Context, event: Any = None, **state: Any) -> Any:
        """Do the work, for the first time or after a wait. See :meth:`SentinelHubOperator.resume`."""
        with self._forgetting(context):
            return super().resume(context, event, **state)

    @property
    def _is_strict(self) -> bool:
        return self.strict is not None and str(getattr(self, self.strict[0])).strip().lower() == self.strict[1]

    def _record(self, context: Context) -> JobStore | None:
        """Return the record of earlier attempts' work, ``None`` if it makes no difference."""
        if not self._is_strict:
            return None
        from sentinelhub_provider.operators.jobs.attempt import attempt_of, task_state_store, variable_store

        tag = attempt_of(self, context).tag
        store = task_state_store(context, tag)
        return store if store.is_durable else variable_store(tag)

    def _begin(self, context: Context, what: str) -> None:
        """Record that the task is about to create or delete something whose state was as expected."""
        record = self._record(context)
        if record is not None:
            try:
                record.write({"began": what})
            except Exception as error:  # the store may raise anything
                self.log.warning(
                    "a retry may not recognize the work of this attempt, as no record can be kept: %s", error
                )

    def _has_begun(self, context: Context, what: str) -> bool:
        """Tell whether an earlier attempt recorded it."""
        record = self._record(context)
        return record is not None and (record.read() or {}).get("began") == what

    @contextmanager
    def _forgetting(self, context: Context) -> Iterator[None]:
        """Delete the record when no retry will need it: after success, a final error, and the last try."""
        is_over = False
        try:
            yield
            is_over = True
        except (Exception, AirflowTaskTimeout) as error:
            is_over = isinstance(error, AirflowFailException) or is_last_try(context)
            raise
        finally:
            try:
                record = self._record(context) if is_over else None
                if record is not None and record.read() is not None:
                    record.delete()
            except Exception as error:  # the store may raise anything, but the task's outcome stays
                self.log.warning("the record of the work cannot be deleted: %s", error)

    def _check_cost(self, context: Context, requests: int) -> float:
        """Log, push and check what requests will cost; return it in PU."""
        from sentinelhub_provider.api.byoc.requests import estimate_requests

        estimate = estimate_requests(requests)
        self.check_estimate(context, estimate, advice="Give fewer tiles")
        return estimate.processing_units

    def _with_costs(self, estimated: float, **result: Any) -> dict[str, Any]:
        """Return the task's result."""
        return {**result, SPENT_UNITS_KEY: self.spent, ESTIMATED_UNITS_KEY: estimated}

"""Waits in the triggerer with the same ends as waits in the worker."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from airflow.sdk import BaseOperator, BaseSensorOperator, PokeReturnValue

try:
    from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout
except ImportError:  # before Airflow 3.2
    from airflow.exceptions import TaskDeferralError, TaskDeferralTimeout  # type: ignore[no-redef]

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

PATIENCE = 300.0
"""Seconds after the end of the wait at which Airflow ends a deferral that no triggerer ended."""


class DeferrableSensor(BaseSensorOperator):
    """A sensor that may wait in the triggerer.

    ``timeout``, ``soft_fail``, ``never_fail`` and ``silent_fail`` have the same meaning there as in poke mode. The
    trigger itself ends the wait in time, because ``dag.test()`` ignores the time limit of a deferral.
    """

    deferrable: bool

    def execute(self, context: Context) -> Any:
        """Wait. See the class for the result."""
        if not self.deferrable:
            return super().execute(context)
        return self._go_on(context, time.time() + self.timeout, lambda: self.poke(context))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral, even if Airflow ended it."""
        try:
            # Airflow's own sensors skip here, but poke mode fails.
            return BaseOperator.resume_execution(self, next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            return self._time_out()
        except TaskDeferralError as error:
            if self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise

    @abstractmethod
    def _trigger(self, context: Context, ends: float) -> BaseTrigger:
        """Return the trigger that waits until ``ends``, in seconds since the epoch."""

    def _go_on(self, context: Context, ends: float, check: Callable[[], bool | PokeReturnValue]) -> Any:
        """Check once. Return the result, raise as in poke mode, or wait in the triggerer.

        :param ends: end of the wait without success, in seconds since the epoch.
        """
        done: bool | PokeReturnValue = False
        try:
            done = check()
        except AirflowSkipException:
            raise
        except (AirflowSensorTimeout, AirflowTaskTimeout, AirflowFailException) as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        except Exception as error:
            if not self.silent_fail:
                if self.never_fail:
                    raise AirflowSkipException(str(error)) from error
                raise
            self.log.exception("the check failed, waiting goes on")
        if done:
            return done.xcom_value if isinstance(done, PokeReturnValue) else None
        left = ends - time.time()
        if left <= 0:
            return self._time_out()
        self.log.info("waiting in the triggerer, for %.0f s at most", left)
        return self.defer(
            trigger=self._trigger(context, ends),
            method_name="execute_complete",
            timeout=timedelta(seconds=left + PATIENCE),
        )

    def _time_out(self) -> Any:
        message = f"The sensor waited {self.timeout:.0f} s without success."
        raise AirflowSkipException(message) if self.soft_fail else AirflowSensorTimeout(message)

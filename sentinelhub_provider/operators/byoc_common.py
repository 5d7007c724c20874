"""What the BYOC operators have in common: what they cost, how they make calls, and how arguments are checked."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.operators.arguments import json_of, log_and_check_cost
from sentinelhub_provider.operators.base import SentinelHubOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.byoc.tiles import TileRequest
    from sentinelhub_provider.operators.byoc_calls import ByocCalls


class ByocOperator(SentinelHubOperator):
    """
    An operator of the BYOC API, where each request other than GET costs 1 PU.

    :param max_processing_units: PU that the task may cost; over it, nothing is sent that costs any.
    :param kwargs: further arguments, of :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`, such as
        ``timeout``, ``deferrable`` and ``sentinelhub_conn_id``, and of any Airflow operator.
    """

    template_file_fields: Sequence[str] = ()
    ui_color = "#d6e9f8"

    _clock = staticmethod(time.time)
    _sleep = staticmethod(time.sleep)

    def __init__(self, *, max_processing_units: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_processing_units = max_processing_units

    def _calls(self) -> ByocCalls:
        from sentinelhub_provider.operators.byoc_calls import ByocCalls

        return ByocCalls(self, clock=self._clock, sleep=self._sleep)

    def _check_cost(self, context: Context, requests: int) -> float:
        """Log, push and check what requests will cost; return it in PU."""
        from sentinelhub_provider.api.byoc.requests import estimate_requests
        from sentinelhub_provider.api.processing_units import check_budget

        estimate = estimate_requests(requests)
        log_and_check_cost(self, context, estimate, None)
        check_budget(estimate, self.max_processing_units, advice="Give fewer tiles")
        return estimate.processing_units


def tiles_of(value: Any) -> list[TileRequest]:
    """
    Read tiles, which may come as JSON where a template rendered them.

    :raises SentinelHubRequestError: as :func:`sentinelhub_provider.api.byoc.tiles.build_tiles`.
    """
    from sentinelhub_provider.api.byoc.tiles import build_tiles

    is_json = isinstance(value, str) and value.lstrip().startswith("[")
    return build_tiles(json_of(value, "tiles") if is_json else value)


def check_seconds(value: Any, field: str) -> None:
    """Refuse what is no length of time."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise SentinelHubRequestError(f"{field} is {value!r}. Give seconds, more than 0.", field=field)


def check_choice(value: Any, known: Collection[str], field: str) -> None:
    """Refuse what is none of the words that an argument may be."""
    if value not in tuple(known):
        raise SentinelHubRequestError(f"{field} is {value!r}. Give one of {', '.join(known)}.", field=field)

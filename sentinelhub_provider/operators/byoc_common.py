"""What the BYOC operators have in common: what they cost, how they make calls, and how arguments are checked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.values import read_structure
from sentinelhub_provider.operators.arguments import log_and_check_cost
from sentinelhub_provider.operators.base import PaidOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.byoc.tiles import TileRequest
    from sentinelhub_provider.operators.byoc_calls import ByocCalls


class ByocOperator(PaidOperator):
    """
    An operator of the BYOC API, where each request other than GET costs 1 PU.

    :param kwargs: see :class:`~sentinelhub_provider.operators.base.PaidOperator`.
    """

    ui_color = "#d6e9f8"
    reports_spent = False

    _clock = staticmethod(time.time)
    _sleep = staticmethod(time.sleep)

    def _calls(self) -> ByocCalls:
        from sentinelhub_provider.operators.byoc_calls import ByocCalls

        return ByocCalls(self, clock=self._clock, sleep=self._sleep)

    def _check_cost(self, context: Context, requests: int) -> float:
        """Log, push and check what requests will cost; return it in PU."""
        from sentinelhub_provider.api.byoc.requests import estimate_requests
        from sentinelhub_provider.api.processing_units import check_budget

        estimate = estimate_requests(requests)
        log_and_check_cost(self, context, estimate, None)
        check_budget(estimate, self.budget, advice="Give fewer tiles")
        return estimate.processing_units


def tiles_of(value: Any) -> list[TileRequest]:
    """
    Read tiles, which may come as JSON where a template rendered them.

    :raises SentinelHubRequestError: as :func:`sentinelhub_provider.api.byoc.tiles.build_tiles`.
    """
    from sentinelhub_provider.api.byoc.tiles import build_tiles

    return build_tiles(read_structure(value, "tiles"))

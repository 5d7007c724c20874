"""The body of a Statistical request, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.process.bodies import EvalscriptRequest, parse_evalscript, parse_input
from sentinelhub_provider.sandbox.apis.process.bounds import parse_grid
from sentinelhub_provider.sandbox.apis.process.datasets import moment
from sentinelhub_provider.sandbox.apis.statistical.calculations import Calculations, parse_calculations
from sentinelhub_provider.sandbox.apis.statistical.intervals import LAST_INTERVAL, cut, parse_duration
from sentinelhub_provider.sandbox.errors import invalid
from sentinelhub_provider.sandbox.world.scenes.model import SceneSource

MAX_INTERVALS: Final = 5_000
"""A guard of the sandbox's own."""

Interval = tuple[datetime, datetime]


@dataclass(frozen=True)
class StatisticalRequest(EvalscriptRequest):
    """A checked Statistical request. An interval reaches from its first moment up to, not including, its second."""

    intervals: tuple[Interval, ...]
    calculations: Calculations


def parse_request(body: Any, source: SceneSource) -> StatisticalRequest:
    """Check the body of a request. Raises :class:`~..errors.ApiError` 400 that names the first field at fault."""
    if not isinstance(body, Mapping):
        raise invalid("request", "must be a JSON object with input and aggregation")
    aggregation = body.get("aggregation")
    if not isinstance(aggregation, Mapping):
        raise invalid(
            "aggregation",
            "is required and must be an object with timeRange, aggregationInterval and evalscript",
            aggregation,
        )
    evalscript = parse_evalscript(aggregation.get("evalscript"), "aggregation->evalscript")
    area, datasets = parse_input(body.get("input"), source)
    grid = parse_grid(area, aggregation, [dataset.collection for dataset in datasets], "aggregation")
    return StatisticalRequest(
        area=area,
        grid=grid,
        datasets=datasets,
        intervals=tuple(parse_intervals(aggregation)),
        evalscript=evalscript,
        calculations=parse_calculations(body.get("calculations")),
    )


def parse_intervals(aggregation: Mapping[str, Any]) -> list[Interval]:
    """Check ``timeRange`` and ``aggregationInterval``, and cut the one by the other."""
    path = "aggregation->timeRange"
    value = aggregation.get("timeRange")
    if not isinstance(value, Mapping):
        raise invalid(path, "is required and must be an object with from and to", value)
    start, end = moment(value.get("from"), f"{path}->from"), moment(value.get("to"), f"{path}->to")
    if start >= end:
        raise invalid(path, "from must be earlier than to", dict(value))
    path = "aggregation->aggregationInterval"
    interval = aggregation.get("aggregationInterval")
    if not isinstance(interval, Mapping):
        raise invalid(path, "is required and must be an object with of", interval)
    of, last = interval.get("of"), interval.get("lastIntervalBehavior")
    if last is not None and last not in LAST_INTERVAL:
        raise invalid(f"{path}->lastIntervalBehavior", f"must be one of {', '.join(LAST_INTERVAL)}", last)
    if not isinstance(of, str):
        raise invalid(f"{path}->of", "is required and must be an ISO 8601 duration such as P10D", of)
    try:
        return cut(start, end, parse_duration(of), last or LAST_INTERVAL[0], limit=MAX_INTERVALS)
    except (ValueError, OverflowError) as error:
        raise invalid(f"{path}->of", str(error), of) from error

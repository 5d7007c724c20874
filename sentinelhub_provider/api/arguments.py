"""The arguments of requests, each declared once. The operators say what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestArguments:
    """The common arguments of requests for imagery and for statistics."""

    collection: Any
    evalscript: str | None = None
    time_range: Any = None
    width: Any = None
    height: Any = None
    resolution: Any = None
    mosaicking_order: str | None = None
    max_cloud_cover: Any = None
    upsampling: str | None = None
    downsampling: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageryArguments(RequestArguments):
    """Of requests to the Process API, Async Process and Batch Process."""

    bbox: Any = None
    geometry: Any = None
    crs: Any = None
    outputs: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsArguments(RequestArguments):
    """Of requests to the Statistical API and Batch Statistics, but for the area."""

    aggregation_interval: Any = "P1D"
    last_interval: str | None = None
    percentiles: Any = None
    histogram: Any = None
    calculations: Any = None

"""
Requests of the Statistical API: built from what a user says, or taken as plain JSON, and checked either way.

Their answers are read in :mod:`sentinelhub_provider.api.statistical.answer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sentinelhub_provider.api.datasets import Choice, Datasets, build_datasets, read_datasets
from sentinelhub_provider.api.evalscripts import check_evalscript, read_evalscript
from sentinelhub_provider.api.evalscripts.setup import DATA_MASK, Setup, parse_setup
from sentinelhub_provider.api.geo.bounds import (
    Bounds,
    Size,
    check_side,
    parse_bounds,
    parse_size,
    read_bounds,
    read_size,
)
from sentinelhub_provider.api.processing_units import Estimate, Service
from sentinelhub_provider.api.statistical.intervals import SplitTime, alone, read_split_time, split_time
from sentinelhub_provider.api.time_range import TimeRange
from sentinelhub_provider.exceptions import SentinelHubRequestError


@dataclass(frozen=True, slots=True)
class StatisticalRequest:
    """
    A checked request.

    :param body: what is sent.
    :param bounds: its area.
    :param size: the raster that is computed.
    :param datasets: its collections.
    :param time: its range, and the intervals that this is split into.
    :param setup: what the evalscript declares, ``None`` where that cannot be read from its text.
    :param warnings: what looks wrong, but may be meant.
    """

    body: dict[str, Any]
    bounds: Bounds
    size: Size
    datasets: Datasets
    time: SplitTime
    setup: Setup | None
    warnings: tuple[str, ...] = ()

    @property
    def intervals(self) -> list[TimeRange]:
        """The intervals that the service answers, those without data included."""
        return list(self.time.interval.split(self.time.time_range))

    def estimate(
        self, *, samples: float = 1, intervals: int | None = None, service: Service = Service.STATISTICAL
    ) -> Estimate | None:
        """
        Estimate the cost; ``None`` where the evalscript does not say plainly what it reads.

        Each interval is a sample of each pixel, as an answer is no picture but one of many times.

        :param samples: samples to a pixel and interval where the evalscript's mosaicking is ORBIT or TILE.
        :param intervals: how many intervals have scenes, where that is known. Without it all are counted, which is the
            most that can be charged.
        """
        if self.setup is not None and self.setup.is_single_sample:
            samples = 1
        number = len(self.intervals) if intervals is None else intervals
        return self.datasets.estimate(
            self.size, self.setup, samples=samples * max(1, number), bits=16, octet_stream=False, service=service
        )

    def of_interval(self, interval: TimeRange) -> StatisticalRequest:
        """Return the request for one of the intervals alone, to ask again for one that failed."""
        time = alone(interval)
        aggregation = {**self.body["aggregation"], **time.to_json()}
        return replace(self, body={**self.body, "aggregation": aggregation}, time=time)


def build_statistical_request(
    *,
    collections: Any,
    evalscript: str,
    time_range: Any,
    aggregation_interval: Any = "P1D",
    last_interval: str | None = None,
    bbox: Any = None,
    geometry: Any = None,
    crs: Any = None,
    width: Any = None,
    height: Any = None,
    resolution: Any = None,
    percentiles: Sequence[float] | None = None,
    histogram: Any = None,
    calculations: Mapping[str, Any] | None = None,
    mosaicking_order: str | None = None,
    max_cloud_cover: float | None = None,
    upsampling: str | None = None,
    downsampling: str | None = None,
    deployment: str | None = None,
    now: datetime | None = None,
) -> StatisticalRequest:
    """
    Build a request.

    Parameters that the Process API has too are those of
    :func:`~sentinelhub_provider.api.process.build_process_request`.

    :param time_range: see :func:`~sentinelhub_provider.api.statistical.intervals.split_time`, as for the two below.
    :param aggregation_interval: length of the intervals.
    :param last_interval: what happens to a last interval that is not full: ``SKIP``, ``SHORTEN`` or ``EXTEND``.
    :param percentiles: per cent, 0 to 100, of every band of every output.
    :param histogram: number of bins, list of their edges, or the API's definition (``nBins`` or ``binWidth`` with
        ``lowEdge`` and ``highEdge``, or ``bins``), of every band of every output.
    :param calculations: the API's ``calculations``, by output, instead of the two above.
    :raises SentinelHubRequestError: names the argument.
    """
    script = read_evalscript(evalscript)
    check_evalscript(script, for_statistics=True)
    setup = parse_setup(script)
    check_mask(setup)
    bounds = parse_bounds(bbox=bbox, geometry=geometry, crs=crs)
    size = parse_size(bounds, width=width, height=height, resolution=resolution)
    time = split_time(time_range, aggregation_interval, last_interval, now=now)
    # The time is the aggregation's; a second one in the datasets would only narrow it.
    choice = Choice(None, mosaicking_order, max_cloud_cover, upsampling, downsampling)
    datasets = build_datasets(collections, choice, deployment=deployment, now=now)
    datasets.check_resolution(bounds, size, "resolution" if resolution is not None else "width")
    body: dict[str, Any] = {
        "input": {"bounds": bounds.to_json(), "data": datasets.data},
        "aggregation": {
            **time.to_json(),
            **size.to_json(),
            "evalscript": script,
        },
    }
    wanted = build_calculations(percentiles, histogram, calculations)
    if wanted:
        body["calculations"] = wanted
    return StatisticalRequest(body, bounds, size, datasets, time, setup, (*bounds.warnings, *time.warnings))


def read_statistical_request(
    body: Any, *, deployment: str | None = None, now: datetime | None = None
) -> StatisticalRequest:
    """
    Check a request's JSON as the documentation and other clients write it; it is sent as it is.

    :raises SentinelHubRequestError: names the member within ``request``.
    """
    if not isinstance(body, Mapping):
        raise SentinelHubRequestError(
            f"request is a {type(body).__name__}. Give a mapping with input and aggregation.", field="request"
        )
    request_input, aggregation = body.get("input"), body.get("aggregation")
    if not isinstance(request_input, Mapping) or not isinstance(aggregation, Mapping):
        missing = "aggregation" if isinstance(request_input, Mapping) else "input"
        raise SentinelHubRequestError(f"request: {missing} is missing.", field="request")
    script = aggregation.get("evalscript")
    check_evalscript(script, for_statistics=True)
    setup = parse_setup(str(script))
    bounds = read_bounds(request_input.get("bounds"))
    size = read_size(aggregation, bounds, path="aggregation")
    check_side(size, field="request")
    time, aggregation = read_split_time(aggregation, now=now)
    datasets = read_datasets(request_input.get("data"), deployment=deployment, now=now)
    datasets.check_resolution(bounds, size, "request")
    body = {**body, "aggregation": aggregation}
    return StatisticalRequest(body, bounds, size, datasets, time, setup, (*bounds.warnings, *time.warnings))


def check_mask(setup: Setup | None) -> None:
    """
    Refuse an evalscript that does not say which pixels count.

    :raises SentinelHubRequestError: where it plainly has no output ``dataMask``.
    """
    if setup is not None and all(output.id != DATA_MASK for output in setup.outputs):
        raise SentinelHubRequestError(
            f"evalscript has outputs {', '.join(output.id for output in setup.outputs)}, but no {DATA_MASK}, which the "
            "Statistical API needs to know the pixels that count. Add {id: 'dataMask', bands: 1} to them.",
            field="evalscript",
        )


def build_calculations(
    percentiles: Sequence[float] | None, histogram: Any, calculations: Mapping[str, Any] | None
) -> dict[str, Any]:
    """
    Make a request's ``calculations``; empty for the plain statistics.

    Parameters: see :func:`build_statistical_request`.

    :raises SentinelHubRequestError: names the argument.
    """
    if calculations is not None:
        if percentiles or histogram is not None:
            raise SentinelHubRequestError(
                "calculations and percentiles or histogram are both given. Give one: calculations holds both.",
                field="calculations",
            )
        if not isinstance(calculations, Mapping):
            raise SentinelHubRequestError(
                f"calculations is {calculations!r}. Give a mapping by output.", field="calculations"
            )
        return dict(calculations)
    everything: dict[str, Any] = {}
    if percentiles:
        everything["statistics"] = {"default": {"percentiles": {"k": [_percentile(value) for value in percentiles]}}}
    if histogram is not None:
        everything["histograms"] = {"default": _histogram(histogram)}
    return {"default": everything} if everything else {}


def _percentile(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise SentinelHubRequestError(
            f"percentiles has {value!r}. Give numbers from 0 to 100, such as 50 for the median.", field="percentiles"
        )
    return value


def _histogram(value: Any) -> dict[str, Any]:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return {"nBins": value}
    if isinstance(value, Mapping) and value:
        if sum(name in value for name in ("nBins", "binWidth", "bins")) != 1:
            raise SentinelHubRequestError(
                f"histogram is {dict(value)!r}. Give exactly one of nBins, binWidth and bins.", field="histogram"
            )
        return dict(value)
    if isinstance(value, list | tuple) and len(value) > 1 and list(value) == sorted(set(value)):
        return {"bins": list(value)}
    raise SentinelHubRequestError(
        f"histogram is {value!r}. Give a number of bins, a rising list of their edges, or a mapping as the API has it.",
        field="histogram",
    )

"""Requests of the Batch Statistical API. One statistical request is for all features of a GeoPackage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

from sentinelhub_provider.api.arguments import StatisticsArguments
from sentinelhub_provider.api.datasets import Checks, Datasets, member, read_datasets
from sentinelhub_provider.api.evalscripts import Setup, read_evalscript
from sentinelhub_provider.api.geo.bounds import MAX_SIDE, Size, read_raster
from sentinelhub_provider.api.geo.crs import parse_crs
from sentinelhub_provider.api.job_requests.batch_input import feature_size
from sentinelhub_provider.api.job_requests.delivery import (
    STATISTICS,
    JobRequest,
    Keyring,
    Location,
    Path,
    check_one_script,
    read_location,
    refuse_credentials,
)
from sentinelhub_provider.api.jobs.job import full_tag
from sentinelhub_provider.api.process import request_digest
from sentinelhub_provider.api.processing_units import Estimate, FeatureSizes, Service
from sentinelhub_provider.api.statistical.request import (
    SplitTime,
    build_calculations,
    build_statistical_datasets,
    read_split_time,
    split_time,
    statistics_setup,
)
from sentinelhub_provider.api.values import as_pair, read_positive
from sentinelhub_provider.exceptions import SentinelHubRequestError

MAX_SCRIPT_SIZE = 32 * 1024
"""Bytes of an evalscript from which on the request must name it by reference. The documentation says 32 KB."""

COARSEST_DEGREES = 1.0  # Degrees. A larger pixel is taken for one in metres
FEATURES: Path = ("input", "features")
SCRIPT: Path = ("aggregation", "evalscriptReference")  # Paths of the storages in a request


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatisticsRequest(JobRequest):
    """A checked request, with its time."""

    DELIVERY: ClassVar[Path] = ("output",)

    datasets: Datasets
    time: SplitTime

    def __str__(self) -> str:
        times = self.body["aggregation"]["timeRange"]
        return f"{self.datasets} of {times['from']} to {times['to']}"

    def tagged(self, tag: str) -> BatchStatisticsRequest:
        """Return the request with a folder of its own for its results, by which its job is found again."""
        return JobRequest.tagged(self, full_tag(tag, self.digest))

    def estimate(
        self, *, samples: float = 1, intervals: int | None = None, sizes: FeatureSizes | None = None
    ) -> Estimate | None:
        """Estimate the largest cost over features of such ``sizes``. Return ``None`` if it is unknown."""
        number = len(self.time.intervals) if intervals is None else intervals
        one = self.datasets.estimate(Size(512, 512), self.setup, Service.STATISTICAL, samples=samples, times=number)
        return None if one is None or sizes is None else sizes.estimate(one, Service.BATCH_STATISTICAL)


def build_batch_statistics(
    wanted: StatisticsArguments,
    *,
    features: Location,
    delivery: Location,
    evalscript_reference: Location | None = None,
    features_crs: Any = None,
    **checks: Unpack[Checks],
) -> BatchStatisticsRequest:
    """Build a request.

    Each feature's raster has ``width`` and ``height`` in pixels, at most 2,500, or a ``resolution`` of one or two
    numbers in units of the features' CRS. An evalscript has less than 32 KB. The cost of one that
    ``evalscript_reference`` names is unknown. ``features_crs`` checks the resolution, if it is known.
    """
    check_one_script(wanted.evalscript, evalscript_reference)
    deployment = checks.get("deployment")
    script = None if wanted.evalscript is None else read_evalscript(wanted.evalscript)
    setup = _check_script(script)
    raster = _raster(wanted.width, wanted.height, wanted.resolution, features_crs)
    time = split_time(wanted.time_range, wanted.aggregation_interval, wanted.last_interval, now=checks.get("now"))
    datasets = build_statistical_datasets(wanted, **checks)
    delivery.check("delivery", template=STATISTICS, deployment=deployment)
    features.check("features", deployment=deployment)
    places = {BatchStatisticsRequest.DELIVERY: delivery, FEATURES: features}
    aggregation: dict[str, Any] = {**time.to_json(), **raster}
    if script is not None:
        aggregation["evalscript"] = script
    if evalscript_reference is not None:
        evalscript_reference.check("evalscript_url", deployment=deployment)
        aggregation["evalscriptReference"] = evalscript_reference.to_json()
        places[SCRIPT] = evalscript_reference
    body: dict[str, Any] = {
        "input": {"features": features.to_json(), "data": datasets.data},
        "aggregation": aggregation,
        "output": delivery.to_json(),
        **build_calculations(wanted),
    }
    return _request(body, places, datasets=datasets, time=time, setup=setup)


def read_batch_statistics(
    body: Any, *, delivery: Keyring, features: Keyring | None = None, **checks: Unpack[Checks]
) -> BatchStatisticsRequest:
    """Check a request's JSON, sent as it is. The credentials of ``delivery`` serve for other buckets, too."""
    refuse_credentials(body)
    request_input, aggregation = member(body, "input"), member(body, "aggregation")
    script, reference = aggregation.get("evalscript"), aggregation.get("evalscriptReference")
    check_one_script(script, reference, of_request="request: aggregation")
    setup = _check_script(script)
    read_raster(aggregation, "aggregation", max_side=MAX_SIDE)
    time, aggregation = read_split_time(aggregation, now=checks.get("now"))
    datasets = read_datasets(request_input.get("data"), **checks)
    at: dict[str, Any] = {"field": "request", "deployment": checks.get("deployment")}
    path = BatchStatisticsRequest.DELIVERY
    places = {
        path: read_location(body.get("output"), delivery, path=path, template=STATISTICS, **at),
        FEATURES: read_location(request_input.get("features"), features or delivery, path=FEATURES, **at),
    }
    if reference is not None:
        places[SCRIPT] = read_location(reference, delivery, path=SCRIPT, **at)
    body = {**body, "input": {**request_input, "data": datasets.data}, "aggregation": aggregation}
    return _request(body, places, datasets=datasets, time=time, setup=setup)


def _request(body: dict[str, Any], places: Mapping[Path, Location], **found: Any) -> BatchStatisticsRequest:
    common = {"digest": request_digest(body), "warnings": found["time"].warnings, **found}
    return BatchStatisticsRequest(body=body, places=places, **common)


def _check_script(script: Any) -> Setup | None:
    if script is None:
        return None
    setup = statistics_setup(script)
    size = len(script.encode())
    if size >= MAX_SCRIPT_SIZE:
        raise SentinelHubRequestError(
            f"evalscript has {size:,} bytes; one within the request must have less than {MAX_SCRIPT_SIZE:,}. Put it "
            "into a bucket, and give evalscript_url."
        )
    return setup


def _raster(width: Any, height: Any, resolution: Any, features_crs: Any) -> dict[str, float]:
    """Return the members of ``aggregation`` that say how large a feature's raster is."""
    pair = as_pair(resolution, "resolution", "one number, or two for x and y")
    size, x = feature_size(width, height, pair[0], max_side=MAX_SIDE)
    if size is not None:
        return {"width": size[0], "height": size[1]}
    if x is None:
        raise SentinelHubRequestError(
            "the size is missing. Give resolution in units of the features' CRS, or width and height in pixels.",
            field="resolution",
        )
    y = read_positive(pair[1], "resolution")
    if features_crs is not None and parse_crs(features_crs).is_geographic and max(x, y) > COARSEST_DEGREES:
        raise SentinelHubRequestError(
            f"resolution {max(x, y):g} looks like metres, but the features are in {parse_crs(features_crs)}, which "
            f"counts degrees: give degrees, such as {max(x, y) / 111_320:.6f}, or features in a CRS of metres."
        )
    return {"resx": x, "resy": y}

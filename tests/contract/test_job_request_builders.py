"""What the builders of jobs send is what Sentinel Hub's own descriptions take, and what its own client sends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from request_builders import JUNE_NDVI, build_with
from sentinelhub import (
    CRS,
    BatchProcessClient,
    BBox,
    DataCollection,
    MimeType,
    MosaickingOrder,
    SentinelHubBatchStatistical,
    SentinelHubRequest,
    SentinelHubStatistical,
    SHConfig,
)

from sentinelhub_provider.api.evalscripts import named_evalscript
from sentinelhub_provider.api.job_requests.async_process import build_async_process
from sentinelhub_provider.api.job_requests.batch_process import build_batch_process, read_batch_process
from sentinelhub_provider.api.job_requests.batch_statistics import build_batch_statistics, read_batch_statistics
from sentinelhub_provider.api.job_requests.delivery import Access, Location
from tests.contract.openapi import ContractError, check

PATHS = {
    "batch-process": ("/batch/v2/process", "/api/v2/batch/process"),
    "batch-statistics": ("/statistics/batch/v1", "/api/v1/statistics/batch"),
    "async-process": ("/async/v1/process", "/api/v1/async/process"),
}
JOB = "0a1b2c3d-0000-4000-8000-000000000000"
STATUS = {"batch-process": 201, "batch-statistics": 201, "async-process": 200}
KEYS = Access("AKIAEXAMPLE", "a-secret-key")
DELIVERY = Location("s3://bucket/results", KEYS)
PACKAGE = Location("s3://bucket/fields.gpkg", KEYS)
SCRIPT = Location("s3://bucket/ndvi.js", KEYS)
BBOX = (13.0, 45.0, 13.1, 45.1)
ARRAY = {"dtype": "<f4", "chunks": [1, 1000, 1000], "order": "C", "fill_value": 0}
COMMON: dict[str, Any] = {**JUNE_NDVI, "delivery": DELIVERY}


@dataclass
class Sent:
    """A request, with an answer that is good."""

    path: str
    request_body: bytes
    status: int
    response_body: bytes
    method: str = "POST"
    query: str = ""
    request_headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    response_headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


def sent(kind: str, scheme: int, payload: Mapping[str, Any]) -> Sent:
    """Make the exchange that a request belongs to."""
    state = "RUNNING" if kind == "async-process" else "CREATED"
    answer = json.dumps({"id": JOB, "status": state}).encode()
    return Sent(PATHS[kind][scheme], json.dumps(payload).encode(), STATUS[kind], answer)


def check_with_tag(kind: str, scheme: int, request: Any) -> None:
    """Check a request, also with the tag of a task."""
    check(sent(kind, scheme, request.payload()))
    check(sent(kind, scheme, request.tagged("airflow-1a2b").payload()))


@pytest.fixture(params=[0, 1], ids=["current", "legacy"])
def scheme(request: pytest.FixtureRequest) -> int:
    """Which spelling of the paths."""
    return int(request.param)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"bbox": BBOX, "tiling_grid": 0, "resolution": 10}, id="grid"),
        pytest.param(
            {"bbox": BBOX, "tiling_grid": 3, "resolution": 0.0001, "buffer": [5, 6], "description": "June"}, id="buffer"
        ),
        pytest.param(
            {"bbox": BBOX, "tiling_grid": 0, "resolution": 60, "cog": True, "cog_parameters": {"blockxsize": 512},
             "overwrite": True, "create_collection": True, "skip_existing": True}, id="options",
        ),
        pytest.param({"features": PACKAGE, "width": 512, "height": 512, "bbox": BBOX}, id="features"),
        pytest.param({"features": PACKAGE, "resolution": 0.0001, "geometry": "POLYGON ((13 45, 14 45, 14 46, 13 45))",
                      "bbox": BBOX}, id="features-by-resolution"),
        pytest.param(
            {"bbox": BBOX, "tiling_grid": 6, "resolution": 50, "zarr": {"arrayParameters": ARRAY},
             "evalscript": named_evalscript("ndvi").replace("dataMask\", bands", "mask\", bands")}, id="zarr",
        ),
    ],
)  # fmt: skip
def test_batch_process(scheme: int, arguments: dict[str, Any]) -> None:
    """Each input and each output; also with the tag of a task."""
    request = build_with(build_batch_process, **{**COMMON, **arguments})

    check_with_tag("batch-process", scheme, request)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"resolution": 10}, id="resolution"),
        pytest.param({"width": 64, "height": 64, "histogram": 10, "percentiles": [5, 95]}, id="calculations"),
        pytest.param({"resolution": 10, "evalscript": None, "evalscript_reference": SCRIPT}, id="reference"),
        pytest.param({"resolution": 10, "max_cloud_cover": 20, "aggregation_interval": "P5D"}, id="clear"),
    ],
)
def test_batch_statistics(scheme: int, arguments: dict[str, Any]) -> None:
    """Sizes, calculations and scripts; also with the tag of a task."""
    request = build_with(build_batch_statistics, **{**COMMON, "features": PACKAGE, **arguments})

    check_with_tag("batch-statistics", scheme, request)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"resolution": 10}, id="resolution"),
        pytest.param({"width": 10_000, "height": 10_000, "outputs": "tiff"}, id="large"),
        pytest.param({"width": 9, "evalscript": None, "evalscript_reference": SCRIPT}, id="reference"),
    ],
)
def test_async_process(scheme: int, arguments: dict[str, Any]) -> None:
    """Sizes and scripts; also with the tag of a task."""
    request = build_with(build_async_process, **{**COMMON, "bbox": BBOX, **arguments})

    check_with_tag("async-process", scheme, request)


@pytest.mark.parametrize(
    "delivery",
    [
        pytest.param(Location("gs://bucket/results", Access(credentials="e30=")), id="google"),
        pytest.param(Location("s3://bucket/a", Access(role_arn="arn:aws:iam::123456789012:role/x")), id="role"),
    ],
)
def test_other_places(delivery: Location) -> None:
    """Google's storage and roles, which only the current description knows."""
    arguments = {**COMMON, "delivery": delivery}
    process = build_with(build_batch_process, **arguments, bbox=BBOX, tiling_grid=0, resolution=10)

    check(sent("batch-process", 0, process.payload()))
    check(sent("async-process", 0, build_with(build_async_process, **arguments, bbox=BBOX, resolution=10).payload()))
    statistics = build_with(build_batch_statistics, **arguments, features=PACKAGE, resolution=10)
    check(sent("batch-statistics", 0, statistics.payload()))


def test_the_check_finds_faults(scheme: int) -> None:
    """A request that is not as described fails."""
    payload = build_with(build_async_process, **COMMON, bbox=BBOX, width=9).payload()
    del payload["output"]["delivery"]

    with pytest.raises(ContractError, match="delivery"):
        check(sent("async-process", scheme, payload))


class PostedError(Exception):
    """Carries what a client would send."""

    def __init__(self, payload: Any) -> None:
        super().__init__("posted")
        self.payload = payload


class Recorder:
    """Stands in for the client's connection."""

    def get_json_dict(self, url: str, post_values: Any = None, **_: Any) -> Any:
        """Take the request."""
        raise PostedError(post_values)


def posted(client: Any, **arguments: Any) -> dict[str, Any]:
    """Return what Sentinel Hub's own client sends to create a job."""
    client.client = Recorder()
    with pytest.raises(PostedError) as sent_:
        client.create(**arguments)
    payload: dict[str, Any] = json.loads(json.dumps(sent_.value.payload))
    payload.pop("instanceType", None)  # the client's own, and internal as it says
    return payload


def official_process(**changes: Any) -> SentinelHubRequest:
    """Return the client's own request for a picture."""
    return SentinelHubRequest(
        evalscript=named_evalscript("ndvi"),
        input_data=[
            SentinelHubRequest.input_data(
                DataCollection.SENTINEL2_L2A,
                time_interval=("2024-06-01T00:00:00Z", "2024-06-30T23:59:59Z"),
                mosaicking_order=MosaickingOrder.LEAST_CC,
                maxcc=0.2,
            )
        ],
        responses=[SentinelHubRequest.output_response("default", MimeType.TIFF)],
        bbox=BBox(BBOX, CRS.WGS84),
        config=SHConfig(),
        **changes,
    )


ACCESS = BatchProcessClient.s3_specification("s3://bucket/results", "AKIAEXAMPLE", "a-secret-key")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(
            {"tiling_grid": 0, "resolution": 10.0, "description": "June"},
            {"input": BatchProcessClient.tiling_grid_input(0, 10.0), "output": BatchProcessClient.raster_output(ACCESS),
             "description": "June"},
            id="grid",
        ),
        pytest.param(
            {"tiling_grid": 7, "resolution": 20.0, "buffer": (3, 4), "overwrite": True, "cog": True},
            {"input": BatchProcessClient.tiling_grid_input(7, 20.0, 3, 4),
             "output": BatchProcessClient.raster_output(ACCESS, overwrite=True, cog_output=True)},
            id="options",
        ),
        pytest.param(
            {"features": Location("s3://bucket/results", KEYS)},
            {"input": BatchProcessClient.geopackage_input(ACCESS), "output": BatchProcessClient.raster_output(ACCESS)},
            id="features",
        ),
    ],
)  # fmt: skip
def test_batch_process_is_what_the_official_client_sends(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Word for word, but for the CRS's other name and an empty ``processing``; and its requests can be read."""
    official = posted(BatchProcessClient(SHConfig()), process_request=official_process(), **theirs)
    request = build_with(
        build_batch_process, **COMMON, bbox=BBOX, mosaicking_order="leastCC", max_cloud_cover=20, **ours
    )

    assert comparable(request.payload()) == comparable(official)
    for place in (official["output"]["delivery"], official["input"].get("features", {"s3": {}})):
        for name in ("accessKey", "secretAccessKey"):
            place["s3"].pop(name, None)
    assert comparable(read_batch_process(official, delivery=lambda _: KEYS).payload()) == comparable(request.payload())


def test_batch_statistics_is_what_the_official_client_sends() -> None:
    """The same for statistics."""
    single = SentinelHubStatistical(
        aggregation=SentinelHubStatistical.aggregation(
            evalscript=named_evalscript("ndvi"),
            time_interval=("2024-06-01T00:00:00Z", "2024-07-01T00:00:00Z"),
            aggregation_interval="P5D",
            resolution=(10.0, 10.0),
        ),
        input_data=[SentinelHubStatistical.input_data(DataCollection.SENTINEL2_L2A)],
        calculations={"default": {"statistics": {"default": {"percentiles": {"k": [5, 95]}}}}},
        bbox=BBox(BBOX, CRS.WGS84),
        config=SHConfig(),
    )
    client = SentinelHubBatchStatistical(SHConfig())
    client.client = Recorder()  # type: ignore[assignment]
    with pytest.raises(PostedError) as sent_:
        client.create_from_request(single, input_features=ACCESS, output=ACCESS)
    official = json.loads(json.dumps(sent_.value.payload))

    request = build_with(
        build_batch_statistics,
        **COMMON,
        features=Location("s3://bucket/results", KEYS),
        resolution=10.0,
        aggregation_interval="P5D",
        percentiles=[5, 95],
    )

    assert comparable(request.payload()) == comparable(official)
    for place in (official["output"], official["input"]["features"]):
        for name in ("accessKey", "secretAccessKey"):
            del place["s3"][name]
    assert comparable(read_batch_statistics(official, delivery=lambda _: KEYS).payload()) == comparable(
        request.payload()
    )


def comparable(body: Any) -> Any:
    """Return JSON without what means nothing: empty objects, the other name of WGS 84, and floats that are whole."""
    if isinstance(body, Mapping):
        members = {name: comparable(member) for name, member in body.items()}
        return {name: member for name, member in members.items() if member != {}}
    if isinstance(body, list | tuple):
        return [comparable(item) for item in body]
    if body == "http://www.opengis.net/def/crs/EPSG/0/4326":
        return "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
    return int(body) if isinstance(body, float) and body.is_integer() else body

"""The official Python client runs whole jobs against the sandbox, which delivers to a real S3 server on loopback."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from job_requests import BOX, DATA, EVALSCRIPT, STATISTICS_EVALSCRIPT, geopackage
from official_client import at, configuration
from s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server
from sentinelhub import (
    CRS,
    BBox,
    DataCollection,
    Geometry,
    MimeType,
    SentinelHubBatchStatistical,
    SentinelHubRequest,
    SentinelHubStatistical,
    SHConfig,
)
from sentinelhub.api.batch.base import BatchRequestStatus, BatchUserAction, StoppedStatusReason
from sentinelhub.api.batch.process import BatchProcessClient
from sentinelhub.exceptions import DownloadFailedException

from sentinelhub_provider.sandbox.server import SandboxServer

KEYS = {"access_key": ACCESS_KEY, "secret_access_key": SECRET_KEY}
JUNE = ("2024-06-01", "2024-06-30")


@pytest.fixture
def s3(s3_for_all: S3Server) -> S3Server:
    """The server with three polygons in its bucket and nothing else."""
    s3_for_all.empty()
    s3_for_all.put("fields.gpkg", geopackage(["north", "middle", "south"]))
    return s3_for_all


@pytest.fixture
def server(sentinelhub_sandbox_server: SandboxServer, s3_for_all: S3Server) -> Iterator[SandboxServer]:
    """A sandbox that delivers to the S3 server, whose jobs are moved on by steps."""
    control = sentinelhub_sandbox_server.control
    control.reset()
    control.jobs.set_delivery(s3_for_all.endpoint)
    control.jobs.set_durations(analysing=None, processing=None, stopping=0, restart_after_stop=0)
    yield sentinelhub_sandbox_server
    control.reset()


@pytest.fixture
def config(server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SHConfig:
    """The client's configuration for the sandbox."""
    return configuration(server, monkeypatch, tmp_path, max_download_attempts=1)


@pytest.fixture
def l2a(server: SandboxServer) -> DataCollection:
    """Sentinel-2 L2A at the sandbox."""
    return at(server.url, DataCollection.SENTINEL2_L2A)


def process_request(l2a: DataCollection, config: SHConfig) -> SentinelHubRequest:
    """Build a request with the client's own builder."""
    return SentinelHubRequest(
        evalscript=EVALSCRIPT,
        input_data=[SentinelHubRequest.input_data(data_collection=l2a, time_interval=JUNE)],
        responses=[SentinelHubRequest.output_response("default", MimeType.TIFF)],
        bbox=BBox(BOX, crs=CRS.WGS84),
        config=config,
    )


def test_a_batch_job_from_its_creation_to_its_results(
    server: SandboxServer, config: SHConfig, l2a: DataCollection, s3: S3Server
) -> None:
    """Create, describe, analyse, start, stop, start again, and read what was delivered."""
    client, control = BatchProcessClient(config=config), server.control.jobs
    job = client.create(
        process_request(l2a, config),
        input=client.tiling_grid_input(0, 60),
        output=client.raster_output(client.s3_specification(f"s3://{BUCKET}/out", **KEYS)),
        description="by the official client",
    )
    assert job.status is BatchRequestStatus.CREATED
    assert KEYS["secret_access_key"] not in str(job.to_dict())
    client.update_request(job, "described anew")
    client.start_analysis(job)
    assert client.get_request(job).status is BatchRequestStatus.ANALYSING
    control.step()
    job = client.get_request(job)
    assert (job.status, job.user_action) == (BatchRequestStatus.ANALYSIS_DONE, BatchUserAction.ANALYSE)
    assert job.request["description"] == "described anew"
    client.start_job(job)
    client.stop_job(job)
    control.settle()
    job = client.get_request(job)
    assert (job.status, job.stopped_status_reason) == (BatchRequestStatus.STOPPED, StoppedStatusReason.USER_ACTION)
    client.start_job(job)
    control.step()
    job = client.get_request(job)
    assert (job.status, job.completion_percentage, job.cost_PU) == (BatchRequestStatus.DONE, 100, 100)
    with pytest.raises(DownloadFailedException, match="START is not allowed"):
        client.start_job(job)
    assert [each.request_id for each in client.iter_requests(sort="created")] == [job.request_id]
    assert set(s3.keys()) == {
        "fields.gpkg",
        f"out/{job.request_id}/33TVL_0_0/default.tif",
        f"out/{job.request_id}/33TVL_0_1/default.tif",
        f"out/execution-{job.request_id}.sqlite",
        f"out/featureManifest-{job.request_id}.gpkg",
        f"out/request-{job.request_id}.json",
    }
    database = s3.get(f"out/execution-{job.request_id}.sqlite")
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(database)
        assert connection.execute("SELECT DISTINCT status, delivered FROM features").fetchall() == [("DONE", 1)]


def test_many_jobs_are_iterated(server: SandboxServer, config: SHConfig, l2a: DataCollection) -> None:
    """The client's iterator follows the pages to their end."""
    client = BatchProcessClient(config=config)
    output = client.raster_output(client.s3_specification(f"s3://{BUCKET}/out", **KEYS))
    made = [
        client.create(process_request(l2a, config), client.tiling_grid_input(0, 60), output).request_id
        for _ in range(3)
    ]
    assert [job.request_id for job in client.iter_requests(count=2)] == made
    assert [grid["id"] for grid in client.iter_tiling_grids(count=4)] == [0, 1, 2, 3, 6, 7]
    assert client.get_tiling_grid(7)["name"] == "LAEA 20km grid"


def test_a_batch_job_over_polygons_that_fails(
    server: SandboxServer, config: SHConfig, l2a: DataCollection, s3: S3Server
) -> None:
    """The client's own check raises with the sandbox's reason."""
    client = BatchProcessClient(config=config)
    job = client.create(
        process_request(l2a, config),
        input=client.geopackage_input(client.s3_specification(f"s3://{BUCKET}/nowhere.gpkg", **KEYS)),
        output=client.raster_output(client.s3_specification(f"s3://{BUCKET}/out", **KEYS)),
    )
    client.start_job(job)
    server.control.jobs.step()
    with pytest.raises(RuntimeError, match=r"nowhere\.gpkg cannot be read: NoSuchKey"):
        client.get_request(job).raise_for_status()


def test_a_batch_statistical_job(server: SandboxServer, config: SHConfig, l2a: DataCollection, s3: S3Server) -> None:
    """From an ordinary Statistical request to one file for each polygon."""
    client = SentinelHubBatchStatistical(config=config)
    request = SentinelHubStatistical(
        aggregation=SentinelHubStatistical.aggregation(
            STATISTICS_EVALSCRIPT,
            time_interval=("2024-06-01", "2024-06-21"),
            aggregation_interval="P10D",
            size=(16, 16),
        ),
        input_data=[SentinelHubStatistical.input_data(l2a)],
        geometry=Geometry("POLYGON ((13.8 45.8, 13.9 45.8, 13.9 45.9, 13.8 45.8))", CRS.WGS84),
        calculations={"default": {"statistics": {"default": {"percentiles": {"k": [50]}}}}},
        config=config,
    )
    job = client.create_from_request(
        request,
        client.s3_specification(f"s3://{BUCKET}/fields.gpkg", **KEYS),
        client.s3_specification(f"s3://{BUCKET}/stats", **KEYS),
    )
    assert job.status is BatchRequestStatus.CREATED
    client.start_job(job)
    server.control.jobs.step()
    assert client.get_status(job)["status"] == "PROCESSING"
    server.control.jobs.step()
    assert client.get_request(job).status is BatchRequestStatus.DONE
    assert client.get_status(job)["costPu"] == 100
    assert s3.keys()[1:] == [f"stats/{job.request_id}/{number}.json" for number in (1, 2, 3)]
    answer = json.loads(s3.get(f"stats/{job.request_id}/1.json"))
    assert answer["identifier"] == "north"
    assert answer["response"]["data"][0]["outputs"]["ndvi"]["bands"]["B0"]["stats"]["percentiles"]["50.0"]


def test_a_bucket_that_is_not_there(server: SandboxServer, config: SHConfig, l2a: DataCollection) -> None:
    """S3's own code stands in the error, no key does."""
    client = BatchProcessClient(config=config)
    job = client.create(
        process_request(l2a, config),
        input=client.tiling_grid_input(0, 60),
        output=client.raster_output(client.s3_specification("s3://no-such-bucket/out", **KEYS)),
    )
    client.start_job(job)
    server.control.jobs.step()
    job = client.get_request(job)
    assert job.status is BatchRequestStatus.FAILED
    assert job.error == (
        f"output.delivery: s3://no-such-bucket/out/request-{job.request_id}.json cannot be written: NoSuchBucket"
    )


def test_keys_that_open_nothing(server: SandboxServer, config: SHConfig, l2a: DataCollection, s3: S3Server) -> None:
    """An S3 server that checks signatures refuses; the job fails with its code."""
    client = BatchProcessClient(config=config)
    requests.post(f"{s3.endpoint}/moto-api/reset-auth", data="0", timeout=60)
    try:
        job = client.create(
            process_request(l2a, config),
            input=client.tiling_grid_input(0, 60),
            output=client.raster_output(client.s3_specification(f"s3://{BUCKET}/out", **KEYS)),
        )
        client.start_job(job)
        server.control.jobs.step()
        assert "InvalidAccessKeyId" in str(client.get_request(job).error)
    finally:
        requests.post(f"{s3.endpoint}/moto-api/reset-auth", data="10000000", timeout=60)


def test_data_of_the_helper_are_those_of_the_client(l2a: DataCollection, config: SHConfig) -> None:
    """The requests of the other tests name the collection as the client does."""
    sent = process_request(l2a, config).download_list[0].post_values
    assert sent["input"]["data"][0]["type"] == DATA[0]["type"]

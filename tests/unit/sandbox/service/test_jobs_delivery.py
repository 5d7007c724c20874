"""Jobs that do their work: what they read from a folder of buckets, what they leave there, and what goes wrong."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rasterio
from job_requests import (
    EVALSCRIPT,
    S3,
    SECRET,
    Jobs,
    async_request,
    batch_request,
    geopackage,
    polygons_request,
    run_to_its_end,
    statistical_request,
)

from sentinelhub_provider.sandbox.__main__ import build_parser, settings_from
from sentinelhub_provider.sandbox.apis.async_process.handlers import create as create_async
from sentinelhub_provider.sandbox.apis.jobs.rules import Durations
from sentinelhub_provider.sandbox.apis.jobs.store import JobStore
from sentinelhub_provider.sandbox.server import SandboxServer
from sentinelhub_provider.sandbox.world.delivery.geopackage import read_features
from tests.unit.sandbox.service.conftest import FakeClock

_TEN_BANDS = ", ".join(f'"{name}"' for name in ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"])


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """The bucket ``bucket``, with a GeoPackage of three fields."""
    folder = tmp_path / "bucket"
    folder.mkdir()
    (folder / "fields.gpkg").write_bytes(geopackage(["north", "middle", "south"]))
    return folder


@pytest.fixture
def jobs(server: SandboxServer, new_token: Callable[..., str], bucket: Path) -> Jobs:
    """Calls of Batch Process; jobs deliver into the folder."""
    server.control.set_token_lifetime(1e9)
    server.control.jobs.set_delivery(bucket.parent)
    server.control.jobs.set_durations(analysing=0, processing=100, stopping=0)
    return Jobs(server, {"Authorization": f"Bearer {new_token()}"})


@pytest.fixture
def statistics(jobs: Jobs) -> Jobs:
    """Calls of Batch Statistical."""
    return replace(jobs, prefix="/statistics/batch/v1")


@pytest.fixture
def asynchronous(jobs: Jobs) -> Jobs:
    """Calls of Async Process."""
    return replace(jobs, prefix="/async/v1/process")


def names(bucket: Path) -> list[str]:
    """Return the files of a bucket, with their folders."""
    return sorted(path.relative_to(bucket).as_posix() for path in bucket.rglob("*") if path.is_file())


def execution(bucket: Path, job: str, folder: str = "out") -> list[tuple[Any, ...]]:
    """Return the rows of a job's database."""
    with closing(sqlite3.connect(bucket / folder / f"execution-{job}.sqlite")) as database:
        return database.execute("SELECT id, name, status, error, delivered FROM features").fetchall()


def test_tiles_are_rendered_and_delivered(jobs: Jobs, bucket: Path) -> None:
    """A GeoTIFF for each tile in its own CRS, manifest, database, and a copy of the request without its keys."""
    job = jobs.create(batch_request())
    assert names(bucket) == ["fields.gpkg", f"out/request-{job}.json"]
    shown = run_to_its_end(jobs, job)
    assert (shown["status"], shown["completionPercentage"], shown["costPU"]) == ("DONE", 100, 100)
    assert set(names(bucket)) == {
        "fields.gpkg",
        f"out/{job}/33TVL_0_0/default.tif",
        f"out/{job}/33TVL_0_1/default.tif",
        f"out/execution-{job}.sqlite",
        f"out/featureManifest-{job}.gpkg",
        f"out/request-{job}.json",
    }
    with rasterio.open(bucket / f"out/{job}/33TVL_0_0/default.tif") as raster:
        assert (raster.width, raster.height, raster.crs.to_epsg()) == (334, 334, 32633)
        assert raster.bounds[:2] == (400_000, 5_079_960)
        assert raster.read(1).std() > 5  # a landscape, no empty picture
    assert execution(bucket, job) == [(1, "33TVL_0_1", "DONE", None, 1), (2, "33TVL_0_0", "DONE", None, 1)]
    assert SECRET not in (bucket / f"out/request-{job}.json").read_text()
    manifest = read_features((bucket / f"out/featureManifest-{job}.gpkg").read_bytes())
    assert [each.properties["identifier"] for each in manifest] == ["33TVL_0_1", "33TVL_0_0"]
    assert manifest[1].properties["path"] == f"s3://bucket/out/{job}/33TVL_0_0/default.tif"
    assert manifest[1].epsg == 32633


def test_the_manifest_is_there_after_the_analysis(jobs: Jobs, bucket: Path) -> None:
    """And nothing is rendered before the start."""
    job = jobs.create(batch_request())
    jobs.act(job, "analyse")
    jobs.server.control.jobs.settle()
    assert jobs.status(job) == "ANALYSIS_DONE"
    assert names(bucket / "out") == [f"featureManifest-{job}.gpkg", f"request-{job}.json"]


def test_features_of_a_geopackage(jobs: Jobs, bucket: Path) -> None:
    """One picture per feature, in the feature's size and CRS."""
    job = jobs.create(polygons_request())
    assert run_to_its_end(jobs, job)["status"] == "DONE"
    assert [row[1] for row in execution(bucket, job)] == ["north", "middle", "south"]
    with rasterio.open(bucket / f"out/{job}/middle/default.tif") as raster:
        assert (raster.width, raster.height, raster.crs.to_epsg()) == (40, 40, 4326)


def test_an_area_of_interest_chooses_features(jobs: Jobs, bucket: Path) -> None:
    """Only those that meet it are processed; defaults give the size that they lack."""
    (bucket / "fields.gpkg").write_bytes(geopackage(["a", "b", "c"], epsg=32633, size=None))
    request = polygons_request()
    request["processRequest"]["input"]["bounds"] = {
        "bbox": [401_500, 5_069_000, 402_500, 5_072_000],
        "properties": {"crs": "http://www.opengis.net/def/crs/EPSG/0/32633"},
    }
    request["input"]["defaults"] = {"resolution": 20}
    job = jobs.create(request)
    assert run_to_its_end(jobs, job)["status"] == "DONE"
    assert [row[1] for row in execution(bucket, job)] == ["b"]
    with rasterio.open(bucket / f"out/{job}/b/default.tif") as raster:
        assert (raster.width, raster.height, raster.crs.to_epsg()) == (50, 50, 32633)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no database at all", "no GeoPackage"),
        (geopackage(["a", None]), "has no identifier"),
        (geopackage(["a", "a"]), "more than one feature with the identifier a"),
        (geopackage(["a"], size=3501), "3501 x 3501"),
        (geopackage(["a"], size=None), "neither width and height nor a resolution"),
        (None, "NoSuchKey"),
    ],
    ids=["no-database", "no-identifier", "twice", "too-large", "no-size", "not-there"],
)
def test_a_geopackage_that_will_not_do(jobs: Jobs, bucket: Path, content: bytes | None, reason: str) -> None:
    """The analysis fails and says why."""
    (bucket / "fields.gpkg").unlink()
    if content is not None:
        (bucket / "fields.gpkg").write_bytes(content)
    shown = run_to_its_end(jobs, jobs.create(polygons_request()))
    assert shown["status"] == "FAILED"
    assert reason in shown["error"]


def test_several_outputs_and_user_data(jobs: Jobs, bucket: Path) -> None:
    """A file for each output, named as the template says."""
    request = polygons_request()
    request["processRequest"]["evalscript"] = """//VERSION=3
function setup() { return {input: ["B04"], output: [{id: "red", bands: 1}, {id: "half", bands: 1}]}; }
function evaluatePixel(s) { return {red: [s.B04], half: [s.B04 / 2]}; }
function updateOutputMetadata(scenes, inputMetadata, outputMetadata) { outputMetadata.userData = {made: "so"}; }
"""
    tiff = {"type": "image/tiff"}
    request["processRequest"]["output"]["responses"] = [
        {"identifier": "red", "format": tiff},
        {"identifier": "half", "format": tiff},
        {"identifier": "userdata", "format": {"type": "application/json"}},
    ]
    request["output"]["delivery"]["s3"]["url"] = "s3://bucket/here/<tileName>_<outputId>.<format>"
    job = jobs.create(request)
    assert run_to_its_end(jobs, job)["status"] == "DONE"
    assert {f"here/north_{name}" for name in ("red.tif", "half.tif", "userdata.json")} < set(names(bucket))
    assert json.loads((bucket / "here/north_userdata.json").read_text()) == {"made": "so"}
    assert len(execution(bucket, job, "here")) == 3


def test_cloud_optimized_files(jobs: Jobs, bucket: Path) -> None:
    """``cogOutput`` makes tiles with overviews of the GeoTIFF."""
    request = batch_request()
    request["output"] |= {"cogOutput": True, "cogParameters": {"blockxsize": 128}}
    job = jobs.create(request)
    assert run_to_its_end(jobs, job)["status"] == "DONE"
    with rasterio.open(bucket / f"out/{job}/33TVL_0_0/default.tif") as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.block_shapes == [(128, 128)]
        assert raster.overviews(1)


def test_files_that_are_there_already(jobs: Jobs, bucket: Path) -> None:
    """Without ``overwrite`` and ``skipExisting`` the job fails; with them files are replaced, or left alone."""

    def run(**flags: bool) -> dict[str, Any]:
        request = polygons_request()
        request["output"] |= flags
        request["output"]["delivery"]["s3"]["url"] = "s3://bucket/fixed/<tileName>.tif"
        return run_to_its_end(jobs, jobs.create(request))

    assert run()["status"] == "DONE"
    file = bucket / "fixed/middle.tif"
    picture = file.read_bytes()
    file.write_bytes(b"mine")
    failed = run()
    assert failed["status"] == "FAILED"
    assert "north.tif exists already" in failed["error"]
    assert run(skipExisting=True)["status"] == "DONE"
    assert file.read_bytes() == b"mine"
    assert run(overwrite=True)["status"] == "DONE"
    assert file.read_bytes() == picture


def test_a_feature_without_data(jobs: Jobs, bucket: Path) -> None:
    """DONE, with "No data" for its error, and no file."""
    request = polygons_request()
    request["processRequest"]["input"]["data"][0]["dataFilter"]["timeRange"] = {
        "from": "2010-06-01T00:00:00Z",
        "to": "2010-06-02T00:00:00Z",
    }
    job = jobs.create(request)
    assert run_to_its_end(jobs, job)["status"] == "DONE"
    assert {row[2:] for row in execution(bucket, job)} == {("DONE", "No data", 0)}
    assert not (bucket / "out" / job).exists()


def test_done_hides_features_that_failed(jobs: Jobs, bucket: Path) -> None:
    """The job is DONE; only its database says that one is FATAL, and why."""
    jobs.server.control.jobs.inject(kind="features", names="mid*", cause="Tile is corrupt")
    job = jobs.create(polygons_request())
    shown = run_to_its_end(jobs, job)
    assert shown["status"] == "DONE"
    assert "error" not in shown
    assert execution(bucket, job)[1] == (2, "middle", "FATAL", "Tile is corrupt", 0)
    assert not (bucket / f"out/{job}/middle").exists()


def test_an_evalscript_that_fails_on_pixels_makes_features_fail(jobs: Jobs, bucket: Path) -> None:
    """It passes the analysis, and its message stands with each feature."""
    request = polygons_request()
    request["processRequest"]["evalscript"] = EVALSCRIPT.replace("return [255", "throw Error('odd pixel'); return [255")
    job = jobs.create(request)
    assert run_to_its_end(jobs, job)["status"] == "DONE"
    assert all(row[2] == "FATAL" and "odd pixel" in row[3] for row in execution(bucket, job))


def test_a_job_that_fails_half_way_keeps_what_it_has(jobs: Jobs, bucket: Path, clock: FakeClock) -> None:
    """Files and database of the features that were done, the others are PENDING."""
    jobs.server.control.jobs.inject(kind="fail", at=40, cause="Out of luck")
    job = jobs.create(polygons_request())
    jobs.act(job, "start")
    clock.advance(200)
    jobs.server.control.jobs.settle()
    shown = jobs.get(job)
    assert (shown["status"], shown["error"], shown["completionPercentage"]) == ("FAILED", "Out of luck", 40)
    assert [row[2] for row in execution(bucket, job)] == ["DONE", "PENDING", "PENDING"]


def test_the_database_is_kept_up_to_date(jobs: Jobs, bucket: Path, clock: FakeClock) -> None:
    """While the job is processed, what is done can be read."""
    job = jobs.create(polygons_request())
    jobs.act(job, "start")
    jobs.server.control.jobs.settle()
    clock.advance(70)
    jobs.server.control.jobs.settle()
    assert jobs.status(job) == "PROCESSING"
    assert [row[2] for row in execution(bucket, job)] == ["DONE", "DONE", "PENDING"]


def test_a_bucket_that_is_not_there(jobs: Jobs) -> None:
    """The job is taken and fails in its analysis, naming the bucket and none of the keys."""
    request = batch_request()
    request["output"]["delivery"]["s3"]["url"] = "s3://elsewhere/out"
    shown = run_to_its_end(jobs, jobs.create(request))
    assert shown["status"] == "FAILED"
    assert "NoSuchBucket" in shown["error"]
    assert "s3://elsewhere" in shown["error"]
    assert SECRET not in json.dumps(shown)


def test_no_way_out_of_a_bucket(jobs: Jobs, bucket: Path) -> None:
    """A key with dots does not lead to files beside the bucket."""
    request = batch_request()
    request["output"]["delivery"]["s3"]["url"] = "s3://bucket/../../out"
    assert "AccessDenied" in run_to_its_end(jobs, jobs.create(request))["error"]
    assert [path.name for path in bucket.parent.iterdir()] == ["bucket"]


def test_more_than_the_sandbox_renders(jobs: Jobs) -> None:
    """The analysis says so; without rasters the same job is done."""
    request = batch_request(input={"type": "tiling-grid", "id": 3, "resolution": 0.0001})
    request["processRequest"]["input"]["bounds"] = {"bbox": [13.9, 45.8, 14.1, 45.9]}
    shown = run_to_its_end(jobs, jobs.create(request))
    assert "more than this sandbox renders" in shown["error"]
    jobs.server.control.jobs.set_rasters(False)
    shown = run_to_its_end(jobs, jobs.create(request))
    assert shown["status"] == "DONE"
    assert shown["costPU"] == pytest.approx(2 * 10_000**2 / 512**2 * 2 / 3 / 3)


def test_gs_buckets_are_folders_too(jobs: Jobs, bucket: Path) -> None:
    """``gs://`` with the JSON of a service account."""
    request = batch_request()
    request["output"]["delivery"] = {"gs": {"url": "gs://bucket/google", "credentials": "eyJhIjogMX0="}}
    job = jobs.create(request)
    shown = run_to_its_end(jobs, job)
    assert shown["status"] == "DONE"
    assert f"google/{job}/33TVL_0_0/default.tif" in names(bucket)
    assert shown["request"]["output"]["delivery"] == {"gs": {"url": "gs://bucket/google"}}


def test_the_thread_ends_with_its_work(jobs: Jobs, bucket: Path) -> None:
    """No thread is left when all jobs are over, nor when the server stops with a job that never ends."""
    run_to_its_end(jobs, jobs.create(polygons_request()))
    _until(lambda: not _workers())
    with SandboxServer(delivery=bucket.parent) as server:
        JobStore.of(server.sandbox).set_durations(Durations(processing=None))
        create_async(server.sandbox, "somebody", async_request())
        assert len(_workers()) == 1
    _until(lambda: not _workers())


def _workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sandbox-jobs"]


def _until(condition: Callable[[], bool]) -> None:
    """Wait for another thread, at most 5 seconds."""
    for thread in _workers():
        thread.join(timeout=60)
    assert condition()


def test_a_place_that_is_none() -> None:
    """The setting, on the command line too, names a folder that is there, or a URL."""
    with pytest.raises(ValueError, match="delivery must be a folder"):
        SandboxServer(delivery="/no/such/folder")
    options = build_parser().parse_args(["--delivery", "http://127.0.0.1:1"])
    assert settings_from(options).delivery == "http://127.0.0.1:1"


class TestStatistics:
    """Batch Statistical."""

    def test_a_file_for_each_polygon(self, statistics: Jobs, bucket: Path) -> None:
        """Named by the feature's id, with the answer of a Statistical request in it."""
        job = statistics.create(statistical_request())
        shown = run_to_its_end(statistics, job)
        assert (shown["status"], shown["costPu"]) == ("DONE", 100)
        assert names(bucket / "stats") == [f"{job}/{number}.json" for number in (1, 2, 3)]
        answer = json.loads((bucket / f"stats/{job}/2.json").read_text())
        assert (answer["id"], answer["identifier"]) == (2, "middle")
        assert answer["response"]["status"] == "OK"
        first = answer["response"]["data"][0]
        assert -1 < first["outputs"]["ndvi"]["bands"]["B0"]["stats"]["mean"] < 1

    def test_the_light_status(self, statistics: Jobs) -> None:
        """The same without the request."""
        job = statistics.create(statistical_request())
        status = statistics.call("GET", f"/{job}/status").json()
        assert status["status"] == "CREATED"
        assert "request" not in status
        assert statistics.call("GET", "/unknown/status").status_code == 404

    def test_a_polygon_that_fails(self, statistics: Jobs, bucket: Path) -> None:
        """Its file holds an error in place of the answer."""
        statistics.server.control.jobs.inject(kind="features", names="south")
        job = statistics.create(statistical_request())
        assert run_to_its_end(statistics, job)["status"] == "DONE"
        answer = json.loads((bucket / f"stats/{job}/3.json").read_text())
        assert answer == {"id": 3, "identifier": "south", "error": {"type": "EXECUTION_ERROR"}}

    def test_a_large_evalscript_is_referred_to(self, statistics: Jobs, bucket: Path) -> None:
        """Inline it is refused from 32 KB on; as a file in the bucket it is read."""
        request = statistical_request()
        script = request["aggregation"].pop("evalscript") + "//" + "x" * 40_000
        assert statistics.call("POST", body={**request, "aggregation": {"evalscript": script}}).status_code == 400
        (bucket / "script.js").write_text(script)
        request["aggregation"]["evalscriptReference"] = {"s3": {"url": "s3://bucket/script.js", **S3}}
        assert run_to_its_end(statistics, statistics.create(request))["status"] == "DONE"

    def test_an_evalscript_without_a_data_mask(self, statistics: Jobs) -> None:
        """The analysis refuses it as Statistical does."""
        request = statistical_request()
        request["aggregation"]["evalscript"] = EVALSCRIPT
        assert "dataMask" in run_to_its_end(statistics, statistics.create(request))["error"]

    def test_a_template(self, statistics: Jobs, bucket: Path) -> None:
        """``<REQUEST_ID>`` and ``<ID>`` are replaced wherever they stand."""
        request = statistical_request(output={"s3": {"url": "s3://bucket/mine/<ID>-<REQUEST_ID>.json", **S3}})
        job = statistics.create(request)
        run_to_its_end(statistics, job)
        assert names(bucket / "mine") == [f"{number}-{job}.json" for number in (1, 2, 3)]


class TestAsync:
    """Async Process."""

    def test_a_picture_and_a_copy_of_the_request(self, asynchronous: Jobs, bucket: Path, clock: FakeClock) -> None:
        """RUNNING while it runs, 404 afterwards; then both are in the bucket, the copy with what it cost."""
        answer = asynchronous.call("POST", body=async_request())
        job = answer.json()["id"]
        assert answer.json() == {"id": job, "status": "RUNNING"}
        clock.advance(99)
        assert asynchronous.get(job) == {"id": job, "status": "RUNNING"}
        assert names(bucket / "async") == [f"{job}/request-{job}.json"]
        clock.advance(1)
        asynchronous.server.control.jobs.settle()
        assert asynchronous.call("GET", f"/{job}").status_code == 404
        assert names(bucket / "async") == [f"{job}/default.tif", f"{job}/request-{job}.json"]
        copy = json.loads((bucket / f"async/{job}/request-{job}.json").read_text())
        assert copy["costPU"] == 10
        assert copy["request"]["output"]["delivery"] == {"s3": {"url": "s3://bucket/async"}}
        with rasterio.open(bucket / f"async/{job}/default.tif") as raster:
            assert (raster.width, raster.height) == (120, 100)

    def test_an_error_file(self, asynchronous: Jobs, bucket: Path) -> None:
        """A bad evalscript is found when it is run: 404 like success, and ``error.json`` says why."""
        job = asynchronous.create(
            async_request(evalscript=EVALSCRIPT.replace("return {input", "return oops || {input"))
        )
        asynchronous.server.control.jobs.step()
        assert asynchronous.call("GET", f"/{job}").status_code == 404
        assert names(bucket / "async") == [f"{job}/error.json", f"{job}/request-{job}.json"]
        error = json.loads((bucket / f"async/{job}/error.json").read_text())["error"]
        assert (error["status"], error["code"]) == (400, "RENDERER_EXCEPTION")
        assert "oops" in error["message"]

    def test_a_failure_on_demand(self, asynchronous: Jobs, bucket: Path, clock: FakeClock) -> None:
        """Half way, with its cause in ``error.json``."""
        asynchronous.server.control.jobs.inject(kind="fail", at=50, cause="No luck")
        job = asynchronous.create(async_request())
        clock.advance(50)
        asynchronous.server.control.jobs.settle()
        assert json.loads((bucket / f"async/{job}/error.json").read_text())["error"]["message"] == "No luck"

    def test_too_many_at_a_time(self, asynchronous: Jobs, clock: FakeClock) -> None:
        """429 without ``Retry-After``, until one is over."""
        asynchronous.server.control.jobs.set_concurrency(1)
        asynchronous.create(async_request())
        refused = asynchronous.call("POST", body=async_request())
        assert refused.status_code == 429
        assert "retry-after" not in refused.headers
        clock.advance(100)
        asynchronous.server.control.jobs.settle()
        asynchronous.create(async_request())

    def test_a_template(self, asynchronous: Jobs, bucket: Path) -> None:
        """``<OUTPUT>`` gets an ending unless the template has one."""
        for url in ("s3://bucket/a/<OUTPUT>", "s3://bucket/b/<REQUEST_ID>-<OUTPUT>.tiff"):
            request = async_request()
            request["output"]["delivery"]["s3"]["url"] = url
            job = asynchronous.create(request)
            asynchronous.server.control.jobs.step()
        assert "a/default.tif" in names(bucket)
        assert f"b/{job}-default.tiff" in names(bucket)

    def test_the_price_of_a_large_picture(self, asynchronous: Jobs, bucket: Path) -> None:
        """Two thirds of Process's cost, more than the minimum."""
        request = async_request(evalscript=EVALSCRIPT.replace('"B04", "B08"', _TEN_BANDS).replace("UINT8", "FLOAT32"))
        request["output"] |= {"width": 1000, "height": 900}
        job = asynchronous.create(request)
        asynchronous.server.control.jobs.step()
        copy = json.loads((bucket / f"async/{job}/request-{job}.json").read_text())
        assert copy["costPU"] == pytest.approx(1000 * 900 / 512**2 * 10 / 3 * 2 * 2 / 3)

"""What jobs deliver is in a catalog: STAC Items of the pictures in a bucket, made without reading them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pystac
import pytest
import rasterio.io
from airflow.sdk.exceptions import AirflowFailException
from job_requests import BOX, JUNE_PICTURE, JUNE_TILES
from job_tasks import StateStore, Task
from s3_server import BUCKET, S3Server
from s3fs.core import S3File
from stac_checks import check_stac

from sentinelhub_provider.api.jobs.steps import Delivered
from sentinelhub_provider.exceptions import SentinelHubServerError
from sentinelhub_provider.hooks.jobs import JobCalls
from sentinelhub_provider.operators.async_process import SentinelHubAsyncProcessOperator
from sentinelhub_provider.operators.batch import SentinelHubBatchProcessOperator
from sentinelhub_provider.operators.jobs import items

pytestmark = pytest.mark.usefixtures("s3")

TILES = {**JUNE_TILES, "delivery": f"s3://{BUCKET}/batch"}
PICTURE = {**JUNE_PICTURE, "height": 48, "delivery": f"s3://{BUCKET}/async"}
KINDS = {
    "batch": (SentinelHubBatchProcessOperator, TILES),
    "async": (SentinelHubAsyncProcessOperator, PICTURE),
}
COLLECTION = "collection.json"
OF_AIRFLOW = ("Task Runner", "Satellite imagery")
"""What warnings speak of that come of there being no Airflow here."""


def task(kind: str = "batch", **changes: Any) -> Task:
    """Return a task of a kind, which waits in the triggerer unless it is told otherwise."""
    operator, arguments = KINDS[kind]
    given = {"delivery_conn_id": "bucket", "poll_interval": 0.05, **arguments, **changes}
    return Task(operator, **{"store": StateStore(), **given})


@pytest.fixture(name="warned")
def fixture_warned(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Return what returns the warnings of operators, which Airflow prints, and of the rest of the package."""

    def warned() -> list[str]:
        lines = "".join(capsys.readouterr()).splitlines()
        logged = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
        caplog.clear()
        shown = [line for line in lines if "[warning" in line and not any(word in line for word in OF_AIRFLOW)]
        return [*shown, *logged]

    return warned


def read(s3: S3Server, folder: str) -> dict[str, dict[str, Any]]:
    """Return the items of a Collection by key, all of them valid, and each linked once."""
    collection = check_stac(s3.get(f"{folder}/{COLLECTION}").decode())
    hrefs = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert len(set(hrefs)) == len(hrefs)
    keys = [f"{folder}/{href.removeprefix('./')}" for href in hrefs]
    assert sorted(keys) == sorted(key for key in s3.keys() if key.endswith(".stac.json"))  # noqa: SIM118
    found = {key: check_stac(s3.get(key).decode(), has_checksums=False) for key in keys}
    assert {item["collection"] for item in found.values()} == {collection["id"]}
    assert len({item["id"] for item in found.values()}) == len(found)
    return found


@pytest.mark.parametrize("deferrable", [True, False])
def test_each_tile_of_a_batch_job_has_an_item(deferrable: bool, s3: S3Server, monkeypatch: pytest.MonkeyPatch, warned):
    """Its grid is that of the raster, of which no more than the header is read."""
    fetched: list[int] = []
    fetch = S3File._fetch_range
    monkeypatch.setattr(S3File, "_fetch_range", lambda file, a, b: (fetched.append(b - a), fetch(file, a, b))[1])
    monkeypatch.setattr(items, "HEADER", 2048)

    result = task(deferrable=deferrable).attempt()

    folder = f"batch/{result['id']}"
    found = read(s3, folder)
    pictures = {key: s3.get(key) for key in s3.keys() if key.endswith(".tif")}  # noqa: SIM118
    assert sorted(found) == sorted(f"{key}.stac.json" for key in pictures)
    assert (result["item_count"], result["collection"]) == (len(found), f"s3://{BUCKET}/{folder}/{COLLECTION}")
    assert result["file_count"] == len(pictures)
    assert sum(fetched) < sum(map(len, pictures.values())) / 2
    for key, content in pictures.items():
        item = found[f"{key}.stac.json"]
        asset, properties = item["assets"]["default"], item["properties"]
        with rasterio.io.MemoryFile(content) as memory, memory.open() as raster:
            assert properties["proj:code"] == str(raster.crs)
            assert properties["proj:shape"] == [raster.height, raster.width]
            assert properties["proj:transform"] == pytest.approx(list(raster.transform)[:6])
        assert (asset["href"], asset["file:size"]) == ("./default.tif", len(content))
        assert [band["data_type"] for band in asset["bands"]] == ["uint8"]
        assert properties["sentinelhub:job_id"] == result["id"]
        assert properties["sentinelhub:tile"] == key.split("/")[-2]
        assert (properties["start_datetime"], properties["datetime"]) == ("2024-06-01T00:00:00Z", None)
    assert warned() == []
    assert "bucket@" not in json.dumps(list(found.values()))


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_picture_of_an_async_job_has_an_item(deferrable: bool, s3: S3Server, warned):
    """It is made of the request, and the bucket's listing: the picture is not opened."""
    result = task("async", deferrable=deferrable).attempt()

    folder = result["files"][0].removeprefix(f"s3://{BUCKET}/").rpartition("/")[0]
    ((key, item),) = read(s3, folder).items()
    assert result["item"] == f"s3://{BUCKET}/{key}"
    assert item["properties"]["proj:shape"] == [48, 64]
    assert item["bbox"] == BOX
    assert item["assets"]["default"]["file:size"] == result["size"]
    assert warned() == []


@pytest.mark.parametrize("kind", ["batch", "async"])
def test_items_go_to_a_folder_of_this_machine(kind: str, s3: S3Server, tmp_path: Path):
    """Their assets lead to the bucket, without the connection."""
    result = task(kind, stac=str(tmp_path / "items")).attempt()

    collection = pystac.Collection.from_file(str(tmp_path / "items" / COLLECTION))
    found = list(collection.get_items())
    assert {item.assets["default"].href for item in found} == set(result["files"])
    for item in found:
        check_stac(item.to_dict(), has_checksums=False)
    assert not any(key.endswith(".stac.json") for key in s3.keys())  # noqa: SIM118


@pytest.mark.parametrize("kind", ["batch", "async"])
def test_nothing_is_written_where_nothing_shall_be(kind: str, s3: S3Server):
    """As ``stac`` says, also as text."""
    result = task(kind, stac="false").attempt()

    assert (result.get("item"), result.get("item_count"), result.get("collection")) == (None, None, None)
    assert not any("stac" in key or COLLECTION in key for key in s3.keys())  # noqa: SIM118


@pytest.mark.parametrize("kind", ["batch", "async"])
def test_a_folder_of_items_that_cannot_be_written_starts_no_job(kind: str, sentinelhub_sandbox, tmp_path: Path):
    """Nor does an argument that is no folder."""
    (tmp_path / "file").write_text("")
    for stac in (str(tmp_path / "file" / "items"), None):
        with pytest.raises(AirflowFailException, match="stac"):
            task(kind, stac=stac).attempt()
    assert sentinelhub_sandbox.control.jobs.all() == []


@pytest.mark.parametrize("kind", ["batch", "async"])
def test_a_retry_leaves_items_that_are_there_and_completes_the_others(kind: str, s3: S3Server, monkeypatch):
    """An attempt that was killed may have left some, and no Collection; what users wrote into them stays."""
    one = task(kind)
    with monkeypatch.context() as killed:
        killed.setattr(items.JobItems, "publish", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            one.attempt()
    first, *others = sorted(key for key in s3.keys() if key.endswith(".stac.json"))  # noqa: SIM118
    s3.put(first, s3.get(first).replace(b'"properties": {', b'"properties": {"title": "mine", '))
    for key in others:
        s3.client.delete_object(Bucket=BUCKET, Key=key)

    result = one.attempt()

    folder = first.split("/")[:2] if kind == "batch" else first.split("/")[:-1]
    found = read(s3, "/".join(folder))
    assert sorted(found) == sorted((first, *others))
    assert found[first]["properties"]["title"] == "mine"
    files = [key for key in s3.keys() if key.endswith(".tif")]  # noqa: SIM118
    assert sorted(result["files"]) == [f"s3://{BUCKET}/{key}" for key in sorted(files)], "no item is a picture"


def test_good_pictures_of_a_job_with_failed_features_have_items(s3: S3Server, sentinelhub_sandbox):
    """They are there and paid for, and no retry of the failed task follows."""
    sentinelhub_sandbox.control.jobs.inject(kind="features", share=0.5)

    with pytest.raises(AirflowFailException, match="failed"):
        task().attempt()

    (job,) = sentinelhub_sandbox.control.jobs.all()
    found = read(s3, f"batch/{job.id}")
    pictures = [key for key in s3.keys() if key.endswith(".tif")]  # noqa: SIM118
    assert sorted(found) == sorted(f"{key}.stac.json" for key in pictures) != []


def test_a_job_that_nobody_waited_for_gets_its_items_from_a_task_that_adopts_it(s3: S3Server):
    """The first task ends when the job is started."""
    submitted = task(wait_for_completion=False).attempt()
    assert not [key for key in s3.keys() if key.endswith(".stac.json")]  # noqa: SIM118

    adopting = {"job_id": submitted["id"], "delivery_conn_id": "bucket", "poll_interval": 0.05}
    result = Task(SentinelHubBatchProcessOperator, store=StateStore(), **adopting).attempt()

    assert len(read(s3, f"batch/{submitted['id']}")) == result["item_count"] > 0


def test_another_task_that_adopts_the_job_writes_nothing_twice(s3: S3Server, warned):
    """All it knows is the job's id: the service tells the request."""
    first = task().attempt()
    written = {key: s3.get(key) for key in s3.keys()}  # noqa: SIM118

    adopted = Task(
        SentinelHubBatchProcessOperator, job_id=first["id"], delivery_conn_id="bucket", poll_interval=0.05
    ).attempt()

    assert adopted["item_count"] == first["item_count"] > 0
    assert {key: s3.get(key) for key in s3.keys()} == written  # noqa: SIM118
    assert warned() == []


@pytest.mark.parametrize("cog", [True, False])
def test_several_outputs_are_assets_of_one_item(cog: bool, s3: S3Server):
    """Also where the names of files have both, and JSON that is no picture is among them."""
    script = """//VERSION=3
    function setup() { return {input: ["B04"], output: [{id: "a-b", bands: 1}, {id: "b", bands: 1}]}; }
    function evaluatePixel(s) { return {"a-b": [s.B04], b: [s.B04]}; }
    function updateOutputMetadata(scenes, input, output) { output.userData = {n: 1}; }
    """
    outputs = {"a-b": "tiff", "b": "tiff"} | ({} if cog else {"userdata": "json"})
    delivery = f"s3://{BUCKET}/batch/<requestId>/<tileName>-<outputId>.<format>"
    result = task(evalscript=script, outputs=outputs, delivery=delivery, cog=cog).attempt()

    found = read(s3, f"batch/{result['id']}")
    assert result["item_count"] == len(found) == result["file_count"] / len(outputs)
    for item in found.values():
        assert set(item["assets"]) == set(outputs)
        assert item["assets"]["b"]["type"] == (pystac.MediaType.COG if cog else pystac.MediaType.GEOTIFF)
        assert cog or item["assets"]["userdata"]["roles"] == ["metadata"]


def test_pictures_of_other_jobs_in_a_shared_folder_have_no_item(s3: S3Server, warned):
    """Those of this job are known by its result database; those that it left as they were are nobody's to tell."""
    shared = {"delivery": f"s3://{BUCKET}/all/<tileName>.<format>", "overwrite": True}
    other = {"bbox": [15.0, 45.8, 15.1, 45.9]}
    task(**shared, stac=False, **other, dag_id="other").attempt()
    theirs = {f"{key}.stac.json" for key in s3.keys() if key.endswith(".tif")}  # noqa: SIM118

    result = task(**shared).attempt()

    found = read(s3, "all")
    assert result["file_count"] > result["item_count"] == len(found) > 0
    assert not theirs & set(found)
    (said,) = warned()
    assert "has no locks" in said
    assert task(**{**shared, "overwrite": None}, skip_existing=True, dag_id="third").attempt()["item_count"] is None
    assert "Put <requestId> into delivery" in "".join(warned())


def test_no_more_than_a_number_of_items_is_written(s3: S3Server, monkeypatch: pytest.MonkeyPatch, warned):
    """The log says what is left out."""
    monkeypatch.setattr(items, "Pictures", partial(items.Pictures, most=1))

    result = task().attempt()

    assert (len(read(s3, f"batch/{result['id']}")), result["item_count"]) == (1, 1)
    (said,) = warned()
    assert f"{result['file_count'] - 1} files more have none" in said


def test_pictures_that_cannot_be_described_are_one_warning(s3: S3Server, monkeypatch: pytest.MonkeyPatch, warned):
    """The job is paid for: the task succeeds, and the other items are there."""
    read_grid = items.Pictures.raster
    seen: list[str] = []

    def broken(pictures: Any, picture: Any) -> Any:
        seen.append(picture.name)
        if picture.name == min(pictures.found):
            url, _ = picture.files["default"]
            s3.put(url.removeprefix(f"s3://{BUCKET}/"), b"no TIFF" * 100)
        return read_grid(pictures, picture)

    monkeypatch.setattr(items.Pictures, "raster", broken)
    result = task().attempt()

    assert result["item_count"] == len(read(s3, f"batch/{result['id']}")) == len(seen) - 1 > 0
    (said,) = warned()
    assert f"1 STAC Item of {len(seen)} could not be written" in said


@pytest.mark.parametrize("kind", ["batch", "async"])
def test_a_bucket_that_cannot_be_written_is_one_warning(kind: str, s3: S3Server, monkeypatch, warned):
    """As where the connection may only read."""

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr("sentinelhub_provider.stac.folder.store", denied)
    result = task(kind).attempt()

    assert result["files"]
    assert (result.get("item"), result.get("item_count", 0), result.get("collection")) == (None, 0, None)
    (said,) = warned()
    assert "Access Denied" in said


@pytest.mark.parametrize("kind", ["batch", "async"])
@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("store", [True, False], ids=["task state store", "none"])
def test_a_bucket_that_cannot_be_read_is_one_warning(
    kind: str, deferrable: bool, store: bool, s3: S3Server, monkeypatch, warned
):
    """Whatever asks for it. That the id of an Async Process job is kept nowhere is told, too, when it is sent."""
    extra = {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"total_max_attempts": 1}}}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", s3.connection(extra=extra))
    changes = {"delivery_conn_id": "away", "deferrable": deferrable, "store": StateStore() if store else None}

    result = task(kind, **changes).attempt()

    assert result["files"] is None
    said = warned()
    kept_nowhere = [line for line in said if "the job's id is kept nowhere" in line]
    assert len(kept_nowhere) == (kind == "async" and not store)
    assert len(said) == 1 + len(kept_nowhere), said


def test_outputs_of_an_unclear_job_that_are_looked_for_again_are_one_warning(s3: S3Server, monkeypatch, warned):
    """An attempt that waits in its worker looks every few minutes."""
    extra = {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"total_max_attempts": 1}}}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", s3.connection(extra=extra))
    operator = task("async", delivery_conn_id="away").operator()
    monkeypatch.setattr(operator, "_url", lambda _: PICTURE["delivery"])
    monkeypatch.setattr(operator, "_outputs", lambda _: ("default",))

    assert {operator.delivered({}) for _ in range(3)} == {Delivered.NOTHING}

    (said,) = warned()
    assert "outputs of the job are unchecked" in said


@pytest.mark.parametrize("answer", [SentinelHubServerError("Down"), None, {"processRequest": {}}], ids=repr)
def test_a_service_that_does_not_tell_the_request_is_one_warning(answer: Any, s3: S3Server, monkeypatch, warned):
    """The files are told all the same."""

    async def request_of(*_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(JobCalls, "request_of", request_of)
    result = task().attempt()

    assert (result["file_count"] > 0, result["item_count"], result["collection"]) == (True, None, None)
    (said,) = warned()
    assert "have no STAC Items" in said

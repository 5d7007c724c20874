"""The Process operator without a service: what is refused before anything is sent, and its parts."""

from __future__ import annotations

import io
import tarfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from sentinelhub_provider.api.tiling import Tile
from sentinelhub_provider.exceptions import (
    SentinelHubBadRequestError,
    SentinelHubOutputError,
    SentinelHubRateLimitError,
    SentinelHubRequestError,
    SentinelHubResponseError,
    SentinelHubServerError,
    SentinelHubTransportError,
)
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.raster.mosaics import block_size
from sentinelhub_provider.operators.raster.pictures import download_outputs, format_by_path, output_paths
from sentinelhub_provider.operators.raster.tiled import fetch_tiles
from sentinelhub_provider.transport.download import Download

UTM = {"bbox": [400_000, 5_095_000, 403_200, 5_097_400], "crs": 32633}
BOWTIE = {"type": "Polygon", "coordinates": [[[4e5, 5e6], [4.1e5, 5.01e6], [4.1e5, 5e6], [4e5, 5.01e6], [4e5, 5e6]]]}


class Hook:
    """Downloads nothing, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.settings = SimpleNamespace(deployment=SimpleNamespace(name="sentinel-hub"))
        self.calls: list[dict[str, Any]] = []
        self.meter = SimpleNamespace(spent=None)
        self._error = error

    def download(self, method: str, endpoint: str, path: Any, **arguments: Any) -> Any:
        """Note the call, and raise."""
        self.calls.append(arguments)
        raise self._error or AssertionError("nothing was to be sent")


def run(hook: Hook, **arguments: Any) -> Any:
    """Execute an operator."""
    given = {
        "collection": "sentinel-2-l2a",
        "evalscript": "ndvi",
        "time_range": ["2024-06-01", "2024-06-20"],
        **UTM,
        "resolution": 20,
        "output_path": "/nowhere/ndvi.tif",
        **arguments,
    }
    operator = SentinelHubProcessOperator(task_id="t", **given)
    vars(operator)["hook"] = hook
    return operator.execute({"ti": SimpleNamespace(xcom_push=lambda key, value: None)})  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"collection": "byoc-2"}, "collection 'byoc-2' is no name of an own"),
        ({"collection": None}, "collection is missing"),
        ({"evalscript": None}, "evalscript is missing"),
        ({"evalscript": "nvdi"}, "Did you mean 'ndvi'"),
        ({"evalscript": "[B04]"}, "evalscript has no version"),
        ({"time_range": ["2024-06-20", "2024-06-01"]}, "time_range is reversed"),
        ({"time_range": ["2124-06-01", "2124-06-20"]}, "time_range begins .* in the future"),
        ({"bbox": [403_200, 5_095_000, 400_000, 5_097_400]}, "bbox .* upside down"),
        ({"crs": None}, "bbox .* name their CRS in crs"),
        ({"bbox": None, "geometry": BOWTIE}, "geometry crosses or touches itself"),
        ({"bbox": None, "geometry": "/gone/field.geojson"}, "geometry names the file /gone/field.geojson"),
        ({"bbox": None}, "bbox and geometry are both missing"),
        ({"resolution": None}, "the size is missing"),
        ({"width": 100}, "resolution and width/height are both given"),
        ({"resolution": 0.0001}, "looks like degrees"),
        ({"resolution": 1}, "3200 x 2400 pixels.*tile=True"),
        ({"resolution": 2000}, "coarser than"),
        ({"max_cloud_cover": 101}, "max_cloud_cover is 101"),
        ({"mosaicking_order": "nearest"}, "mosaicking_order is 'nearest'"),
        ({"upsampling": "LANCZOS"}, "upsampling is 'LANCZOS'"),
        ({"outputs": "gif"}, "'gif'. Give one of png, jpeg, tiff, json"),
        ({"output_path": "/nowhere/ndvi.png"}, "FLOAT32, which only TIFF can hold"),
        ({"outputs": {"default": "tiff", "dataMask": "tiff"}}, r"2 outputs .* Put \{output\}"),
        ({"if_exists": "append"}, "if_exists is 'append'"),
        ({"request": {"input": {}}}, "request is given, and collection"),
        ({"tile": True, "tile_size": 3000}, "tile_size is 3000"),
        ({"tile": True, "concurrency": 0}, "concurrency is 0"),
        ({"tile": True, "mosaic": "vrt"}, "'vrt' goes with a path that ends with .vrt"),
        ({"tile": True, "mosaic": "jpeg2000"}, "mosaic is 'jpeg2000'"),
        ({"tile": True, "evalscript": "true-colour", "outputs": "png"}, "tile=True makes one TIFF"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_bad_argument_is_named_before_anything_is_sent(arguments, words):
    """And no retry is spent on it."""
    hook = Hook()
    with pytest.raises(AirflowFailException, match=f"(?s){words}"):
        run(hook, **arguments)

    assert hook.calls == []


def test_request_that_is_no_json():
    """As a template may render one."""
    operator = SentinelHubProcessOperator(task_id="t", request="{", output_path="/nowhere/a.png")
    vars(operator)["hook"] = Hook()
    with pytest.raises(AirflowFailException, match="request is not JSON"):
        operator.execute({})


def test_run_without_an_interval_wants_a_time():
    """Airflow 3's cron texts give runs with an empty one."""
    operator = SentinelHubProcessOperator(
        task_id="t", collection="sentinel-2-l2a", evalscript="ndvi", **UTM, resolution=20, output_path="/nowhere/a.tif"
    )
    vars(operator)["hook"] = Hook()
    now = datetime(2024, 6, 3, tzinfo=UTC)
    with pytest.raises(
        AirflowFailException, match="time_range is missing, and this DAG run has an empty data interval"
    ):
        operator.execute({"data_interval_start": now, "data_interval_end": now})


def test_long_wait_is_spent_in_the_triggerer(tmp_path: Path):
    """Where the task may be deferred."""
    hook = Hook(SentinelHubRateLimitError("later", retry_after=300.0))
    with pytest.raises(TaskDeferred) as deferred:
        run(hook, deferrable=True, output_path=str(tmp_path / "a.tif"))

    assert deferred.value.method_name == "resume"
    assert hook.calls[0]["longest_wait"] == 60.0


def test_templates_are_the_arguments_that_say_what_is_wanted():
    """Each is an attribute, and those with a renderer are templates."""
    operator = SentinelHubProcessOperator(task_id="t", output_path="/nowhere/a.png", request={})

    assert all(hasattr(operator, name) for name in operator.template_fields)
    assert set(operator.template_fields_renderers) <= set(operator.template_fields)


# --- where outputs go ------------------------------------------------------------------------------------------------


def test_one_output_goes_to_the_path():
    """Also where it has a name of its own."""
    assert output_paths("/a.tif", {"index": "image/tiff"}) == {"index": "/a.tif"}


def test_name_of_the_output_is_filled_in():
    """For one as for several."""
    formats = {"default": "image/tiff", "mask": "image/png"}

    assert output_paths("/a-{output}.x", formats) == {"default": "/a-default.x", "mask": "/a-mask.x"}


@pytest.mark.parametrize(
    "given", [{"default": "/a"}, {"default": "/a", "mask": "/b", "more": "/c"}, {"default": "/a", "mask": "/a"}]
)
def test_paths_must_be_one_for_each(given):
    """None missing, none too many, none twice."""
    with pytest.raises(SentinelHubRequestError, match="output_path"):
        output_paths(given, {"default": "image/tiff", "mask": "image/png"})


# --- archives --------------------------------------------------------------------------------------------------------


def archive_of(*names: str, broken: bool = False) -> Any:
    """Return a download of an archive with these members."""

    def download(path: Path) -> Download:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(name)
                archive.addfile(member, io.BytesIO(name.encode()))
        path.write_bytes(b"no archive at all" * 64 if broken else buffer.getvalue())
        return Download(str(path), 0, "", "application/tar", 1.5, "https://sh.example/process/v1")

    return download


FORMATS = {"default": "image/tiff", "mask": "image/png"}


def test_members_go_to_their_paths(tmp_path: Path):
    """Whatever their order, their folder in the archive, and what else is in it."""
    paths = {"default": str(tmp_path / "a.tif"), "mask": str(tmp_path / "b.png")}
    stored = download_outputs(archive_of("x/mask.png", "other.txt", "default.tif"), paths, FORMATS)

    assert (tmp_path / "a.tif").read_bytes() == b"default.tif"
    assert (tmp_path / "b.png").read_bytes() == b"x/mask.png"
    assert stored["mask"].content_type == "image/png"


@pytest.mark.parametrize("name", ["ndvi.v1", "a.b.c", "ndvi.tif", ".hidden", "v1.0", "x/y.z"])
def test_identifiers_may_have_dots(tmp_path: Path, name: str):
    """What was paid for is stored, whatever its output is called."""
    paths = {name: str(tmp_path / "a.tif"), "ndvi": str(tmp_path / "b.tif")}
    download_outputs(archive_of(f"{name}.tif", "ndvi.tif"), paths, dict.fromkeys(paths, "image/tiff"))

    assert (tmp_path / "a.tif").read_bytes() == f"{name}.tif".encode()
    assert (tmp_path / "b.tif").read_bytes() == b"ndvi.tif"


@pytest.mark.parametrize(
    ("archive", "words"),
    [(archive_of("default.tif"), "has no mask"), (archive_of(broken=True), "cannot be read")],
    ids=["one missing", "broken"],
)
def test_nothing_is_stored_of_half_an_archive(tmp_path: Path, archive, words):
    """Outputs appear together or not at all."""
    paths = {"default": str(tmp_path / "a.tif"), "mask": str(tmp_path / "b.png")}
    with pytest.raises(SentinelHubResponseError, match=words):
        download_outputs(archive, paths, FORMATS)

    assert list(tmp_path.iterdir()) == []


def test_unwritable_path_is_found_before_the_download(tmp_path: Path):
    """It would be paid for all the same."""
    (tmp_path / "file").write_text("")
    paths = {"default": str(tmp_path / "a.tif"), "mask": str(tmp_path / "file" / "b.png")}
    with pytest.raises(SentinelHubOutputError):
        download_outputs(lambda path: pytest.fail("it was downloaded"), paths, FORMATS)


# --- tiles -----------------------------------------------------------------------------------------------------------


def tiles(count: int) -> list[Tile]:
    """Return tiles in a row."""
    return [Tile((number, 0, number + 1, 1), 10, 10, number, 0, 10 * number, 0) for number in range(count)]


def is_final(error: BaseException) -> bool:
    """Tell as the operator does."""
    return bool(getattr(error, "final", False))


def test_never_more_tiles_at_a_time_than_allowed():
    """And as many as allowed: each waits for the others."""
    together = threading.Barrier(4, timeout=30)
    lock, now, most = threading.Lock(), 0, 0

    def fetch(tile: Tile) -> str:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait()
        with lock:
            now -= 1
        return tile.name

    fetched = [name for _, name in fetch_tiles(tiles(12), fetch, concurrency=4, attempts=1, is_hopeless=is_final)]  # type: ignore[arg-type]

    assert sorted(fetched) == [tile.name for tile in tiles(12)]  # type: ignore[type-var]
    assert most == 4


def test_tiles_are_taken_as_they_are_needed():
    """A million of them are not queued at once."""
    taken: list[Tile] = []

    def source() -> Any:
        for tile in tiles(100):
            taken.append(tile)
            yield tile

    arrivals = fetch_tiles(source(), lambda tile: tile, concurrency=2, attempts=1, is_hopeless=is_final)  # type: ignore[arg-type,return-value]
    next(arrivals)

    assert len(taken) <= 9
    arrivals.close()


def test_what_follows_a_tile_keeps_no_connection():
    """The next tile is fetched meanwhile, over the one connection that there is."""
    second_begins = threading.Event()

    def fetch(tile: Tile) -> Any:
        if tile.column:
            second_begins.set()
        return tile

    def finish(tile: Tile, _: object) -> None:
        assert tile.column or second_begins.wait(timeout=30)

    fetched = fetch_tiles(tiles(2), fetch, concurrency=1, attempts=1, is_hopeless=is_final, finish=finish)
    assert [tile.column for tile, _ in fetched] in ([0, 1], [1, 0])


def test_failed_tile_is_tried_after_the_others():
    """And only it."""
    tried: list[str] = []

    def fetch(tile: Tile) -> Any:
        tried.append(tile.name)
        if tile.column == 1 and tried.count(tile.name) < 3:
            raise SentinelHubServerError("down")
        return tile

    fetched = list(fetch_tiles(tiles(6), fetch, concurrency=1, attempts=3, is_hopeless=is_final))

    assert len(fetched) == 6
    assert tried[:6] == [tile.name for tile in tiles(6)]
    assert tried[6:] == ["r0000_c0001"] * 2


def test_lost_tile_is_named_after_the_others_came():
    """They need not be asked for again."""

    def fetch(tile: Tile) -> Any:
        if tile.column == 1:
            raise SentinelHubServerError("down")
        return tile

    fetched: list[int] = []
    arrivals = fetch_tiles(tiles(5), fetch, concurrency=2, attempts=2, is_hopeless=is_final)
    with pytest.raises(SentinelHubTransportError, match=r"1 tile failed in 2 attempts: r0000_c0001.*down"):
        fetched.extend(tile.column for tile, _ in arrivals)

    assert sorted(fetched) == [0, 2, 3, 4]


def test_hopeless_error_ends_all():
    """No other tile would fare better."""
    tried: list[str] = []

    def fetch(tile: Tile) -> Any:
        tried.append(tile.name)
        raise SentinelHubBadRequestError("no")

    with pytest.raises(SentinelHubBadRequestError):
        list(fetch_tiles(tiles(100), fetch, concurrency=1, attempts=3, is_hopeless=is_final))

    assert len(tried) <= 3


def test_a_task_that_is_ended_waits_for_no_tile():
    """Airflow ends it by an exception that is no error of the service; a thread may wait for minutes then."""
    release, ended = threading.Event(), threading.Event()

    def fetch(tile: Tile) -> Any:
        if tile.column:
            raise KeyboardInterrupt
        release.wait()

    def run() -> None:
        with pytest.raises(KeyboardInterrupt):
            list(fetch_tiles(tiles(9), fetch, concurrency=2, attempts=3, is_hopeless=is_final))
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    try:
        assert ended.wait(60)
    finally:
        release.set()


@pytest.mark.parametrize(("side", "block"), [(2048, 512), (2500, 512), (2496, 416), (1000, 512), (64, 512), (384, 384)])
def test_tiles_meet_between_blocks_where_they_can(side: int, block: int):
    """Blocks are multiples of 16 pixels; not every tile is."""
    assert block_size(side) == block


@pytest.mark.parametrize(
    ("path", "outputs"),
    [
        ({"default": "x.tif"}, {"default": "tif"}),
        ({"default": "x.TIFF", "mask": "m.png"}, {"default": "tiff", "mask": "png"}),
        ({"ndvi": Path("a/x.jpeg"), "userdata": "u.json"}, {"ndvi": "jpeg", "userdata": "json"}),
        ({"default": "x.tif", "mask": "m"}, None),
        ({}, None),
        ("x.tif", "tif"),
        ("x", None),
    ],
)
def test_formats_are_taken_from_the_names_of_files(path: Any, outputs: Any):
    """Of one file and of several."""
    assert format_by_path(path, tile=False) == outputs

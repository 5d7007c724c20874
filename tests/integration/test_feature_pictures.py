"""A picture of each feature in one task: requests, files, retries, what is wrong with some of them, cost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from task_instance import TaskInstance, june, rendered

from sentinelhub_provider.exceptions import (
    SentinelHubError,
    SentinelHubRateLimitError,
    SentinelHubResponseError,
    SentinelHubServerError,
)
from sentinelhub_provider.operators.feature_statistics.feature_requests import MOST_FAILURES_IN_A_ROW
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.raster.items import Items
from sentinelhub_provider.transport.policy import MAX_ATTEMPTS

SCRIPT = """//VERSION=3
function setup() { return { input: ["B04"], output: { bands: 1, sampleType: "UINT16" } } }
function evaluatePixel(sample) { return [10000 * sample.B04 + 1] }"""


BOW = {"type": "Polygon", "coordinates": [[[14, 46], [14.1, 46.1], [14.1, 46], [14, 46.1], [14, 46]]]}


def field(number: int, **properties: Any) -> dict[str, Any]:
    """Return a triangle of a field."""
    west = 14.0 + number * 0.01
    ring = [[west, 46.0], [west + 0.006, 46.0], [west, 46.004], [west, 46.0]]
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def fields(count: int) -> dict[str, Any]:
    """Return some of them, each with a name."""
    features = [field(number, name=f"field {number}") for number in range(count)]
    return {"type": "FeatureCollection", "features": features}


@pytest.fixture(name="run")
def fixture_run(connect, ti: TaskInstance, operators, tmp_path: Path, waits) -> Callable[..., dict[str, Any]]:
    """Have pictures made of four fields; keywords change or add arguments. ``after``: a wait that goes on."""
    connect()

    def run(after: TaskDeferred | None = None, **arguments: Any) -> dict[str, Any]:
        context = june(ti, run_id="monday")
        given = {
            "features": fields(4),
            "id_property": "name",
            "collection": "sentinel-2-l2a",
            "evalscript": SCRIPT,
            "time_range": ["2024-06-01", "2024-06-20"],
            "resolution": 20,
            "output_path": str(tmp_path / "{feature_id}.tif"),
            **arguments,
        }
        given = {name: value for name, value in given.items() if value is not None}
        operator = rendered(SentinelHubProcessOperator, context, tmp_path, **given)
        operators.append(operator)
        operator.hook.get_conn()._sleep = waits.sleep
        if after is not None:
            return getattr(operator, after.method_name)(context, **(after.kwargs or {}))
        return operator.execute(context)

    return run


@pytest.fixture(name="sent")
def fixture_sent(sentinelhub_sandbox) -> Callable[[], int]:
    """Return what counts the Process requests so far."""
    return lambda: sentinelhub_sandbox.control.counters().requests.get("/process/v1", 0)


def test_each_feature_gets_its_picture(run, sent, tmp_path: Path):
    """Named after it, clipped to it; the result tells of each; a retry asks for nothing again."""
    result = run()

    assert (result["features"], result["skipped"], result["failed"], sent()) == (4, 0, 0, 4)
    assert result["processing_units"] == pytest.approx(result["estimated_processing_units"])
    assert sorted(Path(one["path"]).name for one in result["pictures"]) == [
        f"field {number}.tif" for number in range(4)
    ]
    for one in result["pictures"]:
        assert Path(one["path"]).stat().st_size == one["size"]
    with rasterio.open(tmp_path / "field 2.tif") as picture:
        assert picture.bounds == pytest.approx((14.02, 46.0, 14.026, 46.004))
        assert (picture.width, picture.height) == (23, 22)
        pixels = picture.read(1)
    assert 0.4 < np.mean(pixels > 0) < 0.65, "only inside of the triangle there are data"

    again = run()
    assert (again["features"], again["skipped"], again["processing_units"], sent()) == (4, 4, 0.0, 4)


def test_buffer_and_whole_boxes(run, tmp_path: Path):
    """In metres, whatever the unit of the features' CRS; unclipped, the whole box has data."""
    run(buffer=200, clip=False, features=fields(1))
    with rasterio.open(tmp_path / "field 0.tif") as picture:
        west, south, *_ = picture.bounds
        assert np.mean(picture.read(1) > 0) == 1.0
    assert west == pytest.approx(14.0 - 200 / 77_400, abs=3e-4)
    assert south == pytest.approx(46.0 - 200 / 111_100, abs=1e-4)
    with pytest.raises(AirflowFailException, match="buffer=-1000 leaves nothing of it"):
        run(buffer=-1000, features=fields(1))


def test_request_as_it_is(run, sent, process_request, tmp_path: Path):
    """Its bounds give way to those of each feature."""
    described = dict.fromkeys(("collection", "evalscript", "time_range", "resolution"))
    described["output_path"] = str(tmp_path / "{feature_id}.png")
    result = run(**described, request=process_request, features=fields(2))
    assert (result["features"], sent()) == (2, 2)
    assert (tmp_path / "field 1.png").read_bytes()[16:24] == bytes([0, 0, 0, 16, 0, 0, 0, 16])  # width and height


def test_retry_asks_for_what_is_missing(run, sent, sentinelhub_sandbox):
    """A feature that the service could not serve fails the task after all others; the next try asks for it alone."""
    sentinelhub_sandbox.control.add_fault(
        path="/process/v1", action={"kind": "status", "status": 500}, times=MAX_ATTEMPTS
    )
    with pytest.raises(SentinelHubResponseError, match="1 feature without a picture: feature 'field 0'"):
        run(concurrency=1, tile_attempts=1)
    before = sent()
    result = run()
    assert (result["features"], result["skipped"], result["failed"], sent() - before) == (4, 3, 0, 1)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (field(9, name="field 0"), "feature 'field 0': another feature has the same id"),
        ({**field(9, name="bow"), "geometry": None}, "feature 'bow': has no geometry"),
        (
            {
                **field(9, name="bow"),
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [[[14, 46], [14.1, 46.1], [14.1, 46], [14, 46.1], [14, 46]]],
                },
            },
            "feature 'bow': geometry crosses or touches itself",
        ),
    ],
)
def test_broken_features_are_named_before_anything_is_sent(run, sent, broken: dict[str, Any], said: str):
    """Or left out, and the others are made."""
    several = fields(2)
    several["features"].append(broken)
    with pytest.raises(AirflowFailException, match=f"1 feature without a picture: {said}.*Nothing was sent"):
        run(features=several)
    assert sent() == 0
    result = run(features=several, on_error="skip")
    assert (result["features"], result["failed"], sent()) == (2, 1, 2)
    assert said.partition(": ")[2] in result["failed_features"][0]["error"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"output_path": "/data/picture.tif"}, "Put {feature_id} into it"),
        ({"output_path": {"default": "/data/{feature_id}.tif"}}, "output_path has a path for each output"),
        ({"bbox": [14, 46, 14.1, 46.1]}, "bbox is given, and features too"),
        ({"tile": True}, "tile is true, and features are given"),
        ({"on_empty": "skip"}, "on_empty has to be 'succeed'"),
        ({"stac": False}, "stac is false"),
        ({"on_error": "perhaps"}, "on_error is 'perhaps'"),
        ({"buffer": "wide"}, "buffer"),
        ({"clip": "perhaps"}, "clip"),
        ({"max_processing_units": 0.001}, "max_processing_units=0.001"),
        ({"evalscript": " "}, "evalscript"),
        ({"id_property": "nobody"}, "id_property"),
    ],
)
def test_what_cannot_work_is_refused(run, sent, arguments: dict[str, Any], said: str):
    """By the argument's name, before anything is sent."""
    with pytest.raises(AirflowFailException, match=re.escape(said)):
        run(**arguments)
    assert sent() == 0


def named(*names: str) -> dict[str, Any]:
    """Return features of these names."""
    return {"type": "FeatureCollection", "features": [field(number, name=name) for number, name in enumerate(names)]}


def test_identifiers_are_safe_in_paths(run, tmp_path: Path):
    """Whatever is in them: two of them never share a file, and none leaves the folder."""
    result = run(features=json.dumps(named("../up", "a/b", "a%2Fb", "Körös", "x" * 40, "~root", "AB", "ab", "\ud800")))
    made = sorted(path.name for path in tmp_path.glob("*.tif"))
    expected = ["..%2Fup", "a%2Fb", "a%252Fb", "Körös", "x" * 40, "%7Eroot", "AB", "ab", "%D800"]
    assert made == sorted(f"{name}.tif" for name in expected)
    assert result["features"] == 9


def test_identifiers_of_dots_lead_to_no_other_folder(run, tmp_path: Path):
    """Where they name a folder."""
    run(features=named("..", ".", "a..b"), output_path=str(tmp_path / "own" / "{feature_id}" / "{output}.tif"))
    made = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.tif"))
    assert made == ["own/%2E%2E/default.tif", "own/%2E/default.tif", "own/a..b/default.tif"]


def test_identifier_too_long_for_a_name_is_found_out_first(run, sent):
    """Or left out, and the others are made."""
    several = named("a", "x" * 300, "ö" * 120)
    with pytest.raises(AirflowFailException, match=r"2 features without a picture: .*name of 304 bytes.*of 244 bytes"):
        run(features=several)
    assert sent() == 0
    result = run(features=several, on_error="skip")
    assert (result["features"], result["failed"], sent()) == (1, 2, 1)


def test_pictures_of_another_task_are_not_overwritten_where_that_is_to_fail(run, sent, tmp_path: Path):
    """Before anything is sent; those of an earlier attempt are its own."""
    (tmp_path / "field 3.tif").write_bytes(b"precious")
    with pytest.raises(AirflowFailException, match=r"field 3\.tif exists, and if_exists is 'fail'"):
        run(if_exists="fail")
    assert (sent(), (tmp_path / "field 3.tif").read_bytes()) == (0, b"precious")
    (tmp_path / "field 3.tif").unlink()
    assert [run(if_exists="fail")["skipped"] for _ in range(2)] == [0, 4]


@pytest.mark.parametrize("clip", [True, False])
def test_buffer_across_the_antimeridian_is_refused_whichever_feature_has_it(run, sent, clip: bool):
    """Its box would span the globe."""
    several = named("a", "b")
    ring = [[179.99, 0], [180, 0], [180, 0.01], [179.99, 0.01], [179.99, 0]]
    several["features"][1]["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    size = {"resolution": None, "width": 64, "height": 64, "collection": "dem", "time_range": None}
    script = SCRIPT.replace("B04", "DEM")
    with pytest.raises(AirflowFailException, match="feature 'b': geometry crosses the antimeridian"):
        run(features=several, buffer=500, clip=clip, evalscript=script, **size)
    assert sent() == 0


def test_items_of_many_pictures_are_kept_apart(run, operators, tmp_path: Path):
    """In one folder, under one name: of tens of thousands of features, no two share an item."""
    run(features=fields(1), stac=str(tmp_path / "items"))
    items = Items(operators[-1], {}, str(tmp_path / "items"))  # type: ignore[arg-type]
    places = {items.place(f"/data/{number}/ndvi.tif") for number in range(200_000)}
    assert len(places) == 200_000


@pytest.fixture(name="calls")
def fixture_calls(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Have the service fail for some pictures, by their paths; return the paths that are asked for."""
    asked: list[str] = []
    download = SentinelHubProcessOperator.download_picture

    def failing(fails: Callable[[str], bool], error: SentinelHubError) -> list[str]:
        def download_picture(self: Any, request: Any, path: str) -> Any:
            asked.append(path)
            if fails(path):
                raise error
            return download(self, request, path)

        monkeypatch.setattr(SentinelHubProcessOperator, "download_picture", download_picture)
        return asked

    return failing


def test_service_that_fails_for_all_is_not_asked_for_each(run, calls):
    """After 25 in a row the fault is not theirs."""
    asked = calls(lambda _: True, SentinelHubServerError("it is down"))
    with pytest.raises(SentinelHubServerError, match="it is down"):
        run(features=fields(80), on_error="skip", concurrency=1)
    assert len(asked) <= MOST_FAILURES_IN_A_ROW + 1


def test_features_that_fail_again_do_not_end_the_task(run, calls):
    """They are tried last, and so fail in a row; the service serves all others."""
    asked = calls(lambda path: int(path[:-4].rpartition(" ")[2]) % 2 == 1, SentinelHubServerError("it is down"))
    result = run(features=fields(64), on_error="skip", concurrency=1, tile_attempts=2)
    assert (result["features"], result["failed"], len(asked)) == (32, 32, 32 + 2 * 32)


def test_rate_limit_in_the_middle_is_waited_out_in_the_triggerer(run, calls):
    """Then what is missing is asked for, and the cost is that of all."""
    asked = calls(lambda _: len(asked) == 3, SentinelHubRateLimitError("later", retry_after=900.0))
    with pytest.raises(TaskDeferred) as deferred:
        run(deferrable=True, concurrency=1)
    result = run(after=deferred.value, deferrable=True, concurrency=1)
    assert (result["features"], result["failed"]) == (4, 0)
    assert len(asked) == 5
    assert result["processing_units"] == pytest.approx(result["estimated_processing_units"])


def test_log_says_what_is_asked_for_and_what_came_of_it(run, calls, capsys, caplog):
    """Each in one line, however many pictures; a feature that failed is told of once, and once more as it is tried."""
    calls(lambda path: path.endswith("field 3.tif"), SentinelHubServerError("it is down"))
    run(on_error="skip", tile_attempts=2)

    log = "".join(capsys.readouterr())
    assert log.count("pictures of 4 features; the first: sentinel-2-l2a of 2024-06-01T00:00:00Z") == 1
    assert log.count("{feature_id}.tif: 3 made, 0 already there; 1 features failed") == 1
    assert log.count("it is down") == log.count("no picture of") == 1
    (again,) = [record.getMessage() for record in caplog.records if "it is down" in record.getMessage()]
    assert again == "the picture of field 3 failed and is tried again: it is down"


def test_byte_order_marks_of_windows_editors_cost_nothing(run, sent, tmp_path: Path):
    """In the Collection and in the items."""
    run()
    for file in (tmp_path / "collection.json", *tmp_path.glob("*.stac.json")):
        file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    run(features=fields(5))
    run(features=fields(5))
    assert sent() == 5

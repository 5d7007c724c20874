"""What tasks leave for the page *Satellite imagery*, against the sandbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from task_instance import TaskInstance, june

from sentinelhub_provider.api.imagery import FACTS_KEY, PREVIEWS_KEY, webp_of
from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator
from sentinelhub_provider.operators.imagery import PICTURES
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

WHAT = {
    "collection": "sentinel-2-l2a",
    "evalscript": "ndvi",
    "time_range": ["2025-06-01", "2025-06-07"],
    "width": 32,
    "height": 16,
}
BOX = [14.0, 46.0, 14.05, 46.03]


def fields(count: int) -> dict[str, Any]:
    """Return small fields side by side."""
    rings = [
        [[14 + i / 100, 46], [14.005 + i / 100, 46], [14 + i / 100, 46.005], [14 + i / 100, 46]] for i in range(count)
    ]
    return {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "id": f"f{i}", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
            for i, ring in enumerate(rings)
        ],
    }


@pytest.fixture(name="left")
def fixture_left(connect, operators, ti: TaskInstance):
    """Execute an operator; return its facts and previews, ``None`` for what it did not leave."""
    connect(extra={"requests_per_minute": 3000})

    def left(kind: Any, **arguments: Any) -> tuple[Any, Any]:
        operator = kind(task_id="t", **arguments)
        operators.append(operator)
        try:
            operator.execute(june(ti))
        finally:
            pushed = json.loads(json.dumps(ti.pushed))
            found = pushed.get(FACTS_KEY), pushed.get(PREVIEWS_KEY)
        return found

    return left


@pytest.mark.parametrize("tile", [False, True], ids=["one request", "tiles"])
def test_picture(tile: bool, left, tmp_path: Path):
    """What was asked for, what became of it, what it cost, and how it looks."""
    path = str(tmp_path / "ndvi.tif")

    facts, previews = left(SentinelHubProcessOperator, output_path=path, bbox=BOX, tile=tile, **WHAT)

    assert facts.pop("footprint")["coordinates"][0][0] in ([14.0, 46.0], [14.05, 46.0])
    assert len(facts.pop("request_sha256")) == 64
    assert facts.pop("bytes") > 100
    assert facts.pop("processing_units") > 0
    assert facts.pop("estimated_processing_units") > 0
    assert facts == {
        "operator": "SentinelHubProcessOperator",
        "conn_id": "sentinelhub_default",
        "collections": ["sentinel-2-l2a"],
        "evalscript": "ndvi",
        "time_range": {"from": "2025-06-01T00:00:00Z", "to": "2025-06-07T23:59:59Z"},
        "size": [32, 16],
        "path": path,
        "coverage": 1.0,
        "skipped": False,
        "limits": {"requests_per_minute": 3000},
        "pictures": 1,
        "has_table": False,
    }
    (picture,) = previews["pictures"]
    assert (picture["name"], picture["path"]) == ("default", path)
    assert webp_of(picture["webp"])


def test_pictures_of_features(left, tmp_path: Path):
    """The first of them, each a quarter as large."""
    path = str(tmp_path / "{feature_id}.png")

    facts, previews = left(
        SentinelHubProcessOperator,
        output_path=path,
        features=fields(PICTURES + 2),
        **{**WHAT, "evalscript": "true-colour"},
    )

    assert (facts["features"], facts["pictures"], facts["evalscript"]) == (PICTURES + 2, PICTURES, "true-colour")
    assert all(webp_of(picture["webp"]) for picture in previews["pictures"])
    assert len(json.dumps(previews)) < 200_000


def test_statistics(left):
    """How the means change, and the table's first rows."""
    facts, previews = left(SentinelHubStatisticsOperator, features=fields(3), **WHAT)

    assert (facts["rows"], facts["features"], facts["has_table"]) == (21, 3, True)
    assert facts["footprint"]["type"] == "Polygon"
    assert facts["time_range"] == {"from": "2025-06-01T00:00:00Z", "to": "2025-06-07T23:59:59Z"}
    series = previews["series"]
    assert [one["name"] for one in series] == ["f0 B0", "f1 B0", "f2 B0"]
    assert series[0]["points"][0][0].startswith("2025-06-01")
    assert len(previews["rows"]) == 10
    assert previews["rows"][0]["feature_id"] == "f0"
    assert previews["columns"] == list(previews["rows"][0])


def test_scenes(left):
    """The first of them, with their clouds."""
    facts, previews = left(
        SentinelHubCatalogSearchOperator, collection="sentinel-2-l2a", bbox=BOX, datetime=WHAT["time_range"]
    )

    assert (facts["has_table"], facts["collections"], facts["footprint"]["type"]) == (
        True,
        ["sentinel-2-l2a"],
        "Polygon",
    )
    assert facts["time_range"]["from"].startswith("2025-06-01")
    assert list(previews["rows"][0]) == previews["columns"] == ["datetime", "cloud_cover", "id"]


def test_task_that_fails_says_why(left, tmp_path: Path, ti: TaskInstance):
    """And shows no picture."""
    with pytest.raises(AirflowFailException):
        left(SentinelHubProcessOperator, output_path=str(tmp_path / "a.tif"), bbox=BOX, max_processing_units=0, **WHAT)

    assert "max_processing_units" in ti.pushed[FACTS_KEY]["error"]
    assert PREVIEWS_KEY not in ti.pushed


@pytest.mark.parametrize("stopped_by", ["do_xcom_push", "index", "setting"])
def test_nothing_is_left_where_nothing_shall_be(stopped_by: str, left, tmp_path: Path, monkeypatch, ti: TaskInstance):
    """By the task's argument, by the setting, and after the first 200 of a mapped task."""
    arguments: dict[str, Any] = {"do_xcom_push": False} if stopped_by == "do_xcom_push" else {}
    if stopped_by == "setting":
        monkeypatch.setenv("AIRFLOW__SENTINELHUB__PREVIEWS", "0")
    ti.map_index = 200 if stopped_by == "index" else -1

    found = left(SentinelHubProcessOperator, output_path=str(tmp_path / "a.tif"), bbox=BOX, **WHAT, **arguments)

    assert found == (None, None)


@pytest.mark.parametrize("fault", ["library", "setting"])
def test_what_goes_wrong_is_one_warning(fault: str, left, tmp_path: Path, monkeypatch, capsys):
    """The picture is paid for: the task succeeds. Without a preview, the page still has the facts."""
    if fault == "setting":
        monkeypatch.setenv("AIRFLOW__SENTINELHUB__PREVIEWS", "many")
    else:

        def broken(*_: Any, **__: Any) -> None:
            raise MemoryError("no room")

        monkeypatch.setattr("sentinelhub_provider.operators.previews._encoded", broken)

    facts, previews = left(SentinelHubProcessOperator, output_path=str(tmp_path / "a.tif"), bbox=BOX, **WHAT)

    said = capsys.readouterr()
    assert (said.out + said.err).count("Satellite imagery lacks") == 1
    assert (tmp_path / "a.tif").exists()
    assert previews is None
    assert facts is None if fault == "setting" else (facts["coverage"], facts["pictures"]) == (1.0, 0)


def test_evalscript_from_a_file_bears_its_name(connect, operators, ti: TaskInstance, tmp_path: Path):
    """So that people know it again."""
    from task_instance import rendered

    from sentinelhub_provider.api.evalscripts import named_evalscript

    connect()
    (tmp_path / "my_index.js").write_text(named_evalscript("ndvi") + "\n")
    context = june(ti)
    given = {**WHAT, "evalscript": "my_index.js", "output_path": str(tmp_path / "a.tif"), "bbox": BOX}
    operator = rendered(SentinelHubProcessOperator, context, tmp_path, **given)
    operators.append(operator)

    operator.execute(context)

    assert ti.pushed[FACTS_KEY]["evalscript"] == "my_index.js"

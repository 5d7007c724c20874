"""What tasks tell OpenLineage: collections and scenes in, files and tables out, and the cost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
from airflow.sdk.exceptions import AirflowFailException
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.serde import Serde
from task_instance import TaskInstance

from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator
from sentinelhub_provider.operators.http import SentinelHubHttpOperator
from sentinelhub_provider.operators.lineage import MOST
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

TIME = ["2024-06-01", "2024-06-20"]
WHERE = {"collection": "sentinel-2-l2a", "bbox": [14.0, 46.0, 14.1, 46.1]}
PICTURE: dict[str, Any] = {**WHERE, "evalscript": "ndvi", "time_range": TIME, "width": 8, "height": 8}
COLLECTION = {"namespace": "sentinelhub://custom", "name": "sentinel-2-l2a"}
FIELD = {"type": "Polygon", "coordinates": [[[14, 46], [14.01, 46], [14.01, 46.01], [14, 46.01], [14, 46]]]}


def told(operator: Any, *, fails: bool = False) -> dict[str, Any]:
    """Execute a task; return the event of its end, as OpenLineage's client writes it."""
    context: Any = {"ti": TaskInstance(), "run_id": "r", "outlet_events": {}}
    if fails:
        with pytest.raises(AirflowFailException):
            operator.execute(context)
        found = operator.get_openlineage_facets_on_failure(None)
    else:
        operator.execute(context)
        found = operator.get_openlineage_facets_on_complete(None)
    event = RunEvent(
        eventType=RunState.COMPLETE,
        eventTime="2024-06-20T00:00:00Z",
        run=Run(runId="01890a5d-ac96-774b-bcce-b302099a8057", facets=found.run_facets),
        job=Job(namespace="airflow", name="dag.task"),
        inputs=found.inputs,
        outputs=found.outputs,
        producer="https://example.org",
    )
    written: dict[str, Any] = json.loads(Serde.to_json(event))
    return written


def names(datasets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return namespace and name of each."""
    return [{"namespace": one["namespace"], "name": one["name"]} for one in datasets]


def test_a_picture(connect, tmp_path: Path):
    """Its collection, file, size and cost."""
    connect()
    event = told(SentinelHubProcessOperator(task_id="t", output_path=str(tmp_path / "a.tif"), **PICTURE))

    assert names(event["inputs"]) == [COLLECTION]
    assert names(event["outputs"]) == [{"namespace": "file", "name": str(tmp_path / "a.tif")}]
    assert event["outputs"][0]["outputFacets"]["outputStatistics"]["size"] == (tmp_path / "a.tif").stat().st_size
    cost = event["run"]["facets"]["sentinelhub_cost"]
    assert cost["processingUnits"] > 0
    assert cost["estimatedProcessingUnits"] == pytest.approx(cost["processingUnits"])
    assert cost["_schemaURL"].startswith("https://openlineage.io/spec/")


def test_a_request_as_the_api_has_it(connect, tmp_path: Path):
    """Its collections are in the JSON, each once."""
    connect()
    times = {"from": "2024-06-01T00:00:00Z", "to": "2024-06-20T00:00:00Z"}
    data = [{"type": name, "dataFilter": {"timeRange": times}} for name in ("sentinel-2-l2a", "sentinel-2-l2a")]
    request = {
        "input": {"bounds": {"bbox": WHERE["bbox"]}, "data": data},
        "output": {"width": 8, "height": 8},
        "evalscript": """//VERSION=3
            function setup() { return {input: ["B04"], output: {bands: 1}} }
            function evaluatePixel(samples) { return [samples.B04] }""",
    }
    event = told(
        SentinelHubProcessOperator(task_id="t", request=json.dumps(request), output_path=str(tmp_path / "a.png"))
    )

    assert names(event["inputs"]) == [COLLECTION]


def test_pictures_of_many_features(connect, tmp_path: Path):
    """Files are named up to a bound."""
    connect()
    features = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "id": number, "geometry": FIELD} for number in range(MOST + 1)],
    }
    arguments = {**PICTURE, "bbox": None, "features": features}
    operator = SentinelHubProcessOperator(task_id="t", output_path=str(tmp_path / "{feature_id}.tif"), **arguments)
    event = told(operator)

    assert len(event["outputs"]) == MOST
    assert Path(event["outputs"][0]["name"]).is_file()


def test_a_table(connect, tmp_path: Path):
    """With its columns and the number of its rows."""
    connect()
    event = told(SentinelHubStatisticsOperator(task_id="t", output_path=str(tmp_path / "a.csv"), **PICTURE))

    (output,) = event["outputs"]
    columns = (tmp_path / "a.csv").read_text().splitlines()
    fields = {field["name"]: field["type"] for field in output["facets"]["schema"]["fields"]}
    assert list(fields) == columns[0].split(",")
    assert (fields["mean"], fields["count"], fields["interval_from"]) == ("number", "integer", "time")
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == len(columns) - 1


def test_scenes(connect):
    """The scenes that a search finds are read from its collection."""
    connect()
    event = told(SentinelHubCatalogSearchOperator(task_id="t", datetime="/".join(TIME), **WHERE))

    collection, *scenes = names(event["inputs"])
    assert collection == COLLECTION
    assert scenes
    assert all(scene["name"].startswith("sentinel-2-l2a/S2") for scene in scenes)
    assert event["outputs"] == []


def test_a_failed_task(connect, sentinelhub_sandbox, tmp_path: Path):
    """What it would have read is told all the same."""
    connect()
    sentinelhub_sandbox.control.add_fault(path="/process/v1", action={"kind": "status", "status": 400})
    operator = SentinelHubProcessOperator(task_id="t", output_path=str(tmp_path / "a.tif"), **PICTURE)
    event = told(operator, fails=True)

    assert names(event["inputs"]) == [COLLECTION]
    assert event["outputs"] == []


def test_a_task_whose_arguments_are_wrong(tmp_path: Path):
    """It has no connection either, and the lineage is what is left."""
    operator = SentinelHubProcessOperator(
        task_id="t", request="{", output_path=str(tmp_path / "a.tif"), sentinelhub_conn_id="missing"
    )
    event = told(operator, fails=True)

    assert (event["inputs"], event["outputs"]) == ([], [])


def test_a_free_call_has_no_lineage(connect):
    """Nothing is known of what it means."""
    connect()
    event = told(SentinelHubHttpOperator(task_id="t", endpoint="/catalog/v1/collections"))

    assert (event["inputs"], event["outputs"]) == ([], [])


@pytest.mark.parametrize("is_async", [False, True])
def test_a_download_of_the_hook(connect, monkeypatch, tmp_path: Path, is_async: bool):
    """Airflow's collector is told where the file came from, and where it is."""
    collector = get_hook_lineage_collector()
    told_of: list[tuple[str, str]] = []
    monkeypatch.setattr(type(collector), "add_input_asset", lambda _self, context, uri: told_of.append(("in", uri)))
    monkeypatch.setattr(type(collector), "add_output_asset", lambda _self, context, uri: told_of.append(("out", uri)))
    loops: list[bool] = []
    traced = SentinelHubHook._traced
    monkeypatch.setattr(
        SentinelHubHook, "_traced", lambda self, stored: (loops.append(on_a_loop()), traced(self, stored))[1]
    )
    hook, endpoint, path = connect(), "/catalog/v1/collections", tmp_path / "a b.json"
    stored = asyncio.run(fetched(hook, endpoint, path)) if is_async else hook.download("GET", endpoint, path)

    assert told_of == [("in", stored.url), ("out", f"file://{tmp_path}/a b.json")]
    assert loops == [False]


async def fetched(hook: Any, endpoint: str, path: Path) -> Any:
    """Download on the event loop."""
    try:
        return await hook.adownload("GET", endpoint, path)
    finally:
        await hook.aclose()


def on_a_loop() -> bool:
    """Tell whether the event loop runs in this thread, which loading plugins would stop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


NAMES = {
    "/data/a b#1?.tif": ("file", "/data/a b#1?.tif"),
    "file:///data/[a];b.tif": ("file", "/data/[a];b.tif"),
    "s3://conn@bucket/a/b#1.tif": ("s3://bucket", "a/b#1.tif"),
    "s3://key:secret@bucket/": ("s3://bucket", "/"),
    "s3://[bucket/<requestId>/a": ("s3://[bucket", "<requestId>/a"),
    "https://host/fields.gpkg?X-Amz-Signature=secret": ("https://host", "fields.gpkg"),
}
"""Namespace and name of files by their paths."""


@pytest.mark.parametrize("path", NAMES)
def test_names_of_files(path: str):
    """Whole, whatever they hold, without connections and what opens a bucket."""
    operator = SentinelHubStatisticsOperator(task_id="t", **{**PICTURE, "bbox": None}, features=path)
    operator.returned = {"path": path}
    found = operator.get_openlineage_facets_on_complete(None)

    assert [(one.namespace, one.name) for one in found.outputs] == [NAMES[path]]
    assert [(one.namespace, one.name) for one in found.inputs[1:]] == [NAMES[path]]
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("collection", "expected"),
    [
        (" S2L2A ", ["sentinel-2-l2a"]),
        ('{"type": "sentinel-2-l2a"}', ["sentinel-2-l2a"]),
        ([{"type": "S2L2A"}, "sentinel-1-grd"], ["sentinel-2-l2a", "sentinel-1-grd"]),
        (f"BYOC-{'0A' * 4}-0000-0000-0000-{'0A' * 6}", [f"byoc-{'0a' * 4}-0000-0000-0000-{'0a' * 6}"]),
        ("byoc-none", []),
        ([None, {"type": 3}], []),
        ("{", []),
    ],
)
def test_names_of_collections(collection: Any, expected: list[str]):
    """The one spelling that assets have as well; what is no collection is none."""
    operator = SentinelHubProcessOperator(task_id="t", output_path="a.tif", **{**PICTURE, "collection": collection})

    found = operator.get_openlineage_facets_on_failure(None)

    assert [one.name for one in found.inputs] == expected


def test_a_search_that_is_kept_in_a_file(connect, tmp_path: Path):
    """The file is an output, with the number of items in it."""
    connect()
    path = tmp_path / "found.json"
    event = told(SentinelHubCatalogSearchOperator(task_id="t", datetime="/".join(TIME), output_path=path, **WHERE))

    (output,) = event["outputs"]
    assert (output["namespace"], output["name"]) == ("file", str(path))
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == len(json.loads(path.read_text())["features"])

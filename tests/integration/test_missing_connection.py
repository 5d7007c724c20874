"""A connection that does not exist: said in words, and final, wherever it is looked up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperator, BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger

from sentinelhub_provider.exceptions import SentinelHubConfigurationError
from sentinelhub_provider.hooks.delivery import access_of
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.operators.async_process import SentinelHubAsyncProcessOperator
from sentinelhub_provider.operators.batch import SentinelHubBatchProcessOperator
from sentinelhub_provider.operators.batch_statistics import SentinelHubBatchStatisticsOperator
from sentinelhub_provider.operators.byoc import (
    SentinelHubByocCreateCollectionOperator,
    SentinelHubByocDeleteCollectionOperator,
    SentinelHubByocDeleteTilesOperator,
    SentinelHubByocIngestOperator,
)
from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator
from sentinelhub_provider.operators.http import SentinelHubHttpOperator
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator
from sentinelhub_provider.sensors.catalog import SentinelHubSceneSensor
from sentinelhub_provider.sensors.job import SentinelHubJobSensor
from sentinelhub_provider.triggers.byoc import SentinelHubByocTilesTrigger
from sentinelhub_provider.triggers.catalog import SentinelHubSceneCountTrigger
from sentinelhub_provider.triggers.job import SentinelHubJobTrigger
from sentinelhub_provider.triggers.scene import SentinelHubSceneTrigger

SAID = "There is no Airflow connection 'no_such'"
CONNECTION = {"sentinelhub_conn_id": "no_such"}
ID = "00000000-0000-4000-8000-000000000001"
WHERE = {"collection": "sentinel-2-l2a", "bbox": [14.0, 46.0, 14.1, 46.1]}
TIME = {"time_range": ["2024-06-01", "2024-06-20"]}
PICTURE = {**WHERE, **TIME, "evalscript": "ndvi", "width": 8, "height": 8}
DELIVERY = {"delivery": "s3://results/x", "delivery_role_arn": "arn:aws:iam::123456789012:role/delivery"}

TASKS: list[tuple[type[BaseOperator], dict[str, Any]]] = [
    (SentinelHubHttpOperator, {"endpoint": "/catalog/v1/collections"}),
    (SentinelHubCatalogSearchOperator, {**WHERE, "datetime": "2024-06-01/2024-06-20"}),
    (SentinelHubProcessOperator, {**PICTURE, "output_path": "x.tif"}),
    (SentinelHubStatisticsOperator, PICTURE),
    (SentinelHubAsyncProcessOperator, {**PICTURE, **DELIVERY}),
    (
        SentinelHubBatchProcessOperator,
        {**WHERE, **TIME, "evalscript": "ndvi", "tiling_grid": 0, "resolution": 60, **DELIVERY},
    ),
    (
        SentinelHubBatchStatisticsOperator,
        {
            "collection": "sentinel-2-l2a",
            "evalscript": "ndvi",
            "resolution": 0.001,
            "features": "s3://results/fields.gpkg",
            "check_features": False,
            **TIME,
            **DELIVERY,
        },
    ),
    (SentinelHubByocCreateCollectionOperator, {"name": "mine", "s3_bucket": "tiles"}),
    (SentinelHubByocIngestOperator, {"collection_id": ID, "tiles": ["a/(BAND).tif"]}),
    (SentinelHubByocDeleteCollectionOperator, {"collection_id": ID}),
    (SentinelHubByocDeleteTilesOperator, {"collection_id": ID, "tiles": ["1"]}),
    (SentinelHubSceneSensor, {**WHERE, "datetime": "2024-06-01/2024-06-20"}),
    (SentinelHubSceneSensor, {**WHERE, "datetime": "2024-06-01/2024-06-20", "deferrable": True}),
    (SentinelHubJobSensor, {"kind": "batch-process", "job_id": "7f1c"}),
]


def context(task: BaseOperator) -> Any:
    """A first attempt's context, as far as any operator looks at it."""
    run = SimpleNamespace(run_id="r", start_date=None, conf={}, run_after=None, logical_date=None)
    ti = SimpleNamespace(
        dag_id="d", task_id=task.task_id, run_id="r", map_index=-1, try_number=1, max_tries=2, start_date=None,
        id=ID, task=task, get_dagrun=lambda: run, xcom_push=lambda **_: None, xcom_pull=lambda **_: None,
    )  # fmt: skip
    return {"ti": ti, "task_instance": ti, "task": task, "dag_run": run, "run_id": "r", "params": {}}


@pytest.mark.parametrize(("kind", "arguments"), TASKS, ids=lambda value: getattr(value, "__name__", ""))
def test_task_fails_for_good(kind: type[BaseOperator], arguments: dict[str, Any], tmp_path, monkeypatch, capsys):
    """At once, whatever its ``retries``; its error alone says so."""
    monkeypatch.chdir(tmp_path)
    extra = {"poke_interval": 0.01, "timeout": 1} if issubclass(kind, BaseSensorOperator) else {}
    task = kind(task_id="t", **arguments, **CONNECTION, **extra)

    with pytest.raises(AirflowFailException, match=SAID):
        task.execute(context(task))
    assert SAID not in "".join(capsys.readouterr())


async def first_event(trigger: BaseTrigger) -> dict[str, Any]:
    """Return what a trigger fires first."""
    async for event in trigger.run():
        return event.payload
    raise AssertionError("it fired nothing")


@pytest.mark.parametrize(
    "make",
    [
        lambda: SentinelHubSceneCountTrigger(
            body=json.dumps({}), min_scenes=1, waits_until=9e9, poll_interval=0.01, **CONNECTION
        ),
        lambda: SentinelHubJobTrigger(
            kind="batch-process", job_id="7f1c", end_time=9e9, poll_interval=0.01, **CONNECTION
        ),
        lambda: SentinelHubByocTilesTrigger(
            collection_id=ID,
            tile_ids=["1"],
            submitted={},
            waits_until=9e9,
            poll_interval=0.01,
            timeout=None,
            deadline=60.0,
            **CONNECTION,
        ),
    ],
    ids=["scenes", "job", "tiles"],
)
def test_trigger_fires_the_error(make: Callable[[], BaseTrigger]):
    """Which ends the task, instead of asking again and again."""
    event = asyncio.run(asyncio.wait_for(first_event(make()), 60))

    assert SAID in json.dumps(event)


def test_watcher_says_it_and_looks_seldom(caplog: pytest.LogCaptureFixture):
    """It has no task to fail, so it goes on, at long intervals."""
    trigger = SentinelHubSceneTrigger(**WHERE, **CONNECTION)

    async def look() -> None:
        said = asyncio.Event()
        with caplog.filtering(lambda record: SAID not in record.getMessage() or said.set() or True):
            watching = asyncio.ensure_future(first_event(trigger))
            await said.wait()
            watching.cancel()

    asyncio.run(asyncio.wait_for(look(), 60))
    assert "until this is mended" in caplog.text


def test_hook_names_it_in_both_worlds():
    """As an error of the argument that names it, with Airflow's own as its cause."""
    hook = SentinelHubHook("no_such")
    for look_up in (lambda: hook.settings, lambda: asyncio.run(hook.asettings())):
        with pytest.raises(SentinelHubConfigurationError, match=SAID) as caught:
            look_up()
        assert (caught.value.field, caught.value.final) == ("sentinelhub_conn_id", True)


def test_connection_of_a_bucket_is_final_too():
    """Where a job's results go is read from a connection as well."""
    with pytest.raises(SentinelHubConfigurationError, match=SAID) as caught:
        access_of("no_such", "s3://results/x")
    assert caught.value.final

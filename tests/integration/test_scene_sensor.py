"""The scene sensor in its three modes, against the sandbox over real sockets. Waits pass at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.sdk import DAG
from airflow.sdk.bases.sensor import AirflowRescheduleException

from sentinelhub_provider.exceptions import SentinelHubResponseError
from sentinelhub_provider.sensors.catalog import SentinelHubSceneSensor
from sentinelhub_provider.triggers.catalog import SentinelHubSceneCountTrigger

TILE = "33TVL"
AREA = [14.0, 45.9, 14.1, 46.0]
SEARCH = "/catalog/v1/search"


@pytest.fixture(name="control")
def fixture_control(sentinelhub_sandbox, connect) -> Any:
    """Control over a sandbox where only published scenes are new."""
    connect()
    sentinelhub_sandbox.control.freeze_scenes()
    return sentinelhub_sandbox.control


@pytest.fixture(name="sensor")
def fixture_sensor(control, tmp_path) -> Callable[..., SentinelHubSceneSensor]:
    """Make a sensor and render its templates; it looks for scenes of the last hours."""
    sensors = []
    now = datetime.now(UTC)

    def make(**arguments: Any) -> SentinelHubSceneSensor:
        times = [now - timedelta(minutes=10), now + timedelta(hours=1)]
        given = {"collection": "sentinel-2-l2a", "bbox": AREA, "datetime": times, **arguments}
        with DAG("d", schedule=None, template_searchpath=[str(tmp_path)], params={"enough": 2}):
            sensor = SentinelHubSceneSensor(task_id="t", **given)
        sensor.render_template_fields({"params": {"enough": 2}})
        sensors.append(sensor)
        return sensor

    yield make
    for sensor in sensors:
        if "hook" in vars(sensor):
            sensor.hook.get_conn().close()


def fire(deferred: TaskDeferred, between: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Run the trigger of a deferral as the triggerer does, out of what is stored of it; return its event."""
    _, kwargs = deferred.trigger.serialize()
    trigger = SentinelHubSceneCountTrigger(**json.loads(json.dumps(kwargs)))
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            between()

    trigger._sleep = sleep

    async def first() -> dict[str, Any]:
        events = [event.payload async for event in trigger.run()]
        [event] = events
        return event

    event = asyncio.run(asyncio.wait_for(first(), 20))
    event["slept"] = slept
    return event


def test_enough_scenes_are_returned_at_once(control, sensor):
    """All that match, oldest first, as a short list."""
    published = control.publish_scenes(tile=TILE, count=3, cloud_cover=10)
    control.publish_scenes(tile=TILE, sensed=published[0].datetime - timedelta(seconds=5), cloud_cover=60)

    scenes = sensor(min_scenes=2, max_cloud_cover=30).execute({})

    assert [scene["id"] for scene in scenes] == [scene.id for scene in reversed(published)]
    assert set(scenes[0]) == {"id", "datetime", "cloud_cover", "bbox"}


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_scene_of_an_instant(control, sensor, deferrable: bool):
    """A single moment is waited for, too."""
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    [scene] = control.publish_scenes(tile=TILE, sensed=moment)

    for value in (moment, moment.isoformat(), f"{moment:%Y-%m-%dT%H:%M:%SZ}"):
        assert [one["id"] for one in sensor(datetime=value, deferrable=deferrable).execute({})] == [scene.id]


def test_a_poking_sensor_waits(control, sensor, monkeypatch):
    """Poke after poke, until the scene is there."""
    naps = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            control.publish_scenes(tile=TILE)

    monkeypatch.setattr("airflow.sdk.bases.sensor.time.sleep", sleep)

    assert len(sensor(poke_interval=60).execute({})) == 1
    assert naps == [60, 60]


def test_a_rescheduling_sensor_gives_its_slot_back(control, sensor):
    """Until the next poke."""

    class Instance:
        task_id = "t"

        def get_first_reschedule_date(self, context: Any) -> None:
            """It is the first poke."""

    with pytest.raises(AirflowRescheduleException):
        sensor(mode="reschedule").execute({"ti": Instance()})


def test_a_deferrable_sensor_waits_in_the_triggerer(control, sensor):
    """The trigger tells that there are enough; the task then reads the list itself."""
    waiting = sensor(min_scenes="{{ params.enough }}", deferrable=True, poke_interval=100, timeout=3600)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute({})
    assert timedelta(seconds=3590) < deferred.value.timeout <= timedelta(hours=1)

    event = fire(deferred.value, lambda: control.publish_scenes(tile=TILE, count=2))
    slept = event.pop("slept")
    assert event.pop("waits_until") == deferred.value.trigger.waits_until
    assert event == {"status": "found", "scenes": 2}
    assert len(slept) == 2
    assert all(100 <= pause <= 110 for pause in slept)
    assert len(waiting.resume({}, {**event, "waits_until": 1.0})) == 2


def test_a_deferrable_sensor_with_enough_scenes_does_not_defer(control, sensor):
    """There is nothing to wait for."""
    control.publish_scenes(tile=TILE)

    assert len(sensor(deferrable=True).execute({})) == 1


def test_scenes_that_vanished_meanwhile_are_waited_for_again(control, sensor):
    """At least so many it has to be, also when the list is read; the time limit stays what it was."""
    waiting = sensor(deferrable=True)
    with pytest.raises(TaskDeferred) as first:
        waiting.execute({})
    with pytest.raises(TaskDeferred) as second:
        waiting.resume({}, {"status": "found", "scenes": 1, "waits_until": first.value.trigger.waits_until})

    assert second.value.trigger.serialize() == first.value.trigger.serialize()
    assert second.value.timeout < first.value.timeout


def test_passing_errors_are_waited_out(control, sensor, monkeypatch):
    """By a poke and by the trigger alike."""
    control.add_fault(path=SEARCH, action={"kind": "html"}, times=1)
    monkeypatch.setattr("airflow.sdk.bases.sensor.time.sleep", lambda _: control.publish_scenes(tile=TILE))
    assert len(sensor().execute({})) == 1

    with pytest.raises(TaskDeferred) as deferred:
        sensor(deferrable=True, min_scenes=2, poke_interval=100).execute({})
    control.add_fault(path=SEARCH, action={"kind": "html"}, times=1)
    event = fire(
        deferred.value, lambda: control.publish_scenes(tile=TILE, sensed=datetime.now(UTC) - timedelta(seconds=20))
    )
    assert event["status"] == "found"
    assert event["slept"][1] <= 5


def test_a_refused_client_fails_the_task_without_retries(control, sensor, connect):
    """In the task and in the triggerer, with what to do and without the secret."""
    with pytest.raises(TaskDeferred) as deferred:
        sensor(deferrable=True).execute({})
    connect(password="a-wrong-secret")

    with pytest.raises(AirflowFailException):
        sensor().execute({})
    event = fire(deferred.value)
    assert event["error"] == "SentinelHubAuthenticationError"
    assert "a-wrong-secret" not in str(event) + str(deferred.value.trigger.serialize())
    with pytest.raises(AirflowFailException, match="SentinelHubAuthenticationError: "):
        sensor(deferrable=True).resume({}, event)


@pytest.mark.parametrize("event", [None, {}, "found", {"status": "success"}, {"status": "found"}])
def test_events_of_others_are_refused(sensor, event):
    """An empty, unknown or foreign event is no success."""
    with pytest.raises(SentinelHubResponseError, match="no event of a scene sensor"):
        sensor(deferrable=True).resume({}, event)


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"collection": "dem"}, "has no scenes"),
        ({"min_scenes": 0}, "min_scenes is 0"),
        ({"min_scenes": "many"}, "min_scenes is 'many'"),
        ({"bbox": [14, 46]}, "bbox"),
        ({"intersects": "fields.geojson", "bbox": None}, "fields.geojson, which cannot be read"),
        ({"max_cloud_cover": -1}, "max_cloud_cover"),
        ({"datetime": None}, "datetime is missing"),
        ({"datetime": ["2024-06-02", "2024-06-01"]}, "reversed"),
    ],
)
def test_arguments_that_cannot_be_fail_before_anything_is_sent(control, sensor, arguments, told, deferrable):
    """The task fails at once, and the message names the argument."""
    with pytest.raises(AirflowFailException, match=told):
        sensor(deferrable=deferrable, **arguments).execute({})

    assert control.counters().total_requests == 0


def test_the_data_interval_is_looked_at_by_default(control, sensor):
    """Both ends of it, but for the last second."""
    now = datetime.now(UTC).replace(microsecond=0)
    [inside] = control.publish_scenes(tile=TILE, sensed=now - timedelta(hours=2))
    control.publish_scenes(tile=TILE, sensed=now - timedelta(hours=1))
    interval = {"data_interval_start": now - timedelta(hours=2), "data_interval_end": now - timedelta(hours=1)}

    assert [scene["id"] for scene in sensor(datetime=None).execute(interval)] == [inside.id]


def test_a_soft_failing_sensor_is_skipped(control, sensor):
    """As Airflow's own are: for its time-out and for errors, deferred or not."""
    with pytest.raises(AirflowSkipException):
        sensor(soft_fail=True, timeout=0).execute({})
    with pytest.raises(AirflowSkipException):
        sensor(soft_fail=True, deferrable=True, min_scenes=0).execute({})
    with pytest.raises(AirflowSensorTimeout):
        sensor(timeout=0).execute({})

"""The scene sensor in its three modes, against the sandbox over real sockets. Waits pass at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
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
from task_instance import FAILED, TIMED_OUT, run_sensor

from sentinelhub_provider.exceptions import SentinelHubResponseError
from sentinelhub_provider.hooks import scenes
from sentinelhub_provider.hooks.scenes import asearch_scenes
from sentinelhub_provider.sensors.catalog import SentinelHubSceneSensor
from sentinelhub_provider.sensors.deferrable import PATIENCE, TaskDeferralError
from sentinelhub_provider.triggers import catalog
from sentinelhub_provider.triggers.catalog import SentinelHubSceneCountTrigger

TILE = "33TVL"
AREA = [14.0, 45.9, 14.1, 46.0]
SEARCH = "/catalog/v1/search"


@pytest.fixture(name="control")
def fixture_control(frozen) -> Any:
    """Control over the sandbox."""
    return frozen


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


class Time:
    """A clock that stands still while a search is under way, and else goes on to the next who sleeps."""

    def __init__(self, actions: dict[float, Callable[[], None]] | None = None) -> None:
        self.now = float(int(time.time()))
        self.begun = self.now
        self.polls: list[float] = []
        self._actions = dict(sorted((actions or {}).items()))
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._busy = 0

    def time(self) -> float:
        """Return the time."""
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass, and what happens in them happen."""
        self.now += seconds
        for after in [after for after in self._actions if self.begun + after <= self.now]:
            self._actions.pop(after)()

    async def asleep(self, seconds: float) -> None:
        """Wait until the time has come."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, future))
        await future

    def fire(self, deferred: TaskDeferred) -> dict[str, Any]:
        """Run the trigger of a deferral as the triggerer does, out of what is stored of it; return its event."""
        _, kwargs = deferred.trigger.serialize()
        return asyncio.run(asyncio.wait_for(self._fire([kwargs]), 30))[0]

    async def _fire(self, stored: list[dict[str, Any]]) -> list[dict[str, Any]]:
        triggers = [SentinelHubSceneCountTrigger(**json.loads(json.dumps(kwargs))) for kwargs in stored]
        for trigger in triggers:
            trigger._now = trigger._clock = self.time
            trigger._sleep = self.asleep
            trigger._jitter = lambda: 0.0
            trigger._search = partial(self._counted, trigger._search)
        firing = [asyncio.ensure_future(anext(trigger.run())) for trigger in triggers]
        while not all(each.done() for each in firing):
            was_busy = self._busy
            for _ in range(20):
                await asyncio.sleep(0)
            if was_busy or self._busy:
                await asyncio.sleep(0.002)
                continue
            self._sleepers = sorted((each for each in self._sleepers if not each[1].done()), key=lambda each: each[0])
            if self._sleepers:
                due, future = self._sleepers.pop(0)
                self.sleep(max(0.0, due - self.now))
                future.set_result(None)
        return [event.payload for event in await asyncio.gather(*firing)]

    async def _counted(self, search: Callable[[int], Any], enough: int) -> Any:
        self.polls.append(self.now - self.begun)
        self._busy += 1
        try:
            return await search(enough)
        finally:
            self._busy -= 1


def run_to_its_end(sensor: SentinelHubSceneSensor, clock: Time, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a sensor as Airflow does, deferrals included; return its result, or how it ends."""
    monkeypatch.setattr("airflow.sdk.bases.sensor.time", clock)
    monkeypatch.setattr("sentinelhub_provider.sensors.deferrable.time", clock)
    end = run_sensor(sensor, {}, clock.fire)
    return end if isinstance(end, str) else len(end)


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
    assert timedelta(seconds=3590) < deferred.value.timeout <= timedelta(hours=1) + timedelta(seconds=PATIENCE)

    clock = Time({150: lambda: control.publish_scenes(tile=TILE, count=2)})
    event = clock.fire(deferred.value)
    assert event == {"status": "found", "scenes": 2, "waits_until": deferred.value.trigger.waits_until}
    assert clock.polls == [100, 200]
    assert len(waiting.execute_complete({}, event)) == 2


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
        waiting.execute_complete({}, {"status": "found", "scenes": 1, "waits_until": first.value.trigger.waits_until})

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
    sensed = datetime.now(UTC) - timedelta(seconds=20)
    clock = Time({105: lambda: control.publish_scenes(tile=TILE, sensed=sensed)})
    assert clock.fire(deferred.value)["status"] == "found"
    assert clock.polls == [100, 110], "the poll after a fault comes soon"


def test_a_refused_client_fails_the_task_without_retries(control, sensor, connect):
    """In the task and in the triggerer, with what to do and without the secret."""
    with pytest.raises(TaskDeferred) as deferred:
        sensor(deferrable=True).execute({})
    connect(password="a-wrong-secret")

    with pytest.raises(AirflowFailException):
        sensor().execute({})
    event = Time().fire(deferred.value)
    assert event["error"] == "SentinelHubAuthenticationError"
    assert "a-wrong-secret" not in str(event) + str(deferred.value.trigger.serialize())
    with pytest.raises(AirflowFailException, match="SentinelHubAuthenticationError: "):
        sensor(deferrable=True).execute_complete({}, event)


@pytest.mark.parametrize("event", [None, {}, "found", {"status": "success"}, {"status": "found"}])
def test_events_of_others_are_refused(sensor, event):
    """An empty, unknown or foreign event is no success."""
    with pytest.raises(SentinelHubResponseError, match="not an event of a scene sensor"):
        sensor(deferrable=True).execute_complete({}, event)


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


REFUSED = {"kind": "status", "status": 403}


@pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferrable"])
@pytest.mark.parametrize(
    ("happens", "options", "ends"),
    [
        *(("nothing", *case) for case in TIMED_OUT),
        ("scene", {}, 1),
        ("scene", {"soft_fail": True, "exponential_backoff": True}, 1),
        *(("refusal", *case) for case in FAILED),
        ("outage", {}, 1),
        ("outage", {"never_fail": True}, 1),
        ("bug", {}, "to be retried"),
        ("bug", {"soft_fail": True}, "to be retried"),
        ("bug", {"never_fail": True}, "skipped"),
        ("bug", {"silent_fail": True}, 1),
    ],
)
def test_a_deferred_wait_ends_as_a_poking_one(control, sensor, monkeypatch, happens, options, ends, deferrable):
    """Whatever comes while it waits, and whatever is to become of it."""

    def go_wrong() -> None:
        def broken(*_: Any, **__: Any) -> Any:
            for undo, name, original in originals:
                monkeypatch.setattr(undo, name, original)
            raise RuntimeError("nobody thought of this")

        originals = [(scenes, "search_scenes", scenes.search_scenes), (catalog, "asearch_scenes", asearch_scenes)]
        for place, name, _ in originals:
            monkeypatch.setattr(place, name, broken)

    def publish() -> None:
        control.publish_scenes(tile=TILE)

    actions: dict[str, dict[float, Callable[[], None]]] = {
        "nothing": {},
        "scene": {150: publish},
        "refusal": {150: lambda: control.add_fault(path=SEARCH, action=REFUSED, times=None)},
        "outage": {150: lambda: control.add_fault(path=SEARCH, action={"kind": "html"}, times=2), 450: publish},
        "bug": {150: go_wrong, 450: publish},
    }
    clock = Time(actions[happens])
    waiting = sensor(deferrable=deferrable, poke_interval=100, timeout=1000, **options)

    outcome = run_to_its_end(waiting, clock, monkeypatch)
    assert outcome == ends, (clock.polls, clock.now - clock.begun)
    if ends == "timed out" or (happens, ends) == ("nothing", "skipped"):
        assert 1000 <= clock.now - clock.begun <= 1100


@pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferrable"])
def test_no_time_is_no_wait(control, sensor, deferrable):
    """One search, and the sensor has timed out."""
    with pytest.raises(AirflowSensorTimeout):
        sensor(deferrable=deferrable, timeout=0).execute({})
    with pytest.raises(AirflowSkipException):
        sensor(deferrable=deferrable, timeout=0, soft_fail=True).execute({})


def test_deferred_polls_back_off_as_pokes_do(control, sensor):
    """Twice as long each time, up to ``max_wait``; the last poll is at the end of the wait."""
    waiting = sensor(deferrable=True, poke_interval=100, timeout=2000, exponential_backoff=True, max_wait=500)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute({})

    clock = Time()
    assert clock.fire(deferred.value)["status"] == "timeout"
    assert clock.polls[:-1] == [50, 150, 350, 750, 1250, 1750]
    assert clock.polls[-1] == pytest.approx(2000, abs=5)


@pytest.mark.parametrize("option", [{}, {"soft_fail": True}, {"never_fail": True}])
def test_a_deferral_that_airflow_ends_is_a_time_out(control, sensor, option):
    """Where no triggerer ran; a trigger that broke is an error like any other."""
    waiting = sensor(deferrable=True, **option)
    with pytest.raises(AirflowSkipException if "soft_fail" in option else AirflowSensorTimeout):
        waiting.resume_execution("__fail__", {"error": "Trigger timeout"}, {})
    with pytest.raises(AirflowSkipException if "never_fail" in option else TaskDeferralError):
        waiting.resume_execution("__fail__", {"error": "Trigger failure"}, {})


def test_equal_sensors_share_each_poll_and_ask_for_no_more_than_needed(control, sensor):
    """Forty triggers, of which one wants 120 scenes: two pages a poll for all, and one token."""
    deferred = []
    for number in range(40):
        with pytest.raises(TaskDeferred) as each:
            sensor(deferrable=True, min_scenes=120 if number == 7 else 1).execute({})
        deferred.append(each.value.trigger.serialize()[1])
    bodies = {kwargs["body"] for kwargs in deferred}
    assert len(bodies) == 1
    control.publish_scenes(tile=TILE, count=130)
    before = control.counters().requests[SEARCH]

    events = asyncio.run(asyncio.wait_for(Time()._fire(deferred), 30))

    assert {event["status"] for event in events} == {"found"}
    assert control.counters().requests[SEARCH] - before == 2


def test_a_wait_for_one_scene_costs_a_page_of_one(control, sensor):
    """However many there are."""
    with pytest.raises(TaskDeferred) as deferred:
        sensor(deferrable=True).execute({})
    control.publish_scenes(tile=TILE, count=130)
    before = control.counters().requests[SEARCH]

    assert Time().fire(deferred.value) == {
        "status": "found",
        "scenes": 1,
        "waits_until": deferred.value.trigger.waits_until,
    }
    assert control.counters().requests[SEARCH] - before == 1

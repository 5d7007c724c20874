"""The scene trigger on an event loop, against the sandbox over real sockets. Waits pass at once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sentinelhub_provider.api.scenes.events import announced_key
from sentinelhub_provider.triggers.scene import SentinelHubSceneTrigger

TILE = "33TVL"
POINT = {"type": "Point", "coordinates": [14.05, 45.95]}
SEARCH = "/catalog/v1/search"


class Time:
    """A clock that goes on by what is slept; a sleeper gives way to the others."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds
        await asyncio.sleep(0.002)


class Accessor:
    """An asset's state store, and Airflow storing events with their numbers beside it."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        self.failures = 0

    async def aget(self, key: str, default: Any = None) -> Any:
        """Read."""
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        """Write, or fail."""
        if self.failures:
            self.failures -= 1
            raise RuntimeError("database is locked")
        self.values[key] = json.dumps(value)

    def store(self, event: Any) -> dict[str, Any]:
        """Store an event as Airflow and the provider's plugin do."""
        payload = event.payload
        self.events.append(payload)
        self.values[announced_key(payload["watch"]["key"])] = json.dumps(payload["watch"]["number"])
        return dict(payload)

    @property
    def ids(self) -> list[str]:
        """The scenes of the events that were stored."""
        return [scene["id"] for payload in self.events for scene in payload["scenes"]]


class Accessors:
    """What the triggerer gives to a trigger: the stores of its assets by name."""

    def __init__(self, **accessors: Accessor) -> None:
        self._by_name = accessors


@pytest.fixture(name="control")
def fixture_control(frozen) -> Any:
    """Control over the sandbox."""
    return frozen


@pytest.fixture(name="asset")
def fixture_asset() -> Accessor:
    """The store of the watched asset."""
    return Accessor()


@pytest.fixture(name="watch")
def fixture_watch(control, asset) -> Callable[..., SentinelHubSceneTrigger]:
    """Make a watcher as the triggerer does, out of what is stored of it."""

    def make(store: Any = (), **arguments: Any) -> SentinelHubSceneTrigger:
        given = {"collection": "sentinel-2-l2a", "intersects": POINT, "poll_interval": 10, **arguments}
        _, kwargs = SentinelHubSceneTrigger(**given).serialize()
        trigger = SentinelHubSceneTrigger(**json.loads(json.dumps(kwargs)))
        trigger.asset_state_store = Accessors(watched=asset) if store == () else store
        time = Time()
        trigger._clock = time
        trigger._sleep = time.sleep
        return trigger

    return make


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds that no event tells of."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def first_poll(trigger: SentinelHubSceneTrigger, asset: Accessor) -> AsyncIterator[Any]:
    """Start a watcher and return its events, once it has made its first result."""
    events = trigger.run()
    waiting = asyncio.ensure_future(anext(events))
    await until(lambda: trigger.state_key in asset.values or waiting.done())
    assert not waiting.done()

    async def go_on() -> AsyncIterator[Any]:
        async with aclosing(events):
            yield await waiting
            async for event in events:
                yield event

    return go_on()


def run(scenario: Any, seconds: float = 30) -> Any:
    """Run a scenario on an event loop of its own."""
    return asyncio.run(asyncio.wait_for(scenario, seconds))


def ids_of(event: Any) -> list[str]:
    """Return the ids of an event's scenes."""
    payload = event if isinstance(event, dict) else event.payload
    return [scene["id"] for scene in payload["scenes"]]


def test_the_new_scenes_of_a_poll_are_one_event(control, watch, asset):
    """New and late ones, with what the next task needs; none that is too cloudy."""
    now = datetime.now(UTC)

    async def scenario() -> None:
        async with aclosing(await first_poll(watch(max_cloud_cover=30), asset)) as events:
            [new, older] = control.publish_scenes(tile=TILE, count=2, cloud_cover=12.5)
            stored = asset.store(await anext(events))
            assert stored == {
                "scenes": [
                    {
                        "id": each.id,
                        "datetime": f"{each.datetime:%Y-%m-%dT%H:%M:%SZ}",
                        "cloud_cover": 12.5,
                        "bbox": list(each.bbox),
                    }
                    for each in (older, new)
                ],
                "collection": "sentinel-2-l2a",
                "area": [14.05, 45.95, 14.05, 45.95],
                "watch": {"key": watch(max_cloud_cover=30).state_key, "number": 1},
            }
            assert watch().asset_extra == {name: stored[name] for name in ("collection", "area")}
            control.publish_scenes(tile=TILE, sensed=now - timedelta(days=1), cloud_cover=31)
            [late] = control.publish_scenes(tile=TILE, sensed=now - timedelta(days=5), cloud_cover=30)
            assert ids_of(asset.store(await anext(events))) == [late.id]

    run(scenario())


def test_a_restart_loses_none_and_repeats_none(control, watch, asset):
    """In the midst of an event, with scenes published while nobody watches, and a new processing among them."""
    now = datetime.now(UTC)

    async def scenario() -> None:
        async with aclosing(await first_poll(watch(), asset)) as events:
            published = control.publish_scenes(tile=TILE, count=3, sensed=now - timedelta(days=1))
            asset.store(await anext(events))
            published += control.publish_scenes(tile=TILE, count=3, sensed=now - timedelta(days=3))
            await anext(events)  # handed over, but not stored: the triggerer was killed
        control.publish_scenes(replaces=published[0].id)
        published += control.publish_scenes(tile=TILE, count=2, sensed=now - timedelta(days=2))
        async with aclosing(watch().run()) as events:
            while len(asset.ids) < 8:
                asset.store(await anext(events))
        assert sorted(asset.ids) == sorted(scene.id for scene in published)

    run(scenario())


def test_many_scenes_come_in_bounded_events(control, watch, asset):
    """Each is written down before it is announced, and stored before the next one begins."""

    async def scenario() -> None:
        async with aclosing(await first_poll(watch(), asset)) as events:
            control.publish_scenes(tile=TILE, count=260)
            for number in (1, 2):
                event = await anext(events)
                memory = json.loads(asset.values[event.payload["watch"]["key"]])
                assert event.payload["watch"]["number"] == memory["number"] == number
                asset.store(event)
        assert [len(event["scenes"]) for event in asset.events] == [250, 10]
        assert len(set(asset.ids)) == 260

    run(scenario())


@pytest.mark.parametrize(
    ("options", "monthly", "level"),
    [({}, 259_200, "warning"), ({"poll_interval": 1_800.0}, 1_440, "info")],
    ids=["more than the free plan has", "the default"],
)
def test_the_cost_of_polls_is_logged(control, watch, asset, capsys, options, monthly, level):
    """Beside what the free plan has, which the default does not use up."""

    async def scenario() -> None:
        await (await first_poll(watch(**options), asset)).aclose()

    run(scenario())

    [line] = [line for line in capsys.readouterr().out.splitlines() if "request(s) per poll" in line]
    assert f"1 request(s) per poll make {monthly} a month" in line
    assert f"[{level}" in line
    assert SentinelHubSceneTrigger(collection="sentinel-1-grd").poll_interval == 1_800


def test_watchers_of_one_query_share_its_searches(control, watch):
    """Ten watchers that differ in start and reprocessed, one token and one search."""
    assets = [Accessor() for _ in range(10)]
    triggers = [
        watch(Accessors(watched=asset), poll_interval=1_000 + number, reprocessed=("ignore", "announce")[number % 2])
        for number, asset in enumerate(assets)
    ]
    for trigger in triggers:
        trigger._sleep = asyncio.sleep

    async def scenario() -> None:
        polls = [asyncio.ensure_future(first_poll(*pair)) for pair in zip(triggers, assets, strict=True)]
        for events in await asyncio.gather(*polls):
            await events.aclose()

    run(scenario())

    assert control.counters().requests[SEARCH] == 1
    assert control.counters().token_requests == 1


def test_an_asset_beside_the_first_shares_the_memory(control, watch, asset):
    """Assets that are watched alike have one trigger: a new one among them does not begin anew."""
    other = Accessor()

    async def scenario() -> None:
        async with aclosing(await first_poll(watch(), asset)) as events:
            control.publish_scenes(tile=TILE)
            asset.store(await anext(events))
        async with aclosing(watch(Accessors(another=other, watched=asset)).run()) as events:
            [new] = control.publish_scenes(tile=TILE, sensed=datetime.now(UTC) - timedelta(days=1))
            assert ids_of(asset.store(await anext(events))) == [new.id]
        assert other.values

    run(scenario())


def test_a_store_that_fails_for_a_while_is_waited_for(control, watch, asset, caplog):
    """Nothing is announced before it is written down."""

    async def scenario() -> None:
        async with aclosing(await first_poll(watch(), asset)) as events:
            asset.failures = 4
            [new] = control.publish_scenes(tile=TILE)
            assert ids_of(asset.store(await anext(events))) == [new.id]
            assert asset.failures == 0

    run(scenario())

    assert caplog.text.count("the asset state store fails (database is locked)") == 4


def test_without_confirmation_it_goes_on_and_says_so(control, watch, asset, caplog):
    """The plugin is not loaded: events count as stored after a while, also after a restart."""
    now = datetime.now(UTC)

    async def scenario() -> list[str]:
        ids = []
        async with aclosing(await first_poll(watch(), asset)) as events:
            for day in (1, 2, 3):
                control.publish_scenes(tile=TILE, sensed=now - timedelta(days=day))
                ids += ids_of(await anext(events))
            waiting = asyncio.ensure_future(anext(events))
            key = watch().state_key
            await until(lambda: not json.loads(asset.values[key])["pending"])
            waiting.cancel()
            await asyncio.wait([waiting])
        async with aclosing(watch().run()) as events:
            control.publish_scenes(tile=TILE, sensed=now - timedelta(days=4))
            ids += ids_of(await anext(events))
        return ids

    assert len(set(run(scenario()))) == 4
    assert caplog.text.count("nobody confirms that events are stored") == 1


def test_a_confirmation_that_comes_late_is_waited_for_again(control, watch, asset, caplog):
    """Whoever stores events was held up: from then on, a batch counts as announced only when it is stored."""
    now = datetime.now(UTC)

    async def scenario() -> None:
        key = watch().state_key
        async with aclosing(await first_poll(watch(), asset)) as events:
            control.publish_scenes(tile=TILE, sensed=now - timedelta(days=1))
            held = await anext(events)
            control.publish_scenes(tile=TILE, sensed=now - timedelta(days=2))
            after = await anext(events)  # a minute went by without a confirmation
            asset.store(held)
            asset.store(after)
            for day in (3, 4):
                control.publish_scenes(tile=TILE, sensed=now - timedelta(days=day))
                asset.store(await anext(events))
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.wait([waiting])
        assert json.loads(asset.values[key])["pending"], "the last batch was confirmed, and not written down as settled"

    run(scenario())

    assert caplog.text.count("nobody confirms that events are stored") == 1


def test_a_confirmation_is_waited_for_longer_where_there_was_one(control, watch, asset, caplog):
    """A triggerer that stores events late is not taken for one that never does."""
    now = datetime.now(UTC)

    async def scenario() -> None:
        trigger = watch()
        async with aclosing(await first_poll(trigger, asset)) as events:
            for day in (1, 2):
                control.publish_scenes(tile=TILE, sensed=now - timedelta(days=day))
                event = await anext(events)
                begun = trigger._clock()
                if day == 2:
                    waiting = asyncio.ensure_future(anext(events))
                    await until(lambda begun=begun: trigger._clock() > begun + 120)
                    waiting.cancel()
                    await asyncio.wait([waiting])
                asset.store(event)

    run(scenario())

    assert "nobody confirms" not in caplog.text


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (None, "scenes published meanwhile are not announced"),
        ("2026-01-01", "2026-01-01T00:00:00Z are announced again"),
    ],
    ids=["from now on", "from a start"],
)
def test_without_a_store_the_memory_is_lost_with_the_process(control, watch, capsys, start, told):
    """Before Airflow 3.3; one line says what that means."""

    async def scenario() -> None:
        trigger = watch(None, start=start)
        async with aclosing(trigger.run()) as events:
            waiting = asyncio.ensure_future(anext(events))
            await until(lambda: SEARCH in control.counters().requests)
            await asyncio.sleep(0.1)
            [new] = control.publish_scenes(tile=TILE, sensed=datetime.now(UTC) - timedelta(minutes=5))
            found = ids_of(await waiting)
            while new.id not in found:
                found = ids_of(await anext(events))

    run(scenario())

    log = capsys.readouterr().out
    assert log.count("are kept in memory") == 1
    assert told in log


def test_a_memory_that_cannot_be_read_is_begun_anew(control, watch, asset, caplog):
    """Told as an error; the watcher does not end."""
    asset.values[watch().state_key] = json.dumps({"version": 99})

    async def scenario() -> None:
        async with aclosing(watch().run()) as events:
            waiting = asyncio.ensure_future(anext(events))
            await until(lambda: "since" in json.loads(asset.values[watch().state_key]))
            [new] = control.publish_scenes(tile=TILE)
            assert ids_of(await waiting) == [new.id]

    run(scenario())

    assert "the stored memory cannot be read" in caplog.text


def test_a_wrong_secret_ends_nothing_and_shows_nowhere(control, watch, asset, connect, caplog, capsys):
    """The watcher says what to do, waits, and goes on once the connection is right."""
    connect(password="a-wrong-secret")

    async def scenario() -> None:
        async with aclosing(watch().run()) as events:
            waiting = asyncio.ensure_future(anext(events))
            await until(lambda: "No scene is announced until this is mended" in caplog.text)
            connect()
            await until(lambda: watch().state_key in asset.values)
            control.publish_scenes(tile=TILE)
            asset.store(await waiting)

    with caplog.at_level(logging.DEBUG):
        run(scenario())

    trigger = watch()
    log = caplog.text + capsys.readouterr().out
    shown = log + repr(trigger) + str(trigger.serialize()) + json.dumps(asset.events) + str(asset.values)
    assert "the first poll found" in log
    for secret in ("a-wrong-secret", *control.tokens()):
        assert secret not in shown


def test_an_answer_that_is_none_does_not_end_it(control, watch, asset, caplog):
    """A proxy's HTML page under a 200 is no empty result."""
    control.add_fault(path=SEARCH, action={"kind": "html"}, times=2)

    async def scenario() -> None:
        async with aclosing(await first_poll(watch(), asset)) as events:
            [new] = control.publish_scenes(tile=TILE)
            assert ids_of(asset.store(await anext(events))) == [new.id]

    run(scenario())

    assert "a poll failed (SentinelHubResponseError" in caplog.text

"""Watchers of one asset that overlap, are frozen and killed: each scene is announced once. No service, no Airflow."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clocks import SteppedTime
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider.api.scenes.events import announced_key
from sentinelhub_provider.api.scenes.watch import BATCH, SceneLedger
from sentinelhub_provider.triggers.scene_announcer import BATCH_PAUSE, SceneAnnouncer, SceneStore

KEY = "sentinelhub.scenes.0123456789abcdef"
NOW = datetime(2024, 6, 15, 12, tzinfo=UTC)


def scene(number: int) -> dict[str, Any]:
    """Return a scene of the last days."""
    moment = NOW - timedelta(minutes=number % 2_000)
    return {"id": f"scene-{number}", "datetime": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}


class World:
    """A Catalog, and the database of an Airflow, which stores events one second after they were fired."""

    def __init__(self, *, confirms: bool = True) -> None:
        self.time = SteppedTime()
        self.catalog: list[dict[str, Any]] = []
        self.values: dict[str, Any] = {}
        self.events: list[tuple[float, list[str]]] = []
        self._confirms = confirms
        self._storing: set[asyncio.Task[None]] = set()

    async def aget(self, key: str) -> Any:
        """Read a value, which takes a moment."""
        await self.time.sleep(0.01)
        return json.loads(self.values.get(key, "null"))

    async def aset(self, key: str, value: Any) -> None:
        """Write a value, which takes a moment."""
        await self.time.sleep(0.01)
        self.values[key] = json.dumps(value)

    @property
    def announced(self) -> list[str]:
        """The ids of all events' scenes."""
        return sorted(name for _, names in self.events for name in names)

    @property
    def published(self) -> list[str]:
        """The ids of all scenes."""
        return sorted(each["id"] for each in self.catalog)

    def publish(self, count: int) -> None:
        """Let scenes appear."""
        self.catalog += [scene(len(self.catalog) + number) for number in range(count)]

    def watch(self, interval: float = 30.0, delay: float = 0.0) -> asyncio.Task[None]:
        """Start a watcher that polls at this interval; cancel it to kill it."""
        ledger = SceneLedger(start=NOW - timedelta(days=7))
        store = SceneStore([self], KEY, sleep=self.time.sleep)
        announcer = SceneAnnouncer(ledger, store, ledger.writer, clock=self.time, sleep=self.time.sleep)

        async def poll() -> None:
            await self.time.sleep(delay)
            await announcer.adopt()
            while True:
                async for number, batch in announcer.batches(list(self.catalog), NOW):
                    task = asyncio.ensure_future(self._store(number, [str(each["id"]) for each in batch]))
                    self._storing.add(task)
                await self.time.sleep(interval)

        return asyncio.ensure_future(poll())

    async def _store(self, number: int, names: list[str]) -> None:
        await self.time.sleep(1.0)
        self.events.append((self.time(), names))
        if self._confirms:
            highest = max(number, json.loads(self.values.get(announced_key(KEY), "0")))
            self.values[announced_key(KEY)] = json.dumps(highest)


def run(scenario: Callable[[World], Any], world: World | None = None) -> World:
    """Run a scenario in a world and return the world."""
    world = world or World()

    async def act() -> None:
        await asyncio.wait_for(scenario(world), 60)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(act())
    return world


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.5, 1.0, 2.02, 3.0, 15.0])
@pytest.mark.parametrize("confirms", [True, False], ids=["with the plugin", "without the plugin"])
def test_watchers_that_overlap_announce_each_scene_once(delay, confirms):
    """Two triggerers believe for a while that the same watcher is theirs; scenes appear all the time."""

    async def scenario(world: World) -> None:
        world.watch()
        world.watch(delay=delay)
        for _ in range(20):
            world.publish(5)
            await world.time.run(17)
        await world.time.run(300)

    world = run(scenario, World(confirms=confirms))
    assert world.announced == world.published
    assert len(world.published) == 100


@given(
    watchers=st.lists(st.tuples(st.floats(0, 200), st.floats(20, 60), st.floats(0, 300)), min_size=1, max_size=4),
    published=st.lists(st.integers(1, 5), min_size=1, max_size=8),
)
def test_none_is_lost_and_none_comes_twice_whoever_comes_and_goes(watchers, published):
    """Watchers begin and are killed at any time; the last one is alone, and stays."""

    async def scenario(world: World) -> None:
        tasks = [(world.watch(interval, delay), delay + life) for delay, interval, life in watchers]
        for count in published:
            world.publish(count)
            await world.time.run(40)
            for task, end in tasks:
                if world.time() >= end:
                    task.cancel()
        for task, _ in tasks:
            task.cancel()
        await world.time.run(5)
        world.watch()
        await world.time.run(300)

    world = run(scenario)
    assert world.announced == world.published


def test_a_watcher_goes_on_after_another_one_announced_for_it():
    """It adopts what the other one announced in the meantime."""

    async def scenario(world: World) -> None:
        world.publish(10)
        first = world.watch(interval=100)
        await world.time.run(60)
        world.publish(10)
        other = world.watch()
        await world.time.run(60)
        other.cancel()
        world.publish(10)
        world.watch()
        await world.time.run(200)
        assert not first.done()

    world = run(scenario)
    assert world.announced == world.published


def test_ten_thousand_scenes_are_bounded_events_with_time_between_them():
    """Airflow makes the run of one event before the next one comes, so that no event is left waiting."""

    async def scenario(world: World) -> None:
        world.publish(10_000)
        world.watch()
        await world.time.run(40 * (BATCH_PAUSE + 10))

    world = run(scenario)
    assert world.announced == world.published
    assert max(len(names) for _, names in world.events) == BATCH
    times = [time for time, _ in world.events]
    assert min(after - before for before, after in itertools.pairwise(times)) >= BATCH_PAUSE
    assert len(json.dumps([scene(1)] * BATCH)) < 65_535


def test_two_scenes_of_one_poll_are_one_event():
    """The second to last scene of a pass does not wait for the next pass."""

    async def scenario(world: World) -> None:
        world.watch()
        await world.time.run(40)
        world.publish(2)
        await world.time.run(40)

    world = run(scenario)
    assert [len(names) for _, names in world.events] == [2]


def test_a_dead_watchers_claim_is_waited_for_once():
    """It wrote a batch down and was killed: the batch is announced by the next one, soon."""

    async def scenario(world: World) -> None:
        world.publish(3)
        dead = world.watch()
        await world.time.run(1.0)
        dead.cancel()
        assert json.loads(world.values[KEY])["pending"]
        begun = world.time()
        world.watch()
        await world.time.run(120)
        assert world.events[0][0] - begun < 90

    world = run(scenario)
    assert world.announced == world.published

"""A trigger that announces new scenes, for DAGs that start when a satellite has passed."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from sentinelhub_provider.api.catalog import build_search
from sentinelhub_provider.api.jobs.polling import wait_after_fault
from sentinelhub_provider.api.scenes.events import KEY_PREFIX, scene_event, watcher_key
from sentinelhub_provider.api.scenes.search import SHORT_FIELDS, check_has_scenes
from sentinelhub_provider.api.scenes.watch import (
    DEFAULT_LOOKBACK,
    IGNORE,
    SceneLedger,
    batches,
    check_lookback,
    check_reprocessed,
    pause_between,
)
from sentinelhub_provider.api.time_range import format_time, parse_time
from sentinelhub_provider.api.values import read_seconds
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.hooks.scenes import asearch_scenes
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.triggers.scene_store import SceneStore, open_store
from sentinelhub_provider.triggers.shared_poll import SHORTEST_PAUSE, SharedPoll, shared_poll
from sentinelhub_provider.triggers.stored import StoredTrigger, checking

T = TypeVar("T")

CONFIRMATION_SECONDS = 60.0
"""How long the first confirmation is waited for. Airflow stores a hundred events within a few seconds."""

LONGEST_CONFIRMATION_SECONDS = 600.0
"""How long one is waited for where there was one before: whoever confirms is there, and may be busy."""

CONFIRMATION_PAUSE = 1.0
"""Seconds between two looks for a confirmation: the triggerer hands events over once a second."""

SETTLING_SECONDS = 5.0
"""Where nobody confirms, a batch counts as announced so much later: time enough to hand it over and store it."""


class SentinelHubSceneTrigger(StoredTrigger, BaseEventTrigger):
    """
    Watch a collection and an area, and announce each new scene once.

    ::

        trigger = SentinelHubSceneTrigger(collection="sentinel-2-l2a", bbox=AREA, max_cloud_cover=30)
        scenes = Asset("scenes", watchers=[AssetWatcher(name="new_scenes", trigger=trigger)])

    The event's payload has ``id``, ``datetime``, ``cloud_cover`` (per cent), ``bbox`` (degrees), ``collection`` and
    ``watch``, under which the watcher takes the announcement down. It holds no token and no secret.

    .. seealso:: :doc:`/scene-trigger`

    :param collection: a collection's id, such as ``sentinel-2-l2a``.
    :param bbox: west, south, east, north in degrees; or give ``intersects``, or neither for everywhere.
    :param intersects: GeoJSON as a dict, or WKT, in degrees.
    :param max_cloud_cover: per cent.
    :param filter: CQL2, as text or as JSON in a dict.
    :param start: the first look announces scenes that were sensed since then; by default none, so that only those are
        announced that are published from now on.
    :param lookback: days (or a ``timedelta``) for which a scene may be published late, counted from its sensing.
    :param reprocessed: ``ignore`` scenes that are a new processing of one that was announced, or ``announce`` them.
    :param poll_interval: seconds between two looks, 10 or more.
    :param sentinelhub_conn_id: the connection.
    :raises InvalidTriggerError: names the argument. Nothing is sent for it.
    """

    _now = staticmethod(lambda: datetime.now(UTC))
    _clock = staticmethod(time.monotonic)
    _sleep = staticmethod(asyncio.sleep)

    @checking
    def __init__(
        self,
        *,
        collection: str,
        bbox: Sequence[float] | None = None,
        intersects: Mapping[str, Any] | str | None = None,
        max_cloud_cover: float | None = None,
        filter: str | Mapping[str, Any] | None = None,  # noqa: A002 - the field's name in STAC
        start: datetime | str | None = None,
        lookback: timedelta | float = DEFAULT_LOOKBACK,
        reprocessed: str = IGNORE,
        poll_interval: float = 300.0,
        sentinelhub_conn_id: str = SentinelHubHook.default_conn_name,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.collection = collection
        self.bbox: Sequence[float] | None = bbox
        self.max_cloud_cover = max_cloud_cover
        self.sentinelhub_conn_id = sentinelhub_conn_id
        self.asset_state_store = None
        self.intersects = _revived(intersects, "intersects")
        self.filter = _revived(filter, "filter")
        self.start = None if start is None else parse_time(start, "start")
        self.lookback = check_lookback(lookback)
        self.reprocessed = check_reprocessed(reprocessed)
        self.poll_interval = _checked_interval(poll_interval)
        check_has_scenes(collection)
        # The body has the box as four numbers, whatever it was given as.
        self.bbox = self._search_body(datetime(2020, 1, 1, tzinfo=UTC)).get("bbox")

    def _stored(self) -> dict[str, Any]:
        return {
            **self._query(),
            "start": None if self.start is None else format_time(self.start),
            "lookback": self.lookback.total_seconds() / 86_400,
        }

    @property
    def state_key(self) -> str:
        """Key of the memory: what is watched. Another ``lookback``, ``start`` or ``poll_interval`` goes on with it."""
        watched = {**self._query(), "reprocessed": self.reprocessed, "connection": self.sentinelhub_conn_id}
        return watcher_key(watched)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch for ever."""
        store = open_store(getattr(self, "asset_state_store", None), self.state_key)
        ledger = SceneLedger(self.start, self.lookback, self.reprocessed)
        announced = await self._restore(ledger, store)
        confirmer = _Confirmer(self, store, is_known=announced > 0)
        poll = shared_poll(self._poll_key(), self._make_poll)
        with poll.subscribe(lambda: ledger.search_from(self._now()), self._pause) as looks:
            while True:
                scenes = await looks.next()
                now, is_first = self._now(), ledger.is_blank
                new = ledger.new_scenes(scenes, now)
                if is_first:
                    self.log.info("%s: the first look found %d scenes, %d to announce", self, len(scenes), len(new))
                    await self._save(ledger, store)
                for batch in batches(new):
                    announcements = ledger.begin(batch)
                    await self._save(ledger, store)
                    for announcement in announcements:
                        event = scene_event(announcement.scene, self.collection, self.state_key, announcement.number)
                        yield TriggerEvent(event)  # type: ignore[no-untyped-call]
                    is_confirmed = await confirmer.wait(announcements[-1].number)
                    ledger.commit()
                    if not is_confirmed:
                        await self._save(ledger, store)
                shortened = ledger.move_on(now)
                if shortened is not None:
                    self.log.warning(
                        "%s: too many scenes to remember, so only those sensed since %s are announced. Watch a smaller "
                        "area, or set a shorter lookback.",
                        self,
                        shortened,
                    )

    def __str__(self) -> str:
        """Name the watcher in the log."""
        return f"watcher of {self.collection} ({self.state_key.removeprefix(KEY_PREFIX)[:6]})"

    def _query(self) -> dict[str, Any]:
        return {
            "collection": self.collection,
            "bbox": None if self.bbox is None else [float(number) for number in self.bbox],
            "intersects": _as_text(self.intersects),
            "max_cloud_cover": None if self.max_cloud_cover is None else float(self.max_cloud_cover),
            "filter": _as_text(self.filter),
        }

    def _poll_key(self) -> str:
        return json.dumps([self.sentinelhub_conn_id, self._query()], sort_keys=True)

    def _pause(self) -> float:
        return pause_between(self.poll_interval, random.random())  # noqa: S311 - no secret

    def _make_poll(self) -> SharedPoll:
        return SharedPoll(self._search, str(self), clock=self._clock, sleep=self._sleep)

    def _search_body(self, since: datetime, deployment: str | None = None) -> dict[str, Any]:
        return build_search(
            collection=self.collection,
            datetime=f"{format_time(since)}/..",
            bbox=self.bbox,
            intersects=self.intersects,
            max_cloud_cover=self.max_cloud_cover,
            filter=self.filter,
            fields=SHORT_FIELDS,
            deployment=deployment,
        ).body

    async def _search(self, since: datetime) -> list[dict[str, Any]]:
        # A hook for each look: a connection that was changed meanwhile is in force with the next one.
        hook = SentinelHubHook(self.sentinelhub_conn_id)
        try:
            settings = await hook.asettings()
            return await asearch_scenes(hook, self._search_body(since, settings.deployment.name))
        finally:
            await hook.aclose()

    async def _restore(self, ledger: SceneLedger, store: SceneStore | None) -> int:
        """Go on from what is stored; return the highest number that was announced."""
        if store is None:
            self.log.warning(
                "%s: what was announced is kept in memory, as this Airflow has no asset state store (3.3 has one). "
                "After a restart of the triggerer, %s.",
                self,
                "scenes published meanwhile are not announced"
                if self.start is None
                else f"all scenes sensed since {format_time(self.start)} are announced again",
            )
            return 0
        stored = await self._persistently(store.load)
        announced = await self._persistently(store.announced)
        try:
            ledger.restore(stored, announced)
        except ValueError as error:
            self.log.error("%s: the stored memory cannot be read, watching begins anew: %s", self, error)
            ledger.restore(None, announced)
        self.log.info("%s: %d scenes are known, %d were announced", self, ledger.known, announced)
        return announced

    async def _save(self, ledger: SceneLedger, store: SceneStore | None) -> None:
        if store is not None:
            value = ledger.to_json()
            await self._persistently(lambda: store.save(value))

    async def _persistently(self, action: Callable[[], Awaitable[T]]) -> T:
        """Do it until it works: to announce without having written it down might announce twice."""
        faults = 0
        while True:
            try:
                return await action()
            except Exception as error:
                faults += 1
                pause = wait_after_fault(faults, self.poll_interval, 0.0)
                self.log.warning("%s: the asset state store fails (%s). Next try in %.0f s.", self, error, pause)
                await self._sleep(pause)


class _Confirmer:
    """
    Waits until Airflow has stored the events of a batch.

    :param is_known: whether events were confirmed before, so that somebody is there who does.
    """

    def __init__(self, trigger: SentinelHubSceneTrigger, store: SceneStore | None, *, is_known: bool) -> None:
        self._trigger = trigger
        self._store = store
        self._is_known = is_known
        self._is_heard = True

    async def wait(self, number: int) -> bool:
        """
        Wait until the announcement of this number is stored; events are stored in order.

        :returns: whether it is known to be.
        """
        if self._store is None:
            return True
        trigger, was_heard = self._trigger, self._is_heard
        self._is_heard = await self._hear(self._store, number)
        if was_heard and not self._is_heard:
            trigger.log.warning(
                "%s: nobody confirms that events are stored: the provider's plugin is not loaded in the triggerer, see "
                "'airflow plugins'. Should the triggerer be killed, the last scenes may be announced twice.",
                trigger,
            )
        return self._is_heard

    async def _hear(self, store: SceneStore, number: int) -> bool:
        trigger = self._trigger
        if not self._is_heard:
            await trigger._sleep(SETTLING_SECONDS)
            return await trigger._persistently(store.announced) >= number
        ends = trigger._clock() + (LONGEST_CONFIRMATION_SECONDS if self._is_known else CONFIRMATION_SECONDS)
        while trigger._clock() < ends:
            await trigger._sleep(CONFIRMATION_PAUSE)
            if await trigger._persistently(store.announced) >= number:
                self._is_known = True
                return True
        self._is_known = False
        return False


def _as_text(value: Any) -> Any:
    """Write JSON as text: a member ``type``, as GeoJSON has it, means something else to Airflow's serialization."""
    return json.dumps(value, sort_keys=True) if isinstance(value, Mapping) else value


def _revived(value: Any, field: str) -> Any:
    """Read what :func:`_as_text` wrote; neither WKT nor CQL2's text begins with a brace."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise SentinelHubRequestError(f"{field} looks like JSON, but is none: {error}.", field=field) from error


def _checked_interval(value: Any) -> float:
    interval = read_seconds(value, "poll_interval")
    if interval < SHORTEST_PAUSE:
        raise SentinelHubRequestError(
            f"poll_interval is {value!r}. Give {SHORTEST_PAUSE:.0f} seconds or more: scenes are published hours after "
            "they were sensed.",
            field="poll_interval",
        )
    return interval

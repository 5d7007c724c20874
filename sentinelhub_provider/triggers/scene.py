"""A trigger that announces new scenes, for DAGs that start when a satellite has passed."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from sentinelhub_provider.api.catalog import MAX_PAGE, SHORT_FIELDS, build_search
from sentinelhub_provider.api.scenes.events import KEY_PREFIX, scenes_event, watcher_key
from sentinelhub_provider.api.scenes.search import check_has_scenes
from sentinelhub_provider.api.scenes.watch import (
    DEFAULT_LOOKBACK,
    IGNORE,
    REPROCESSED,
    SceneLedger,
    check_lookback,
    pause_between,
)
from sentinelhub_provider.api.time_range import format_time, parse_time
from sentinelhub_provider.api.values import read_choice, read_number, read_structure
from sentinelhub_provider.hooks.scenes import asearch_scenes
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.triggers.scene_announcer import SceneAnnouncer, open_store
from sentinelhub_provider.triggers.shared_poll import SHORTEST_PAUSE, SharedPoll, shared
from sentinelhub_provider.triggers.stored import StoredTrigger

DEFAULT_POLL_INTERVAL = 1800.0
"""Seconds: 1,440 polls a month."""

FREE_REQUESTS = 10_000
"""Requests per month in the free plan of the Copernicus Data Space (2026)."""

MONTH = 30 * 86_400.0
"""Seconds."""


class SentinelHubSceneTrigger(StoredTrigger, BaseEventTrigger):
    """Watch a collection and an area and announce each new scene once.

    ::

        new = SentinelHubSceneTrigger(collection="sentinel-2-l2a", bbox=AREA, max_cloud_cover=30)
        scenes = Asset("scenes", extra=new.asset_extra, watchers=[AssetWatcher(name="new_scenes", trigger=new)])

    One event carries all new scenes of a poll, at most 250. Its payload has ``scenes``, each with ``id``, ``datetime``,
    ``cloud_cover`` (per cent) and ``bbox`` (degrees). It also has ``collection``, ``area`` (its box in degrees,
    ``None`` for everywhere) and ``watch``, by which the watcher knows its event. It holds neither a token nor a secret.

    .. seealso:: :doc:`/how-to/scene-trigger`

    :param collection: a collection's ID, such as ``sentinel-2-l2a``.
    :param bbox: west, south, east, north in degrees. Use ``intersects`` instead, or neither for everywhere.
    :param intersects: GeoJSON as a dict, or WKT, in degrees.
    :param max_cloud_cover: per cent.
    :param filter: CQL2, as text or as JSON in a dict.
    :param start: the first poll announces the scenes that were sensed since then. By default it announces none, so that
        only scenes are announced that are published from now on.
    :param lookback: days (or a ``timedelta``) between the sensing of a scene and its latest publication.
    :param reprocessed: ``ignore`` or ``announce`` a new processing of an announced scene.
    :param poll_interval: seconds between two polls, 10 or more. Default: half an hour. Each poll costs a request for
        each 100 scenes of the ``lookback``.
    :param sentinelhub_conn_id: ID of the Airflow connection.
    :raises InvalidTriggerError: names the argument. Nothing is sent.
    """

    _now = staticmethod(lambda: datetime.now(UTC))
    _clock = staticmethod(time.monotonic)
    _sleep = staticmethod(asyncio.sleep)

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
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        sentinelhub_conn_id: str = SentinelHubHook.default_conn_name,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.collection = collection
        self.bbox: Sequence[float] | None = bbox
        self.max_cloud_cover = max_cloud_cover
        self.sentinelhub_conn_id = sentinelhub_conn_id
        self.asset_state_store = None
        self.intersects = read_structure(intersects, "intersects")
        self.filter = read_structure(filter, "filter")
        self.start = None if start is None else parse_time(start, "start")
        self.lookback = check_lookback(lookback)
        self.reprocessed = read_choice(reprocessed, REPROCESSED, "reprocessed")
        self.poll_interval = float(read_number(poll_interval, "poll_interval", least=SHORTEST_PAUSE))
        check_has_scenes(collection)
        # The body has the box as four numbers, however it was given.
        body = self._search_body(datetime(2020, 1, 1, tzinfo=UTC))
        self.bbox = body.get("bbox")
        self.area: list[float] | None = _box(body)

    def _stored(self) -> dict[str, Any]:
        return {
            **self._query(),
            "start": None if self.start is None else format_time(self.start),
            "lookback": self.lookback.total_seconds() / 86_400,
        }

    @property
    def state_key(self) -> str:
        """Key of the memory, made of what is watched.

        A new ``lookback``, ``start`` or ``poll_interval`` keeps the memory.
        """
        watched = {**self._query(), "reprocessed": self.reprocessed, "connection": self.sentinelhub_conn_id}
        return watcher_key(watched)

    @property
    def asset_extra(self) -> dict[str, Any]:
        """Collection and area, for the ``extra`` of the watched asset."""
        return {"collection": self.collection, "area": self.area}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch forever."""
        store = open_store(getattr(self, "asset_state_store", None), self.state_key, sleep=self._sleep)
        ledger = SceneLedger(self.start, self.lookback, self.reprocessed)
        announcer = SceneAnnouncer(ledger, store, str(self), clock=self._clock, sleep=self._sleep)
        announced = await announcer.adopt()
        if store is None:
            which = "scenes published meanwhile are not announced"
            if self.start is not None:
                which = f"all scenes sensed since {format_time(self.start)} are announced again"
            self.log.warning(
                "%s: announced scenes are kept in memory only, as this Airflow has no asset state store (3.3 has one). "
                "After a restart of the triggerer, %s.",
                self,
                which,
            )
        else:
            self.log.info("%s: %d scenes are known, the last event is number %d", self, ledger.known, announced)
        options: Any = {"clock": self._clock, "sleep": self._sleep}
        key = json.dumps([self.sentinelhub_conn_id, self._query()], sort_keys=True)
        poll = shared(key, lambda: SharedPoll(self._search, str(self), **options))
        async with poll.subscribe(lambda: ledger.search_from(self._now()), self._pause) as polls:
            scenes = await polls.next()
            self._log_cost(len(scenes))
            while True:
                async for number, batch in announcer.batches(scenes, self._now()):
                    event = scenes_event(batch, self.collection, self.area, self.state_key, number)
                    yield TriggerEvent(event)  # type: ignore[no-untyped-call]
                scenes = await polls.next()

    def _log_cost(self, scenes: int) -> None:
        requests = max(1, math.ceil(scenes / MAX_PAGE))
        monthly = requests * MONTH / self.poll_interval
        words = "%s: %d request(s) per poll make %.0f a month. The free plan of the Copernicus Data Space has %d"
        level = logging.INFO if monthly <= FREE_REQUESTS else logging.WARNING
        self.log.log(level, words, self, requests, monthly, FREE_REQUESTS)

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

    def _pause(self) -> float:
        return pause_between(self.poll_interval, random.random())  # noqa: S311 - no secret

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
        # Each poll makes a hook, so that a changed connection is in force with the next poll.
        async with aclosing(SentinelHubHook(self.sentinelhub_conn_id)) as hook:
            settings = await hook.asettings()
            return await asearch_scenes(hook, self._search_body(since, settings.deployment.name))


def _as_text(value: Any) -> Any:
    """Write JSON as text, because Airflow's serialization would misread a member ``type`` of GeoJSON."""
    return json.dumps(value, sort_keys=True) if isinstance(value, Mapping) else value


def _box(body: Mapping[str, Any]) -> list[float] | None:
    if "intersects" not in body:
        return None if "bbox" not in body else [float(number) for number in body["bbox"]]
    from shapely.geometry import shape

    return [float(number) for number in shape(body["intersects"]).bounds]

"""A trigger that waits until a Catalog search finds enough scenes."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from airflow.triggers.base import TriggerEvent

from sentinelhub_provider.api.scenes.watch import pause_between
from sentinelhub_provider.api.values import read_number, read_seconds, read_whole_number
from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.hooks.scenes import asearch_scenes
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.triggers.shared_poll import SharedPoll, first_of, shared
from sentinelhub_provider.triggers.stored import StoredTrigger

LAST_POLL = 60.0
"""Seconds that the last poll may take. It begins at the end of the wait."""


class SentinelHubSceneCountTrigger(StoredTrigger):
    """Poll until so many scenes are found, then fire once.

    The event is ``{"status": "found", "scenes": 3, "waits_until": ...}``. Its status is ``timeout`` if there were too
    few scenes at the end. It is ``error``, with ``final``, if polling further cannot help, for example because the
    client is refused. The event holds neither a token nor a secret. Passing errors are waited out. Triggers of one
    triggerer with the same search share each poll, which asks for as many scenes as the most demanding trigger needs.

    :param body: the search from :func:`~sentinelhub_provider.api.catalog.build_search`, or the same as JSON.
    :param min_scenes: number of scenes to wait for.
    :param waits_until: end of the wait, in seconds since the epoch. It comes back with the event.
    :param poll_interval: seconds between two polls, also before the first.
    :param exponential_backoff: whether intervals grow like those of Airflow's sensors, up to ``max_wait``.
    :param max_wait: longest interval in seconds.
    :param sentinelhub_conn_id: ID of the Airflow connection.
    :raises InvalidTriggerError: names the argument.
    """

    _now = staticmethod(time.time)
    _clock = staticmethod(time.monotonic)
    _sleep = staticmethod(asyncio.sleep)
    _jitter = staticmethod(random.random)

    def __init__(
        self,
        *,
        body: Mapping[str, Any] | str,
        min_scenes: int,
        waits_until: float,
        poll_interval: float,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        sentinelhub_conn_id: str = SentinelHubHook.default_conn_name,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.body: dict[str, Any] = json.loads(body) if isinstance(body, str) else dict(body)
        self.min_scenes = read_whole_number(min_scenes, "min_scenes")
        self.waits_until = read_number(waits_until, "waits_until")
        self.poll_interval = read_number(poll_interval, "poll_interval", least=0)
        self.exponential_backoff = bool(exponential_backoff)
        self.max_wait = None if max_wait is None else read_seconds(max_wait, "max_wait")
        self.sentinelhub_conn_id = sentinelhub_conn_id
        self._polls = 0

    def _stored(self) -> dict[str, Any]:
        # The body is text, because Airflow's serialization would misread a member "type" of GeoJSON.
        return {"body": json.dumps(self.body, sort_keys=True)}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll, then fire."""
        event = {**await self._outcome(), "waits_until": self.waits_until}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _outcome(self) -> dict[str, Any]:
        name = f"wait for scenes of {', '.join(self.body.get('collections', ()))}"
        options: Any = {"clock": self._clock, "sleep": self._sleep}
        poll = shared(
            (type(self), self.sentinelhub_conn_id, self._stored()["body"]),
            lambda: SharedPoll(self._search, name, widest=max, endless=False, **options),
        )
        found = 0
        async with poll.subscribe(lambda: self.min_scenes, self._interval, at_once=False) as polls:
            while True:
                patience = self._sleep(max(0.0, self.waits_until + LAST_POLL - self._now()))
                try:
                    scenes = await first_of(polls.next(), patience)
                except Exception as error:
                    self.log.error("%s", error)
                    is_final = isinstance(error, SentinelHubError) and error.final
                    said = {"error": type(error).__name__, "message": str(error)}
                    return {"status": "error", "final": is_final, **said}
                if scenes is not None:
                    found = len(scenes)
                    self.log.info("%d of %d scenes are there", min(found, self.min_scenes), self.min_scenes)
                    if found >= self.min_scenes:
                        return {"status": "found", "scenes": found}
                if self._now() >= self.waits_until - 0.5:  # another clock times the poll
                    return {"status": "timeout", "scenes": found}

    def _interval(self) -> float:
        """Return seconds until the next poll. The last one is at the end of the wait."""
        interval = pause_between(self.poll_interval, self._jitter())
        if self.exponential_backoff:
            # Airflow's sensors use this formula. Their first poke was before this.
            least = max(1, int(self.poll_interval * 2.0 ** min(self._polls - 1, 60)))
            interval = least * (1 + self._jitter())
            self._polls += 1
            if self.max_wait is not None:
                interval = min(interval, self.max_wait)
        return max(0.0, min(interval, self.waits_until - self._now()))

    async def _search(self, enough: int) -> list[dict[str, Any]]:
        async with aclosing(SentinelHubHook(self.sentinelhub_conn_id)) as hook:
            return await asearch_scenes(hook, self.body, enough=enough)

"""A trigger that waits until a Catalog search finds enough scenes."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from sentinelhub_provider.api.jobs.polling import wait_after_fault
from sentinelhub_provider.api.scenes.watch import pause_between
from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.hooks.scenes import asearch_scenes
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook


class SentinelHubSceneCountTrigger(BaseTrigger):
    """
    Search until so many scenes are found, then fire once.

    The event is ``{"status": "found", "scenes": 3, "waits_until": ...}``, or ``{"status": "error", ...}`` where
    searching on is in vain, such as for a client that is refused. It holds no token and no secret. Passing errors are
    waited out; when waiting itself ends is up to the time-out of the deferral.

    :param body: the search, as :func:`~sentinelhub_provider.api.catalog.build_search` makes it, or the same as JSON.
    :param min_scenes: so many.
    :param waits_until: when the task stops waiting, in seconds since the epoch; handed back with the event.
    :param poll_interval: seconds between two searches, also before the first.
    :param sentinelhub_conn_id: the connection.
    """

    _sleep = staticmethod(asyncio.sleep)
    _random = staticmethod(random.random)

    def __init__(
        self,
        *,
        body: Mapping[str, Any] | str,
        min_scenes: int,
        waits_until: float,
        poll_interval: float,
        sentinelhub_conn_id: str = SentinelHubHook.default_conn_name,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.body: dict[str, Any] = json.loads(body) if isinstance(body, str) else dict(body)
        self.min_scenes = min_scenes
        self.waits_until = waits_until
        self.poll_interval = poll_interval
        self.sentinelhub_conn_id = sentinelhub_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, from which another triggerer makes it anew."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                # As text: a member "type", as GeoJSON has it, means something else to Airflow's serialization.
                "body": json.dumps(self.body),
                "min_scenes": self.min_scenes,
                "waits_until": self.waits_until,
                "poll_interval": self.poll_interval,
                "sentinelhub_conn_id": self.sentinelhub_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Search, then fire."""
        faults, pause = 0, pause_between(self.poll_interval, self._random())
        while True:
            await self._sleep(pause)
            try:
                found = len(await self._search())
            except Exception as error:
                if isinstance(error, SentinelHubError) and error.final:
                    self.log.error("%s", error)
                    message = {"status": "error", "error": type(error).__name__, "message": str(error)}
                    yield TriggerEvent(message)  # type: ignore[no-untyped-call]
                    return
                faults += 1
                pause = wait_after_fault(
                    faults, self.poll_interval, self._random(), getattr(error, "retry_after", None)
                )
                self.log.warning("the search failed, the next one follows in %.0f s: %s", pause, error)
                continue
            faults, pause = 0, pause_between(self.poll_interval, self._random())
            self.log.info("%d of %d scenes are there", found, self.min_scenes)
            if found >= self.min_scenes:
                event = {"status": "found", "scenes": found, "waits_until": self.waits_until}
                yield TriggerEvent(event)  # type: ignore[no-untyped-call]
                return

    async def _search(self) -> list[dict[str, Any]]:
        hook = SentinelHubHook(self.sentinelhub_conn_id)
        try:
            return await asearch_scenes(hook, self.body)
        finally:
            await hook.aclose()

"""A trigger that waits until tiles of a BYOC collection are ingested."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow.triggers.base import TriggerEvent

from sentinelhub_provider.api.byoc.ingestion import Get, Pause, error_event, finished_event, poll_tiles
from sentinelhub_provider.api.flow import adrive
from sentinelhub_provider.api.values import decode_answer
from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.triggers.stored import StoredTrigger


class SentinelHubByocTilesTrigger(StoredTrigger):
    """Wait until each of these tiles is ingested or has failed.

    It fires one event. ``finished`` tells how many tiles were ingested and why the first ones failed. ``timeout`` tells
    the same if some tiles are still under way. ``error`` means that watching further cannot help, for example because
    the client is refused. No event holds a token or a secret.

    :param collection_id: UUID of the collection.
    :param tile_ids: the tiles.
    :param submitted: facts of the task from before the wait. They come back with the event.
    :param waits_until: end of the wait, in seconds since the epoch.
    :param poll_interval: longest pause between two polls in seconds.
    :param timeout: seconds that the service may stay silent. Default: the connection's ``timeout``.
    :param deadline: seconds that one poll may take in all. Default: 600.
    :param sentinelhub_conn_id: ID of the Airflow connection.
    """

    _clock = staticmethod(time.time)
    _sleep = staticmethod(asyncio.sleep)

    def __init__(
        self,
        *,
        collection_id: str,
        tile_ids: Sequence[str],
        submitted: Mapping[str, Any],
        waits_until: float,
        poll_interval: float,
        timeout: float | None = None,
        deadline: float | None = None,
        sentinelhub_conn_id: str = SentinelHubHook.default_conn_name,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.collection_id, self.tile_ids, self.submitted = collection_id, list(tile_ids), dict(submitted)
        self.waits_until, self.poll_interval = waits_until, poll_interval
        self.timeout, self.deadline, self.sentinelhub_conn_id = timeout, deadline, sentinelhub_conn_id

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch the tiles, then fire once."""
        hook = SentinelHubHook(self.sentinelhub_conn_id)
        limits = (self.waits_until, self.poll_interval)
        flow = poll_tiles(self.collection_id, self.tile_ids, *limits, clock=self._clock)
        try:
            outcome = await adrive(flow, lambda step: self._take(step, hook))
            event = finished_event(outcome, self.collection_id, self.submitted)
        except SentinelHubError as error:
            self.log.error("the ingestion cannot be watched any more: %s", error)
            event = error_event(error, self.collection_id)
        finally:
            await hook.aclose()
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _take(self, step: Get | Pause, hook: SentinelHubHook) -> Any:
        if isinstance(step, Pause):
            step.log_to(self.log)
            await self._sleep(step.seconds)
            return None
        response = await hook.arequest(
            "GET", step.endpoint, params=step.params, timeout=self.timeout, deadline=self.deadline
        )
        return decode_answer(response.content, step.endpoint)

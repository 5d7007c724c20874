"""The BYOC API's calls as tasks make them: each request that starts something is sent once.

An answer that got lost does not mean that nothing happened: then it is looked whether it did.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sentinelhub_provider.api.byoc.ingestion import Get, Outcome, Pause, find_tile, find_tiles, list_items, poll_tiles
from sentinelhub_provider.api.byoc.requests import (
    COLLECTIONS,
    Collection,
    CollectionRequest,
    collection_endpoint,
    data_of,
    named,
    read_collection,
)
from sentinelhub_provider.api.byoc.tiles import Tile, TileRequest, TileState, read_tile, tile_endpoint, tiles_endpoint
from sentinelhub_provider.api.flow import drive
from sentinelhub_provider.api.jobs.steps import UNCLEAR
from sentinelhub_provider.api.processing_units import INGESTION
from sentinelhub_provider.api.values import decode_answer
from sentinelhub_provider.exceptions import SentinelHubBadRequestError, SentinelHubError, SentinelHubNotFoundError
from sentinelhub_provider.transport.answers import UNITS_HEADER, spent_units

if TYPE_CHECKING:
    import requests

    from sentinelhub_provider.operators.base import SentinelHubOperator

_Result = TypeVar("_Result")


class ByocCalls:
    """Calls of one task.

    ``operator``: the task: its hook makes them, and they take no longer than it allows. ``clock``: seconds since the
    epoch. ``sleep``: waits for seconds.
    """

    def __init__(
        self,
        operator: SentinelHubOperator,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._hook, self._arguments, self._log = operator.hook, operator.call_arguments, operator.log
        self._clock, self._sleep = clock, sleep
        self.spent = 0.0
        """PU that the calls did cost so far."""

    def find_collection(self, name: str) -> Collection | None:
        """Find the collection of exactly that name.

        The API's own ``search`` takes words and operators, which a name may hold: so all are looked through.
        """
        items, _ = self._drive(list_items(COLLECTIONS))
        # Others are not read: whatever is odd about them is no matter of this task.
        return named((read_collection(one) for one in items if isinstance(one, dict) and one.get("name") == name), name)

    def get_collection(self, collection_id: str) -> Collection | None:
        """Return a collection, ``None`` where there is none of that id."""
        try:
            document = self._get(Get(collection_endpoint(collection_id)))
        except SentinelHubNotFoundError:
            return None
        return read_collection(data_of(document, dict))

    def create_collection(self, request: CollectionRequest) -> tuple[Collection, bool]:
        """Create a collection of a name that is not there.

        :returns: it, and whether this call made it rather than somebody else at the same time.
        """
        return self._created(
            COLLECTIONS, request.body, read_collection, lambda: self.find_collection(request.name), request.name
        )

    def delete_collection(self, collection_id: str) -> bool:
        """Delete a collection with its tiles; return whether it was there."""
        return self._delete(collection_endpoint(collection_id))

    def find_tiles(self, collection_id: str, paths: Sequence[str]) -> list[Tile]:
        """Return the tiles at these paths, as far as they are there; others may be among them."""
        return self._drive(find_tiles(collection_id, paths))

    def create_tile(self, collection_id: str, request: TileRequest) -> tuple[Tile, bool]:
        """Create a tile at a path that is not there; returned is the same as by :meth:`create_collection`."""
        return self._created(
            tiles_endpoint(collection_id),
            request.body,
            read_tile,
            lambda: self._drive(find_tile(collection_id, request.path)),
            request.path,
        )

    def reingest(self, collection_id: str, tile: Tile) -> None:
        """Begin to ingest a tile again."""
        spent = self.spent
        try:
            self._send("POST", f"{tile_endpoint(collection_id, tile.id)}/reingest")
        except UNCLEAR as error:
            document = self._get(Get(tile_endpoint(collection_id, tile.id)))
            state = read_tile(data_of(document, dict)).state
            if state.is_final and not (tile.state is TileState.FAILED and state is TileState.INGESTED):
                raise
            self._took_effect(tile.path, error, spent)

    def delete_tile(self, collection_id: str, tile: Tile) -> bool:
        """Delete a tile; return whether it was there."""
        return self._delete(tile_endpoint(collection_id, tile.id))

    def poll_tiles(self, collection_id: str, tile_ids: Sequence[str], *, ends: float, poll_interval: float) -> Outcome:
        """Poll tiles until all have come to their end."""
        how: Any = {"ends": ends, "clock": self._clock, "poll_interval": poll_interval, "random": random.random}
        return self._drive(poll_tiles(collection_id, tile_ids, **how))

    def _created(
        self,
        endpoint: str,
        body: dict[str, Any],
        read: Callable[[Any], _Result],
        find: Callable[[], _Result | None],
        name: str,
    ) -> tuple[_Result, bool]:
        """Create something that was not there a moment ago, and is found by its name where the answer gets lost."""
        spent = self.spent
        try:
            response = self._send("POST", endpoint, body)
            return read(data_of(decode_answer(response.content, endpoint), dict)), True
        except UNCLEAR as error:
            found = find()
            if found is None:
                raise
            self._took_effect(name, error, spent)
            return found, True
        except SentinelHubBadRequestError as error:
            found = find() if error.status == 409 else None
            if found is None:
                raise
            self._log.info("%r was made by somebody else meanwhile", name)
            return found, False

    def _took_effect(self, name: str, error: SentinelHubError, spent_before: float) -> None:
        self._log.warning("no answer about %r, but it did take effect: %s", name, error)
        if self.spent == spent_before:  # else the answer came, and was none
            self.spent += INGESTION

    def _delete(self, endpoint: str) -> bool:
        try:
            self._send("DELETE", endpoint)
        except SentinelHubNotFoundError:
            return False
        return True

    def _send(self, method: str, endpoint: str, body: dict[str, Any] | None = None) -> requests.Response:
        response = self._hook.request(method, endpoint, json=body, **self._arguments)
        spent = spent_units(response.headers.get(UNITS_HEADER))
        self.spent += INGESTION if spent is None else spent  # what the documentation says, where the service does not
        return response

    def _get(self, look: Get) -> Any:
        response = self._hook.request("GET", look.endpoint, params=look.params, **self._arguments)
        return decode_answer(response.content, look.endpoint)

    def _drive(self, flow: Generator[Any, Any, _Result]) -> _Result:
        """Take a flow's steps: look, and pause."""
        return drive(flow, self._take)

    def _take(self, step: Get | Pause) -> Any:
        if isinstance(step, Get):
            return self._get(step)
        if step.note:
            (self._log.warning if step.is_warning else self._log.info)("%s", step.note)
        self._sleep(step.seconds)
        return None

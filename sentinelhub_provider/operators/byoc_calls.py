"""The BYOC API's calls for tasks. Each request that starts something is sent once.

A request with a lost answer may have taken effect. The state of the collection or tile then tells.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sentinelhub_provider.api.byoc.ingestion import Get, Pause, find_tile, list_items
from sentinelhub_provider.api.byoc.requests import COLLECTIONS, Collection, data_of, named, read_collection
from sentinelhub_provider.api.byoc.tiles import Tile, TileRequest, TileState, read_tile, tiles_endpoint
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

    ``operator``: the task, whose hook makes the calls within the task's time. ``sleep``: waits for seconds.
    """

    def __init__(self, operator: SentinelHubOperator, *, sleep: Callable[[float], None]) -> None:
        self._operator, self._log, self._sleep = operator, operator.log, sleep
        self.spent = 0.0
        """PU that the calls cost so far."""

    def drive(self, flow: Generator[Any, Any, _Result]) -> _Result:
        """Take a flow's steps, which ask the service and pause. Return the flow's result."""
        return drive(flow, self._take)

    def find_collection(self, name: str) -> Collection | None:
        """Find the collection of exactly that name.

        The API's own ``search`` takes words and operators, which a name may hold: so all are looked through.
        """
        items = self.drive(list_items(COLLECTIONS))
        # Collections with other names are not read, because their faults do not concern this task.
        return named((read_collection(one) for one in items if isinstance(one, dict) and one.get("name") == name), name)

    def exists(self, endpoint: str) -> bool:
        """Tell whether there is something at an endpoint."""
        try:
            self._take(Get(endpoint))
        except SentinelHubNotFoundError:
            return False
        return True

    def create_collection(self, request: Collection) -> tuple[Collection, bool]:
        """Create a collection with a new name.

        :returns: the collection, and whether this call made it rather than another program at the same time.
        """
        find = partial(self.find_collection, request.name)
        return self._created(COLLECTIONS, request.body, read_collection, find, request.name)

    def create_tile(self, collection_id: str, request: TileRequest) -> tuple[Tile, bool]:
        """Create a tile at a new path. It returns the same as :meth:`create_collection`."""
        endpoint, path = tiles_endpoint(collection_id), request.path
        return self._created(
            endpoint, request.body, read_tile, lambda: self.drive(find_tile(collection_id, path)), path
        )

    def _created(
        self,
        endpoint: str,
        body: dict[str, Any],
        read: Callable[[Any], _Result],
        find: Callable[[], _Result | None],
        name: str,
    ) -> tuple[_Result, bool]:
        """Create something new. If the answer is lost, find it by its name."""
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
            self._log.info("%r was made by another program meanwhile", name)
            return found, False

    def reingest(self, collection_id: str, tile: Tile) -> None:
        """Begin to ingest a tile again."""
        spent, endpoint = self.spent, tiles_endpoint(collection_id, tile.id)
        try:
            self._send("POST", f"{endpoint}/reingest")
        except UNCLEAR as error:
            state = read_tile(data_of(self._take(Get(endpoint)), dict)).state
            if state.is_final and not (tile.state is TileState.FAILED and state is TileState.INGESTED):
                raise
            self._took_effect(tile.path, error, spent)

    def delete(self, endpoint: str) -> bool:
        """Delete a collection with its tiles, or a tile; return whether it was there."""
        try:
            self._send("DELETE", endpoint)
        except SentinelHubNotFoundError:
            return False
        return True

    def _took_effect(self, name: str, error: SentinelHubError, spent_before: float) -> None:
        self._log.warning("no answer about %r, but the request took effect: %s", name, error)
        if self.spent == spent_before:  # otherwise an answer came, which was unusable
            self.spent += INGESTION

    def _send(self, method: str, endpoint: str, body: dict[str, Any] | None = None) -> requests.Response:
        response = self._operator.hook.request(method, endpoint, json=body, **self._operator.call_arguments)
        spent = spent_units(response.headers.get(UNITS_HEADER))
        self.spent += INGESTION if spent is None else spent  # the documented cost if the service does not name it
        return response

    def _take(self, step: Get | Pause) -> Any:
        if isinstance(step, Get):
            arguments = self._operator.call_arguments
            response = self._operator.hook.request("GET", step.endpoint, params=step.params, **arguments)
            return decode_answer(response.content, step.endpoint)
        step.log_to(self._log)
        self._sleep(step.seconds)
        return None

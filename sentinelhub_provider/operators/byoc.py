"""Operators for one's own files in Sentinel Hub (BYOC): make a collection, have tiles ingested, remove either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.values import read_choice, read_seconds
from sentinelhub_provider.exceptions import SentinelHubNotFoundError, SentinelHubRequestError
from sentinelhub_provider.operators.arguments import (
    ESTIMATED_UNITS_KEY,
    SPENT_UNITS_KEY,
    log_and_push_spent,
)
from sentinelhub_provider.operators.byoc_common import ByocOperator, tiles_of
from sentinelhub_provider.operators.failing import without_vain_retries

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.byoc.ingestion import Outcome
    from sentinelhub_provider.api.byoc.requests import Collection, CollectionRequest
    from sentinelhub_provider.api.byoc.tiles import Plan, Tile
    from sentinelhub_provider.operators.byoc_calls import ByocCalls

IF_EXISTS = ("use", "fail")
IF_MISSING = ("skip", "fail")

TRIGGER_GRACE = timedelta(minutes=30)
"""Time after its own end in which a trigger must have fired; then Airflow fails the task by itself."""


class SentinelHubByocCreateCollectionOperator(ByocOperator):
    """
    Create a collection for one's own files, or use the one of that name.

    Collections are looked through for the name first, so that a retry after a lost answer makes no second one.

    Returned is a dict: ``collection_id``, ``collection`` (what other operators call it: ``byoc-`` and the id),
    ``name``, ``s3_bucket``, ``created`` (whether this task did), ``processing_units`` and
    ``estimated_processing_units`` (PU). Each is pushed to XCom under its own name, too, so that the next task can be
    given ``task.output["collection_id"]``.

    .. seealso:: :doc:`/operators/byoc`

    :param name: the collection's name. (templated)
    :param s3_bucket: the bucket that the files lie in. (templated)
    :param no_data: value of pixels without data, for all bands. (templated)
    :param bands: by name, each as one word (``uint8``, ``uint16``, ``int16``, ``float32``, ...) or as the API has it:
        ``bitDepth``, ``sampleFormat``, ``bandIndex``, ``source``, ``noData``. Without it, they are taken from the first
        tile. (templated)
    :param if_exists: ``use`` the collection of that name, which must have this bucket and, where they are given, these
        bands and this value; or ``fail``.
    :param max_processing_units: PU that the task may cost. (templated)
    :param multiple_outputs: whether each member of the result is pushed to XCom by itself, too.
    :param kwargs: further arguments, of :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`, such as
        ``timeout``, ``deferrable`` and ``sentinelhub_conn_id``, and of any Airflow operator.
    """

    template_fields: Sequence[str] = ("name", "s3_bucket", "no_data", "bands", *ByocOperator.template_fields)
    template_fields_renderers = {"bands": "json"}  # noqa: RUF012 - Airflow's own form

    def __init__(
        self,
        *,
        name: str,
        s3_bucket: str,
        no_data: float | str | None = None,
        bands: Mapping[str, Any] | None = None,
        if_exists: str = "use",
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
        self.name = name
        self.s3_bucket = s3_bucket
        self.no_data = no_data
        self.bands = bands
        self.if_exists = if_exists

    def _result(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.api.byoc.requests import build_collection

        self.if_exists = read_choice(self.if_exists, IF_EXISTS, "if_exists")
        request = build_collection(name=self.name, s3_bucket=self.s3_bucket, no_data=self.no_data, bands=self.bands)
        for warning in request.warnings:
            self.log.warning("%s", warning)
        calls = self._calls()
        found, created = calls.find_collection(request.name), False
        estimated = self._check_cost(context, 0 if found else 1)
        try:
            if found is None:
                found, created = calls.create_collection(request)
        finally:
            log_and_push_spent(self, context, calls.spent)
        if not created:
            self._check_found(found, request)
        self.log.info("collection %r: %s (%s)", found.name, found.data_type, "created" if created else "was there")
        return {
            "collection_id": found.id,
            "collection": found.data_type,
            "name": found.name,
            "s3_bucket": found.s3_bucket,
            "created": created,
            SPENT_UNITS_KEY: calls.spent,
            ESTIMATED_UNITS_KEY: estimated,
        }

    def _check_found(self, found: Collection, request: CollectionRequest) -> None:
        from sentinelhub_provider.api.byoc.requests import check_same

        if self.if_exists == "fail":
            raise SentinelHubRequestError(
                f"name: the collection {found.name!r} is there already ({found.id}). Take another name, or use it with "
                "if_exists='use'.",
                field="name",
            )
        check_same(found, request)


class SentinelHubByocIngestOperator(ByocOperator):
    """
    Have files ingested into a collection, and wait until all of them are.

    A tile that is there already is used. The task fails where the service fails to ingest a tile: path and cause of
    the first ones are in the error.

    Returned is a dict with counts: ``tiles``, ``created``, ``reingested``, ``existing`` (used as they are),
    ``ingested``, ``warned`` (the service's warnings are logged); and ``collection_id``, ``collection``,
    ``processing_units``, ``estimated_processing_units`` (PU). Both costs are pushed to XCom, too.

    .. seealso:: :doc:`/operators/byoc`

    :param collection_id: with or without ``byoc-`` in front. (templated)
    :param tiles: a list of paths in the collection's bucket, such as ``2024-06-01/(BAND).tif``; or of dicts with
        ``path``, ``coverGeometry`` (GeoJSON or WKT: where there are data) and ``sensingTime``; or the JSON of either.
        (templated)
    :param reingest: which tiles that are there are ingested again: those that ``failed``, ``all``, or ``none``.
    :param poll_interval: longest pause between two looks at the tiles, in seconds.
    :param max_processing_units: PU that the task may cost. (templated)
    :param deferrable: whether the wait is spent in the triggerer, without holding a worker slot; ``[operators]
        default_deferrable`` by default.
    :param max_wait: seconds that ingestion, and waits for the rate limit, may take in all.
    :param kwargs: further arguments, of :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`, such as
        ``timeout`` and ``sentinelhub_conn_id``, and of any Airflow operator.
    """

    template_fields: Sequence[str] = ("collection_id", "tiles", *ByocOperator.template_fields)
    template_fields_renderers = {"tiles": "json"}  # noqa: RUF012 - Airflow's own form

    def __init__(
        self,
        *,
        collection_id: str,
        tiles: Any,
        reingest: str = "failed",
        poll_interval: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_id = collection_id
        self.tiles = tiles
        self.reingest = reingest
        self.poll_interval = poll_interval
        self._waits_until = 0.0
        self._created: list[str] = []
        self._reingested: list[str] = []

    def resume(  # type: ignore[override]
        self,
        context: Context,
        event: Any = None,
        *,
        waits_until: float | None = None,
        created: Sequence[str] = (),
        reingested: Sequence[str] = (),
    ) -> Any:
        """
        Ingest, for the first time or after a wait for the rate limit in the triggerer.

        :param created: ids of the tiles that the task created before the wait.
        :param reingested: ids of those that it had ingested again.
        """
        self._waits_until = self._clock() + self.max_wait_seconds if waits_until is None else waits_until
        self._created, self._reingested = list(created), list(reingested)
        return super().resume(context, event, waits_until=self._waits_until)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:  # noqa: ARG002 - Airflow's signature
        """
        Go on when the trigger says that the tiles have come to their end.

        :raises AirflowFailException: where a tile failed, or time was up.
        :raises SentinelHubResponseError: for an event that is no such trigger's.
        """
        from sentinelhub_provider.api.byoc.ingestion import Outcome, read_event
        from sentinelhub_provider.api.byoc.requests import read_collection_id

        with without_vain_retries():
            outcome, submitted = read_event(event, read_collection_id(self.collection_id))
            return self._judged(Outcome.from_dict(submitted["outcome"]) + outcome, submitted["result"])

    def _kept(self) -> dict[str, Any]:
        return {"created": self._created, "reingested": self._reingested}

    def _result(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.api.byoc.ingestion import Outcome
        from sentinelhub_provider.api.byoc.requests import data_type, read_collection_id
        from sentinelhub_provider.api.byoc.tiles import REINGEST, by_path, plan

        self.reingest = read_choice(self.reingest, tuple(REINGEST), "reingest")
        self.poll_interval = read_seconds(self.poll_interval, "poll_interval")
        collection_id = read_collection_id(self.collection_id)
        wanted = tiles_of(self.tiles)
        calls = self._calls()
        there = by_path(calls.find_tiles(collection_id, [tile.path for tile in wanted]))
        planned = plan(wanted, there, reingest=self.reingest, begun={*self._created, *self._reingested})
        for warning in (*(warning for tile in wanted for warning in tile.warnings), *planned.warnings):
            self.log.warning("%s", warning)
        estimated = self._check_cost(context, planned.requests)
        ended, under_way = self._submit(context, calls, collection_id, planned)
        result = {
            "collection_id": collection_id,
            "collection": data_type(collection_id),
            "tiles": len(wanted),
            "created": len(self._created),
            "reingested": len(self._reingested),
            "existing": len(wanted) - len(self._created) - len(self._reingested),
            SPENT_UNITS_KEY: calls.spent,
            ESTIMATED_UNITS_KEY: estimated,
        }
        outcome = Outcome.of(ended)
        if under_way:
            if self.deferrable:
                self._wait_in_triggerer(collection_id, under_way, {"result": result, "outcome": outcome.to_dict()})
            outcome += calls.poll_tiles(
                collection_id, under_way, ends=self._waits_until, poll_interval=self.poll_interval
            )
        return self._judged(outcome, result)

    def _submit(
        self, context: Context, calls: ByocCalls, collection_id: str, planned: Plan
    ) -> tuple[list[Tile], list[str]]:
        """
        Ask for what has to be done, tile by tile: the rate limit would let more at a time come to nothing.

        :returns: tiles that have come to their end, and ids of those that are under way.
        """
        tiles = list(planned.keep)
        under_way = []
        try:
            for tile in planned.reingest:
                calls.reingest(collection_id, tile)
                self._reingested.append(tile.id)
                under_way.append(tile.id)
            for request in planned.create:
                tile, is_new = calls.create_tile(collection_id, request)
                if is_new:
                    self._created.append(tile.id)
                tiles.append(tile)
        finally:
            log_and_push_spent(self, context, calls.spent)
        self.log.info(
            "%d tiles created, %d ingested again, %d used as they are",
            len(self._created),
            len(self._reingested),
            len(planned.keep),
        )
        under_way += [tile.id for tile in tiles if not tile.state.is_final]
        return [tile for tile in tiles if tile.state.is_final], under_way

    def _wait_in_triggerer(self, collection_id: str, tile_ids: list[str], submitted: dict[str, Any]) -> None:
        from sentinelhub_provider.triggers.byoc import SentinelHubByocTilesTrigger

        trigger = SentinelHubByocTilesTrigger(
            collection_id=collection_id,
            tile_ids=tile_ids,
            submitted=submitted,
            waits_until=self._waits_until,
            poll_interval=self.poll_interval,
            timeout=self.call_arguments["timeout"],
            deadline=self.call_arguments["deadline"],
            sentinelhub_conn_id=self.sentinelhub_conn_id,
        )
        self.log.info("waiting for %d tiles in the triggerer", len(tile_ids))
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, self._waits_until - self._clock())) + TRIGGER_GRACE,
        )

    def _judged(self, outcome: Outcome, result: dict[str, Any]) -> dict[str, Any]:
        from sentinelhub_provider.api.byoc.ingestion import check_outcome

        for one in outcome.warnings:
            self.log.warning("tile %r: %s", one["path"], one["warning"])
        if outcome.warned > len(outcome.warnings):
            self.log.warning("... and warnings about %d tiles more", outcome.warned - len(outcome.warnings))
        check_outcome(outcome, result["collection_id"], waited=self.max_wait_seconds)
        self.log.info("%d tiles are ingested", outcome.ingested)
        return {**result, "ingested": outcome.ingested, "warned": outcome.warned}


class SentinelHubByocDeleteCollectionOperator(ByocOperator):
    """
    Delete a collection and its tiles; the files in the bucket stay.

    Returned is a dict: ``collection_id``, ``deleted`` (whether this task did), ``processing_units`` and
    ``estimated_processing_units`` (PU). Both costs are pushed to XCom, too.

    .. seealso:: :doc:`/operators/byoc`

    :param collection_id: with or without ``byoc-`` in front. (templated)
    :param if_missing: where there is no such collection, ``skip``, which succeeds, or ``fail``.
    :param max_processing_units: PU that the task may cost. (templated)
    :param kwargs: further arguments, of :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`, such as
        ``timeout``, ``deferrable`` and ``sentinelhub_conn_id``, and of any Airflow operator.
    """

    template_fields: Sequence[str] = ("collection_id", *ByocOperator.template_fields)

    def __init__(self, *, collection_id: str, if_missing: str = "skip", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_id = collection_id
        self.if_missing = if_missing

    def _result(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.api.byoc.requests import read_collection_id

        self.if_missing = read_choice(self.if_missing, IF_MISSING, "if_missing")
        collection_id = read_collection_id(self.collection_id)
        calls = self._calls()
        # Looked for first, so that a DELETE repeated after a lost answer does not take its own success for a miss.
        is_there = calls.get_collection(collection_id) is not None
        if not is_there and self.if_missing == "fail":
            raise SentinelHubNotFoundError(
                f"There is no BYOC collection {collection_id}. Check collection_id, or let if_missing be 'skip'."
            )
        estimated = self._check_cost(context, int(is_there))
        try:
            deleted = is_there and calls.delete_collection(collection_id)
        finally:
            log_and_push_spent(self, context, calls.spent)
        self.log.info("collection %s %s", collection_id, "is deleted" if is_there else "was not there")
        return {
            "collection_id": collection_id,
            "deleted": deleted,
            SPENT_UNITS_KEY: calls.spent,
            ESTIMATED_UNITS_KEY: estimated,
        }


class SentinelHubByocDeleteTilesOperator(ByocOperator):
    """
    Delete tiles of a collection by their paths; the files in the bucket stay.

    Returned is a dict with counts: ``tiles``, ``deleted``, ``missing``; and ``collection_id``, ``processing_units`` and
    ``estimated_processing_units`` (PU). Both costs are pushed to XCom, too.

    .. seealso:: :doc:`/operators/byoc`

    :param collection_id: with or without ``byoc-`` in front. (templated)
    :param tiles: as for :class:`SentinelHubByocIngestOperator`; only the paths count. (templated)
    :param if_missing: where a tile is not there, ``skip``, which succeeds, or ``fail``, which deletes none.
    :param max_processing_units: PU that the task may cost. (templated)
    :param kwargs: further arguments, of :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`, such as
        ``timeout``, ``deferrable`` and ``sentinelhub_conn_id``, and of any Airflow operator.
    """

    template_fields: Sequence[str] = ("collection_id", "tiles", *ByocOperator.template_fields)
    template_fields_renderers = {"tiles": "json"}  # noqa: RUF012 - Airflow's own form

    def __init__(self, *, collection_id: str, tiles: Any, if_missing: str = "skip", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_id = collection_id
        self.tiles = tiles
        self.if_missing = if_missing

    def _result(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.api.byoc.requests import read_collection_id
        from sentinelhub_provider.api.byoc.tiles import by_path

        self.if_missing = read_choice(self.if_missing, IF_MISSING, "if_missing")
        collection_id = read_collection_id(self.collection_id)
        paths = [tile.path for tile in tiles_of(self.tiles)]
        calls = self._calls()
        there = by_path(calls.find_tiles(collection_id, paths))
        missing = [path for path in paths if path not in there]
        if missing and self.if_missing == "fail":
            raise SentinelHubNotFoundError(
                f"{len(missing)} of {len(paths)} tiles are not in BYOC collection {collection_id}: "
                f"{', '.join(map(repr, missing[:3]))}{' and more' if len(missing) > 3 else ''}. Nothing was deleted. "
                "Check tiles, or let if_missing be 'skip'."
            )
        estimated = self._check_cost(context, len(paths) - len(missing))
        try:
            deleted = sum(calls.delete_tile(collection_id, there[path]) for path in paths if path in there)
        finally:
            log_and_push_spent(self, context, calls.spent)
        self.log.info("%d tiles are deleted, %d were not there", deleted, len(missing))
        return {
            "collection_id": collection_id,
            "tiles": len(paths),
            "deleted": deleted,
            "missing": len(paths) - deleted,
            SPENT_UNITS_KEY: calls.spent,
            ESTIMATED_UNITS_KEY: estimated,
        }
